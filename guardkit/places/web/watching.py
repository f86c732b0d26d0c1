"""Watches the builds of one project, and keeps up the figures that a watch does not tell of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing, suppress

from guardkit.clock import Clock
from guardkit.errors import GuardKitError
from guardkit.places.plain import clean
from guardkit.places.web.projects import Key, Project
from guardkit.places.web.seen import Seen
from guardkit.places.words import local, run_of

TICK = 1.0  # seconds between two looks at what goes on
SURVEY = 30.0  # seconds between two looks at all builds, which tell what is gone
SHARE = 0.05  # of the time that may be spent on these looks
RECALL_MAX = 100  # builds that began before us, whose journals are read
RETRY = 2.0  # seconds until a project that cannot be seen is tried again


class Watching:
    """The watch over one project.

    seen: takes the looks. tell: is called when there is news of a build, None: of the project.
    is_ready: whether the project was looked at, or cannot be.
    """

    def __init__(
        self, project: Project, seen: Seen, clock: Clock, tell: Callable[[Key | None], object]
    ) -> None:
        self._project, self._seen, self._clock, self._tell = project, seen, clock, tell
        self.is_ready = asyncio.Event()
        self._recalled: dict[str, str | None] = {}  # runs whose journals were read, by task
        self._refreshed, self._surveyed = -TICK, 0.0
        self._is_lost = False  # since the last look, while the watch waits in silence

    async def watch(self) -> None:
        """Take what happens, for ever."""
        slug, source = self._project.slug, self._project.source
        while True:
            try:
                self._seen.find(slug, await source.look())
                self._surveyed, self._is_lost = self._clock.monotonic(), False
                self._tell(None)
                self.is_ready.set()
                async with aclosing(source.watch()) as looks:
                    async for look in looks:
                        self._seen.take(slug, look)
                        self._tell((slug, look.task_id))
            except Exception as error:  # whatever a source comes upon: nobody else is hurt
                self._lose(error)
                self.is_ready.set()
            await self._clock.sleep(RETRY)

    async def keep_up(self, is_wanted: Callable[[], bool]) -> None:
        """Look again and again at what goes on, while that is wanted."""
        while True:
            began = self._clock.monotonic()
            if is_wanted():
                await self.refresh()
                await self._recall()
            spent = self._clock.monotonic() - began
            await self._clock.sleep(max(TICK, spent / SHARE))

    async def refresh(self) -> bool:
        """Look again at what goes on, unless that was just done; return whether it was now."""
        await self.is_ready.wait()
        slug, now = self._project.slug, self._clock.monotonic()
        active, is_due = self._seen.active(slug), now - self._surveyed >= SURVEY
        if not (active or is_due) or now - self._refreshed < TICK:
            return False
        if is_due:
            self._surveyed, active = now, []
        known = self._seen.names(slug)
        try:
            looks = await self._project.source.look(active)
        except (GuardKitError, OSError) as error:
            self._is_lost = True
            self._lose(error)
        else:
            self._seen.refresh(slug, looks)
            if is_due and self._seen.survey(slug, known, looks):
                self._tell(None)
            if self._is_lost:
                self._is_lost = False
                self._seen.see(slug)
                self._tell(None)
        self._refreshed = self._clock.monotonic()
        return True

    def _lose(self, error: Exception) -> None:
        """Take note that the builds cannot be seen: what is shown of them gets old."""
        at = self._clock.monotonic(), local(self._clock.now(), "%H:%M:%S")
        self._seen.lose(self._project.slug, clean(str(error)), *at)
        self._tell(None)

    async def _recall(self) -> None:
        """Read the journals of builds that began before us, which the answers need."""
        for task_id in self._seen.active(self._project.slug)[:RECALL_MAX]:
            key = self._project.slug, task_id
            run = run_of(self._seen.looks[key])
            if self._recalled.get(task_id, "") != run:
                self._recalled[task_id] = run
                with suppress(GuardKitError, OSError):
                    self._seen.add_events(key, await self._project.source.events(task_id))
                    self._tell(key)

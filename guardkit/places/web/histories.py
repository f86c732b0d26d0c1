"""What the journals tell, as HTML: read when it is asked for, and not more than once a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import TypeVar

from aiofiles.os import wrap

from guardkit.clock import Clock
from guardkit.errors import GuardKitError
from guardkit.monitor.builds import Builds
from guardkit.monitor.look import Look
from guardkit.places.web.history import History, make_history
from guardkit.places.web.pages import Pages
from guardkit.places.web.papers import read_papers
from guardkit.places.web.projects import Key, Project
from guardkit.places.web.view import row_id
from guardkit.places.words import age, clean, is_over
from guardkit.progress.timer import Timer
from guardkit.progress.worker import Worker

FRESH = 1.0  # seconds for which what was read is told again
PATIENCE = 5.0  # seconds that a disk or a server may take
KEPT_MAX = 16  # builds of which what was read is kept

T = TypeVar("T")


class Histories:
    """What the journals of the builds of some projects tell.

    looks: the newest one at each build.
    """

    def __init__(
        self,
        projects: Iterable[Project],
        looks: Mapping[Key, Look],
        pages: Pages,
        clock: Clock,
    ) -> None:
        self._sources = {each.slug: each.source for each in projects}
        self._looks, self._pages, self._clock = looks, pages, clock
        self._kept: dict[Key, tuple[float, asyncio.Task[str]]] = {}

    async def read(self, key: Key) -> str:
        """Return what the journal of a build tells, as HTML."""
        now = self._clock.monotonic()
        since, task = self._kept.get(key, (0.0, None))
        if task is None or (task.done() and now - since >= FRESH):
            self._kept.pop(key, None)
            done = [each for each, (_, reading) in self._kept.items() if reading.done()]
            for each in done[: max(0, len(self._kept) + 1 - KEPT_MAX)]:
                del self._kept[each]
            task = asyncio.create_task(self._read(key))
            self._kept[key] = now, task
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Read no more."""
        tasks = [task for _, task in self._kept.values()]
        self._kept.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _read(self, key: Key) -> str:
        slug, task_id = key
        source = self._sources[slug]
        why = "it took too long"
        history: History | None = None
        try:
            events = await soon(self._clock, source.events(task_id), PATIENCE)
            if events is not None:
                look = self._looks[key]
                since = age(look.snapshot, self._clock.monotonic()) if look.snapshot else 0.0
                since = 0.0 if is_over(look.verdict) else since
                history = make_history(events, look.snapshot, since)
        except (GuardKitError, OSError) as error:
            why = clean(str(error))
        if history is None:
            return self._pages.history(row_id(key), History(), {}, f"The journal: {why}.")
        papers = None
        if isinstance(source, Builds):
            numbers = [turn.number for turn in history.turns if turn.number]
            reading = _in_thread(lambda: read_papers(source.where, task_id, numbers))
            papers = await soon(self._clock, reading, PATIENCE)
        return self._pages.history(row_id(key), history, papers or {})


async def soon(clock: Clock, work: Coroutine[object, object, T], seconds: float) -> T | None:
    """Return what a piece of work returns, None where it takes longer; raises what it raises."""
    task, timer = asyncio.create_task(work), Timer.join(clock)
    try:
        with clock.busy():
            hangs = await timer.hangs(task, seconds)
        return None if hangs else task.result()
    finally:
        task.cancel()
        await timer.leave()


async def _in_thread(function: Callable[[], T]) -> T:
    worker = Worker()  # as a disk may hang
    try:
        found: T = await wrap(function)(executor=worker)
        return found
    finally:
        worker.shutdown()

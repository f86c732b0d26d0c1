"""What the journals tell, as HTML: read when it is asked for, and not more than once a second."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import TypeVar

from aiofiles.os import wrap

from guardkit.clock import Clock
from guardkit.errors import GuardKitError
from guardkit.monitor.builds import Builds
from guardkit.monitor.look import Look
from guardkit.places.expected import Expected, Past, expect, learn
from guardkit.places.journals import NEAR_MAX, near, read_journals
from guardkit.places.plain import clean
from guardkit.places.runs import Run, runs
from guardkit.places.timeline.seeing import Seeing, tasks_of
from guardkit.places.web.history import TASKS_MAX, History, make_history
from guardkit.places.web.pages import Pages
from guardkit.places.web.papers import read_papers
from guardkit.places.web.projects import Key, Project
from guardkit.places.web.view import row_id
from guardkit.progress.snapshot import Event, Snapshot
from guardkit.progress.timer import Timer
from guardkit.progress.worker import Worker

FRESH = 1.0  # seconds for which what was read is told again
PATIENCE = 5.0  # seconds that a disk or a server may take
KEPT_MAX = 16  # builds of which what was read is kept
LEARNT = 60.0  # seconds for which what earlier builds took is taken for all there is

T = TypeVar("T")

log = logging.getLogger("guardkit.serve")


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
        self._learnt: dict[Key, tuple[float, Sequence[Past]]] = {}

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
        """Return what the journal of a build tells, or why it tells nothing."""
        try:
            return await self._make(key)
        except Exception as error:  # whatever a journal holds: it costs the page of its build alone
            log.warning("what the journal of %s tells could not be shown: %r", key[1], error)
            return self._pages.history(row_id(key), History(), {}, "The journal cannot be shown.")

    async def _make(self, key: Key) -> str:
        slug, task_id = key
        source = self._sources[slug]
        why = "it took too long"
        history: History | None = None
        try:
            history = await soon(self._clock, self._tell(key), PATIENCE)
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

    async def _tell(self, key: Key) -> History:
        """Return what the journals tell; raises as `Source.events`."""
        slug, task_id = key
        events = await self._sources[slug].events(task_id)
        look = self._looks.get(key)  # the build may be gone by now
        own, snapshot = runs(events), look.snapshot if look else None
        run_id = snapshot.tracker.run_id if snapshot else ""
        current = next((run for run in own if snapshot and run.run_id == run_id), None)
        past = [run for run in own if run is not current]
        if not (snapshot and current):
            return make_history(snapshot, past=past)
        seeing = await self._see(slug, current)
        timeline = seeing.timeline(current)
        expected = None
        if timeline.is_live:
            expected = await self._expect(key, snapshot, events, seeing.seen(current).since)
        return make_history(snapshot, timeline, past, expected)

    async def _see(self, slug: str, run: Run) -> Seeing:
        """Return what is known of a run and, of a feature, of its tasks."""
        looks = [look for (of, _), look in self._looks.items() if of == slug]
        wanted = tasks_of(run, looks)[:TASKS_MAX]
        journals = await read_journals(self._sources[slug], wanted)
        known = [each for journal in journals.values() for each in runs(journal)]
        return Seeing(self._clock.monotonic(), looks, [run, *known])

    async def _expect(
        self, key: Key, snapshot: Snapshot, events: Sequence[Event], since: float
    ) -> Expected | None:
        """Return how much longer a build may take."""
        own = expect(snapshot, events, since=since)
        return own or expect(snapshot, events, await self._learn(key), since)

    async def _learn(self, key: Key) -> Sequence[Past]:
        """Return what there is to learn from the journals of other tasks."""
        (slug, task_id), now = key, self._clock.monotonic()
        read, found = self._learnt.get(key, (now - LEARNT, ()))
        if now - read >= LEARNT:
            others = near(task_id, (name for of, name in self._looks if of == slug))
            journals = await read_journals(self._sources[slug], others, NEAR_MAX)
            found = [*learn(journals.values())]
            self._learnt.pop(key, None)
            self._learnt[key] = now, found
            while len(self._learnt) > KEPT_MAX:
                del self._learnt[next(iter(self._learnt))]
        return found


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

"""Waiting for builds: made for shells in which nothing is seen until a command has ended."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import aclosing
from math import inf
from typing import Any, Literal, TypeVar

import msgspec
from anyio import CancelScope

from guardkit.clock import SYSTEM_CLOCK, Clock
from guardkit.errors import ProgressNotFoundError
from guardkit.monitor.look import Look, Source
from guardkit.places.until import differs, ends_alone, recall
from guardkit.places.words import is_over, is_past_watching, run_of
from guardkit.progress.snapshot import is_newer

GRACE = 5.0  # seconds for the looks that begin and end a wait; a mount that hangs gives none

T = TypeVar("T")
Until = Literal["done", "change", "trouble"]


class Wanted(msgspec.Struct, frozen=True):
    """What is waited for.

    task_ids: of which builds, in the order in which they are told of.
    until: `done` is reached when all of them are over, `change` and `trouble` at the first.
    run: the run_id that is meant, of a single task; None: the latest run counts.
    afresh: whether only runs count that have not ended when the waiting begins, or begin later.
    """

    task_ids: Sequence[str]
    until: Until = "done"
    run: str | None = None
    afresh: bool = False


class Answer(msgspec.Struct, frozen=True):
    """What came of a wait.

    looks: the latest look at each build, in the order that was asked for. Builds that are not
        there are missing, as are those of which the next run has not begun.
    timed_out: whether the time was up before anything came of it.
    """

    looks: list[Look]
    timed_out: bool = False


async def wait(
    builds: Source, wanted: Wanted, *, limit: float | None = None, clock: Clock | None = None
) -> Answer:
    """Return when builds are done, have changed or are in trouble, or nothing more can come.

    Returns at once where a build is not there, unless the next run is waited for. How a build is,
    the watch alone tells: a single look at one from elsewhere may call it lost by the wall clock.

    builds: where they are looked for.
    wanted: which ones, and what ends the wait.
    limit: seconds at most, None: for ever.
    clock: by default the machine's.
    Raises ProgressNotFoundError where the task has no such run, InvalidTaskIdError, and
    InvalidProgressError where the builds cannot be listed, or the journal that has the run cannot
    be read.
    """
    clock, left = clock or SYSTEM_CLOCK, inf if limit is None else limit
    start, patience = clock.monotonic(), max(left, GRACE)
    there = await _within(patience, clock, builds.look(wanted.task_ids))
    if there is None:
        return Answer([], timed_out=True)
    if wanted.run and not there:
        return Answer([await _find_run(builds, wanted.task_ids[0], wanted.run)])
    waiting = Waiting(wanted, there)
    async with aclosing(builds.watch(wanted.task_ids)) as looks:
        for seconds, is_enough in ((patience, waiting.has_begun), (left, waiting.is_met)):
            if (rest := start + seconds - clock.monotonic()) > 0:
                await _within(rest, clock, _follow(builds, looks, waiting, is_enough))
    waiting.refresh(await _within(GRACE, clock, builds.look(wanted.task_ids)) or ())
    return Answer(waiting.looks, timed_out=not waiting.is_met())


class Waiting:
    """What is waited for, and what was seen of it so far.

    wanted: as for `wait`.
    there: a look at each build that was there when the waiting began.
    """

    def __init__(self, wanted: Wanted, there: Iterable[Look]) -> None:
        self.wanted = wanted
        self._there = {each.task_id: each for each in there}
        self._heard: set[str] = set()
        self._first: dict[str, Look] = {}
        self._latest: dict[str, Look] = {}

    @property
    def looks(self) -> list[Look]:
        """The latest looks, in the order that was asked for."""
        return [self._latest[each] for each in self.wanted.task_ids if each in self._latest]

    def see(self, look: Look) -> None:
        """Take the next look of the watch."""
        self._heard.add(look.task_id)
        before = self._latest.get(look.task_id)
        if before and is_over(before.verdict) and run_of(before) != run_of(look):
            return  # it belongs to a run after the one that was waited for
        if not before and self.wanted.afresh and self._is_past(look):
            return
        self._first.setdefault(look.task_id, look)
        self._latest[look.task_id] = look

    def refresh(self, looks: Iterable[Look]) -> None:
        """Take newer figures from single looks that say of a run what the watch says.

        A watch tells of no heartbeats, and so not for how long a build has gone on; over NATS a
        single look may be behind it.
        """
        for look in looks:
            known = self._latest.get(look.task_id)
            if not known or is_over(known.verdict):
                continue
            is_same = (run_of(known), known.verdict.state) == (run_of(look), look.verdict.state)
            if is_same and look.snapshot and is_newer(look.snapshot, known.snapshot):
                self._latest[look.task_id] = look

    def has_begun(self) -> bool:
        """Return whether the watch has told of all builds that were there."""
        return self._heard >= self._there.keys()

    def is_met(self) -> bool:
        """Return whether what is waited for has come, or nothing more can come."""
        if not self.has_begun():
            return False
        seen, until = self._latest.values(), self.wanted.until
        alone = (ends_alone(until, it.verdict, changed=self._has_changed(it)) for it in seen)
        missing = len(self._there) < len(self.wanted.task_ids) and not self.wanted.afresh
        if missing or any(alone):
            return True
        return len(seen) == len(self.wanted.task_ids) and all(is_over(it.verdict) for it in seen)

    def _is_past(self, look: Look) -> bool:
        """Return whether a look is at a run that had ended when the waiting began."""
        then = self._there.get(look.task_id)
        if then is None or run_of(then) != run_of(look):
            return False
        return is_past_watching(then.verdict) and is_past_watching(look.verdict)

    def _has_changed(self, look: Look) -> bool:
        first = self._first[look.task_id]
        return differs((look.snapshot, look.verdict), (first.snapshot, first.verdict))


async def _within(seconds: float, clock: Clock, work: Coroutine[Any, Any, T]) -> T | None:
    """Return what a piece of work returns, None where it takes longer."""
    with CancelScope() as scope:

        async def ring() -> None:
            await clock.sleep(seconds)
            scope.cancel()

        alarm = asyncio.create_task(ring()) if seconds < inf else None
        try:
            return await work
        finally:
            if alarm:
                alarm.cancel()
    return None


async def _follow(
    builds: Source, looks: AsyncIterator[Look], waiting: Waiting, is_enough: Callable[[], bool]
) -> None:
    """Have a wait see what a watch tells, until that is enough."""
    run = waiting.wanted.run
    while not is_enough() and (look := await anext(looks, None)):
        if run and look.snapshot and run_of(look) != run:  # a run without one has not written yet
            look = await _find_run(builds, look.task_id, run, latest=look)
        waiting.see(look)


async def _find_run(builds: Source, task_id: str, run: str, *, latest: Look | None = None) -> Look:
    """Return what the journal knows of a run that is not the latest one of its task."""
    found = recall(task_id, run, await builds.events(task_id))
    if not found:
        known = f"; its latest is {run_of(latest)}" if latest else ""
        raise ProgressNotFoundError(f"{task_id} has no such run{known}: see guardkit log {task_id}")
    return Look(task_id, *found, builds.where)

"""Waiting for builds: made for shells in which nothing is seen until a command has ended."""

import asyncio
from collections.abc import Collection, Coroutine, Iterable
from contextlib import aclosing
from math import inf
from typing import Any, Literal, TypeVar

import msgspec
from anyio import CancelScope

from guardkit.clock import SYSTEM_CLOCK, Clock
from guardkit.errors import ProgressNotFoundError
from guardkit.monitor.builds import Builds, Look
from guardkit.monitor.verdict import Signs, Verdict, judge
from guardkit.places.words import WELL, is_over, is_past_watching, run_of
from guardkit.progress.lock import Hold
from guardkit.progress.snapshot import moved

GRACE = 5.0  # seconds for a single look, which a mount that hangs never gives

T = TypeVar("T")
Until = Literal["done", "change", "trouble"]


class Answer(msgspec.Struct, frozen=True):
    """What came of a wait.

    looks: the latest look at each build, in the order that was asked for. Builds that are not
        there are missing, as are those of which the next run has not begun.
    timed_out: whether the time was up before anything came of it.
    """

    looks: list[Look]
    timed_out: bool = False


async def wait(
    builds: Builds,
    task_ids: Collection[str],
    until: Until = "done",
    *,
    run: str | None = None,
    afresh: bool = False,
    limit: float | None = None,
    clock: Clock | None = None,
) -> Answer:
    """Return when builds are done, have changed or are in trouble, or nothing more can come.

    Returns at once where a build is not there, unless the next run is waited for.

    builds: where they are looked for.
    task_ids: which ones.
    until: `done` is reached when all of them are over, `change` and `trouble` at the first.
    run: the run_id of what is waited for, of a single task; by default the latest counts.
    afresh: whether only runs count that have not ended when the waiting begins, or begin later.
    limit: seconds at most, None: for ever.
    clock: by default the machine's.
    Raises ProgressNotFoundError where the task has no such run, InvalidTaskIdError, and
    InvalidProgressError where the builds cannot be listed.
    """
    clock = clock or SYSTEM_CLOCK
    left = inf if limit is None else limit
    deadline = clock.monotonic() + left
    first = await _within(max(left, GRACE), clock, _look(builds, task_ids, run))
    if first is None:
        return Answer([], timed_out=True)
    waiting = Waiting(task_ids, until, past=first if afresh else ())
    waiting.see(first)
    if waiting.is_met() or (len(first) < len(task_ids) and not afresh):
        return Answer(waiting.looks)
    if (left := deadline - clock.monotonic()) > 0:
        await _within(left, clock, _watch(builds, task_ids, run, waiting))
    is_met = waiting.is_met()
    waiting.see(await _within(GRACE, clock, _look(builds, task_ids, run)) or ())
    return Answer(waiting.looks, timed_out=not (is_met or waiting.is_met()))


class Waiting:
    """What is waited for, and what was seen of it so far.

    task_ids, until: as for `wait`.
    past: looks at runs that do not count if they have ended.
    """

    def __init__(
        self, task_ids: Collection[str], until: Until = "done", *, past: Iterable[Look] = ()
    ) -> None:
        self._task_ids = task_ids
        self._until = until
        self._past = {each.task_id: run_of(each) for each in past if is_past_watching(each.verdict)}
        self._first: dict[str, Look] = {}
        self._latest: dict[str, Look] = {}

    @property
    def looks(self) -> list[Look]:
        """The latest looks, in the order that was asked for."""
        return [self._latest[each] for each in self._task_ids if each in self._latest]

    def see(self, looks: Iterable[Look]) -> None:
        """Take looks at some of the builds."""
        for look in looks:
            task_id, before = look.task_id, self._latest.get(look.task_id)
            if before and is_over(before.verdict) and run_of(before) != run_of(look):
                continue  # it belongs to a run after the one that was waited for
            if not before and self._is_past(look):
                continue
            self._first.setdefault(task_id, look)
            self._latest[task_id] = look

    def is_met(self) -> bool:
        """Return whether what is waited for has come, or nothing more can come."""
        seen = self._latest.values()
        if any(look.verdict.state == "unreadable" for look in seen):
            return True
        if self._until == "trouble" and any(look.verdict.state not in WELL for look in seen):
            return True
        if self._until == "change" and any(map(self._has_changed, seen)):
            return True
        return len(seen) == len(self._task_ids) and all(is_over(look.verdict) for look in seen)

    def _is_past(self, look: Look) -> bool:
        is_known = look.task_id in self._past and self._past[look.task_id] == run_of(look)
        return is_known and is_past_watching(look.verdict)

    def _has_changed(self, look: Look) -> bool:
        first = self._first[look.task_id]
        if look.verdict.state != first.verdict.state:
            return True
        return look.snapshot is not None and moved(look.snapshot, first.snapshot)


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


async def _look(builds: Builds, task_ids: Collection[str], run: str | None) -> list[Look]:
    """Return a look at each build that is there."""
    looks = await builds.look(task_ids)
    return looks if run is None else [await _find_run(builds, task_ids, looks, run)]


async def _watch(
    builds: Builds, task_ids: Collection[str], run: str | None, waiting: Waiting
) -> None:
    """Look at each change until what is waited for has come."""
    async with aclosing(builds.watch(task_ids)) as looks:
        async for look in looks:
            found = look if run is None else await _find_run(builds, task_ids, [look], run)
            waiting.see([found])
            if waiting.is_met():
                break


async def _find_run(
    builds: Builds, task_ids: Collection[str], looks: Collection[Look], run: str
) -> Look:
    """Return what is known of a run of one task, from a look at that, else from its journal."""
    [task_id], look = task_ids, next(iter(looks), None)
    if look and (run_of(look) == run or not look.snapshot):  # the next run has not written yet
        return look
    events = [event for event in await builds.events(task_id) if event.run_id == run]
    if not events:
        known = f"; its latest is {run_of(look)}" if look else ""
        raise ProgressNotFoundError(f"{task_id} has no such run{known}: see guardkit log {task_id}")
    last = events[-1].progress
    verdict = Verdict("crashed", f"it has left no end, and another run has taken {task_id}")
    if last.terminal:
        verdict = judge(last, Signs(Hold.UNKNOWN))
    return Look(task_id, last, verdict, look.where if look else "")

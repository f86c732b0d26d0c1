"""A build of three turns that is cancelled at its first, second, ... n-th await, for every n."""

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from pathlib import Path
from typing import Any

import anyio
import pytest

from guardkit import read_progress, track_build

from .forking import folder_of, leftovers
from .tally import Row, Tally, detected

pytestmark = pytest.mark.anyio

POOL = 4  # threads at most that may be left idle, for the next build
LATEST = 2.0  # seconds


class Counted:
    """Awaits `work`, and makes a call when it waits for the n-th time, and for the m-th."""

    def __init__(self, work: Coroutine[Any, Any, None], call: Callable[[], object], *at: int):
        self._work = work
        self._call = call
        self._at = at
        self.awaits = 0

    def __await__(self) -> Generator[Any, Any, None]:
        resume: Callable[[Any], Any] = self._work.send
        value: BaseException | None = None
        while True:
            try:
                waited_for = resume(value)
            except StopIteration:
                return
            self.awaits += 1
            if self.awaits in self._at:
                self._call()
            try:
                yield waited_for
                resume, value = self._work.send, None
            except BaseException as error:
                resume, value = self._work.throw, error


async def build_three_turns(root: Path) -> None:
    async with track_build("TASK-1", root=root, turn_max=3) as build:
        async with build.phase("Setup"):
            build.update(message="set up")
        for number in range(1, 4):
            async with build.turn() as turn:
                async with turn.phase("Player Implementation", budget=900):
                    build.update(files_created=number)
                    await asyncio.sleep(0)
                async with turn.phase("Coach Validation"):
                    await asyncio.sleep(0)
                turn.decide("feedback")


async def cancel_natively(root: Path, *at: int) -> int:
    """Return how often the build waited."""

    async def body() -> None:
        await counted

    task = asyncio.create_task(body())
    counted = Counted(build_three_turns(root), task.cancel, *at)
    await asyncio.wait({task})
    assert task.cancelled() or task.exception() is None
    return counted.awaits


async def cancel_by_scope(root: Path, *at: int) -> int:
    """Return how often the build waited."""
    with anyio.CancelScope() as scope:
        counted = Counted(build_three_turns(root), scope.cancel, *at)
        await counted
    return counted.awaits


CANCELLATIONS = pytest.mark.parametrize(
    "cancel", [cancel_natively, cancel_by_scope], ids=["natively", "by an anyio scope"]
)


def descriptors(others: set[threading.Thread]) -> int:
    """Return how many files this process has open when no more threads run than the others."""
    for thread in {*threading.enumerate()} - others:
        if thread.name == "guardkit":
            thread.join()
    return len(os.listdir("/proc/self/fd"))


class Sweep:
    """Cancels a build in each possible way, and holds what is left against the contract."""

    def __init__(self, root: Path, cancel: Callable[..., Awaitable[int]], row: Row) -> None:
        self._root = root
        self._cancel = cancel
        self._row = row
        self.ends: list[str] = []

    async def try_at(self, *at: int) -> int:
        """Cancel a build when it waits for the n-th time; return how often it waited."""
        root = self._root / str(self._row["trials"])
        root.mkdir()
        tasks, start = asyncio.all_tasks(), time.monotonic()
        awaits = await self._cancel(root, *at)
        detected(self._row, time.monotonic() - start)
        status = read_progress("TASK-1", root=root).status
        self.ends.append(status)
        self._row["trials"] += 1
        self._row["faults"] += awaits >= at[0]
        self._row["wrong"] += status not in ("cancelled", "completed")
        self._row["leftovers"] += len(asyncio.all_tasks() - tasks)
        self._row["leftovers"] += len(leftovers(folder_of(root, "TASK-1")))
        return awaits


@CANCELLATIONS
async def test_a_build_cancelled_at_any_await_ends_cancelled_and_leaves_nothing(
    tmp_path: Path,
    tally: Tally,
    trials: Callable[[int, int], int],
    cancel: Callable[..., Awaitable[int]],
) -> None:
    row = tally("Transparent", "cancelled at the n-th await")
    others = {*threading.enumerate()}
    await cancel(tmp_path, 0)
    threads, files = threading.active_count(), descriptors(others)
    sweep = Sweep(tmp_path, cancel, row)
    for _ in range(trials(1, 20)):
        n = 1
        while await sweep.try_at(n) >= n:
            n += 1
    assert (row["wrong"], row["leftovers"]) == (0, 0)
    assert sweep.ends[0] == "cancelled"
    assert sweep.ends[-1] == "completed"
    assert threading.active_count() < threads + POOL
    assert descriptors(others) == files
    assert (row["slowest"] or 0) < LATEST


@CANCELLATIONS
async def test_a_build_cancelled_again_while_it_ends_leaves_nothing_either(
    tmp_path: Path,
    tally: Tally,
    trials: Callable[[int, int], int],
    cancel: Callable[..., Awaitable[int]],
) -> None:
    row = tally("Transparent", "cancelled twice")
    others = {*threading.enumerate()}
    awaits = await cancel(tmp_path, 0)
    files = descriptors(others)
    sweep = Sweep(tmp_path, cancel, row)
    for first in range(1, awaits + 1, trials(7, 1)):
        for second in range(first + 1, first + 5):
            await sweep.try_at(first, second)
    assert (row["wrong"], row["leftovers"]) == (0, 0)
    assert descriptors(others) == files
    assert (row["slowest"] or 0) < LATEST

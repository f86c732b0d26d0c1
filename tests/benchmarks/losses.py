"""What a build loses by being tracked."""

import asyncio
from collections.abc import Awaitable, Callable
from hashlib import sha256
from time import perf_counter, process_time

from guardkit import track_build

from .bounds import MILLION
from .races import OURS, Round, Row, compare, limit, race
from .setting import Run, pin

ALONE = "the same build, untracked"
TURNS = 5
WORK = bytes(2**15)  # hashed ten times between two awaits: half a millisecond
UPDATES = 1_000_000
AT_A_TIME = 1_000

Build = Callable[[], Awaitable[None]]


async def measure(run: Run) -> list[Row]:
    """Run the same work with and without, then a million updates."""
    pin()

    async def tracked() -> None:
        async with track_build("TASK-1", root=run.tmpfs) as build:
            for _ in range(TURNS):
                async with build.turn() as turn:
                    for name in ("Player Implementation", "Coach Validation"):
                        async with turn.phase(name) as phase:
                            await work(lambda count: phase.update(files_created=count))

    async def untracked() -> None:
        for _ in range(2 * TURNS):
            await work(lambda count: None)

    rows: list[Row] = []
    for subject, clock in (("a build, wall time", perf_counter), ("a build, CPU", process_time)):
        rounds = {OURS: _spent(tracked, clock), ALONE: _spent(untracked, clock)}
        rows += compare(subject, await race(rounds, run.pick(3, 40)))
    return [*rows, await _million(run)]


async def work(tell: Callable[[int], object]) -> None:
    """Do what takes some 40 ms, and tell of it as often as a build might."""
    for count in range(80):
        for _ in range(10):
            sha256(WORK)
        tell(count)
        await asyncio.sleep(0)


def _spent(build: Build, clock: Callable[[], float]) -> Round:
    async def run() -> float:
        start = clock()
        await build()
        return clock() - start

    return run


async def _million(run: Run) -> Row:
    async def tracked() -> None:
        async with track_build("TASK-1", root=run.tmpfs) as build:
            for first in range(0, UPDATES, AT_A_TIME):
                for count in range(first, first + AT_A_TIME):
                    build.update(files_created=count)
                await asyncio.sleep(0)

    async def untracked() -> None:
        for first in range(0, UPDATES, AT_A_TIME):
            for _ in range(first, first + AT_A_TIME):
                pass
            await asyncio.sleep(0)

    rounds = {OURS: _spent(tracked, process_time), ALONE: _spent(untracked, process_time)}
    costs = await race(rounds, run.pick(3, 15))
    more = [ours - alone for ours, alone in zip(costs[OURS], costs[ALONE], strict=True)]
    return limit(MILLION, "0.3 s", more, 0.3)

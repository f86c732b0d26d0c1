"""What a build loses by being tracked."""

import asyncio
import sys
import tracemalloc
from collections.abc import Awaitable, Callable
from hashlib import sha256
from time import perf_counter

from guardkit import Build, track_build

from .bounds import FLAT, WRITES
from .races import OURS, Round, Row, compare, limit, race
from .setting import Run, pin

WALL = "a build, wall time"
ALONE = "the same build, untracked"
TURNS = 5
WORK = bytes(2**15)  # hashed ten times between two awaits: half a millisecond
UPDATES, AT_A_TIME = 1_000_000, 1_000
KIB_16 = 16 * 2**10


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

    rounds = {OURS: _spent(tracked), ALONE: _spent(untracked)}
    rows = compare(WALL, await race(rounds, run.pick(3, 40)))
    return [*rows, await _writes(run), await _memory(run)]


async def work(tell: Callable[[int], object]) -> None:
    """Do what takes some 40 ms, and tell of it as often as a build might."""
    for count in range(80):
        for _ in range(10):
            sha256(WORK)
        tell(count)
        await asyncio.sleep(0)


def _spent(build: Callable[[], Awaitable[None]]) -> Round:
    async def run() -> float:
        start = perf_counter()
        await build()
        return perf_counter() - start

    return run


async def _writes(run: Run) -> Row:
    """Return how many writes a second a million updates cause, from the first to the last."""
    renames: list[float] = []

    def see(event: str, _: tuple[object, ...]) -> None:
        if event == "os.rename":
            renames.append(perf_counter())

    sys.addaudithook(see)
    rates: list[float] = []
    for _ in range(run.pick(1, 5)):
        async with track_build("TASK-2", root=run.tmpfs) as build:
            renames.clear()
            await _update(build, 0, UPDATES, pause=run.pick(0.001, 0.005))
            rates.append((len(renames) - 1) / (renames[-1] - renames[0]))
    return limit(WRITES, "10", rates, 10.0, unit="")


async def _memory(run: Run) -> Row:
    """Return by how much Python's memory grows between update 100,000 and update 1,000,000."""
    grown: list[float] = []
    for _ in range(run.pick(1, 5)):
        async with track_build("TASK-3", root=run.tmpfs) as build:
            tracemalloc.start()
            await _update(build, 0, UPDATES // 10)
            before, _ = tracemalloc.get_traced_memory()
            await _update(build, UPDATES // 10, UPDATES)
            after, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            grown.append(max(0, after - before))
    return limit(FLAT, "16 KiB", grown, KIB_16, unit="B")


async def _update(build: Build, first: int, last: int, *, pause: float = 0.0) -> None:
    for start in range(first, last, AT_A_TIME):
        for count in range(start, start + AT_A_TIME):
            build.update(files_created=count)
        await asyncio.sleep(pause)

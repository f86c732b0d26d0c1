"""A thousand builds in one event loop, which do nothing but live."""

import asyncio
import gc
import os
import sys
import tracemalloc
from contextlib import AsyncExitStack
from pathlib import Path
from time import process_time

from guardkit import track_build

from .bounds import BARE_WRITES, HEARTBEATS, MEMORY
from .races import OURS, Row, compare, limit
from .setting import Run, meter, pin
from .ways import bare, temporary_in
from .writes import a_document

STALL = "1,000 builds' heartbeats, longest stall"
BUILDS = 1000
KIB_8 = 8 * 2**10


async def measure(run: Run) -> list[Row]:
    """Hold the heartbeats against as many bare writes, and a build's memory against its limit."""
    pin()
    document = await a_document(run.tmpfs)
    memory = await _memory(run)
    heartbeat = run.pick(1.0, 5.0)
    folders = [str(run.tmpfs / f"bare-{number}") for number in range(BUILDS)]
    for folder in folders:
        os.mkdir(folder)
    writes = _count_renames()
    async with AsyncExitStack() as stack:
        await _enter(stack, run.tmpfs / "beating", BUILDS, heartbeat)
        await asyncio.sleep(heartbeat)  # to the first that are heartbeats alone
        beats, stalls, bares = [], [], []
        for _ in range(run.pick(2, 8)):
            before, start, loop = writes[0], process_time(), meter()
            loop.longest = 0.0
            await asyncio.sleep(heartbeat)
            beats.append((process_time() - start) / (writes[0] - before))
            stalls.append(loop.longest)
            bares.append(_bare_writes(folders, document, writes[0] - before))
    rows = compare(HEARTBEATS, {OURS: beats, BARE_WRITES: bares})
    whole = [each * BUILDS for each in bares]
    return [*rows, *compare(STALL, {OURS: stalls, "all bare writes, on the loop": whole}), *memory]


async def _enter(stack: AsyncExitStack, root: Path, builds: int, heartbeat: float = 60.0) -> None:
    os.mkdir(root)
    for number in range(builds):
        build = track_build(f"TASK-{number}", root=root, heartbeat=heartbeat)
        await stack.enter_async_context(build)
        turn = await stack.enter_async_context(build.turn())
        await stack.enter_async_context(turn.phase("Player Implementation", budget=900))
        build.update(files_created=number, message=f"writing test {number}")


def _count_renames() -> list[int]:
    """Count, from here on, the renames of this process."""
    counts = [0]

    def see(event: str, _: tuple[object, ...]) -> None:
        if event == "os.rename":
            counts[0] += 1

    sys.addaudithook(see)
    return counts


def _bare_writes(folders: list[str], document: bytes, times: int) -> float:
    """Write one file after the other, as often as told: each in a folder of its own, as builds."""
    start = process_time()
    for number in range(times):
        folder = folders[number % BUILDS]
        bare(f"{folder}/progress.json", document, temporary_in(folder))
    return (process_time() - start) / times


async def _memory(run: Run) -> list[Row]:
    """Return what a build takes: as Python counts it, and as the kernel does."""
    builds = run.pick(200, BUILDS)
    traced: list[float] = []
    resident: list[float] = []
    for number in range(run.pick(1, 3)):
        for figures, measured, trace in ((resident, _resident, False), (traced, _traced, True)):
            async with AsyncExitStack() as stack:
                root = run.tmpfs / f"{measured.__name__}-{number}"
                if trace:
                    tracemalloc.start()
                gc.collect()
                before = measured()
                await _enter(stack, root, builds)
                await asyncio.sleep(0.3)  # for what the updates have left to write
                gc.collect()
                figures.append((measured() - before) / builds)
            tracemalloc.stop()
    first = [limit("1,000 builds, resident memory of each", "8 KiB", resident[:1], KIB_8, unit="B")]
    return [*first, limit(MEMORY, "8 KiB", traced, KIB_8, unit="B")]


def _resident() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE")


def _traced() -> int:
    return tracemalloc.get_traced_memory()[0]

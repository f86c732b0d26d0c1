"""A thousand builds in one event loop, which do nothing but live."""

import asyncio
import gc
import os
import sys
import threading
import tracemalloc
from contextlib import AsyncExitStack
from pathlib import Path
from time import process_time

from guardkit import track_build

from .bounds import BARE_WRITES, HEARTBEATS, MEMORY, ONE_BUILD, THREADS
from .races import OURS, Row, compare, limit
from .setting import Run, pin
from .ways import bare, temporary_in
from .writes import a_document

BUILDS = 1000
KIB_16 = 16 * 2**10


async def measure(run: Run) -> list[Row]:
    """Hold the heartbeats against as many bare writes, memory and threads against their limits."""
    pin()
    document = await a_document(run.tmpfs)
    memory = await _memory(run)
    heartbeat = run.pick(1.0, 5.0)
    folders = [str(run.tmpfs / f"bare-{number}") for number in range(BUILDS)]
    for folder in folders:
        os.mkdir(folder)
    writes, root = _count_renames(), run.tmpfs / "beating"
    os.mkdir(root)
    async with AsyncExitStack() as stack:
        await _enter(stack, root, range(1), heartbeat)
        one = threading.active_count() - 1
        await _enter(stack, root, range(1, BUILDS), heartbeat)
        await asyncio.sleep(heartbeat)  # to the first that are heartbeats alone
        beats, bares = list[float](), list[float]()
        for _ in range(run.pick(2, 8)):
            before, start = writes[0], process_time()
            await asyncio.sleep(heartbeat)
            beats.append((process_time() - start) / (writes[0] - before))
            bares.append(_bare_writes(folders, document, writes[0] - before))
        all_ = threading.active_count() - 1
    rows = compare(HEARTBEATS, {OURS: beats, BARE_WRITES: bares})
    return [*rows, memory, *compare(THREADS, {OURS: [all_], ONE_BUILD: [one]}, unit="")]


async def _enter(
    stack: AsyncExitStack, root: Path, numbers: range, heartbeat: float = 60.0
) -> None:
    for number in numbers:
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


async def _memory(run: Run) -> Row:
    """Return what a build takes, as Python counts it."""
    builds, traced = run.pick(200, BUILDS), list[float]()
    for number in range(run.pick(1, 3)):
        async with AsyncExitStack() as stack:
            root = run.tmpfs / f"held-{number}"
            os.mkdir(root)
            tracemalloc.start()
            gc.collect()
            before, _ = tracemalloc.get_traced_memory()
            await _enter(stack, root, range(builds))
            await asyncio.sleep(0.3)  # for what the updates have left to write
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            traced.append((after - before) / builds)
    return limit(MEMORY, "16 KiB", traced, KIB_16, unit="B")

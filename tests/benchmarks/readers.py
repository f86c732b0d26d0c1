"""Looking at a thousand builds: once, and all the time."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from time import perf_counter

from guardkit import Build, SystemClock, assess, read_progress, track_build
from guardkit.places.words import status_lines
from guardkit.progress.reader import list_builds

from .bounds import BARE_READS, STATUS
from .races import OURS, Row, compare, race, timed, timed_calls
from .setting import Run, pin

BARE_STATUS = """
import json, pathlib, sys
for path in pathlib.Path(sys.argv[1]).glob(".guardkit/autobuild/*/progress.json"):
    json.loads(path.read_bytes())
"""
BARE_WATCH = """
import json, pathlib, sys, time
paths = list(pathlib.Path(sys.argv[1]).glob(".guardkit/autobuild/*/progress.json"))
while True:
    for path in paths:
        json.loads(path.read_bytes())
    time.sleep(0.2)
"""
GUARDKIT = str(Path(sys.executable).with_name("guardkit"))


async def measure(run: Run) -> list[Row]:
    """Hold one look at a thousand builds, and watching them, against bare reading."""
    async with AsyncExitStack() as stack:
        builds: list[Build] = []
        for number in range(run.pick(500, 1000)):
            build = track_build(f"TASK-{number}", root=run.tmpfs)
            builds.append(await stack.enter_async_context(build))
        watching = [] if run.short else await _watching(run, builds)
        return [*await _once(run), *watching]


async def _once(run: Run) -> list[Row]:
    pin()
    root = run.tmpfs
    paths = list(root.glob(".guardkit/autobuild/*/progress.json"))

    def bare(_: int) -> None:
        for path in paths:
            json.loads(path.read_bytes())

    def look() -> None:
        snapshots = [read_progress(task_id, root=root) for task_id in list_builds(root)]
        builds = [(each, assess(each, root=root)) for each in snapshots]
        status_lines(builds, SystemClock().now())

    looks = {OURS: timed_calls(look, 1), BARE_READS: timed(bare, 1)}
    rows = compare("one look at 1,000 builds, in Python", await race(looks, run.pick(8, 60)))
    commands = {
        OURS: timed_calls(_runs([GUARDKIT, "status", "--root", str(root)]), 1),
        BARE_READS: timed_calls(_runs([sys.executable, "-c", BARE_STATUS, str(root)]), 1),
    }
    return compare(STATUS, await race(commands, run.pick(4, 25))) + rows


def _runs(command: list[str]) -> Callable[[], object]:
    return lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


async def _watching(run: Run, builds: list[Build]) -> list[Row]:
    """Return the processor time of a second of `watch`, while every build changes each second."""
    changing = asyncio.create_task(_change(builds))
    commands = {
        OURS: [GUARDKIT, "watch", "--root", str(run.tmpfs)],
        "decoding all, five times a second": [
            sys.executable,
            "-c",
            BARE_WATCH,
            str(run.tmpfs),
        ],
    }
    costs: dict[str, list[float]] = {name: [] for name in commands}
    running = {
        name: await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)
        for name, command in commands.items()
    }
    await asyncio.sleep(3)  # for their start
    for _ in range(8):
        start = perf_counter()
        before = {name: _processor_time(process.pid) for name, process in running.items()}
        await asyncio.sleep(1)
        for name, process in running.items():
            spent = _processor_time(process.pid) - before[name]
            costs[name].append(spent / (perf_counter() - start))
    for process in running.values():
        process.terminate()
        await process.wait()
    changing.cancel()
    await asyncio.wait({changing})
    return compare("watch, 1,000 builds that change", costs)


async def _change(builds: list[Build]) -> None:
    for number in range(1_000_000):
        for build in builds:
            build.update(files_created=number, message=f"writing test {number}")
        await asyncio.sleep(1)


def _processor_time(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

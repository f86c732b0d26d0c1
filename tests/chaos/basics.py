"""A worker that goes through all that a build and its readers do, and tells what went wrong.

It is run where the kernel lacks something: locks, or inotify.
"""

import asyncio
import json
import logging
import os
import signal
import sys
import time
from contextlib import aclosing
from pathlib import Path

from guardkit import (
    Build,
    BuildAlreadyRunningError,
    Builds,
    Look,
    Snapshot,
    read_events,
    read_progress,
    track_build,
    watch_progress,
)

from .forking import SECOND, Report, fork, leftovers, new_report, state, wait_for
from .tally import detected

TURNS = 5
HEARTBEAT = 0.2


class Warnings(logging.Handler):
    """Keeps what was warned of."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


async def work(build: Build, root: Path, report: Report) -> None:
    """Do some of everything, and see that it is on disk on return."""
    for number in range(1, TURNS + 1):
        async with build.turn() as turn:
            async with turn.phase("Player Implementation") as phase:
                phase.update(files_created=number)
                check(build, root, report)
            check(build, root, report)
            turn.decide("feedback")
        check(build, root, report)


def check(build: Build, root: Path, report: Report) -> None:
    """Count what of the last transition is not on disk, and a verdict that is wrong."""
    task_id, now = build.snapshot.task_id, build.snapshot
    seen = read_progress(task_id, root=root)
    shown = seen.turn, seen.phase, seen.phase_status
    report["row"]["trials"] += 1
    report["row"]["lost"] += shown != (now.turn, now.phase, now.phase_status)
    if (found := state(root, task_id)) != "running":
        report["row"]["wrong"] += 1
        report["wrong"].append(f"{task_id}, at work, is {found}")


async def watch_looks(root: Path, task_id: str) -> list[Look]:
    """Return each look of a watch, until the build ends."""
    looks: list[Look] = []
    async with aclosing(Builds(root).watch([task_id], past=True)) as watch:
        async for look in watch:
            looks.append(look)
            if look.snapshot and look.snapshot.terminal:
                break
    return looks


async def watch_snapshots(root: Path, task_id: str) -> Snapshot:
    """Return the last snapshot that a watch yields."""
    newest = None
    async for snapshot in watch_progress(task_id, root=root):
        newest = snapshot
    assert newest
    return newest


async def build_and_watch(root: Path, report: Report, *, locks: bool) -> None:
    """Have a build watched from its beginning to its end."""
    wrong = report["wrong"]
    async with track_build("TASK-1", root=root, turn_max=TURNS, heartbeat=HEARTBEAT) as build:
        watching = asyncio.gather(watch_looks(root, "TASK-1"), watch_snapshots(root, "TASK-1"))
        await work(build, root, report)
        if (build.snapshot.tracker.lock is not None) != locks:
            wrong.append(f"its lock is {build.snapshot.tracker.lock}")
        await refuse_another(root, wrong, locks=locks)
    looks, last = await watching
    told = [event for look in looks for event in look.events]
    report["row"]["lost"] += told != read_events("TASK-1", root=root)
    report["row"]["lost"] += last != read_progress("TASK-1", root=root)
    if (ends := [look.verdict.state for look in looks][-1:]) != ["completed"]:
        report["row"]["wrong"] += 1
        wrong.append(f"TASK-1, completed, is {ends}")


async def refuse_another(root: Path, wrong: list[str], *, locks: bool) -> None:
    """Start a second builder, which is to be refused where that can be."""
    if locks:
        try:
            async with track_build("TASK-1", root=root):
                wrong.append("a second builder is let in")
        except BuildAlreadyRunningError as error:
            if f"process {os.getpid()} " not in str(error):
                wrong.append(f"the refusal names nobody: {error}")


def build_on(root: Path, task_id: str) -> None:
    async def work() -> None:
        async with track_build(task_id, root=root, heartbeat=HEARTBEAT) as build:
            async with build.phase("Setup"):
                await asyncio.Event().wait()

    asyncio.run(work())


def kill_one(root: Path, task_id: str, report: Report, *, locks: bool) -> None:
    """Kill a builder, wait for the verdict that can be had, and build the task next."""
    due, others = ("crashed", {"running"}) if locks else ("lost", {"running"})
    pid = fork(lambda: build_on(root, task_id))
    wait_for(lambda: state(root, task_id) == "running")
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    start, bound = time.monotonic(), SECOND if locks else 3 * HEARTBEAT + SECOND
    while (found := state(root, task_id)) in others and time.monotonic() - start < bound:
        pass
    report["row"]["faults"] += 1
    if found != due:
        report["row"]["wrong"] += 1
        report["wrong"].append(f"{task_id}, dead, is {found}")
    if locks:
        detected(report["row"], time.monotonic() - start)

    async def take_over() -> None:
        async with track_build(task_id, root=root):
            pass

    asyncio.run(take_over())
    if (found := state(root, task_id)) != "completed":
        report["row"]["wrong"] += 1
        report["wrong"].append(f"{task_id}, taken over and completed, is {found}")


def main(folder: str, locks: str, trials: str) -> None:
    """Go through it as often as told, with locks (1) or without (0), and print the report."""
    warnings, report = Warnings(), new_report()
    log = logging.getLogger("guardkit")
    log.addHandler(warnings)
    log.propagate = False
    for number in range(int(trials)):
        root = Path(folder, str(number))
        root.mkdir()
        warnings.said.clear()
        asyncio.run(build_and_watch(root, report, locks=locks == "1"))
        due = 0 if locks == "1" else 1
        if [("no proof of life" in said) for said in warnings.said] != [True] * due:
            report["wrong"].append(f"warned of {warnings.said}")
        kill_one(root, "TASK-2", report, locks=locks == "1")
        if locks == "1":  # without them nobody can tell what a living builder still needs
            report["row"]["leftovers"] += len(leftovers(root))
    print(json.dumps(report))
    sys.stdout.flush()

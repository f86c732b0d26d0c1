"""A worker whose builds fork in their body; the child leaves them as if it had been the builder."""

import asyncio
import json
import os
import signal
from pathlib import Path

from guardkit import Build, read_progress, track_build

from .forking import Report, folder_of, leftovers, new_report, wait_for


class LeftByChildError(Exception):
    """Takes a child out of all the scopes that it has inherited."""


def fork_in(build: Build) -> int:
    """Fork; the child uses the build, and leaves it."""
    pid = os.fork()
    if pid:
        return pid
    build.update(message="written by the child")
    build.decide("error")
    raise LeftByChildError


def has_ended(pid: int) -> bool:
    return os.waitpid(pid, os.WNOHANG)[0] == pid


def judge(root: Path, build: Build, pid: int, wrong: list[str]) -> None:
    """Wait for a child that leaves the build, and see whether it has kept silent."""
    task_id = build.snapshot.task_id
    if wait_for(lambda: has_ended(pid)) is None:
        wrong.append(f"the child of {task_id} does not come to its end")
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    seen = read_progress(task_id, root=root)
    if (seen.status, seen.phase_status, seen.decision) != ("running", "in_progress", None):
        wrong.append(f"the child of {task_id} has written {seen}")


async def build_and_fork(root: Path, task_id: str, report: Report) -> None:
    parent = os.getpid()
    try:
        async with track_build(task_id, root=root, debounce=0) as build:
            async with build.turn() as turn, turn.phase("Player Implementation"):
                for number in range(20):
                    build.update(files_created=number)
                    await asyncio.sleep(0)
                judge(root, build, fork_in(build), report["wrong"])
                build.update(files_created=100)
            async with build.turn() as turn:
                turn.decide("approve")
    except LeftByChildError:
        pass
    finally:
        if os.getpid() != parent:
            os._exit(0)
    seen = read_progress(task_id, root=root)
    if (seen.status, seen.turn, seen.metrics.files_created) != ("completed", 2, 100):
        report["row"]["lost"] += 1
        report["wrong"].append(f"{task_id} has ended as {seen}")
    journal = (folder_of(root, task_id) / "events.jsonl").read_bytes().splitlines()
    ends = [line for line in journal if json.loads(line)["event"] == "build.ended"]
    if len(ends) != 1:
        report["wrong"].append(f"{task_id} has {len(ends)} ends")


async def build_all(root: Path, trials: int, report: Report) -> None:
    for number in range(trials):
        await build_and_fork(root, f"TASK-{number}", report)
        report["row"]["trials"] += 1
        report["row"]["faults"] += 1


def main(folder: str, trials: str) -> None:
    """Fork in as many builds as told, and print the report."""
    report = new_report()
    asyncio.run(build_all(Path(folder), int(trials), report))
    report["row"]["leftovers"] += len(leftovers(Path(folder)))
    print(json.dumps(report))

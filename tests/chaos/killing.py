"""A worker that kills builders with SIGKILL at random instants, and looks at what they leave."""

import asyncio
import json
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from pathlib import Path

import anyio

from guardkit import Build, Snapshot, track_build

from .forking import SECOND, Report, Shared, folder_of, fork, leftovers, look, new_report, wait_for
from .tally import detected

SPAN = 0.02  # seconds in which a busy builder is killed
SIZE_MAX = 4096


class Seen:
    """What a builder and its readers share, also beyond its death."""

    def __init__(self) -> None:
        self.trial = Shared()
        self.begun, self.ended = Shared(), Shared()  # when the part was in which to be killed, ns
        self.settled = Shared()  # the newest `seq` that was on disk by the contract
        self.torn = Shared()


async def start_up(root: Path, task_id: str, seen: Seen) -> None:
    seen.begun.value = time.monotonic_ns()
    async with track_build(task_id, root=root):
        seen.ended.value = time.monotonic_ns()
        await asyncio.Event().wait()


async def updates(root: Path, task_id: str, seen: Seen) -> None:
    async with track_build(task_id, root=root, debounce=0, heartbeat=0.01) as build:
        note(seen, build)
        seen.begun.value = time.monotonic_ns()
        for number in count():
            build.update(files_created=number, message="x" * (number % 700))
            await asyncio.sleep(0)


async def transitions(root: Path, task_id: str, seen: Seen) -> None:
    async with track_build(task_id, root=root, turn_max=10**6) as build:
        seen.begun.value = time.monotonic_ns()
        while True:
            async with build.turn() as turn:
                note(seen, build)
                async with turn.phase("Player Implementation"):
                    note(seen, build)
                turn.decide("feedback", "x" * 500)


async def last_write(root: Path, task_id: str, seen: Seen) -> None:
    async with track_build(task_id, root=root) as build:
        async with build.turn() as turn, turn.phase("Coach Validation"):
            note(seen, build)
        seen.begun.value = time.monotonic_ns()
    seen.ended.value = time.monotonic_ns()
    await asyncio.sleep(SPAN)


PARTS: dict[str, Callable[[Path, str, Seen], Awaitable[None]]] = {
    "start-up": start_up,
    "updates": updates,
    "transitions": transitions,
    "the last write": last_write,
}


def note(seen: Seen, build: Build) -> None:
    """Note that what the build has come to must be on disk by now."""
    seen.settled.value = seq(build.snapshot)


def seq(snapshot: Snapshot) -> int:
    assert snapshot.tracker
    return snapshot.tracker.seq


def run(work: Awaitable[None]) -> None:
    async def main() -> None:
        await work

    asyncio.run(main())


async def take_over(root: Path, task_id: str, pipe: int) -> None:
    """Build the task next, and tell what that was like."""
    start = time.monotonic()
    async with track_build(task_id, root=root) as build:
        seconds = time.monotonic() - start
        assert build.snapshot.tracker
        said = [seconds, build.snapshot.tracker.run_id, leftovers(folder_of(root, task_id))]
        os.write(pipe, json.dumps(said).encode())


def read_on(root: Path, seen: Seen) -> None:
    """Read the file of each trial in turn until killed, and count how often it was not whole."""
    trial, there = 0, False
    while True:
        if trial != seen.trial.value:
            trial, there = seen.trial.value, False
        try:
            document = (folder_of(root, f"TASK-{trial}") / "progress.json").read_bytes()
            json.loads(document)
            there = True
        except FileNotFoundError:
            seen.torn.value += there
        except ValueError:
            seen.torn.value += 1
        time.sleep(0.0002)


def kill(part: str, root: Path, task_id: str, seen: Seen, span: float) -> tuple[int, float]:
    """Kill a builder within `span` seconds of the part's beginning; return its pid, and when."""
    pid = begin(part, root, task_id, seen)
    wait_for(lambda: seen.begun.value > 0)
    due = seen.begun.value / 1e9 + random.uniform(0, span)  # noqa: S311
    time.sleep(max(0.0, due - time.monotonic()))
    killed = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    return pid, killed


def is_dead(pid: int) -> bool:
    """Whether the kernel has ended a child: not while that waits for a disk."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def begin(part: str, root: Path, task_id: str, seen: Seen) -> int:
    """Start a builder, and return its pid."""
    seen.begun.value = seen.ended.value = seen.settled.value = 0
    return fork(lambda: run(PARTS[part](root, task_id, seen)))


def measure(part: str, root: Path, seen: Seen) -> float:
    """Return the seconds in which to kill, so that the whole of a part which ends is met."""
    if part in ("updates", "transitions"):
        return SPAN
    pid = begin(part, root, "TASK-0", seen)
    wait_for(lambda: seen.ended.value > 0)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return 1.2 * (seen.ended.value - seen.begun.value) / 1e9


def judge(
    part: str, root: Path, task_id: str, killed: tuple[int, float], report: Report
) -> Snapshot | None:
    """Hold what a dead builder left against the contract; return its last snapshot."""
    pid, since = killed
    ended = {"the last write": ("crashed", "completed")}.get(part, ("crashed",))
    while (found := look(root, task_id)) and found[1].state not in ended:
        if time.monotonic() - since < SECOND:
            continue
        if is_dead(pid):
            report["row"]["wrong"] += 1
            report["wrong"].append(f"{task_id}, dead for a second, is {found[1]}")
            break
        since = time.monotonic()
    if not found:
        if part != "start-up":
            report["wrong"].append(f"{task_id} has no file")
        return None
    detected(report["row"], time.monotonic() - since)
    size = (folder_of(root, task_id) / "progress.json").stat().st_size
    if size > SIZE_MAX:
        report["wrong"].append(f"the file of {task_id} has {size} bytes")
    return found[0]


def build_next(root: Path, task_id: str, before: Snapshot | None, report: Report) -> None:
    """Have the next build take the task over from a dead one."""
    reader, writer = os.pipe()
    pid = fork(lambda: run(take_over(root, task_id, writer)))
    os.close(writer)
    with open(reader, "rb") as pipe:
        said = pipe.read()
    status = os.waitpid(pid, 0)[1]
    if status or not said:
        report["wrong"].append(f"the next build of {task_id} ended with {status}")
        return
    seconds, run_id, temporary = json.loads(said)
    report["row"]["leftovers"] += len(temporary)
    if temporary:
        report["wrong"].append(f"{task_id}, taken over, still has {temporary}")
    if seconds > SECOND:
        report["wrong"].append(f"{task_id} was taken over after {seconds} s")
    if before and before.tracker and before.tracker.run_id == run_id:
        report["wrong"].append(f"{task_id} goes on as run {run_id}")
    after = look(root, task_id)
    if not after or after[1].state != "completed":
        report["row"]["wrong"] += 1
        report["wrong"].append(f"{task_id}, taken over and completed, is {after}")


def main(part: str, folder: str, trials: str, seed: str) -> None:
    """Kill as many builders of one part as told, and print the report."""
    random.seed(seed)
    anyio.run(anyio.sleep, 0)  # imports what each builder would import anew
    root, seen, report = Path(folder), Seen(), new_report()
    span = measure(part, root, seen)
    readers = [fork(partial(read_on, root, seen))]
    for number in range(1, int(trials) + 1):
        task_id = f"TASK-{number}"
        seen.trial.value = number
        killed = kill(part, root, task_id, seen, span)
        before = judge(part, root, task_id, killed, report)
        os.wait()
        if before and seq(before) < seen.settled.value:
            report["row"]["lost"] += 1
            report["wrong"].append(f"{task_id} is behind: {seq(before)} < {seen.settled.value}")
        build_next(root, task_id, before, report)
        report["row"]["trials"] += 1
        report["row"]["faults"] += 1
    for pid in readers:
        os.kill(pid, signal.SIGKILL)
    report["row"]["torn"] += seen.torn.value
    print(json.dumps(report))

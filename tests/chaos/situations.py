"""Real situations of a build, each in a process of its own, and what a reader has to conclude."""

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from guardkit import Build, track_build

from .forking import folder_of

HEARTBEAT = 0.3
FOREVER = 600.0  # seconds, longer than a worker
AN_HOUR = 3600.0
KILL = signal.SIGKILL
WALL, UNSEEN = "by the wall clock", "cannot be examined from here"
RESTARTED = "by the wall clock (every 60 s is due), and this machine has been restarted since"

Ready = Callable[[], object]
Document = dict[str, Any]


class Situation(NamedTuple):
    """How a build comes into it, or the file that is all there is, and the verdict that is due.

    state: the verdict that is due, and
    said: what its evidence has to say.
    build: the builder's work.
    sent: what its process is sent when it is ready.
    edit: changes the builder's document into the one that lies there; where there is no builder,
        that of another one which works.
    late: by how many seconds the reader's wall clock is ahead.
    """

    state: str
    build: Callable[[Path, str, Ready], Awaitable[None]] | None = None
    sent: signal.Signals | None = None
    edit: Callable[[Document], object] | None = None
    late: float = 0.0
    said: str = ""


@asynccontextmanager
async def in_a_phase(
    root: Path,
    task_id: str,
    ready: Ready,
    budget: float | None = None,
    heartbeat: float = HEARTBEAT,
) -> AsyncGenerator[Build]:
    async with track_build(task_id, root=root, heartbeat=heartbeat) as build:
        async with build.turn() as turn, turn.phase("Player Implementation", budget=budget):
            ready()
            yield build


async def finish(root: Path, task_id: str, ready: Ready) -> None:
    async with track_build(task_id, root=root) as build, build.turn():
        pass
    ready()


async def fail(root: Path, task_id: str, ready: Ready) -> None:
    try:
        async with track_build(task_id, root=root) as build, build.turn():
            raise ValueError("wrong")
    except ValueError:
        ready()


async def give_up(root: Path, task_id: str, ready: Ready) -> None:
    try:
        async with asyncio.timeout(0), track_build(task_id, root=root):
            await asyncio.sleep(FOREVER)
    except TimeoutError:
        ready()


async def work(root: Path, task_id: str, ready: Ready) -> None:
    async with in_a_phase(root, task_id, ready, budget=FOREVER) as build:
        await update_on(build)


async def overrun(root: Path, task_id: str, ready: Ready) -> None:
    async with in_a_phase(root, task_id, ready, budget=0.1) as build:
        await update_on(build)


async def update_on(build: Build) -> None:
    for number in range(int(FOREVER / 0.02)):
        build.update(files_created=number)
        await asyncio.sleep(0.02)


async def keep_quiet(root: Path, task_id: str, ready: Ready) -> None:
    async with in_a_phase(root, task_id, ready):
        await asyncio.sleep(FOREVER)


async def beat_seldom(root: Path, task_id: str, ready: Ready) -> None:
    async with in_a_phase(root, task_id, ready, heartbeat=60.0):
        await asyncio.sleep(FOREVER)


async def block(root: Path, task_id: str, ready: Ready) -> None:
    async with in_a_phase(root, task_id, ready):
        time.sleep(FOREVER)  # noqa: ASYNC251


async def fork_and_work(root: Path, task_id: str, ready: Ready) -> None:
    async with in_a_phase(root, task_id, lambda: None) as build:
        if not os.fork():
            time.sleep(FOREVER)  # noqa: ASYNC251
        ready()
        await update_on(build)


async def spawn_and_work(root: Path, task_id: str, ready: Ready) -> None:
    async with in_a_phase(root, task_id, lambda: None) as build:
        with subprocess.Popen(["sleep", str(FOREVER)]):
            ready()
            await update_on(build)


def nothing(document: Document) -> None:
    """Leave the document as it is."""


def elsewhere(document: Document) -> None:
    document["tracker"] |= {"host": "another-host", "heartbeat_seconds": 60.0}
    document["tracker"] |= {"boot_id": "another-boot", "beat": 5.0}


def elsewhere_long_ago(document: Document) -> None:
    elsewhere(document)
    set_wall_clock(document, AN_HOUR)


def elsewhere_in_the_future(document: Document) -> None:
    elsewhere(document)
    set_wall_clock(document, -AN_HOUR)


def set_wall_clock(document: Document, seconds: float) -> None:
    """Have the document say what it would if the clock had been set forth since it was written."""
    document["updated_at"] = document["tracker"]["activity_at"] = shown(-seconds)
    document["tracker"]["phase_started_at"] = shown(-seconds)


def written_just_now(document: Document) -> None:
    document["tracker"]["beat"] = time.monotonic()


def clock_set_forth(document: Document) -> None:
    """Also how it is when the machine has slept: its monotonic clock has stood still meanwhile."""
    written_just_now(document)
    set_wall_clock(document, AN_HOUR)


def clock_set_back(document: Document) -> None:
    written_just_now(document)
    set_wall_clock(document, -AN_HOUR)


def silent(document: Document) -> None:
    """Have the heartbeats been missing for long, though the wall clock does not say so."""
    set_wall_clock(document, 0.0)
    document["tracker"]["beat"] = time.monotonic() - AN_HOUR


def of_another_boot(document: Document) -> None:
    document["tracker"] |= {"boot_id": "another-boot", "beat": 10 * AN_HOUR}
    set_wall_clock(document, 0.0)


def of_another_boot_long_ago(document: Document) -> None:
    of_another_boot(document)
    set_wall_clock(document, AN_HOUR)


def of_another_lock(document: Document) -> None:
    document["tracker"]["lock"] = "0:1"
    written_just_now(document)


def of_another_lock_and_silent(document: Document) -> None:
    of_another_lock(document)
    silent(document)


def without_lock(document: Document) -> None:
    document["tracker"]["lock"] = None
    written_just_now(document)


def without_lock_and_silent(document: Document) -> None:
    without_lock(document)
    silent(document)


def without_tracker(document: Document) -> None:
    del document["tracker"]


def without_tracker_and_quiet(document: Document) -> None:
    del document["tracker"]
    document["updated_at"] = shown(-AN_HOUR)


def without_tracker_and_ended(document: Document) -> None:
    del document["tracker"]
    document["status"] = "completed"


def with_unknown_keys(document: Document) -> None:
    elsewhere(document)
    document["mood"] = document["tracker"]["mood"] = {"level": 11}


def of_a_newer_schema(document: Document) -> None:
    document["tracker"]["schema_version"] = 99


def shown(later: float) -> str:
    """Return the time in `later` seconds, as the document has it."""
    return f"{datetime.now(UTC) + timedelta(seconds=later):%Y-%m-%dT%H:%M:%SZ}"


def put(root: Path, task_id: str, document: Document) -> None:
    """Lay a progress file there."""
    folder = folder_of(root, task_id)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "new").write_text(json.dumps(document))
    (folder / "new").rename(folder / "progress.json")


SITUATIONS = {
    "finished": Situation("completed", finish),
    "failing": Situation("failed", fail),
    "cancelled": Situation("cancelled", give_up),
    "working": Situation("running", work),
    "quiet": Situation("stalled", keep_quiet),
    "overdue": Situation("overdue", overrun),
    "loop blocked": Situation("unresponsive", block),
    "stopped": Situation("unresponsive", work, signal.SIGSTOP),
    "killed": Situation("crashed", work, signal.SIGKILL),
    "killed when blocked": Situation("crashed", block, signal.SIGKILL),
    "killed, its fork lives": Situation("crashed", fork_and_work, signal.SIGKILL),
    "killed, its command lives": Situation("crashed", spawn_and_work, signal.SIGKILL),
    "gone": Situation("crashed", edit=nothing),
    "gone long ago": Situation("crashed", edit=nothing, late=AN_HOUR),
    "working in the future": Situation("running", work, late=-AN_HOUR),
    "working in the past": Situation("running", work, late=AN_HOUR),
    "quiet in the past": Situation("running", beat_seldom, edit=written_just_now, late=AN_HOUR),
    "clock set forth": Situation("running", beat_seldom, edit=clock_set_forth),
    "clock set back": Situation("running", beat_seldom, edit=clock_set_back),
    "silent, clock set": Situation("unresponsive", beat_seldom, edit=silent),
    "killed, clock set": Situation("crashed", beat_seldom, KILL, edit=clock_set_forth),
    "restarted": Situation("running", beat_seldom, KILL, edit=of_another_boot, said=WALL),
    "restarted long ago": Situation(
        "lost", beat_seldom, KILL, edit=of_another_boot_long_ago, said=RESTARTED
    ),
    "another lock": Situation("running", beat_seldom, KILL, edit=of_another_lock),
    "another lock, silent": Situation(
        "lost", beat_seldom, KILL, edit=of_another_lock_and_silent, said=UNSEEN
    ),
    "no lock": Situation("running", beat_seldom, KILL, edit=without_lock),
    "no lock, silent": Situation(
        "lost", beat_seldom, KILL, edit=without_lock_and_silent, said=UNSEEN
    ),
    "from another host": Situation("running", edit=elsewhere, said=WALL),
    "from another host, old": Situation("lost", edit=elsewhere_long_ago, said=WALL),
    "from the future": Situation("lost", edit=elsewhere_in_the_future, said=WALL),
    "older schema": Situation("running", edit=without_tracker),
    "older schema, quiet": Situation("running", edit=without_tracker_and_quiet, said=WALL),
    "older schema, ended": Situation("completed", edit=without_tracker_and_ended),
    "unknown keys": Situation("running", edit=with_unknown_keys),
    "newer schema": Situation("unreadable", edit=of_a_newer_schema),
}

"""Builds for tests of what is published of them: at work, with a wrong clock, killed, forged."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import nats

from guardkit import Build, track_build
from guardkit.clock import SystemClock
from guardkit.nats import NatsSink, Relay
from guardkit.testing import FakeClock

from .nats_server import NatsServer
from .nats_stream import STEP

TURN = ["turn.started", "phase.started", "decided", "phase.ended", "turn.ended"]
HOUR = 3600.0
CRASH = """
import asyncio, os, signal, sys
from guardkit import track_build
from guardkit.nats import NatsSink

def is_noted(build):
    try:
        with open(os.path.join(build.folder, "published.jsonl")) as notes:
            return build.snapshot.tracker.run_id in notes.read()
    except FileNotFoundError:
        return False

async def main(root, task_id, *urls):
    async with track_build(task_id, root=root, sinks=[*map(NatsSink, urls)]) as build:
        async with build.turn():
            while urls and not is_noted(build):
                await asyncio.sleep(0.001)
            os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main(*sys.argv[1:]))
"""


class WrongClock(SystemClock):
    """The clocks of a machine whose wall clock is wrong, by `shift` seconds."""

    def __init__(self, shift: float) -> None:
        self.shift = shift

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.shift)


async def work(build: Build, turns: int = 1) -> None:
    """Take some turns, each of which changes things and is decided."""
    for _ in range(turns):
        async with build.turn() as turn, turn.phase("Player Implementation"):
            build.update(files_created=1)
            turn.decide("feedback")


async def run_build(
    root: Path, *sinks: NatsSink, task_id: str = "TASK-1", turns: int = 1, **options: Any
) -> str:
    """Build a task from its beginning to its end; return the run."""
    async with track_build(task_id, root=root, sinks=sinks, turn_max=99, **options) as build:
        await work(build, turns)
    return build.snapshot.tracker.run_id


@asynccontextmanager
async def on_clock(build: Build, clock: FakeClock, *, step: float = STEP) -> AsyncGenerator[Build]:
    """Enter a build, and leave it while time goes on, by so many seconds at a time."""
    await build.__aenter__()
    try:
        yield build
    finally:
        leaving = asyncio.create_task(build.__aexit__(None, None, None))
        while not leaving.done():
            await clock.advance(step)
        await leaving


def crash(root: Path, *urls: str, task_id: str = "TASK-1") -> None:
    """Have a build killed with SIGKILL in its first turn, in a process of its own."""
    command = (sys.executable, "-c", CRASH, str(root), task_id, *urls)
    subprocess.run(command, check=False, timeout=60)


@asynccontextmanager
async def relaying(url: str, root: Path, **options: Any) -> AsyncGenerator[None]:
    """Have a relay publish all builds below a root."""
    task = asyncio.create_task(Relay(url, root=root, **options).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled() or task.result() is None


async def put(
    server: NatsServer, subject: str, payload: bytes, headers: dict[str, str] | None = None
) -> None:
    """Publish a message as a peer does who knows no rules."""
    client = await nats.connect(server.url)
    try:
        await client.jetstream().publish(subject, payload, headers=headers)
    finally:
        await client.close()

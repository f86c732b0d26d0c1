"""A task that is built time and again, and published to NATS."""

import asyncio
import random
from pathlib import Path

from guardkit import track_build
from guardkit.nats import NatsSink


async def build_on(root: Path, sink: NatsSink, task_id: str, over: asyncio.Event) -> None:
    """Build a task time and again, at a pace that varies, until it is over."""
    while not over.is_set():
        async with track_build(task_id, root=root, sinks=[sink], heartbeat=0.2) as build:
            for _ in range(random.randint(1, 5)):  # noqa: S311
                async with build.turn() as turn, turn.phase("Player Implementation"):
                    turn.update(files_created=random.randint(0, 99))  # noqa: S311
                    await asyncio.sleep(random.choice([0, 0.001, 0.02, 0.3]))  # noqa: S311
                    turn.decide("feedback")

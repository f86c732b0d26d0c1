"""A worker that builds step by step, as its standard input says, and tells how long each took."""

import asyncio
import sys
import time

from guardkit import track_build


async def build(root: str) -> None:
    def step(name: str) -> None:
        print(name, time.monotonic() - start, flush=True)
        sys.stdin.readline()

    start = time.monotonic()
    async with track_build("TASK-1", root=root, heartbeat=0.5) as build:
        step("entered")
        start = time.monotonic()
        for number in range(1, 4):
            async with build.turn() as turn, turn.phase("Player Implementation"):
                turn.update(files_created=number)
        seconds = time.monotonic() - start
        print("worked", seconds, flush=True)
        await asyncio.to_thread(sys.stdin.readline)  # while the heartbeat goes on
        start = time.monotonic()
    step("left")


def main(root: str) -> None:
    asyncio.run(build(root))

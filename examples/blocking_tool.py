"""A tool that blocks, in a build on asyncio: a thread runs it, so that the event loop goes on.

Run:    python examples/blocking_tool.py
Prints:
    in a thread: running
    on the event loop: unresponsive
"""

import asyncio
import subprocess
from tempfile import TemporaryDirectory

from guardkit import assess, read_progress, track_build

HEARTBEAT = 0.3  # seconds; three without a heartbeat, and a build is unresponsive


def tool(root: str) -> str:
    """Block for a while; return how the build looks from outside meanwhile."""
    subprocess.run(["sleep", str(4 * HEARTBEAT)], check=True)
    return assess(read_progress("TASK-1", root=root), root=root).state


async def main(root: str) -> None:
    async with track_build("TASK-1", root=root, heartbeat=HEARTBEAT) as build:
        async with build.phase("Compile", budget=60):
            print("in a thread:", await asyncio.to_thread(tool, root))
        async with build.phase("Compile, and block"):
            print("on the event loop:", tool(root))  # rightly: nothing else of the build goes on


with TemporaryDirectory() as folder:
    asyncio.run(main(folder))

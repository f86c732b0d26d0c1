"""Several builds at once, one of which fails: each has a file of its own.

Run:    python examples/several_builds.py
Prints:
    TASK-1: completed
    TASK-2: failed, ValueError: no such module
    TASK-3: completed
"""

import asyncio
from tempfile import TemporaryDirectory

from guardkit import read_progress, track_build

TASKS = ("TASK-1", "TASK-2", "TASK-3")


async def build(task_id: str, root: str) -> None:
    async with track_build(task_id, root=root, wave=1, wave_total=2) as tracked:
        async with tracked.turn() as turn, turn.phase("Player Implementation"):
            if task_id == "TASK-2":
                raise ValueError("no such module")


async def main(root: str) -> None:
    await asyncio.gather(*(build(task, root) for task in TASKS), return_exceptions=True)
    for task in TASKS:
        end = read_progress(task, root=root)
        print(f"{task}: {end.status}" + (f", {end.error}" if end.error else ""))


with TemporaryDirectory() as folder:
    asyncio.run(main(folder))

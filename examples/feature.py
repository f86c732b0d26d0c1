"""A feature: waves of tasks, each of which is a build with files of its own.

Run:    python examples/feature.py
Prints:
    wave 1: 2 of 4 tasks completed, 0 failed
    wave 2: 3 of 4 tasks completed, 1 failed
    completed, with 4 files
"""

import asyncio
from tempfile import TemporaryDirectory

from guardkit import Build, read_progress, track_build


async def build(task: Build) -> None:
    async with task, task.turn():
        task.update(files_created=1)
        if task.task_id == "TASK-4":
            task.fail("no turn was approved")  # which does not fail the feature


async def main(root: str) -> None:
    async with track_build("TASK-1", root=root) as earlier:
        earlier.update(files_created=1)
    new = track_build("FEAT-1", build_type="feature", wave_total=2, task_total=4, root=root)
    async with new as feature:
        feature.adopt(read_progress("TASK-1", root=root))  # that was done before
        for number, task_ids in enumerate((["TASK-2"], ["TASK-3", "TASK-4"]), 1):
            async with feature.wave(number) as wave:
                await asyncio.gather(*(build(wave.task(each)) for each in task_ids))
            if now := feature.snapshot.tasks:
                done = f"{now.completed} of {now.total} tasks completed"
                print(f"wave {number}: {done}, {now.failed} failed")
    print(f"{feature.snapshot.status}, with {feature.snapshot.metrics.files_created} files")


with TemporaryDirectory() as folder:
    asyncio.run(main(folder))

"""A build to look at, in a process of its own: the Coach of turn 2 is at work until it is told."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..integration.test_cli import started

TASK_ID = "TASK-FB-002"
PLACE = r"Wave 1/3, TASK-FB-002 \(Turn 2/5, Coach Validation\) - (?:\d+m )?\d+s elapsed"
BUILD = """
import asyncio, sys
from guardkit import track_build

async def main(task_id):
    async with track_build(task_id, root=".", wave_total=3) as build:
        async with build.turn() as turn:
            async with turn.phase("Player Implementation"):
                build.update(files_created=3, files_modified=1, tests_passed=6, tests_total=9)
            turn.decide("feedback")
        async with build.turn() as turn:
            async with turn.phase("Coach Validation"):
                build.update(tests_passed=8, message="running the tests")
                build.spent(tokens=81_500, cost_usd=3.40)
                print("ready", flush=True)
                await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
                build.update(tests_passed=9)
            turn.decide("approve")
        build.decide("approved")

asyncio.run(main(*sys.argv[1:]))
"""


@contextmanager
def building(project: Path, task_id: str = TASK_ID) -> Iterator[subprocess.Popen[str]]:
    """Run the build; a line on its standard input has it end well."""
    with started(sys.executable, "-c", BUILD, task_id, cwd=project) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process

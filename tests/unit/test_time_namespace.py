"""Builders with another monotonic clock than the machine's, as a container may have."""

import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from guardkit import Builds, SystemClock

PROGRAM = """
import asyncio, sys
from guardkit import track_build

async def build():
    async with track_build("TASK-1", root=sys.argv[1]):
        print("built", flush=True)
        sys.stdin.read()

asyncio.run(build())
"""


class Later(SystemClock):
    """The clock of a reader who comes some seconds later."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self._seconds)

    def monotonic(self) -> float:
        return super().monotonic() + self._seconds


@pytest.mark.parametrize("offset", [100_000, -100])
@pytest.mark.parametrize(
    ("seconds", "state"), [(0.0, "running"), (20.0, "unresponsive")], ids=["well", "blocked"]
)
def test_a_builder_in_a_time_namespace_is_judged_by_the_machine_s_clock(
    tmp_path: Path, offset: int, seconds: float, state: str
) -> None:
    aside = ["unshare", "--time", f"--monotonic={offset}", "--fork", "--kill-child"]
    if subprocess.run([*aside, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no time namespace may be made here")
    command = [*aside, sys.executable, "-c", PROGRAM, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as builder:
        assert builder.stdout
        builder.stdout.readline()
        [look] = Builds(tmp_path, clock=Later(seconds)).look_now()
        builder.communicate(timeout=20)
    assert look.verdict.state == state
    assert "by the wall clock" not in look.verdict.evidence

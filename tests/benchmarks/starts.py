"""Starting: what users feel, and a status line feels each second."""

import subprocess
import sys
from pathlib import Path

from guardkit import track_build

from .bounds import IMPORT, PYTHON, STATUS_ONE
from .races import OURS, Round, Row, compare, race, timed_calls
from .setting import Run, pin

GUARDKIT = str(Path(sys.executable).with_name("guardkit"))


async def measure(run: Run) -> list[Row]:
    """Hold each start against that of Python itself."""
    pin()
    async with track_build("TASK-1", root=run.tmpfs):
        starts = {
            PYTHON: _start(sys.executable, "-c", "pass"),
            IMPORT: _start(sys.executable, "-c", "import guardkit"),
            STATUS_ONE: _start(GUARDKIT, "status", "TASK-1", "--root", str(run.tmpfs)),
            "guardkit --help": _start(GUARDKIT, "--help"),
        }
        costs = await race(starts, run.pick(7, 60))
    rows: list[Row] = []
    for subject in costs.keys() - {PYTHON}:
        rows += compare(subject, {OURS: costs[subject], PYTHON: costs[PYTHON]})
    return sorted(rows, key=lambda row: row["ours"])


def _start(*command: str) -> Round:
    return timed_calls(
        lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True), times=1
    )

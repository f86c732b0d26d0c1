"""Starting: what users feel, and a status line feels each second."""

import subprocess
import sys
from pathlib import Path

from guardkit import track_build

from .bounds import PYTHON, STATUS, STATUS_LINE
from .races import OURS, Round, Row, compare, race, timed_calls
from .setting import Run, pin

GUARDKIT = str(Path(sys.executable).with_name("guardkit"))
# What `guardkit-statusline` will do.
LINE = """
import sys
from guardkit.monitor.brief import look
from guardkit.places.words import one_line
for document, verdict in look(sys.argv[1]).values():
    print(one_line(document), verdict.state)
"""


async def measure(run: Run) -> list[Row]:
    """Hold each start against that of Python itself."""
    pin()
    async with track_build("TASK-1", root=run.tmpfs):
        root = str(run.tmpfs)
        starts = {
            PYTHON: _start(sys.executable, "-c", "pass"),
            STATUS: _start(GUARDKIT, "status", "TASK-1", "--root", root),
            STATUS_LINE: _start(sys.executable, "-c", LINE, root),
        }
        costs = await race(starts, run.pick(7, 60))
    rows: list[Row] = []
    for subject in (STATUS, STATUS_LINE):
        rows += compare(subject, {OURS: costs[subject], PYTHON: costs[PYTHON]})
    return rows


def _start(*command: str) -> Round:
    return timed_calls(
        lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True), times=1
    )

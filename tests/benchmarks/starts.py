"""Starting: what users feel, and a status line feels each second."""

import json
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from guardkit import track_build

from .bounds import PYTHON, STATUS, STATUS_LINE
from .races import OURS, Round, Row, compare, race, timed_calls
from .setting import Run, pin

GUARDKIT = str(Path(sys.executable).with_name("guardkit"))
# `guardkit-statusline`, as installers write it.
SCRIPT = """import sys
from guardkit.places.statusline import main
if __name__ == "__main__":
    sys.argv[0] = sys.argv[0].removesuffix(".exe")
    sys.exit(main())
"""
BUILDS = 20


async def measure(run: Run) -> list[Row]:
    """Hold each start against that of Python itself."""
    pin()
    one, many, script = run.tmpfs / "one", run.tmpfs / "many", run.tmpfs / "guardkit-statusline"
    one.mkdir()
    many.mkdir()
    script.write_text(SCRIPT)
    session = {"cwd": str(many), "workspace": {"current_dir": str(many), "project_dir": str(many)}}
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(track_build("TASK-1", root=one))
        for number in range(BUILDS):
            build = await stack.enter_async_context(track_build(f"TASK-{number}", root=many))
            turn = await stack.enter_async_context(build.turn())
            await stack.enter_async_context(turn.phase("Player Implementation"))
            build.update(tests_passed=number, tests_total=BUILDS)
        starts = {
            PYTHON: _start(sys.executable, "-c", "pass"),
            STATUS: _start(GUARDKIT, "status", "TASK-1", "--root", str(one)),
            STATUS_LINE: _start(sys.executable, str(script), told=json.dumps(session)),
        }
        costs = await race(starts, run.pick(7, 60))
    rows: list[Row] = []
    for subject in (STATUS, STATUS_LINE):
        rows += compare(subject, {OURS: costs[subject], PYTHON: costs[PYTHON]})
    return rows


def _start(*command: str, told: str = "") -> Round:
    given = told.encode()
    return timed_calls(
        lambda: subprocess.run(command, input=given, stdout=subprocess.DEVNULL, check=True), times=1
    )

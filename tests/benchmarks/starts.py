"""Starting: what users feel, and a status line feels each second."""

import json
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from time import perf_counter

from guardkit import track_build

from .bounds import MCP, MCP_MEMORY, PYTHON, STATUS, STATUS_LINE
from .races import OURS, Round, Row, compare, limit, race, timed_calls
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
ASK = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}
MIB_15 = 15 * 2**20


async def measure(run: Run) -> list[Row]:
    """Hold each start against that of Python itself."""
    pin()
    one, many, script = run.tmpfs / "one", run.tmpfs / "many", run.tmpfs / "guardkit-statusline"
    one.mkdir()
    many.mkdir()
    script.write_text(SCRIPT)
    session = {"cwd": str(many), "workspace": {"current_dir": str(many), "project_dir": str(many)}}
    held: list[float] = []
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
            MCP: _first_answer(held, GUARDKIT, "mcp", "--root", str(one)),
        }
        costs = await race(starts, run.pick(7, 60))
    rows: list[Row] = []
    for subject in (STATUS, STATUS_LINE, MCP):
        rows += compare(subject, {OURS: costs[subject], PYTHON: costs[PYTHON]})
    return [*rows, limit(MCP_MEMORY, "15 MiB", held, MIB_15, unit="B")]


def _start(*command: str, told: str = "") -> Round:
    given = told.encode()
    return timed_calls(
        lambda: subprocess.run(command, input=given, stdout=subprocess.DEVNULL, check=True), times=1
    )


def _first_answer(held: list[float], *command: str) -> Round:
    """Return rounds in which a server is started and asked; `held`: what memory each has held."""

    def answer() -> float:
        start = perf_counter()
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
            assert server.stdin
            assert server.stdout
            server.stdin.write(json.dumps(ASK).encode() + b"\n")
            server.stdin.flush()
            assert server.stdout.readline()
            took = perf_counter() - start
            status = Path(f"/proc/{server.pid}/status").read_text(encoding="ascii")
            held.append(int(status.partition("VmHWM:")[2].split()[0]) * 1024)
            server.stdin.close()
        return took

    async def run() -> float:
        return answer()

    return run

"""Starting: what users feel, and a status line feels each second."""

import json
import subprocess
import sys
from pathlib import Path
from time import perf_counter

from guardkit import track_build

from .bounds import MCP, MCP_MEMORY, PYTHON, STATUS, STATUS_LINE
from .races import OURS, Round, Row, compare, limit, race, timed_calls
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
ASK = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}
MIB_15 = 15 * 2**20


async def measure(run: Run) -> list[Row]:
    """Hold each start against that of Python itself."""
    pin()
    held: list[float] = []
    async with track_build("TASK-1", root=run.tmpfs):
        root = str(run.tmpfs)
        starts = {
            PYTHON: _start(sys.executable, "-c", "pass"),
            STATUS: _start(GUARDKIT, "status", "TASK-1", "--root", root),
            STATUS_LINE: _start(sys.executable, "-c", LINE, root),
            MCP: _first_answer(held, GUARDKIT, "mcp", "--root", root),
        }
        costs = await race(starts, run.pick(7, 60))
    rows: list[Row] = []
    for subject in (STATUS, STATUS_LINE, MCP):
        rows += compare(subject, {OURS: costs[subject], PYTHON: costs[PYTHON]})
    return [*rows, limit(MCP_MEMORY, "15 MiB", held, MIB_15, unit="B")]


def _start(*command: str) -> Round:
    return timed_calls(
        lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True), times=1
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

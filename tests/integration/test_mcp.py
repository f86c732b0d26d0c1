"""`guardkit mcp` over pipes: what no well-behaved client sends, and what its start costs."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import guardkit as package

from .test_cli import GUARDKIT, building, built, guardkit

MANY = 1000
PING = {"jsonrpc": "2.0", "method": "ping"}


@contextmanager
def serving(root: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start the server; it does not outlive the block."""
    command, pipe = (*GUARDKIT, "mcp", "--root", str(root)), subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            yield process
        finally:
            process.kill()


def served(root: Path, said: bytes) -> list[Any]:
    """Return what is answered to all that is said, by a server that then ends, without a word."""
    with serving(root) as process:
        told, complaints = process.communicate(said)
        assert (process.returncode, complaints) == (0, b"")
    return [json.loads(line) for line in told.splitlines()]


def use(tool: str, number: int, **arguments: str) -> bytes:
    params = {"name": tool, "arguments": arguments}
    message = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
    return json.dumps(message).encode() + b"\n"


def ping(number: int) -> bytes:
    return json.dumps({**PING, "id": number}).encode() + b"\n"


def end_of(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe
    return pipe


def say(process: subprocess.Popen[bytes], said: bytes) -> None:
    end_of(process.stdin).write(said)
    end_of(process.stdin).flush()


def hear(process: subprocess.Popen[bytes]) -> Any:
    return json.loads(end_of(process.stdout).readline())


def is_asleep(process: subprocess.Popen[bytes]) -> bool:
    """Return whether a process waits for something."""
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def test_malformed_lines_are_each_answered_and_cost_nobody_else_an_answer(tmp_path: Path) -> None:
    evil = [b"{", b"nonsense", b"\xff\x00", b"[", b'"', b"[[[[", b'{"jsonrpc": "2.0"}', b"[]", b"-"]
    lines = [evil[n % len(evil)] + b"\n" + ping(n) for n in range(MANY)]
    answers = served(tmp_path, b"".join(lines))
    assert [each["id"] for each in answers] == [n for it in range(MANY) for n in (None, it)]
    assert {each["error"]["code"] for each in answers[::2]} == {-32700, -32600}


def test_a_line_of_10_mb_and_half_a_line_are_each_one_error(tmp_path: Path) -> None:
    said = b'{"jsonrpc": "' + b"x" * 10_000_000 + b'"}\n' + ping(1) + b'{"jsonrpc": "2.0", "id"'
    answers = served(tmp_path, said)
    assert [each.get("error", {}).get("code") for each in answers] == [-32600, None, -32700]


def test_fifty_calls_at_once_are_each_answered(tmp_path: Path) -> None:
    built(tmp_path, "TASK-1")
    tools = ("list_builds", "build_status", "build_log", "watch_build", "no_such_tool")
    said = b"".join(use(tools[n % 5], n, task_id="TASK-1") for n in range(50))
    answers = served(tmp_path, said)
    assert [each["id"] for each in answers] == [*range(50)]
    assert [n for n, each in enumerate(answers) if "error" in each] == [*range(4, 50, 5)]


def test_a_watch_holds_up_nobody_and_ends_when_the_builder_is_killed(tmp_path: Path) -> None:
    with building(tmp_path, "TASK-1") as builder, serving(tmp_path) as server:
        say(server, use("watch_build", 1, task_id="TASK-1") + ping(2))
        assert hear(server)["id"] == 2
        builder.send_signal(signal.SIGKILL)
        builder.wait()
        answer = hear(server)
        said = guardkit("status", "TASK-1", "--root", str(tmp_path)).stdout.splitlines()
    assert answer["id"] == 1
    told = answer["result"]["content"][0]["text"].splitlines()
    assert told[1] == said[1]
    assert told[1].startswith("crashed: process ")


def test_who_does_not_read_is_waited_for_and_costs_no_memory(tmp_path: Path) -> None:
    built(tmp_path, "TASK-1")
    with serving(tmp_path) as server:
        say(server, ping(1))
        assert hear(server)["id"] == 1
        os.set_blocking(end_of(server.stdin).fileno(), False)
        room, asked = select.poll(), 0
        room.register(end_of(server.stdin), select.POLLOUT)
        while room.poll(0) or not is_asleep(server):
            if room.poll(0):
                said = use("build_log", 1, task_id="TASK-1")
                asked += os.write(end_of(server.stdin).fileno(), said)
        assert server.poll() is None
        status = Path(f"/proc/{server.pid}/status").read_text()
        assert asked < 4 * 2**20
        assert int(status.split("VmHWM:")[1].split()[0]) < 64 * 1024
        os.set_blocking(end_of(server.stdin).fileno(), True)
        end_of(server.stdin).close()
        answers = end_of(server.stdout).read().splitlines()
    assert len(answers) > 1000
    assert {json.loads(each)["id"] for each in answers} <= {1, None}


def test_a_client_that_is_gone_ends_the_server(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        say(server, ping(1))
        assert hear(server)["id"] == 1
        end_of(server.stdout).close()
        assert (server.wait(), end_of(server.stderr).read()) == (7, b"")


def test_a_standard_output_that_is_closed_is_told(tmp_path: Path) -> None:
    command = ("sh", "-c", 'exec "$@" >&-', "sh", *GUARDKIT, "mcp", "--root", str(tmp_path))
    ended = subprocess.run(command, input=ping(1), capture_output=True, check=False)
    assert (ended.returncode, ended.stderr.count(b"\n")) == (7, 1)


def test_the_first_answer_needs_the_standard_library_alone_and_of_that_the_cheap_part(
    tmp_path: Path,
) -> None:
    built(tmp_path, "TASK-1")
    program = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from guardkit.cli.main import run
run()
dear = {"typing", "msgspec", "asyncio", "pathlib", "dataclasses", "inspect", "logging", "threading"}
sys.exit(f"{sorted(dear & sys.modules.keys())}")
"""
    home = str(Path(package.__file__).parents[1])
    command = (sys.executable, "-I", "-S", "-c", program, home, "mcp", "--root", str(tmp_path))
    said = ping(1) + use("list_builds", 2) + use("watch_build", 3, task_id="TASK-1")
    ended = subprocess.run(command, input=said, capture_output=True, check=False)
    assert (ended.stdout.count(b"\n"), ended.stderr) == (3, b"[]\n")

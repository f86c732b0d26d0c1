import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from guardkit.testing import FakeClock

from .doubles import HungDisk, tasks_of_ours
from .nats_server import NatsServer
from .repositories import set_up_git

Run = Callable[..., dict[str, Any]]

BEGIN = """
import asyncio, json, os, resource, sys, threading
from pathlib import Path
from guardkit import track_build
from guardkit.testing import FakeClock, MemorySink

root = Path(sys.argv[1])
folder = root / ".guardkit/autobuild/TASK-1"
path = folder / "progress.json"

def on_disk():
    return json.loads(path.read_bytes())

def say(**words):
    print(json.dumps(words), flush=True)
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the long form of the heavy tests")


def pytest_sessionstart() -> None:
    """Let it be the same wherever we were started.

    By nohup, or `&` in a script, we are to ignore signals. A CI system tells commands that it is
    there, and where to send traces.
    """
    for name in [*os.environ]:
        if name.startswith(("GITHUB_", "OTEL_")) or name == "TRACEPARENT":
            del os.environ[name]
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)  # what we start does not inherit that


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def git_identity(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Have git read no configuration but that of a tester."""
    set_up_git(monkeypatch, tmp_path_factory.mktemp("home"))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def on_disk(tmp_path: Path) -> Callable[[], dict[str, Any]]:
    """Read what the file of TASK-1 says now, as any other program would."""

    def read() -> dict[str, Any]:
        path = tmp_path / ".guardkit/autobuild/TASK-1/progress.json"
        document: dict[str, Any] = json.loads(path.read_bytes())
        return document

    return read


@pytest.fixture
def journal(tmp_path: Path) -> Callable[[], list[dict[str, Any]]]:
    """Read the journal of TASK-1."""

    def read() -> list[dict[str, Any]]:
        path = tmp_path / ".guardkit/autobuild/TASK-1/events.jsonl"
        return [json.loads(line) for line in path.read_bytes().splitlines()]

    return read


@pytest.fixture
async def disk(tmp_path: Path, clock: FakeClock) -> AsyncGenerator[HungDisk]:
    """A disk that hangs when it is told to."""
    disk = HungDisk(tmp_path, clock)
    yield disk
    await disk.close()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a program in a process of its own, and return what it says."""

    def run(program: str, *words: str, **options: Any) -> dict[str, Any]:
        command = (sys.executable, "-c", BEGIN + program, str(tmp_path), *words)
        ended = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, timeout=60, check=True, **options
        )
        said: dict[str, Any] = json.loads(ended.stdout)
        return said

    return run


@pytest.fixture
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., NatsServer]]:
    """Start a server with lines of configuration; it is killed in the end."""
    servers: list[NatsServer] = []

    def start(*lines: str, jetstream: bool = True) -> NatsServer:
        server = NatsServer(tmp_path_factory.mktemp("nats"), *lines, jetstream=jetstream)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.kill()


@pytest.fixture
def nats_server(start_server: Callable[..., NatsServer]) -> NatsServer:
    """Start a NATS server with JetStream; it is killed in the end."""
    return start_server()


@pytest.fixture
async def no_task_is_left() -> AsyncGenerator[None]:
    """Fail a test after which a task of the package is still there."""
    yield
    assert tasks_of_ours() == []

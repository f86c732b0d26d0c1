"""What becomes of an agent when its builder, or its watcher, is killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio
import pytest

from guardkit import SystemClock, track_build
from guardkit.errors import WorkspaceError
from guardkit.orchestrator.processes import watcher
from guardkit.orchestrator.processes.lease import PATIENCE, hold, wait_for_agents
from guardkit.orchestrator.processes.process import GRACE, UNWATCHED, Process, start
from guardkit.testing import FakeClock

pytestmark = pytest.mark.anyio

BUILDER = """
import sys, anyio
from pathlib import Path
from guardkit import SystemClock, track_build
from guardkit.orchestrator.processes.commands import Seat, run_command
from guardkit.orchestrator.processes.lease import hold

async def main():
    async with track_build("TASK-1"):
        with hold(Path(), "TASK-1") as lease:
            await run_command(sys.argv[1], Seat(
                cwd=Path(), budget=1e9, clock=SystemClock(), env={}, lock=lease,
                hear=lambda line: line and print(line, flush=True)))

anyio.run(main)
"""
# Each of them in a session of its own, one below the other, the parents of one dead; and one that
# heeds no signal.
AGENT = """
import os, signal, sys, time
from pathlib import Path

def note():
    Path(f"pid-{os.getpid()}").touch()

def sleep():
    note()
    time.sleep(1000)

if not os.fork():
    os.setsid()
    os.fork() or sleep()
    os._exit(0)
if not os.fork():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.fork() or sleep()
    sleep()
if not os.fork():
    os.setpgid(0, 0)
    sleep()
note()
while len(list(Path().glob("pid-*"))) < 5:
    time.sleep(0.01)
print("ready", flush=True)
time.sleep(1000)
"""


def agent() -> str:
    return f"exec {sys.executable} agent.py"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "agent.py").write_text(AGENT)
    return tmp_path


@contextmanager
def building(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a builder whose agent is at work."""
    command = (sys.executable, "-c", BUILDER, agent())
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as builder:
        assert builder.stdout
        assert builder.stdout.readline() == "ready\n"
        try:
            yield builder
        finally:
            builder.kill()


def pids(folder: Path) -> list[int]:
    return [int(path.name.removeprefix("pid-")) for path in folder.glob("pid-*")]


def alive(folder: Path) -> list[int]:
    """Return the processes of the agent that run; the dead that nobody has buried do not."""
    found = list[int]()
    for pid in pids(folder):
        with suppress(FileNotFoundError, ProcessLookupError):
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            found += [pid] if state != "Z" else []
    return found


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end


async def start_agent(folder: Path) -> Process:
    null = subprocess.DEVNULL
    command = ("/bin/sh", "-c", agent())
    streams = {"stdin": null, "stdout": subprocess.PIPE, "stderr": null}
    process = start(command, cwd=folder, env=dict(os.environ), **streams)
    with process.watcher.stdout as output:  # type: ignore[union-attr]
        assert await anyio.to_thread.run_sync(output.readline) == b"ready\n"
    return process


def test_of_an_agent_whose_builder_is_killed_nothing_is_left(folder: Path) -> None:
    with building(folder) as builder:
        assert len(alive(folder)) == 5
        builder.kill()
        until(lambda: not alive(folder))


def watcher_of(folder: Path) -> int:
    """Return the process above all of the agent's, also those whose parents are dead."""
    found = pids(folder)

    def above() -> set[int]:
        return {parent(pid) for pid in found}.difference(found)

    until(lambda: len(above()) == 1)  # a parent may just be dying
    return above().pop()


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def waits(folder: Path, clock: FakeClock, seconds: float) -> str:
    """Return what a builder is told that waits for agents, "" where it may begin."""
    said = list[str]()

    async def wait() -> None:
        try:
            await wait_for_agents(folder, "TASK-1", clock)
            said.append("")
        except WorkspaceError as error:
            said.append(str(error))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        end = clock.monotonic() + seconds
        while not said and clock.monotonic() < end:
            await clock.advance(0.1)
            await anyio.to_thread.run_sync(int)  # as long as its look in a thread takes
        tasks.cancel_scope.cancel()
    return said[0] if said else "it waits"


async def test_the_next_builder_waits_until_the_agent_of_a_killed_one_has_ended(
    folder: Path, clock: FakeClock
) -> None:
    with building(folder) as builder:
        os.kill(watcher_of(folder), signal.SIGSTOP)  # it sees nothing yet
        watcher = watcher_of(folder)
        builder.kill()
        builder.wait()
        assert await waits(folder, clock, PATIENCE / 2) == "it waits"
        refused = await waits(folder, clock, 2 * PATIENCE)
        assert refused.startswith("agents of an earlier build of TASK-1 are still at work: end ")
        assert len(alive(folder)) == 5
        os.kill(watcher, signal.SIGCONT)
        until(lambda: not alive(folder))
        with anyio.fail_after(60):
            while await waits(folder, clock, 1.0):  # the watcher ends just after them
                pass


async def test_a_builder_waits_for_nobody_where_no_agent_is_left(
    folder: Path, clock: FakeClock
) -> None:
    async with track_build("TASK-1", root=folder):
        with hold(folder, "TASK-1") as lease:
            assert lease is not None
            assert await waits(folder, clock, 1.0) == ""  # as its builder lives
    with hold(folder, "TASK-1"):
        assert await waits(folder, clock, 1.0) == "it waits"
    assert await waits(folder, clock, 1.0) == ""


async def test_all_get_sigterm_and_after_the_grace_sigkill(folder: Path, clock: FakeClock) -> None:
    process = await start_agent(folder)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(process.end, clock)
        with anyio.fail_after(60):
            while len(alive(folder)) > 2:
                await clock.advance(0)
        await clock.advance(GRACE - 0.01)
        assert len(alive(folder)) == 2  # those that ignore SIGTERM
        await clock.advance(0.01)
    assert not alive(folder)


async def test_an_agent_whose_watcher_is_killed_ends(folder: Path) -> None:
    process = await start_agent(folder)
    ours = [pid for pid in pids(folder) if parent(pid) == process.watcher.pid]
    main = next(pid for pid in ours if os.getpgid(pid) == pid)  # the other was left by its parents
    os.kill(process.watcher.pid, signal.SIGKILL)
    assert await process.wait() == UNWATCHED
    assert await process.end(SystemClock()) == []
    until(lambda: not Path(f"/proc/{main}").exists() or main not in alive(folder))
    for pid in alive(folder):
        os.kill(pid, signal.SIGKILL)


async def test_of_a_command_that_begins_as_its_builder_dies_nothing_is_left(folder: Path) -> None:
    control, writer = os.pipe()
    reader, status = os.pipe()
    os.close(writer)
    os.close(reader)
    words = ("-I", "-S", watcher.__file__, str(control), str(status), "sh", "-c", agent())
    told = subprocess.Popen((sys.executable, *words), cwd=folder, pass_fds=(control, status))
    os.close(control)
    os.close(status)
    assert told.wait() == 0
    assert not alive(folder)


async def test_a_command_that_cannot_be_started_ends_as_in_a_shell(tmp_path: Path) -> None:
    null = subprocess.DEVNULL
    for name, code in (("no-such-program", 127), ("/", 126)):
        process = start((name,), cwd=tmp_path, env={}, stdin=null, stdout=null, stderr=null)
        assert await process.wait() == code
        assert await process.end(SystemClock()) == []

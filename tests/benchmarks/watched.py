"""What `guardkit watch` costs on a terminal, of a thousand builds that change once a second."""

import asyncio
import os
import pty
import signal
import struct
import sys
import termios
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from fcntl import ioctl
from pathlib import Path
from time import perf_counter

from guardkit import Build, track_build

from .bounds import WATCH
from .races import Row, limit
from .setting import Run

BUILDS, AT_A_TIME = 1000, 100
SIZE = struct.pack("HHHH", 40, 120, 0, 0)
MOST = 0.15  # of a core


async def measure(run: Run) -> list[Row]:
    """Hold the processor time of a watch against the time that passes, once it shows all."""
    async with AsyncExitStack() as stack:
        builds = [await _enter(stack, run.tmpfs, number) for number in range(BUILDS)]
        changing = asyncio.create_task(_change(builds))
        shares = [share async for share in _shares(run)]
        changing.cancel()
        await asyncio.wait({changing})
    return [limit(WATCH, "15 % of a core", shares, MOST, unit="")]


async def _enter(stack: AsyncExitStack, root: Path, number: int) -> Build:
    build = await stack.enter_async_context(track_build(f"TASK-{number}", root=root))
    turn = await stack.enter_async_context(build.turn())
    await stack.enter_async_context(turn.phase("Player Implementation", budget=900))
    return build


async def _change(builds: Sequence[Build]) -> None:
    """Change each build once a second, for ever."""
    loop, due, files = asyncio.get_running_loop(), asyncio.get_running_loop().time(), 0
    while True:
        files += 1
        for begin in range(0, len(builds), AT_A_TIME):
            for build in builds[begin : begin + AT_A_TIME]:
                build.update(files_created=files, message=f"writing test {files}")
            due += AT_A_TIME / len(builds)
            await asyncio.sleep(due - loop.time())


async def _shares(run: Run) -> AsyncIterator[float]:
    """Yield what share of a core a watch takes in a few seconds, again and again."""
    async with _watching(run.tmpfs) as pid:
        await asyncio.sleep(run.pick(5, 10))  # to its table
        for _ in range(run.pick(2, 8)):
            began, used = perf_counter(), _used(pid)
            await asyncio.sleep(run.pick(2, 5))
            yield (_used(pid) - used) / (perf_counter() - began)


@asynccontextmanager
async def _watching(root: Path) -> AsyncIterator[int]:
    """Run a watch on a terminal of its own; yield its process."""
    controller, terminal = pty.openpty()
    ioctl(terminal, termios.TIOCSWINSZ, SIZE)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "guardkit.cli.main", "watch", "--root", str(root)),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=os.environ | {"TERM": "xterm-256color"},
    )
    os.close(terminal)
    loop = asyncio.get_running_loop()
    loop.add_reader(controller, _read, controller)
    try:
        yield process.pid
        assert process.returncode is None
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        await process.wait()
        loop.remove_reader(controller)
        os.close(controller)


def _read(controller: int) -> None:
    with suppress(OSError):  # the watch has left its terminal
        os.read(controller, 2**16)


def _used(pid: int) -> float:
    """Return how many seconds of a processor a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

"""A process, and all that descends from it: below a watcher, which ends them when we die."""

import errno
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import Popen
from threading import Thread
from typing import IO

import anyio

from guardkit.clock import Clock
from guardkit.orchestrator.processes import watcher
from guardkit.orchestrator.processes.watcher import descendants

GRACE = 2.0  # seconds between SIGTERM and SIGKILL, and until a process counts as one that stays
NOT_EXECUTED, NOT_FOUND = 126, 127  # exit codes, as a shell's
UNWATCHED = -999  # in place of one: somebody has killed the watcher, and who knows what runs on
MAX_STATUS = 4096  # bytes of what a watcher tells
STARTED, ENDED = re.compile(rb"started (\d+)\n"), re.compile(rb"(exited|failed) (-?\d+)\n")

File = int | IO[bytes]


class Process:
    """A command that runs, with all that descends from it.

    watcher: the process between it and us; its pipes are those of the command.
    """

    def __init__(self, watcher: Popen[bytes], control: int, status: int) -> None:
        self.watcher = watcher
        self._control, self._status = control, status
        self._told = b""
        self._is_gone = False

    async def wait(self) -> int:
        """Return the command's exit code: negative for a signal, as a shell's if it cannot start.

        What it has started may run on.
        """
        while not (ended := ENDED.search(self._told)) and not self._is_gone:
            await self._hear()
        if not ended:
            return UNWATCHED
        number = int(ended[2])
        if ended[1] == b"failed":
            return NOT_FOUND if number == errno.ENOENT else NOT_EXECUTED
        return number

    async def end(self, clock: Clock, *, patience: float = 0.0) -> list[int]:
        """End all that is left: SIGTERM, `GRACE` seconds by the clock, SIGKILL.

        patience: seconds in which it may end by itself before.
        Returns the processes that cannot be ended.
        """

        async def kill() -> None:
            await clock.sleep(patience)
            self._order(b"T")
            await clock.sleep(GRACE)
            self._order(b"K")
            with clock.busy():
                await clock.sleep(GRACE)
            tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(kill)
            while not self._is_gone:
                await self._hear()
            tasks.cancel_scope.cancel()
        left = [] if self._is_gone else sorted(descendants(self.watcher.pid))
        if not ENDED.search(self._told) and (started := STARTED.match(self._told)):
            with suppress(OSError):  # somebody has killed the watcher
                os.killpg(int(started[1]), signal.SIGKILL)
        self._close()
        return left

    async def _hear(self) -> None:
        await anyio.wait_readable(self._status)
        told = os.read(self._status, MAX_STATUS)
        self._told = (self._told + told)[:MAX_STATUS]
        self._is_gone = not told

    def _order(self, order: bytes) -> None:
        with suppress(OSError):  # it has ended
            os.write(self._control, order)

    def _close(self) -> None:
        os.close(self._control)
        os.close(self._status)
        if self._is_gone:
            self.watcher.wait()
        else:  # where a process cannot be killed, that may take as long as it likes
            Thread(target=self.watcher.wait, daemon=True).start()


def start(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdin: File,
    stdout: File,
    stderr: File,
    lock: int | None = None,
) -> Process:
    """Start a command below a watcher.

    cwd, env: its folder, and all of its environment.
    stdin, stdout, stderr: as for `Popen`.
    lock: a descriptor that is held as long as anything of it lives.
    Raises OSError where the folder is gone, or there is no room for a process.
    """
    # Not asyncio's: cancelled while it starts, the command would run on and nobody know of it.
    ours, theirs = list[int](), list[int]()
    try:
        for mine, its in (os.pipe()[::-1], os.pipe()):
            ours.append(mine)
            theirs.append(its)
        held = [*theirs, *([] if lock is None else [lock])]
        process = Popen(
            (sys.executable, "-I", "-S", watcher.__file__, *map(str, theirs), *command),
            cwd=cwd,
            env=env,
            bufsize=0,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=held,
            start_new_session=True,
        )
    except BaseException:
        for fd in ours:
            os.close(fd)
        raise
    finally:
        for fd in theirs:
            os.close(fd)
    return Process(process, *ours)

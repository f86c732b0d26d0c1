"""The pipes of a process."""

from io import FileIO
from typing import cast

import anyio

from guardkit.clock import Clock
from guardkit.orchestrator.processes.process import Process

PIPE_BYTES = 2**20  # that a pipe may hold
PAUSE = 0.02  # seconds between two reads, while little comes
LITTLE = 2**14  # bytes


class Incoming:
    """What a process writes, in pieces.

    To be woken for each line costs ten times as much as to read it: little pieces are let gather.
    """

    def __init__(self, pipe: FileIO, clock: Clock) -> None:
        self._pipe, self._clock = pipe, clock
        self._is_little = False

    async def read(self) -> bytes:
        """Return what has come, b"" at the end."""
        if self._is_little:
            await self._clock.sleep(PAUSE)
        await anyio.wait_readable(self._pipe)
        chunk = self._pipe.read(PIPE_BYTES) or b""
        self._is_little = len(chunk) < LITTLE
        return chunk


def pipes_of(process: Process) -> tuple[FileIO, FileIO]:
    """Return the pipes of a process: its standard output and its standard error."""
    return cast("FileIO", process.watcher.stdout), cast("FileIO", process.watcher.stderr)

"""The stream of an agent as it came, in a file that its owner alone may read."""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress

from guardkit.progress.folder import write_all
from guardkit.progress.worker import Worker

LOG_MAX = 64 * 2**20  # bytes of one; what comes later is left out
WAITING_MAX = 8 * 2**20  # bytes that wait for a disk; what comes meanwhile is left out


class RawLog:
    """Writes in a thread, behind the agent: it neither waits for the disk nor hears of it.

    open_: returns a descriptor; called in the thread.
    """

    def __init__(self, open_: Callable[[], int], worker: Worker) -> None:
        self._open, self._worker = open_, worker
        self._fd: int | None = None
        self._left, self._waiting = LOG_MAX, 0

    def write(self, chunk: bytes) -> None:
        """Have a piece written, if there is room for it."""
        if len(chunk) > self._left or self._waiting > WAITING_MAX:
            return
        self._left -= len(chunk)
        self._waiting += len(chunk)
        with suppress(OSError):  # there is no thread to be had
            work: asyncio.Future[None] = self._worker.submit(self._append, chunk)
            work.add_done_callback(lambda _: self._done(len(chunk), work))

    def close(self) -> None:
        """Close the file, behind what is still written."""
        with suppress(OSError):
            self._worker.submit(self._close)

    def _done(self, size: int, work: "asyncio.Future[None]") -> None:
        self._waiting -= size
        if not work.cancelled():
            work.exception()  # whatever it was: nobody waits for it

    def _append(self, chunk: bytes) -> None:
        if self._fd is None:
            self._fd = self._open()
        write_all(self._fd, chunk)

    def _close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

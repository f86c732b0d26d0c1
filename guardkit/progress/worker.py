"""A thread that writes, and for which no exit of the interpreter waits."""

import asyncio
import errno
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any

Work = tuple[Callable[[], Any], Callable[[Any], object]]


class Writer(Executor):
    """A thread that runs calls in order, from the first one until `shutdown`.

    It is a daemon, as nothing else lets the interpreter exit while it hangs on a dead mount, and
    our own, as the default ones may all be taken by blocking agents. It tells the event loop by a
    pipe of its own: asyncio's way, with two more turns of the loop, costs as much as the write.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[Work | None] = SimpleQueue()
        self._results: deque[tuple[Callable[[Any], object], Any]] = deque()
        self._thread: threading.Thread | None = None
        self._ear = self._bell = -1

    def run(self, call: Callable[[], Any], then: Callable[[Any], object]) -> None:
        """Queue a call that raises nothing; its result is given to `then` on the event loop.

        Raises OSError where no thread is to be had.
        """
        if not self._thread:
            self._start()
        self._calls.put((call, then))

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Queue a call, as asyncio, and so aiofiles, asks of an executor; raises OSError.

        Returns a future of the running event loop, which asyncio takes as it is.
        """
        future = asyncio.get_running_loop().create_future()
        self.run(partial(_call, future, partial(fn, *args, **kwargs)), _tell)
        return future

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = False) -> None:
        """Let the thread end when what is queued is done; it is not waited for, nor heard."""
        if self._thread:
            self._loop.remove_reader(self._ear)
            self._calls.put(None)

    def _start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ear, self._bell = os.pipe()
        thread = threading.Thread(target=self._work, name="guardkit", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no thread is to be had
            self._close()
            raise OSError(errno.EAGAIN, str(error)) from error
        self._loop.add_reader(self._ear, self._hear)
        self._thread = thread

    def _work(self) -> None:
        for call, then in iter(self._calls.get, None):
            self._results.append((then, call()))
            os.write(self._bell, b"!")
        self._close()  # here, as nobody else knows when it rings for the last time

    def _hear(self) -> None:
        os.read(self._ear, 2**10)
        while self._results:
            then, result = self._results.popleft()
            then(result)

    def _close(self) -> None:
        os.close(self._ear)
        os.close(self._bell)


def _call(future: asyncio.Future[Any], call: Callable[[], Any]) -> Callable[[], object]:
    if future.cancelled():
        return future.cancel
    try:
        return partial(future.set_result, call())
    except BaseException as error:  # raised where the future is awaited
        return partial(future.set_exception, error)


def _tell(tell: Callable[[], object]) -> None:
    with suppress(asyncio.InvalidStateError):  # it was cancelled meanwhile
        tell()

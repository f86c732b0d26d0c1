"""A thread that writes, and for which no exit of the interpreter waits."""

import asyncio
import errno
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any

Item = tuple[asyncio.Future[Any], Callable[[], Any]]


class Writer(Executor):
    """A thread that runs calls in order, from the first one until `shutdown`.

    It is a daemon, as nothing else lets the interpreter exit while it hangs on a dead mount, and
    our own, as the default ones may all be taken by blocking agents.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[Item | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Queue a call, as asyncio, and so aiofiles, asks of an executor; raises OSError.

        Returns a future of the running event loop, which asyncio takes as it is: one of
        `concurrent.futures`, with its locks and the copying, costs as much as the write.
        """
        if not self._thread:
            thread = threading.Thread(target=self._work, name="guardkit", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # no thread is to be had
                raise OSError(errno.EAGAIN, str(error)) from error
            self._thread = thread
        future = asyncio.get_running_loop().create_future()
        self._calls.put((future, partial(fn, *args, **kwargs)))
        return future

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = False) -> None:
        """Let the thread end when what is queued is done; it is not waited for."""
        self._calls.put(None)

    def _work(self) -> None:
        for future, call in iter(self._calls.get, None):
            if not future.cancelled():
                try:
                    tell = partial(future.set_result, call())
                except BaseException as error:  # raised where the future is awaited
                    tell = partial(future.set_exception, error)
                with suppress(RuntimeError):  # the event loop may have closed meanwhile
                    future.get_loop().call_soon_threadsafe(_tell, tell)


def _tell(tell: Callable[[], None]) -> None:
    with suppress(asyncio.InvalidStateError):  # it was cancelled meanwhile
        tell()

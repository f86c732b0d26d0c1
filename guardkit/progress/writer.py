"""A thread that writes, and for which no exit of the interpreter waits."""

import errno
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import SimpleQueue
from typing import Any


class Writer(Executor):
    """A thread that runs calls in order, from the first one until `shutdown`.

    It is a daemon, as nothing else lets the interpreter exit while it hangs on a dead mount, and
    our own, as the default ones may all be taken by blocking agents.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Queue a call, as asyncio, and so aiofiles, asks of an executor; raises OSError."""
        if not self._thread:
            thread = threading.Thread(target=self._work, name="guardkit", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # no thread is to be had
                raise OSError(errno.EAGAIN, str(error)) from error
            self._thread = thread
        future: Future[Any] = Future()
        self._calls.put((future, partial(fn, *args, **kwargs)))
        return future

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = False) -> None:
        """Let the thread end when what is queued is done; it is not waited for."""
        self._calls.put(None)

    def _work(self) -> None:
        for future, call in iter(self._calls.get, None):
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:  # raised where the future is awaited
                    future.set_exception(error)

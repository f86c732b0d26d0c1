"""A daemon thread that runs calls, and for which no exit of the interpreter waits."""

import asyncio
import errno
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any

Call = tuple["asyncio.Future[Any]", Callable[[], Any]]


class Worker(Executor):
    """One thread that runs calls in order, from the first one until `shutdown`.

    The thread is a daemon, as nothing else lets the interpreter exit while a call hangs on a dead
    mount, and our own, as blocking agents may take all those of asyncio and anyio.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Queue a call; return a future of the running event loop, which asyncio takes as it is.

        Raises OSError where no thread is to be had.
        """
        if not self._thread:
            self._thread = self._start()
        future = asyncio.get_running_loop().create_future()
        self._calls.put((future, partial(fn, *args, **kwargs)))
        return future

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = False) -> None:
        """Let the thread end after what is queued; return at once, whatever is asked."""
        self._calls.put(None)

    def _start(self) -> threading.Thread:
        thread = threading.Thread(
            target=_work, args=[self._calls], name="guardkit", daemon=True
        )  # without a reference to this object
        try:
            thread.start()
        except RuntimeError as error:
            raise OSError(errno.EAGAIN, f"no thread is to be had: {error}") from error
        return thread


def _work(calls: "SimpleQueue[Call | None]") -> None:
    for future, call in iter(calls.get, None):
        try:
            tell: Callable[[], object] = partial(future.set_result, call())
        except BaseException as error:  # raised where the future is awaited
            tell = partial(future.set_exception, error)
        with suppress(RuntimeError):  # the event loop is closed: nobody waits any more
            future.get_loop().call_soon_threadsafe(_tell, future, tell)


def _tell(future: "asyncio.Future[Any]", tell: Callable[[], object]) -> None:
    if not future.done():  # else the wait was cancelled
        tell()


def drive(hop: Coroutine[asyncio.Future[Any], None, None]) -> None:
    """Run a coroutine that awaits futures, without a task.

    A task would cost two more turns of the event loop, a fifth of a transition, and end where
    somebody cancels all tasks.
    """
    waits = hop.__await__()

    def go_on(_: object = None) -> None:
        if future := next(waits, None):
            future.add_done_callback(go_on)

    go_on()

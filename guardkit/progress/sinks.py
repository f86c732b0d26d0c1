"""Sinks, and the delivery to one: one call at a time, one warning a kind, a retry."""

import asyncio
import errno
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

from guardkit.progress.shared import Shared
from guardkit.progress.snapshot import Snapshot
from guardkit.progress.state import News
from guardkit.progress.timer import Timer

log = logging.getLogger("guardkit.progress")

RETRY = 1.0  # seconds until what failed is tried again
QUEUE_MAX = 1000  # snapshots that wait for a sink; then the oldest are dropped
# Seconds for which a build waits: for one write or the closing of a sink, and for all at its end.
PATIENCE, LAST = 0.8, 2.0


class Sink(Protocol):
    """Where snapshots go. Calls never overlap, and what a sink raises does not reach the build.

    A sink whose attribute `transitions` is true is given every transition, in order; any other
    one only the newest snapshot. If they are there, `def attach(self, build)` is called when a
    build begins, with its `task_id` and the `folder` of its files (None: nothing is on disk), and
    `async def aclose(self)` when it has ended.
    """

    async def write(self, snapshot: Snapshot, /) -> None:
        """Bring the snapshot to where it belongs; a newer one may be waiting already."""
        ...


class Warner:
    """Warns in the log `guardkit.progress`, once for each kind of failure.

    where: is printed. so: what comes of it.
    """

    def __init__(self, where: object, so: str = "the build continues") -> None:
        self._where, self._so = where, so
        self._warned: set[str] = set()

    def warn(self, kind: str, what: str) -> None:
        """Say what has gone wrong, if it is the first of its kind."""
        if kind not in self._warned:
            self._warned.add(kind)
            with suppress(Exception):  # the log handler's, or of what it is to print
                log.warning("%s: %s; %s", self._where, what, self._so)

    def failed(self, error: BaseException) -> None:
        """Warn of a failure; its kind is that of the exception, or the number of the OSError."""
        number = error.errno if isinstance(error, OSError) else None
        self.warn(errno.errorcode.get(number or 0, type(error).__name__), f"{error!r}")


class Gate(Shared):
    """Is held during each call of a sink, whichever builds of the event loop it is a sink of."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.lock = asyncio.Lock()


class Delivery:
    """Gives one sink of the user's what is published: the newest wins, unless it asks for more.

    `closes`: whether the sink is closed at the end of this build.
    """

    def __init__(self, sink: Sink, *, closes: bool = True) -> None:
        self.sink = sink
        self._closes = closes
        self._keeps = bool(getattr(sink, "transitions", False))
        self._warner = Warner(self)
        self._queue: deque[tuple[Snapshot, bool]] = deque()  # and whether it has to be kept
        self._task: asyncio.Task[None] | None = None
        self._given = 0  # snapshots so far
        self._retry = self._closed = False

    def __str__(self) -> str:
        return f"the sink {self.sink}"

    def open(self, timer: Timer, build: object) -> None:
        """Begin, with the build that the sink may want to know."""
        self._timer, self._gate = timer, Gate.join(self.sink)
        if attach := getattr(self.sink, "attach", None):
            try:
                attach(build)
            except (Exception, SystemExit) as error:  # the sink's
                self._warner.failed(error)

    def put(self, news: News) -> None:
        """Queue news, in place of the last snapshot unless that has to be kept."""
        if self._queue and not self._queue[-1][1]:
            self._queue.pop()
        events = news.events if self._keeps else ()
        self._queue.extend((event.progress, True) for event in events)
        if not events or events[-1].seq != news.snapshot.tracker.seq:
            self._queue.append((news.snapshot, False))
        while len(self._queue) > QUEUE_MAX:
            self._queue.popleft()
            self._warner.warn("lost", f"it lost transitions, as {QUEUE_MAX} of them wait")
        self._start()

    async def finish(self) -> None:
        """Wait until the sink has what is left, the last snapshot at least, and close it.

        For each of the two the sink has 0.8 seconds, for all of it two; then it is cancelled.
        """
        self._closed = True
        await self._end(self._timer.clock.monotonic() + LAST)
        await self._gate.leave()

    async def _end(self, until: float) -> None:
        late = await self._late(until)
        if self._queue and not late:  # it has failed: once more
            late = await self._late(until)
        if late and not await self._cancel(late, until):
            return
        closing = asyncio.create_task(self._close())
        if await self._hangs(closing, until):
            await self._cancel(closing, until)

    async def _hangs(self, task: asyncio.Task[None], until: float) -> bool:
        patience = min(PATIENCE, until - self._timer.clock.monotonic())
        return await self._timer.hangs(task, patience)

    def _start(self) -> None:
        if self._queue and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._drain())

    def _again(self) -> None:
        self._retry = False
        if not self._closed:
            self._start()

    async def _late(self, until: float) -> asyncio.Task[None] | None:
        """Give the sink what is queued; return the task that does so if it takes too long."""
        self._start()
        task = self._task
        return task if task and await self._hangs(task, until) else None

    async def _cancel(self, task: asyncio.Task[None], until: float) -> bool:
        """Cancel a task; return whether it ends."""
        task.cancel()
        return not await self._hangs(task, until)

    async def _close(self) -> None:
        if self._given and self._queue:  # it is slow, and was cancelled
            await self._call(self.sink.write, self._queue[-1][0])
        if self._closes and (aclose := getattr(self.sink, "aclose", None)):
            await self._call(aclose)

    async def _drain(self) -> None:
        while self._queue:
            snapshot, keep = self._queue.popleft()
            given = False
            try:
                given = await self._call(self.sink.write, snapshot)
            finally:
                if not given and (keep or not self._queue):
                    self._queue.appendleft((snapshot, keep))
            if not given:
                break
            self._given += 1

    async def _call(self, method: Callable[..., Awaitable[None]], *snapshot: Snapshot) -> bool:
        """Call the sink; return whether it did not fail."""
        try:
            async with self._gate.lock:
                await method(*snapshot)
        except asyncio.CancelledError as error:
            if _is_ours():
                raise
            self._failed(RuntimeError(f"its own work was cancelled: {error!r}"))
            return False
        except (Exception, SystemExit) as error:  # the sink's
            self._failed(error)
            return False
        return True

    def _failed(self, error: Exception | SystemExit) -> None:
        self._warner.failed(error)
        if not self._retry:
            self._retry = True
            self._timer.call_in(RETRY, self._again)


def _is_ours() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0

"""Ways to a sink: a call at a time, one warning for each kind of failure, and another try."""

import asyncio
import errno
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Protocol

from guardkit.progress.disk import PATIENCE
from guardkit.progress.hub import Hub
from guardkit.progress.snapshot import Snapshot

log = logging.getLogger("guardkit.progress")

RETRY = 1.0  # seconds until what failed is tried again
QUEUE_MAX = 1000  # transitions that wait for a sink; then the oldest are dropped


class Sink(Protocol):
    """Where snapshots go. Calls never overlap, and what it raises does not reach the build.

    A sink whose attribute `transitions` is true is given every transition, in order; any other
    one only the newest snapshot. `async def aclose(self)` is called at the end, if it is there.
    """

    async def write(self, snapshot: Snapshot, /) -> None:
        """Bring the snapshot to where it belongs; a newer one may be waiting already."""
        ...


class Feed(ABC):
    """What brings the snapshots of one build to one place, in spite of failures."""

    hub: Hub  # set when the build is entered

    def __init__(self) -> None:
        self._warned: set[str] = set()
        self._retrying = self._closed = False

    @abstractmethod
    def start(self) -> None:
        """Bring on what is waiting, unless that is under way."""

    def failed(self, error: Exception) -> None:
        """Warn, if it is the first failure of its kind, and try again in a while."""
        number = error.errno if isinstance(error, OSError) else None
        self.warn(errno.errorcode.get(number or 0, type(error).__name__), f"failed: {error!r}")
        if not self._retrying:
            self._retrying = True
            self.hub.timer.call_in(RETRY, self._try_again)

    def warn(self, kind: str, what: str) -> None:
        """Say once of each kind what has gone wrong."""
        if kind not in self._warned:
            self._warned.add(kind)
            log.warning("%s, the build goes on: %s", self, what)

    def _try_again(self) -> None:
        self._retrying = False
        if not self._closed:
            self.start()


class SinkFeed(Feed):
    """Feeds a sink of the user's: the newest snapshot wins, unless the sink asks for more."""

    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self._sink = sink
        self._keeps = bool(getattr(sink, "transitions", False))
        self._queue: list[tuple[Snapshot, bool]] = []
        self._task: asyncio.Task[None] | None = None
        self._given = 0  # snapshots so far

    def __str__(self) -> str:
        return f"the sink {self._sink}"

    def put(self, snapshot: Snapshot, event: str | None) -> None:
        """Queue a snapshot, in place of the last one unless that has to be kept."""
        if self._queue and not self._queue[-1][1]:
            self._queue.pop()
        self._queue.append((snapshot, self._keeps and event is not None))
        if len(self._queue) > QUEUE_MAX:
            self._queue.pop(0)
            self.warn("lost", f"it lost transitions, as {QUEUE_MAX} of them wait")
        self.start()

    def start(self) -> None:
        """Give the sink what is queued, unless that is under way."""
        if self._queue and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._drain())

    async def finish(self) -> None:
        """Wait until the sink has what is left, the last snapshot at least, and close it.

        For each of the two it has as long as a disk that hangs, and is then cancelled.
        """
        self._closed = True
        given, late = self._given, await self._late()
        if self._queue and not late:  # it has failed: once more
            late = await self._late()
        if late and not await self._cancel(late):
            return
        closing = asyncio.create_task(self._close(given < self._given))
        if await self.hub.timer.hangs(closing, PATIENCE):
            await self._cancel(closing)

    async def _late(self) -> asyncio.Task[None] | None:
        """Give the sink what is queued; return the task that does so if it takes too long."""
        self.start()
        task = self._task
        return task if task and await self.hub.timer.hangs(task, PATIENCE) else None

    async def _cancel(self, task: asyncio.Task[None]) -> bool:
        """Cancel a task; return whether it ends."""
        task.cancel()
        return not await self.hub.timer.hangs(task, PATIENCE)

    async def _close(self, slow: bool) -> None:
        if slow and self._queue:
            await self._call(self._sink.write, self._queue[-1][0])
        if aclose := getattr(self._sink, "aclose", None):
            await self._call(aclose)

    async def _drain(self) -> None:
        while self._queue:
            snapshot, keep = self._queue.pop(0)
            if not await self._call(self._sink.write, snapshot):
                if keep or not self._queue:
                    self._queue.insert(0, (snapshot, keep))
                break
            self._given += 1

    async def _call(self, method: Callable[..., Awaitable[None]], *snapshot: Snapshot) -> bool:
        try:
            await method(*snapshot)
        except asyncio.CancelledError as error:
            if self._is_ours():
                raise
            self.failed(RuntimeError(f"its own work was cancelled: {error!r}"))
            return False
        except Exception as error:  # whatever it is, it is the sink's own affair
            self.failed(error)
            return False
        return True

    def _is_ours(self) -> bool:
        task = asyncio.current_task()
        return task is None or task.cancelling() > 0

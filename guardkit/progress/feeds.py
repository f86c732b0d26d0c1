"""Ways to a sink: a call at a time, one warning for each kind of failure, and another try."""

import asyncio
import errno
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Protocol

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
        kind = errno.errorcode.get(number or 0, type(error).__name__)
        if kind not in self._warned:
            self._warned.add(kind)
            log.warning("%s failed, the build goes on: %r", self, error)
        if not self._retrying:
            self._retrying = True
            self.hub.call_at(self.hub.clock.monotonic() + RETRY, self._try_again)

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
        self.task: asyncio.Task[None] | None = None

    def __str__(self) -> str:
        return f"the sink {self._sink}"

    def put(self, snapshot: Snapshot, event: str | None) -> None:
        """Queue a snapshot, in place of the last one unless that has to be kept."""
        if self._queue and not self._queue[-1][1]:
            self._queue.pop()
        self._queue.append((snapshot, self._keeps and event is not None))
        del self._queue[:-QUEUE_MAX]
        self.start()

    def start(self) -> None:
        """Give the sink what is queued, unless that is under way."""
        if self._queue and not self.task:
            self.task = asyncio.create_task(self._drain())

    async def finish(self) -> None:
        """Wait until the last snapshots are with the sink, or have failed, and close it."""
        self._closed = True
        if self.task:
            await self.task
        if aclose := getattr(self._sink, "aclose", None):
            await self._call(aclose)

    async def _drain(self) -> None:
        while self._queue:
            snapshot, keep = self._queue.pop(0)
            if not await self._call(self._sink.write, snapshot):
                if keep or not self._queue:
                    self._queue.insert(0, (snapshot, keep))
                break
        self.task = None

    async def _call(self, method: Callable[..., Awaitable[None]], *snapshot: Snapshot) -> bool:
        try:
            await method(*snapshot)
        except Exception as error:  # whatever it is, it is the sink's own affair
            self.failed(error)
            return False
        return True

"""Between a build's state and its sinks: coalesces, keeps the heartbeat, and never raises.

The build waits for the disk alone, and once for a second at most: other sinks are their own affair.
"""

import asyncio
import errno
import logging
import os
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Protocol

import msgspec
from anyio import CancelScope

from guardkit.clock import Clock
from guardkit.progress.files import FileSink
from guardkit.progress.snapshot import Snapshot

log = logging.getLogger("guardkit.progress")

PATIENCE = 1.0  # seconds that a disk which hangs holds the build up, and all sinks its end
RETRY_FIRST, RETRY_LAST = 1.0, 30.0  # seconds until a sink that failed is tried again, doubling
QUEUE_MAX = 1000  # transitions that wait for a sink; then the oldest are dropped


class Sink(Protocol):
    """Where snapshots go. Calls never overlap, and what it raises does not reach the build.

    A sink whose attribute `transitions` is true is given every transition, in order; any other
    one only the newest snapshot. `async def aclose(self)` is called at the end, if it is there.
    """

    async def write(self, snapshot: Snapshot, /) -> None:
        """Bring the snapshot to where it belongs; a newer one may be waiting already."""
        ...


class Feed:
    """Feeds one sink: a call at a time, the newest snapshot wins, and a failure is tried again."""

    def __init__(self, sink: Sink, clock: Clock, retry_last: float) -> None:
        self._sink = sink
        self._clock = clock
        self._retry_last = retry_last
        self._keeps = bool(getattr(sink, "transitions", False))
        self._queue: deque[tuple[Snapshot, bool]] = deque(maxlen=QUEUE_MAX)
        self._warned: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self.settled = self._loop.create_future()  # when all is written, or has failed once
        self.settled.set_result(None)

    def put(self, snapshot: Snapshot, *, transition: bool) -> None:
        """Queue a snapshot, in place of the last one unless that has to be kept."""
        if self._queue and not self._queue[-1][1]:
            self._queue.pop()
        self._queue.append((snapshot, transition and self._keeps))
        if not self._task:
            self._start()

    async def finish(self) -> None:
        """Bring the last snapshots to the sink, giving up if it fails, and close it."""
        if self._task and self.settled.done():  # it waits for another try: try now
            await asyncio.wait({self.cancel()})
            self._start()
        await self.settled
        if aclose := getattr(self._sink, "aclose", None):
            await self._call(aclose)
        await asyncio.wait({self.cancel()})

    def cancel(self) -> asyncio.Future[None]:
        """Begin to end what is under way, and return it; a thread that hangs in a write stays."""
        if not self._task:
            return self.settled
        self._task.cancel()
        return self._task

    def _start(self) -> None:
        self.settled = self._loop.create_future()
        self._task = self._loop.create_task(self._drain(self.settled))

    async def _drain(self, settled: asyncio.Future[None]) -> None:
        delay = RETRY_FIRST
        try:
            while self._queue:
                snapshot, keep = self._queue.popleft()
                if await self._call(self._sink.write, snapshot):
                    delay = RETRY_FIRST
                    continue
                if keep or not self._queue:
                    self._queue.appendleft((snapshot, keep))
                if not settled.done():
                    settled.set_result(None)
                await self._clock.sleep(delay)
                delay = min(delay * 2, self._retry_last)
        finally:
            self._task = None
            if not settled.done():
                settled.set_result(None)

    async def _call(self, method: Callable[..., Awaitable[None]], *snapshot: Snapshot) -> bool:
        try:
            await method(*snapshot)
        except Exception as error:  # one warning for each kind: the rest is the sink's affair
            number = error.errno if isinstance(error, OSError) else None
            kind = errno.errorcode.get(number or 0, type(error).__name__)
            if kind not in self._warned:
                self._warned.add(kind)
                log.warning("%s failed, the build goes on: %r", self._sink, error)
            return False
        return True


class Publisher:
    """Gives the snapshots of one build to its sinks.

    `renew` returns the state as of now, and whether more than its time has changed since the last
    call; `debounce` and `heartbeat` are the least and the most seconds between two writes.
    """

    def __init__(
        self,
        renew: Callable[[], tuple[Snapshot, bool]],
        disk: FileSink | None,
        sinks: Iterable[Sink],
        *,
        clock: Clock,
        debounce: float,
        heartbeat: float,
    ) -> None:
        self._renew = renew
        self._disk = disk
        self._feeds = [Feed(sink, clock, RETRY_LAST) for sink in sinks]
        self._disk_feed = Feed(disk, clock, RETRY_FIRST) if disk else None
        if self._disk_feed:
            self._feeds.insert(0, self._disk_feed)
        self._clock = clock
        self._debounce = debounce
        self._heartbeat = heartbeat
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._pid = os.getpid()
        self._last = clock.monotonic()  # when a snapshot was given to the sinks
        self._coalescing = self._closed = False
        self._hung: asyncio.Future[None] | None = None  # what the disk was waited for in vain

    @property
    def forked(self) -> bool:
        """Whether this is a copy in a child process, which must stay silent."""
        return os.getpid() != self._pid

    async def open(self) -> None:
        """Take the task, and start the heartbeat; raises BuildAlreadyRunningError."""
        if self._disk:
            opening = self._spawn(self._disk.open())
            if await self._hangs(opening):
                self._hung = opening
            else:
                opening.result()
        self._spawn(self._beat())

    def publish(self, event: str | None = None) -> None:
        """Give the state to all sinks now; with the name of an event, as a transition."""
        self._emit(self._renew()[0], event)

    def touch(self) -> None:
        """Have the state published within `debounce`; from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._coalesce)

    async def settle(self) -> None:
        """Return when the disk shows what was published, or hangs."""
        if self._disk_feed and not self.forked and not self._is_hung():
            settled = self._disk_feed.settled
            if not settled.done() and await self._hangs(settled):
                self._hung = settled

    def finish(self) -> asyncio.Task[None]:
        """Publish nothing more; return the task that writes what is left, and ends all others."""
        self._closed = True
        return self._loop.create_task(self._end())

    async def _end(self) -> None:
        hung = self._is_hung()
        for task in self._tasks:
            task.cancel()
        feeds = self._feeds[1:] if hung else self._feeds
        ends = (feed.finish() for feed in feeds)
        finishing = asyncio.gather(*ends, return_exceptions=True)
        if await self._hangs(finishing) or hung:
            finishing.cancel()
            rest: list[asyncio.Future[Any]] = [feed.cancel() for feed in self._feeds]
            await self._hangs(asyncio.gather(finishing, *rest, return_exceptions=True))
            if self._disk:
                self._disk.abandon()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _emit(self, snapshot: Snapshot, event: str | None) -> None:
        if self._closed or self.forked:
            return
        self._last = self._clock.monotonic()
        if self._disk:
            self._disk.offer(snapshot, self._line(snapshot, event) if event else None)
        for feed in self._feeds:
            feed.put(snapshot, transition=event is not None)

    def _line(self, snapshot: Snapshot, event: str) -> bytes:
        """Return a line of the journal."""
        at = self._clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        tracker = snapshot.tracker
        ids = {"run_id": tracker.run_id, "seq": tracker.seq} if tracker else {}
        return msgspec.json.encode({"event": event, "at": at, **ids, "progress": snapshot}) + b"\n"

    def _coalesce(self) -> None:
        if not self._coalescing and not self._closed:
            self._coalescing = True
            self._spawn(self._flush())

    async def _flush(self) -> None:
        await self._pass(self._debounce)
        self._coalescing = False
        snapshot, changed = self._renew()
        if changed:
            self._emit(snapshot, None)

    async def _beat(self) -> None:
        while True:
            await self._pass(self._heartbeat)
            self.publish()

    async def _pass(self, seconds: float) -> None:
        """Return when `seconds` have passed since the last snapshot."""
        while (left := self._last + seconds - self._clock.monotonic()) > 0:
            await self._clock.sleep(left)

    async def _hangs(self, work: asyncio.Future[Any]) -> bool:
        """Wait for `work` as long as the build may be held up; return whether it takes longer."""
        limit = self._spawn(self._clock.sleep(PATIENCE))
        await asyncio.wait({work, limit}, return_when=asyncio.FIRST_COMPLETED)
        limit.cancel()
        return not work.done()

    def _is_hung(self) -> bool:
        return self._hung is not None and not self._hung.done()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def until_done(task: asyncio.Task[None]) -> None:
    """Wait for a task whatever is cancelled meanwhile; raise the cancellation after it."""
    cancelled = None
    with CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled:
        raise cancelled

"""Between a build's state and its sinks: coalesces, keeps the heartbeat, and never raises.

The build waits for the disk alone, and once for a second at most: other sinks are their own affair.
"""

import asyncio
import os
from collections.abc import Iterable
from typing import Any

from guardkit.clock import Clock
from guardkit.progress.files import FileFeed
from guardkit.progress.hub import Hub
from guardkit.progress.sinks import Sink, SinkFeed
from guardkit.progress.state import State

SLACK = 0.1  # of a heartbeat, by which it may come early: so those of many builds come together


class Publisher:
    """Gives what becomes of one build's state to its sinks, as long as it is open.

    `debounce` is the least time between writes that updates cause, `heartbeat` the most between
    any two, in seconds.
    """

    def __init__(
        self,
        state: State,
        files: FileFeed | None,
        sinks: Iterable[Sink],
        *,
        clock: Clock,
        debounce: float,
        heartbeat: float,
    ) -> None:
        self.state = state
        self._files = files
        self._feeds: list[FileFeed | SinkFeed] = [
            *([files] if files else []),
            *map(SinkFeed, sinks),
        ]
        self.clock = clock
        self._debounce = debounce
        self._heartbeat = heartbeat
        self._pid = os.getpid()
        self._closed = self._flushing = False
        self._last = 0.0  # when a snapshot was given to the sinks, and which
        self._seq = 0

    @property
    def forked(self) -> bool:
        """Whether this is a copy in a child process, which must stay silent."""
        return os.getpid() != self._pid

    async def open(self) -> None:
        """Take the task, and start the heartbeat; raises BuildAlreadyRunningError."""
        self._loop = asyncio.get_running_loop()
        self._hub = Hub.enter(self._files.root if self._files else None, self.clock)
        for feed in self._feeds:
            feed.hub = self._hub
        if self._files:
            await self._files.open()
        self._last = self.clock.monotonic()
        self._beat()

    def publish(self, event: str | None = None, **changes: Any) -> None:
        """Change fields of the snapshot and give it to all sinks now; an event is a transition."""
        if self._closed or self.forked:
            return
        self._last = self.clock.monotonic()
        if event or changes:
            self.state.change(changes, self._last)
        if self._feeds:
            snapshot = self.state.view()
            self._seq = snapshot.tracker.seq
            for feed in self._feeds:
                feed.put(snapshot, event)

    def touch(self) -> None:
        """Have the state published within `debounce`; from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._coalesce)

    async def settle(self) -> None:
        """Return when the disk shows what was published, has failed, or hangs."""
        if self._files and not self.forked:
            await self._hub.disk.settle(self._files)

    def finish(self) -> asyncio.Task[None]:
        """Publish nothing more; return the task that brings what is left to the sinks."""
        self._closed = True
        self.state.view()  # the last one, if nobody has looked
        return asyncio.create_task(self._end())

    async def _end(self) -> None:
        await asyncio.gather(*(feed.finish() for feed in self._feeds))
        await self._hub.leave()

    def _coalesce(self) -> None:
        if not self._flushing and not self._closed:
            self._flushing = True
            self._hub.timer.call_at(self._last + self._debounce, self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if not self._closed and self.state.view().tracker.seq != self._seq:
            self.publish()

    def _beat(self) -> None:
        slack = self._heartbeat * SLACK
        if self.clock.monotonic() >= self._last + self._heartbeat - slack:
            self.publish()
        if not self._closed:
            self._hub.timer.call_at(self._last + self._heartbeat, self._beat, slack=slack)

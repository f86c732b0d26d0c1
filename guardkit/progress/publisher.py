"""Between a build's state and its sinks: coalesces, keeps the heartbeat, and never raises.

The build waits for the disk alone, and once for a second at most: other sinks are their own affair.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum

from guardkit.clock import Clock
from guardkit.errors import BuildAlreadyRunningError
from guardkit.progress.disk import FileDelivery, Round
from guardkit.progress.files import Landed
from guardkit.progress.sinks import Delivery
from guardkit.progress.snapshot import Snapshot
from guardkit.progress.state import State
from guardkit.progress.timer import Timer

SLACK = 0.1  # of a heartbeat: it may be so much early, so that many builds share a round


class Stage(Enum):
    """How far a publisher has come."""

    NEW = "new"
    OPEN = "open"
    CLOSED = "closed"


class Publisher:
    """Gives what becomes of one build's state to its sinks, as long as it is open.

    `debounce` is the least time between writes that updates cause, `heartbeat` the most between
    any two, in seconds. `heard` is called with each snapshot that is published. `loop` is the
    event loop that it has to be opened on, None for any.
    """

    def __init__(
        self,
        state: State,
        root: str | None,
        sinks: Sequence[Delivery],
        *,
        clock: Clock,
        debounce: float,
        heartbeat: float,
        heard: Callable[[Snapshot], object] = lambda _: None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        snapshot = state.view()
        self.state = state
        self.clock = clock
        self.heartbeat = heartbeat
        self._root = root
        self._sinks = sinks
        self._debounce = debounce
        self._heard = heard
        self._pid = os.getpid()
        self._files: FileDelivery | None = None
        if root is not None:
            self._files = FileDelivery(
                root, snapshot.task_id, snapshot.tracker.run_id, self._landed
            )
        self._stage = Stage.NEW
        self._loop = loop
        self._flushing = False  # a flush is due
        self._last = 0.0  # when something was published,
        self._published = snapshot  # and what

    @property
    def forked(self) -> bool:
        """Whether this is a copy in a child process, which must stay silent."""
        return os.getpid() != self._pid

    @property
    def folder(self) -> str | None:
        """The folder of the build's files; None: nothing is on disk."""
        return self._files.folder if self._files else None

    @property
    def gone(self) -> bool:
        """Whether nothing can be told any more: in a forked child, and where no event loop runs.

        A coroutine that is closed when its event loop has ended leaves its scopes so.
        """
        return self.forked or _find_loop() is None

    def is_here(self) -> bool:
        """Return whether the running event loop, if there is one, is the build's."""
        return self._loop in {None, _find_loop()} or self.gone

    def like(self, state: State, heard: Callable[[Snapshot], object]) -> "Publisher":
        """Return a publisher for a task of this feature, with the same root, sinks and times."""
        return Publisher(
            state,
            self._root,
            [Delivery(each.sink, closes=False) for each in self._sinks],
            clock=self.clock,
            debounce=self._debounce,
            heartbeat=self.heartbeat,
            heard=heard,
            loop=self._loop,
        )

    async def open(self, build: object) -> str | None:
        """Take the task; return which lock proves it, None where nothing does.

        Raises BuildAlreadyRunningError, and MisuseError where the root is no folder.
        """
        self._loop = asyncio.get_running_loop()
        self._timer = Timer.join(self.clock)
        self._stage = Stage.OPEN
        for sink in self._sinks:
            sink.open(self._timer, build)
        return await self._files.open(self._timer) if self._files else None

    def begin(self) -> Round | None:
        """Publish the beginning, and start the heartbeat; return the round of writing."""
        first = self.publish()
        self._beat()
        return first

    def publish(self) -> Round | None:
        """Give the sinks what is new, now; return the round of writing that brings it to disk."""
        if self._stage is not Stage.OPEN or self.gone:
            return None
        self._last = self.clock.monotonic()
        news = self.state.take()
        self._published = news.snapshot
        if news.snapshot.terminal:
            self._stage = Stage.CLOSED
        self._heard(news.snapshot)
        for sink in self._sinks:
            sink.put(news)
        return self._files.put(news) if self._files else None

    def soon(self) -> None:
        """Have what is new published within `debounce`; from anywhere, whatever it interrupts."""
        self._call(self._coalesce)

    def now(self) -> None:
        """Have what is new published in the next turn of the event loop; from anywhere."""
        self._call(self._flush)

    async def settle(self, round_: Round | None) -> None:
        """Return when a round of writing is over, or its disk hangs."""
        if self._files and round_:  # a forked child has published nothing
            await self._files.settle(round_)

    def finish(self, last: Round | None) -> "asyncio.Task[None]":
        """Publish nothing more; return the task that brings what is left to the sinks.

        `last` is the round of writing that shows the end.
        """
        self._stage = Stage.CLOSED
        return asyncio.create_task(self._end(last))

    def _call(self, function: Callable[[], object]) -> None:
        if self._loop and not self.forked:
            with suppress(RuntimeError):  # the event loop is closed
                self._loop.call_soon_threadsafe(function)

    async def _end(self, last: Round | None) -> None:
        ends = [sink.finish() for sink in self._sinks]
        if self._files:
            ends.append(self._files.finish(last))
        await asyncio.gather(*ends)
        await self._timer.leave()

    def _coalesce(self) -> None:
        if not self._flushing and self._stage is Stage.OPEN:
            self._flushing = True
            self._timer.call_at(self._last + self._debounce, self._flush)

    def _flush(self) -> None:
        self._flushing = False
        before, now = self._published, self.state.view()
        told = before.tracker.seq, before.tracker.activity_at
        if (now.tracker.seq, now.tracker.activity_at) != told:
            self.publish()

    def _beat(self) -> None:
        slack = self.heartbeat * SLACK
        if self.clock.monotonic() >= self._last + self.heartbeat - slack:
            self.publish()
        if self._stage is Stage.OPEN:
            self._timer.call_at(self._last + self.heartbeat, self._beat, slack=slack)

    def _landed(self, landed: Landed) -> None:
        """Hear how a write went: whether the task is still ours, and by which lock."""
        if isinstance(landed.error, BuildAlreadyRunningError):
            self.state.step("build.ended", status="failed", error=str(landed.error))
            self.publish()
        elif not landed.error and landed.lock != self._published.tracker.lock:
            self.state.step(None, lock=landed.lock)
            self.now()


def _find_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None

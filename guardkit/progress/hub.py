"""What the builds below one root share in an event loop: a timer, a lock file, a writing thread.

So a thousand builds cost neither a thousand tasks nor a thousand threads or descriptors, and a
mount that hangs holds up none of those that are elsewhere.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import Any, Protocol

import aiofiles.os
import msgspec
from anyio.lowlevel import RunVar

from guardkit.clock import Clock
from guardkit.progress.ownership import Locks
from guardkit.progress.writer import Writer

# Seconds that a disk which hangs holds a build up: once, and at its end, as it may be coming back.
PATIENCE, LAST_PATIENCE = 0.8, 0.2


class Job(Protocol):
    """Files that a thread writes: `due` while they wait for it, `pending` until it is done."""

    due: bool
    pending: bool

    def write(self) -> None:
        """Write, in the thread; what it raises is given to `failed`, on the event loop."""

    def failed(self, error: Exception) -> None:
        """Hear of a failure."""


class Call(msgspec.Struct, order=True):
    """A call that is due at a time, in the order of its making, or up to `slack` seconds before."""

    when: float
    order: int
    slack: float
    call: Callable[[], object] | None

    def is_due(self, now: float) -> bool:
        """Whether it may go; at once if it was taken back."""
        return self.call is None or self.when - self.slack <= now


class Hub:
    """Calls what is due in time, and writes what is due on disk: one hop at a time for all of it.

    Each build enters it and leaves it; the last one to leave ends what was started here.
    """

    def __init__(self, key: tuple[str | None, int], clock: Clock) -> None:
        self._key = key
        self.clock = clock
        self.locks = Locks()
        self._writer = Writer()
        self._write_in_thread = aiofiles.os.wrap(self._write_due)
        self.builds = 0
        self._calls: list[Call] = []
        self._order = count()
        self._timer: asyncio.Task[None] | None = None
        self._wakes = inf  # when the timer does
        self._hop: asyncio.Task[None] | None = None
        self._hung = False
        self._due: deque[Job] = deque()

    @classmethod
    def enter(cls, root: str | None, clock: Clock) -> "Hub":
        """Return that of the running event loop for a root (None: no disk) and a clock."""
        key = root, id(clock)
        hub = _hubs().setdefault(key, cls(key, clock))
        hub.builds += 1
        return hub

    @property
    def is_writing(self) -> bool:
        """Whether something is on its way to disk."""
        return self._hop is not None

    async def leave(self) -> None:
        """Count one build less; the last one ends the timer, and a hop that hangs."""
        self.builds -= 1
        if not self.builds:
            del _hubs()[self._key]
            if self._due:  # a hop that hung has just come back, and not seen it
                self._writer.submit(self._write_due)
            self._writer.shutdown()
            tasks = [task for task in (self._timer, self._hop) if task]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def call_at(self, when: float, call: Callable[[], object], *, slack: float = 0.0) -> "Call":
        """Call at a time of the clock, or up to `slack` seconds earlier along with another call."""
        entry = Call(when, next(self._order), slack, call)
        heappush(self._calls, entry)
        if when < self._wakes:
            self._wakes = when
            if self._timer:
                self._timer.cancel()
            self._timer = asyncio.create_task(self._run())
        return entry

    async def hangs(self, work: "asyncio.Future[Any]", seconds: float = PATIENCE) -> bool:
        """Wait for `work` for some seconds; return whether it takes longer."""
        enough = asyncio.Event()
        work.add_done_callback(lambda _: enough.set())
        limit = self.call_at(self.clock.monotonic() + seconds, enough.set)
        try:
            await enough.wait()
        finally:
            limit.call = None
        return not work.done()

    def write(self, job: Job) -> None:
        """Have a thread write the files of a build, behind what is due."""
        if not job.due:
            job.due = job.pending = True
            self._due.append(job)
        if not self._hop:
            self._hop = asyncio.create_task(self._write())

    async def settle(self, job: Job, *, last: bool = False) -> None:
        """Return when the files are written, or that has failed or hangs.

        A disk that is known to hang is only waited for when it is for the last time.
        """
        while self._hop and job.pending and (last or not self._hung):
            self._hung = await self.hangs(self._hop, LAST_PATIENCE if self._hung else PATIENCE)
            last = last and not self._hung

    async def _run(self) -> None:
        while self._calls:
            self._wakes = self._calls[0].when
            await self.clock.sleep(self._wakes - self.clock.monotonic())
            self._wakes = -inf  # what is added meanwhile is seen here
            now = self.clock.monotonic()
            while self._calls and self._calls[0].is_due(now):
                if call := heappop(self._calls).call:
                    call()
        self._timer, self._wakes = None, inf

    async def _write(self) -> None:
        try:
            landed = await self._write_in_thread(executor=self._writer)
        except OSError as error:  # no thread is to be had
            landed = self._write_due(error)
        self._hung = False
        for job, failure in landed:
            job.pending = job.due  # if so, it is for the next hop
            if failure:
                job.failed(failure)
        self._hop = asyncio.create_task(self._write()) if self._due else None

    def _write_due(self, refusal: Exception | None = None) -> list[tuple[Job, Exception | None]]:
        """Write in this thread, or fail at once with `refusal`; return how it went."""
        landed: list[tuple[Job, Exception | None]] = []
        while self._due:
            job = self._due.popleft()
            job.due = False  # first: what is new from here on is due again
            try:
                if refusal:
                    raise refusal
                job.write()
                landed.append((job, None))
            except Exception as error:
                landed.append((job, error))
        return landed


_var: RunVar[dict[tuple[str | None, int], Hub] | None] = RunVar("guardkit.progress.hubs")


def _hubs() -> dict[tuple[str | None, int], Hub]:
    """Return those of the running event loop."""
    hubs = _var.get(None)
    if hubs is None:
        _var.set(hubs := {})
    return hubs


def is_writing(clock: Clock) -> bool:
    """Say whether something is on its way to disk for builds with this clock."""
    return any(hub.is_writing for hub in _hubs().values() if hub.clock is clock)

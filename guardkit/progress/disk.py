"""The writing below one root: a hop to a thread at a time, for all builds that have news.

So a thousand builds cost neither a thousand tasks nor a thousand threads, and a mount that hangs
holds up none of those that are elsewhere.
"""

import asyncio
from collections import defaultdict, deque
from contextlib import suppress
from functools import partial
from typing import Protocol

from guardkit.clock import Clock
from guardkit.progress.lock import Locks
from guardkit.progress.timer import Timer
from guardkit.progress.worker import Writer

# Seconds that a disk which hangs holds a build up: once, and at its end, as it may be coming back.
PATIENCE, LAST_PATIENCE = 0.8, 0.2
LOOK_EVERY = 1.0  # seconds between two looks whether the lock files are still there


class Job(Protocol):
    """Files that a thread writes: `due` while they wait for it; how often they did, and were."""

    due: bool
    queued: int
    landed: int

    def write(self) -> None:
        """Write what is newest, in the thread; what it raises is given to `failed`."""

    def failed(self, error: Exception) -> None:
        """Hear of a failure, on the event loop."""


Landed = list[tuple[Job, Exception | None]]


class Disk:
    """Has a thread write what is due, in rounds, each one hop, so that each build has its turn.

    It is behind when a build has waited for it in vain, until it has caught up.
    """

    def __init__(self, timer: Timer, clock: Clock) -> None:
        self._timer = timer
        self._clock = clock
        self.locks: dict[str, Locks] = defaultdict(Locks)
        self._writer = Writer()
        self._writing = False  # a round is under way,
        self._began = 0.0  # since when
        self._looked = 0.0  # when it was seen to that the lock files are still there
        self._due: deque[Job] = deque()
        self._waiting: dict[asyncio.Future[None], tuple[Job, int]] = {}  # for which write
        self._written = 0  # jobs so far
        self._behind = False

    @property
    def is_writing(self) -> bool:
        """Whether something is on its way to disk."""
        return self._writing or bool(self._due)

    def put(self, job: Job) -> None:
        """Have a job written in the next round, which begins at once unless one is under way."""
        if not job.due:
            job.due = True
            job.queued += 1
            self._due.append(job)
            self._start()

    async def settle(self, job: Job, *, last: bool = False) -> None:
        """Return when what was put is written, or has failed, or takes too long.

        A disk that is behind is only waited for when it is for the last time, and then again for
        as long as it writes anything at all.
        """
        if self._behind and not last:
            return
        written, patience = self._written, LAST_PATIENCE if self._behind else PATIENCE
        self._behind = not await self._lands(job, patience)
        if self._behind and last and written != self._written:
            self._behind = not await self._lands(job, PATIENCE)

    def close(self) -> None:
        """Let the thread end when what is due is written; it is not waited for."""
        if self._due:  # for a round that will not begin any more
            self._writer.run(self._write_due, self._end)
        self._writer.shutdown()

    async def _lands(self, job: Job, seconds: float) -> bool:
        """Wait until what was put is written or has failed; return whether it is in time."""
        number, enough = job.queued, asyncio.get_running_loop().create_future()
        if job.landed < number:
            limit = self._timer.call_in(seconds, partial(_resolve, enough))
            self._waiting[enough] = job, number
            try:
                await enough
            finally:
                limit.cancel()
                del self._waiting[enough]
        return job.landed >= number

    def _start(self) -> None:
        """Begin a round, unless one is under way or nothing is due."""
        if self._writing or not self._due:
            return
        self._began = self._clock.monotonic()
        if self._began >= self._looked + LOOK_EVERY:
            self._looked = self._began
            for locks in self.locks.values():
                locks.sure = False
        try:
            self._writer.run(self._write_due, self._end)
            self._writing = True
        except OSError as error:  # no thread is to be had
            self._end(self._write_due(error))

    def _end(self, landed: Landed) -> None:
        """End a round, begin the next one, and then tell of what has failed."""
        self._writing = False
        for job, _ in landed:
            job.landed += 1
        for enough, (job, number) in self._waiting.items():
            if job.landed >= number:
                _resolve(enough)
        self._behind = bool(self._due) and self._clock.monotonic() - self._began > PATIENCE
        self._start()
        for job, error in landed:
            if error:
                job.failed(error)

    def _write_due(self, refusal: Exception | None = None) -> Landed:
        """Write in this thread, or fail at once with `refusal`; return how it went."""
        landed: Landed = []
        for _ in range(len(self._due)):
            job = self._due.popleft()
            job.due = False  # first: what is new from here on is due again
            try:
                if refusal:
                    raise refusal
                job.write()
                landed.append((job, None))
            except Exception as error:
                landed.append((job, error))
            self._written += 1
        return landed


def _resolve(future: asyncio.Future[None]) -> None:
    with suppress(asyncio.InvalidStateError):  # it was resolved, or cancelled, before
        future.set_result(None)

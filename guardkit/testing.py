"""Public fakes: a clock that moves when told to, and a sink that remembers."""

import asyncio
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import count

from guardkit.progress.snapshot import Snapshot

POLL = 0.0005  # real seconds between two looks whether I/O in flight has ended
QUIET = 50  # turns of the event loop after which nothing more is under way


class FakeClock:
    """A clock for tests: time stands still until `advance` moves it.

    The clock begins at 2025-01-31 12:34:56 UTC, with `monotonic()` at 0. I/O that takes more than
    `hung_after` real seconds counts as hung, and `advance` waits for it no longer.
    """

    def __init__(self, *, hung_after: float = 5.0) -> None:
        self._hung_after = hung_after
        self._monotonic = 0.0
        self._wall_at_zero = datetime(2025, 1, 31, 12, 34, 56, tzinfo=UTC)
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()
        self._in_flight = 0

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""
        return self._wall_at_zero + timedelta(seconds=self._monotonic)

    def monotonic(self) -> float:
        """Return how many seconds `advance` has moved the clock by."""
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        """Return when the clock has been advanced by `seconds`."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        due = asyncio.get_running_loop().create_future()
        heappush(self._sleepers, (self._monotonic + seconds, next(self._order), due))
        await due

    @contextmanager
    def busy(self) -> Generator[None]:
        """Have `advance` wait until this is left again: it stands round I/O in flight."""
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    def jump(self, seconds: float) -> None:
        """Step the wall clock, either way, as a person or a time server does."""
        self._wall_at_zero += timedelta(seconds=seconds)

    async def advance(self, seconds: float) -> None:
        """Move time on, stopping at each instant for which a task sleeps.

        Returns when all that was due, writes in flight included, has happened.
        """
        if seconds < 0:
            raise ValueError(
                f"{seconds=}: time does not run backwards; `jump` steps the wall clock"
            )
        end = self._monotonic + seconds
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            self._monotonic, _, due = heappop(self._sleepers)
            if not due.done():
                due.set_result(None)
                await self._settle()
        self._monotonic = end
        await self._settle()

    async def _settle(self) -> None:
        """Let the event loop turn until nothing is on its way, I/O in flight included."""
        started, quiet = time.monotonic(), 0
        while quiet < QUIET:
            busy = self._in_flight > 0
            await asyncio.sleep(POLL if busy else 0)  # a loop that spins would hold up the threads
            quiet += 1
            if busy and time.monotonic() - started < self._hung_after:
                quiet = 0


class MemorySink:
    """A sink that keeps what it is given, in order, in `snapshots`."""

    def __init__(self, *, transitions: bool = False) -> None:
        self.transitions = transitions
        self.snapshots: list[Snapshot] = []
        self.closed = False

    async def write(self, snapshot: Snapshot, /) -> None:
        """Keep the snapshot."""
        self.snapshots.append(snapshot)

    async def aclose(self) -> None:
        """Remember that the build has closed this sink."""
        self.closed = True

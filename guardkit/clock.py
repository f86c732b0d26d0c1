"""The only place that reads a clock or sleeps."""

from __future__ import annotations

import time
from contextlib import nullcontext
from datetime import UTC, datetime

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Protocol
else:
    Protocol = object


class Clock(Protocol):
    """What the rest of the package knows of time."""

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC. It may step either way: only for showing."""
        ...

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start, never stepping back: for durations."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` have passed; at once where that is zero or less."""
        ...

    def busy(self) -> AbstractContextManager[object]:
        """Return what is entered while I/O is in flight, for a clock that has to wait for it."""
        ...


class SystemClock:
    """The machine's clocks and the event loop's timers."""

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return `time.monotonic()`, seconds; on Linux of this boot, for all processes alike."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`, by the running event loop's timers."""
        import asyncio  # here, as a reader of the time alone need not wait for it

        await asyncio.sleep(seconds)

    def busy(self) -> AbstractContextManager[object]:
        """Return a context manager that does nothing: time does not wait."""
        return nullcontext()


SYSTEM_CLOCK = SystemClock()

"""The only place that reads a clock."""

import time
from datetime import UTC, datetime
from typing import Protocol


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


class SystemClock:
    """The machine's clocks and the event loop's timers."""

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return `time.monotonic()`, seconds."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`, by the running event loop's timers."""
        import asyncio  # here, as a reader of the time alone need not wait for it

        await asyncio.sleep(seconds)


SYSTEM_CLOCK = SystemClock()

"""The only place that reads a clock or sleeps."""

from __future__ import annotations

import os
import time
from contextlib import nullcontext, suppress

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from datetime import datetime
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


def _find_shift() -> float:
    """Return by how many seconds the monotonic clock of this process is ahead of the machine's.

    A container may have a time namespace, and so a clock, of its own on the same boot of Linux.
    """
    with suppress(OSError, ValueError), open("/proc/self/timens_offsets", encoding="utf-8") as file:
        offsets = {name: int(s) + int(ns) / 1e9 for name, s, ns in map(str.split, file)}
        # They are those of the children, which may be in another namespace than this process.
        if os.readlink("/proc/self/ns/time") == os.readlink("/proc/self/ns/time_for_children"):
            return offsets.get("monotonic", 0.0)
    return 0.0


class SystemClock:
    """The machine's clocks and the event loop's timers."""

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""
        import datetime  # here, as who needs the monotonic clock alone starts sooner

        return datetime.datetime.now(datetime.UTC)

    def monotonic(self) -> float:
        """Return seconds of a clock that, on Linux, all processes of this boot have in common.

        It is `time.monotonic()`, less by what the time namespace of a container adds to that. A
        process that enters another one after the first import of this module is not seen to do so.
        """
        return time.monotonic() - SHIFT

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`, by the running event loop's timers."""
        import asyncio  # here, as a reader of the time alone need not wait for it

        await asyncio.sleep(seconds)

    def busy(self) -> AbstractContextManager[object]:
        """Return a context manager that does nothing: time does not wait."""
        return nullcontext()


SHIFT = _find_shift()
SYSTEM_CLOCK = SystemClock()

"""One sleeping task for all that is due in time, whatever the clock."""

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import Any

import msgspec

from guardkit.clock import Clock


class Call(msgspec.Struct, order=True):
    """A call that is due at a time, in the order of its making, or up to `slack` seconds before."""

    when: float
    order: int
    slack: float
    function: Callable[[], object] | None

    def cancel(self) -> None:
        """Take it back."""
        self.function = None


class Timer:
    """Makes calls when they are due, from the first that is asked for until it is closed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._calls: list[Call] = []  # a heap
        self._order = count()
        self._task: asyncio.Task[None] | None = None
        self._wakes = inf  # when the task does

    def call_at(self, when: float, function: Callable[[], object], *, slack: float = 0.0) -> Call:
        """Call at a time of the clock, or up to `slack` seconds earlier along with another call."""
        call = Call(when, next(self._order), slack, function)
        heappush(self._calls, call)
        if when < self._wakes:
            self._wakes = when
            if self._task:
                self._task.cancel()
            self._start()
        return call

    def call_in(self, seconds: float, function: Callable[[], object]) -> Call:
        """Call some seconds from now."""
        return self.call_at(self._clock.monotonic() + seconds, function)

    async def hangs(self, work: "asyncio.Future[Any]", seconds: float) -> bool:
        """Wait for `work` for some seconds; return whether it takes longer."""
        enough = asyncio.Event()
        work.add_done_callback(lambda _: enough.set())
        limit = self.call_in(seconds, enough.set)
        try:
            await enough.wait()
        finally:
            limit.cancel()
        return not work.done()

    async def close(self) -> None:
        """Make no more calls, and end what was started here."""
        self._calls.clear()
        if task := self._task:
            task.cancel()
            await asyncio.wait({task})

    def _start(self) -> None:
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task is self._task:
            self._task, self._wakes = None, inf
            if self._calls:  # somebody has cancelled all tasks, or a call has failed
                self._start()

    async def _run(self) -> None:
        while self._calls:
            self._wakes = self._calls[0].when
            await self._clock.sleep(self._wakes - self._clock.monotonic())
            self._wakes = -inf  # what is added meanwhile is seen here
            now = self._clock.monotonic()
            while self._calls and (call := self._calls[0]).when - call.slack <= now:
                heappop(self._calls)
                if call.function:
                    call.function()
        self._wakes = inf

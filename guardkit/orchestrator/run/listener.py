"""What a command prints, told to its build: the latest line, and how far it says that it is."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from guardkit.clock import Clock
from guardkit.orchestrator.run.lines import Lines
from guardkit.orchestrator.run.printed import find_tests, find_work
from guardkit.progress.scopes import Phase

PAUSE = 0.1  # seconds between two looks at what has come
MESSAGE_MAX = 200  # characters
SUSPENDED = "suspended"


class Listener:
    """Tells a phase what comes of some outputs; made on the event loop.

    outputs: what stands for each, such as its descriptor.
    """

    def __init__(self, phase: Phase, outputs: Iterable[int], clock: Clock) -> None:
        self._phase = phase
        self._clock = clock
        self._lines = {output: Lines() for output in outputs}
        self._latest = -1  # the output that something has come of last
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._is_rung = False  # somebody has set, or will set, the event
        self._message = ""
        self._is_silent = False

    def hear(self, output: int, chunk: bytes) -> None:
        """Take what has come of an output; for one thread an output."""
        self._lines[output].feed(chunk)
        self._latest = output
        if not self._is_rung:
            self._is_rung = True
            with suppress(RuntimeError):  # the event loop is closed
                self._loop.call_soon_threadsafe(self._news.set)

    async def follow(self) -> None:
        """Tell what comes, for ever.

        A line that has not ended, such as a question, counts as soon as nothing follows it.
        """
        while True:
            await self._news.wait()
            self._news.clear()
            self._is_rung = False
            await self._clock.sleep(PAUSE)
            self.tell(whole=not self._news.is_set())

    def tell(self, *, whole: bool) -> None:
        """Tell what has come; `whole`: also of lines that have not ended."""
        self._phase.touch()
        lines = list[str]()
        for output in sorted(self._lines, key=self._latest.__eq__):
            lines += self._lines[output].take(whole=whole)
        for work in [work for work in map(find_work, lines) if work][-1:]:
            self._phase.count(work.done, work.total, work.unit)
        for tests in [tests for tests in map(find_tests, lines) if tests][-1:]:
            self._phase.update(tests_passed=tests.passed, tests_total=tests.total)
        if lines:
            self._message = lines[-1].strip()[:MESSAGE_MAX]
            self._say(self._message)

    def fall_silent(self) -> None:
        """Say that the command is suspended, and nothing else until it goes on."""
        self._say(SUSPENDED)
        self._is_silent = True

    def go_on(self) -> None:
        """Say again what the command has said."""
        if self._is_silent:
            self._is_silent = False
            self._say(self._message)

    def _say(self, message: str) -> None:
        if not self._is_silent:
            self._phase.update(message=message)

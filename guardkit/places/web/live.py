"""Tells browsers what is new of all builds, as soon as it is known."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

from guardkit.clock import Clock
from guardkit.errors import GuardKitError
from guardkit.places.web.board import Board
from guardkit.places.web.histories import Histories, soon
from guardkit.places.web.pages import Pages
from guardkit.places.web.projects import Key, Project
from guardkit.places.web.seen import Seen
from guardkit.places.web.stream import Browser, encode
from guardkit.places.web.watching import SHARE, TICK, Watching
from guardkit.progress.paths import is_task_id

TICK_MAX = 50  # builds of which figures that grow with time are told anew, at a time
PACE = 2e-3  # seconds of rest for each build that was told of, so that many cost no more
REST_MAX = 2.0  # seconds
MOVES = 5  # builds that cost as much to put in order as to tell of one
PATIENCE = 0.5  # seconds that a page waits for the latest figures
BREAK_MAX = 10.0  # seconds between two times that journals are read
GROWS = 5  # ticks after which what the journal tells of an open phase is told anew


class Live:
    """The builds of some projects, as they are now, and who looks on; a context manager.

    A defect of ours ends the block, by an ExceptionGroup: what stands still must not look alive.

    projects: by slug. looks: the newest look at each build. board: the page of all builds.
    histories: what the journals tell. pages: makes HTML.
    """

    def __init__(self, projects: Sequence[Project], clock: Clock) -> None:
        seen = Seen()
        self.looks, self.pages = seen.looks, Pages()
        self.projects = {each.slug: each for each in projects}
        self.board = Board(projects, seen, self.pages, clock)
        self.histories = Histories(projects, seen.looks, self.pages, clock)
        self._seen, self._clock = seen, clock
        self._watches = [Watching(each, seen, clock, self._hear) for each in projects]
        self._browsers: set[Browser] = set()
        self._news, self._stirs = asyncio.Event(), asyncio.Event()
        self._stirred: dict[Key, None] = {}
        self._group = asyncio.TaskGroup()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        work = [self._tell(), self._tick(), self._tell_histories()]
        work += [each.watch() for each in self._watches]
        work += [each.keep_up(lambda: bool(self._browsers)) for each in self._watches]
        self._tasks = [self._group.create_task(each) for each in work]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await self._group.__aexit__(kind, error, trace)
        await self.histories.close()

    @contextmanager
    def joined(self, key: Key | None) -> Generator[Browser]:
        """Have a browser told what is new: of all builds, or of one for its own page."""
        self._send()
        browser = Browser(key, lambda: self._whole(key))
        self._browsers.add(browser)
        if key:
            self._stir(key)
        try:
            yield browser
        finally:
            self._browsers.discard(browser)

    async def freshen(self) -> None:
        """Bring up to date what nobody looks on at, unless that takes long."""
        if await soon(self._clock, self._refresh(), PATIENCE):
            self._seen.age(len(self.looks))
        self._send()

    async def knows(self, key: Key) -> bool:
        """Return whether there is such a build; one that has just begun is looked for."""
        slug, task_id = key
        if key not in self.looks and slug in self.projects and is_task_id(task_id):
            with suppress(GuardKitError, OSError):
                looking = self.projects[slug].source.look([task_id])
                for look in await soon(self._clock, looking, PATIENCE) or ():
                    self._seen.take(slug, look)
        return key in self.looks

    def own_sum(self, key: Key) -> str:
        """Return how one build stands, for its own page."""
        return self.pages.sum(self.pages.sum_of(self.board.view(key)))

    async def _refresh(self) -> bool:
        return any([await each.refresh() for each in self._watches])

    def _whole(self, key: Key | None) -> bytes:
        """Return all that is on a page and changes, but for what the journal tells."""
        if key is None:
            total = self.pages.sum(self.board.sum())
            return encode([self.board.whole(), total.encode()])
        if key not in self.looks:  # it is gone since
            return b""
        return self._encode_own(key, [*self.board.render(key).values()])

    def _encode_own(self, key: Key, parts: Sequence[str]) -> bytes:
        return encode(each.encode() for each in (*parts, self.own_sum(key)))

    def _hear(self, key: Key | None) -> None:
        """Take note that there is news."""
        if key:
            self._stir(key)
        self._news.set()

    def _stir(self, key: Key) -> None:
        """Have what the journal of a build tells told anew, if anybody looks at it."""
        if any(browser.key == key for browser in self._browsers):
            self._stirred.setdefault(key)
            self._stirs.set()

    async def _tell(self) -> None:
        """Tell what is new: the first change at once, many of them together."""
        while True:
            await self._news.wait()
            self._news.clear()
            told = self._send() if self._browsers else 0
            await self._clock.sleep(min(PACE * told, REST_MAX))

    def _send(self) -> int:
        """Send what is new to all browsers; return how much that is, in builds.

        The page of a build that is gone is told nothing more, so that it does not look live.
        """
        news = self.board.tell()
        rows = (part for parts in news.parts.values() for part in parts)
        event = encode(each.encode() for each in (*news.page, *rows)) if self._browsers else b""
        own: dict[Key, bytes] = {}
        for browser in self._browsers:
            if (key := browser.key) is None:
                browser.put(event)
            elif key not in self.looks:
                browser.end()
            elif news.page or key in news.parts:
                own[key] = own.get(key) or self._encode_own(key, news.parts.get(key, ()))
                browser.put(own[key])
        return len(news.parts) + (len(self.looks) // MOVES if news.page else 0)

    async def _tick(self) -> None:
        """Have figures that grow with time told anew."""
        ticks = 0
        while True:
            await self._clock.sleep(TICK)
            if self._browsers:
                self._seen.age(TICK_MAX)
                self._news.set()
            ticks = (ticks + 1) % GROWS
            for browser in self._browsers if not ticks else ():
                if browser.key:
                    self._stir(browser.key)

    async def _tell_histories(self) -> None:
        while True:
            await self._stirs.wait()
            self._stirs.clear()
            began = self._clock.monotonic()
            while self._stirred:
                key = next(iter(self._stirred))
                del self._stirred[key]
                if key not in self.looks:  # it is gone since
                    continue
                event = encode([(await self.histories.read(key)).encode()])
                for browser in self._browsers:
                    if browser.key == key:
                        browser.put(event)
            spent = self._clock.monotonic() - began
            await self._clock.sleep(min(max(TICK, spent / SHARE), BREAK_MAX))

"""Rounds of writing: one hop to a thread for all builds of a root that have news.

So 1,000 builds cost neither 1,000 tasks nor 1,000 threads, and a mount that hangs holds up none of
the builds that are elsewhere.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import aiofiles.os

from guardkit.clock import Clock
from guardkit.errors import BuildAlreadyRunningError, GuardKitError, MisuseError
from guardkit.progress.files import LET_GO, Files, Landed, Place, Work, work_off
from guardkit.progress.shared import Shared
from guardkit.progress.sinks import LAST, PATIENCE, RETRY, Warner
from guardkit.progress.state import EVENTS_MAX, News
from guardkit.progress.timer import Call, Timer
from guardkit.progress.worker import Worker

# A disk that hangs holds a build up for PATIENCE seconds, once, and for so many at its end.
LAST_PATIENCE = 0.2
CHECK_EVERY = 1.0  # seconds between two looks whether the folder and its lock are still in place
TRY_EVERY = 0.1  # seconds between two tries to write the end of a build, for LAST seconds
LOOKS, LOOK_EVERY = 20, 0.01  # at who has taken a task, and every how many seconds

_work_off = aiofiles.os.wrap(work_off)


class Round:
    """What one hop to the thread does for which builds, and how that went."""

    def __init__(self) -> None:
        self.work: dict[FileDelivery, Work] = {}
        self._landed: dict[FileDelivery, Landed] | None = None
        self._waiting: list[asyncio.Future[None]] = []

    def add(self, files: "FileDelivery", work: Work) -> None:
        """Add what is to be done for a build, behind what there is."""
        before = self.work.get(files)
        self.work[files] = before.then(work) if before else work

    def land(self, landed: Sequence[Landed]) -> None:
        """Set how it went, for each piece of work, and wake those who wait."""
        self._landed = dict(zip(self.work, landed, strict=True))
        for enough in self._waiting:
            _resolve(enough)

    def of(self, files: "FileDelivery") -> Landed | None:
        """Return how it went for a build, None as long as that is not known."""
        return self._landed.get(files) if self._landed else None

    async def lands(self, timer: Timer, seconds: float) -> bool:
        """Wait for some seconds; return whether it has landed."""
        if self._landed is None:
            enough = asyncio.get_running_loop().create_future()
            limit = timer.call_in(seconds, partial(_resolve, enough))
            self._waiting.append(enough)
            try:
                await enough
            finally:
                limit.cancel()
                self._waiting.remove(enough)
        return self._landed is not None


class Disk(Shared):
    """The writing below one root, for all builds of an event loop and a clock.

    Behind: a round took longer than anybody waits. Until a round is in time again, nobody waits.
    """

    def __init__(self, root: str, clock: Clock) -> None:
        self._clock = clock
        self.place = Place(root, clock)
        self._worker = Worker()
        self._next = Round()  # collects while the one before it is written
        self._checked = 0.0  # when it was seen that all is in place
        self._writing = self._behind = self._closed = False

    def put(self, files: "FileDelivery", work: Work) -> Round:
        """Have something done in the next round, which begins at once unless one is under way."""
        round_ = self._next
        round_.add(files, work)
        self._start()
        return round_

    async def settle(self, timer: Timer, round_: Round, *, last: bool = False) -> None:
        """Return when a round has landed, or takes too long.

        A disk that is behind is only waited for when it is for the last time, and then again for
        as long as it writes anything at all.
        """
        if self._behind and not last:
            return
        written, patience = self.place.written, LAST_PATIENCE if self._behind else PATIENCE
        self._behind = not await round_.lands(timer, patience)
        if self._behind and last and written != self.place.written:
            self._behind = not await round_.lands(timer, PATIENCE)

    async def call(self, function: Callable[..., Any], *arguments: object) -> Any:
        """Return what a function returns that the thread calls."""
        with self._clock.busy():
            return await aiofiles.os.wrap(function)(*arguments, executor=self._worker)

    async def close(self) -> None:
        """Let the thread end when what is due is written; a disk that hangs is not waited for."""
        self._closed = True
        with suppress(OSError):
            if self._next.work:  # behind a round that hangs
                self._worker.submit(work_off, self.place, self._works(self._next), check=True)
            self._worker.submit(self.place.close)
        self._worker.shutdown()

    def _start(self) -> None:
        if self._next.work and not self._writing and not self._closed:
            round_, self._next = self._next, Round()
            self._writing = True
            _drive(self._write(round_))

    async def _write(self, round_: Round) -> None:
        began = self._clock.monotonic()
        check = began >= self._checked + CHECK_EVERY
        self._checked = began if check else self._checked
        try:
            with self._clock.busy():
                works = self._works(round_)
                landed = await _work_off(self.place, works, check=check, executor=self._worker)
        except Exception as error:  # of aiofiles and the thread: perhaps there is none to be had
            landed = [Landed(error=error) for _ in round_.work]
        self._writing = False
        self._behind = self._clock.monotonic() - began > PATIENCE
        round_.land(landed)
        self._start()
        for (files, work), each in zip(round_.work.items(), landed, strict=True):
            files.landed(work, each)

    def _works(self, round_: Round) -> list[tuple[Files, Work]]:
        return [(files.files, work) for files, work in round_.work.items()]


def _drive(hop: Coroutine[asyncio.Future[Any], None, None]) -> None:
    """Run a coroutine that awaits futures, without a task.

    A task would cost two more turns of the event loop, a fifth of a transition, and end where
    somebody cancels all tasks.
    """
    waits = hop.__await__()

    def go_on(_: object = None) -> None:
        if future := next(waits, None):
            future.add_done_callback(go_on)

    go_on()


def _resolve(future: "asyncio.Future[None]") -> None:
    if not future.done():  # else it was resolved, or cancelled, before
        future.set_result(None)


class FileDelivery:
    """Brings one build to its files, in spite of failures; `landed` hears how each write went."""

    def __init__(
        self, root: str, task_id: str, run_id: str, landed: Callable[[Landed], object]
    ) -> None:
        with suppress(FileNotFoundError):  # the working directory, which the build may change
            root = os.path.abspath(root)
        self.files = Files(task_id, run_id)
        self.folder = f"{root}/.guardkit/autobuild/{task_id}"
        self._root = root
        self._task_id = task_id
        self._landed = landed
        self._warner = Warner(f"writing below {self.folder!r}")
        self._left: News | None = None  # what could not be written
        self._retry: Call | None = None  # when it is tried again
        self._ending = self._over = False  # nothing more is published, or is to be written

    async def open(self, timer: Timer) -> str | None:
        """Take the task; return which lock proves it.

        Raises BuildAlreadyRunningError, and MisuseError where the root is no folder.
        """
        self._timer = timer
        self._disk = Disk.join(self._root, timer.clock)
        round_ = self._disk.put(self, Work())
        await self.settle(round_)
        landed = round_.of(self) or Landed()
        if isinstance(landed.error, BuildAlreadyRunningError | MisuseError):
            self._over = True
            if isinstance(landed.error, MisuseError):
                raise landed.error
            who, see = await self._holder(), f"see `guardkit status {self._task_id}`"
            raise BuildAlreadyRunningError(f"{self._task_id} is being built by {who}: {see}")
        return landed.lock

    def put(self, news: News) -> Round | None:
        """Have news written, behind what could not be; return the round that does so."""
        if self._over:
            return None
        if self._left:
            news, self._left = self._left.then(news), None
        round_ = self._disk.put(self, Work(news))
        if (due := round_.work[self].news) and due.lost:
            self._warner.warn("lost", f"the journal lost events, as {EVENTS_MAX} of them wait")
        return round_

    async def settle(self, round_: Round) -> None:
        """Return when a round has landed, or takes too long."""
        await self._disk.settle(self._timer, round_)

    def landed(self, work: Work, landed: Landed) -> None:
        """Hear how a write went; what has failed is tried again in a while."""
        if landed.doubt:
            self._warner.warn("unproven", f"no proof of life: {landed.doubt}")
        self._over = self._over or landed.over
        if isinstance(landed.error, BuildAlreadyRunningError | MisuseError):
            self._over = True
            if work.news:
                self._warner.warn("taken", str(landed.error))
        elif landed.error:
            self._warner.failed(landed.error)
            if work.news and not self._over:
                self._left = work.news.then(self._left) if self._left else work.news
                if not self._ending:
                    self._retry = self._retry or self._timer.call_in(RETRY, self._again)
        if work.news:
            self._landed(landed)

    async def finish(self, last: Round | None) -> None:
        """Wait for the end to be on disk, tried again for two seconds; then give the task back."""
        clock = self._timer.clock
        until, self._ending = clock.monotonic() + LAST, True
        if self._retry:
            self._retry.cancel()
        landed: Landed | None = Landed()
        while last:
            await self._disk.settle(self._timer, last, last=True)
            landed = last.of(self)
            if not landed or landed.over or isinstance(landed.error, FileNotFoundError):
                break  # it hangs, or is done, or nothing will bring the root back
            if clock.monotonic() + TRY_EVERY > until:
                break
            await clock.sleep(TRY_EVERY)
            news, self._left = self._left, None
            last = self._disk.put(self, Work(news)) if news else None
        if not self._over:
            self._over = True
            giving = self._disk.put(self, LET_GO)
            if landed:  # else the disk hangs, and was waited for
                await self._disk.settle(self._timer, giving, last=True)
        await self._disk.leave()

    def _again(self) -> None:
        self._retry = None
        if self._left and not self._over:
            news, self._left = self._left, None
            self._disk.put(self, Work(news))

    async def _holder(self) -> str:
        """Name who builds the task; a builder that has just begun is about to write so."""
        with suppress(GuardKitError, OSError):
            for _ in range(LOOKS):
                if who := await self._disk.call(self.files.holder, self._disk.place):
                    return str(who)
                await self._timer.clock.sleep(LOOK_EVERY)
        return "another process"

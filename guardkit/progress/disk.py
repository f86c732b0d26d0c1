"""Rounds of writing: one hop to a thread for all builds of a root that have news.

So 1,000 builds cost neither 1,000 tasks nor 1,000 threads, and a mount that hangs holds up none of
the builds that are elsewhere.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress

import aiofiles.os

from guardkit.clock import Clock
from guardkit.errors import BuildAlreadyRunningError, MisuseError
from guardkit.progress.files import Files, Landed, Work, work_off
from guardkit.progress.paths import build_dir
from guardkit.progress.place import Place
from guardkit.progress.shared import Shared
from guardkit.progress.sinks import LAST, PATIENCE, RETRY, Warner
from guardkit.progress.state import EVENTS_MAX, News
from guardkit.progress.timer import Call, Timer
from guardkit.progress.worker import Worker, drive

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
        self._heard: list[Callable[[Round], object]] = []

    def add(self, build: "FileDelivery", work: Work) -> None:
        """Add what is to be done for a build, behind what there is."""
        before = self.work.get(build)
        self.work[build] = before.then(work) if before else work

    def land(self, landed: Sequence[Landed]) -> None:
        """Set how it went, for each piece of work, and tell those who wait."""
        self._landed = dict(zip(self.work, landed, strict=True))
        for function in self._heard:
            function(self)

    def of(self, build: "FileDelivery") -> Landed | None:
        """Return how it went for a build, None as long as that is not known."""
        return self._landed.get(build) if self._landed else None

    def done(self) -> bool:
        """Return whether it has landed."""
        return self._landed is not None

    def add_done_callback(self, function: "Callable[[Round], object]") -> None:
        """Have a function called when it lands, at once."""
        self._heard.append(function)


class Disk(Shared):
    """The writing below one root, for all builds of an event loop and a clock.

    Behind: a round took longer than anybody waits. Until a round is in time again, nobody waits.
    """

    def __init__(self, root: str, clock: Clock) -> None:
        self.place = Place(root, clock)
        self._timer = Timer.join(clock)
        self._worker = Worker()
        self._next = Round()  # collects while the one before it is written
        self._checked = 0.0  # when it was seen that all is in place
        self._writing = self._behind = False

    def put(self, build: "FileDelivery", work: Work) -> Round:
        """Have something done in the next round, which begins at once unless one is under way."""
        round_ = self._next
        round_.add(build, work)
        self._start()
        return round_

    async def settle(self, round_: Round, *, last: bool = False) -> None:
        """Return when a round has landed, or takes too long.

        A disk that is behind is only waited for when it is for the last time, and then again for
        as long as it writes anything at all.
        """
        if self._behind and not last:
            return
        written, patience = self.place.written, LAST_PATIENCE if self._behind else PATIENCE
        self._behind = await self._timer.hangs(round_, patience)
        if self._behind and last and written != self.place.written:
            self._behind = await self._timer.hangs(round_, PATIENCE)

    async def close(self) -> None:
        """Let the thread end when what is due is written; a disk that hangs is not waited for."""
        round_, self._next = self._next, Round()
        with suppress(OSError):
            if round_.work:  # behind a round that hangs
                self._worker.submit(work_off, self.place, _list(round_), check=True)
            self._worker.submit(self.place.close)
        self._worker.shutdown()
        await self._timer.leave()

    def _start(self) -> None:
        if self._next.work and not self._writing:
            round_, self._next = self._next, Round()
            self._writing = True
            drive(self._write(round_))

    async def _write(self, round_: Round) -> None:
        began = self.place.clock.monotonic()
        check = began >= self._checked + CHECK_EVERY
        self._checked = began if check else self._checked
        landed = await self._hop(round_, check=check)
        if failed := isinstance(landed, Exception):
            for build, work in round_.work.items():
                self._next.work[build] = work.then(self._next.work.get(build, Work()))
            landed = [Landed(landed) for _ in round_.work]
        self._writing = False
        self._behind = self.place.clock.monotonic() - began > PATIENCE
        round_.land(landed)
        if not failed:
            self._start()
        for (build, work), each in zip(round_.work.items(), landed, strict=True):
            build.landed(work, each)

    async def _hop(self, round_: Round, *, check: bool) -> list[Landed] | Exception:
        """Return how it went, or why it never came to the thread."""
        try:
            with self.place.clock.busy():
                works = _list(round_)
                return await _work_off(self.place, works, check=check, executor=self._worker)
        except Exception as error:  # of aiofiles and the thread: perhaps there is none to be had
            return error


def _list(round_: Round) -> list[tuple[Files, Work]]:
    return [(build.files, work) for build, work in round_.work.items()]


class FileDelivery:
    """Brings one build to its files, in spite of failures.

    folder: the path of the folder of the files.
    landed: hears how each write went.
    """

    def __init__(
        self, root: str, task_id: str, run_id: str, landed: Callable[[Landed], object]
    ) -> None:
        with suppress(FileNotFoundError):  # the working directory, which the build may change
            root = os.path.abspath(root)
        self.files = Files(task_id, run_id)
        self.folder = build_dir(root, task_id)
        self._root = root
        self._landed = landed
        self._warner = Warner(f"writing below {self.folder!r}")
        self._retry: Call | None = None
        self._ending = self._over = False  # nothing more is published, or is to be written

    async def open(self, timer: Timer) -> str | None:
        """Take the task; return which lock proves it.

        Raises BuildAlreadyRunningError, and MisuseError where the root is no folder.
        """
        self._timer, self._disk = timer, Disk.join(self._root, timer.clock)
        landed = await self._take()
        for _ in range(LOOKS):  # who has just begun is about to write who it is
            if not isinstance(landed.error, BuildAlreadyRunningError) or landed.error.holder:
                break
            await timer.clock.sleep(LOOK_EVERY)
            landed = await self._take()
        if isinstance(landed.error, BuildAlreadyRunningError | MisuseError):
            self._over = True
            raise landed.error
        return landed.lock

    def put(self, news: News) -> Round | None:
        """Have news written; return the round that does so."""
        return None if self._over else self._disk.put(self, Work(news))

    async def settle(self, round_: Round) -> None:
        """Return when a round has landed, or takes too long."""
        await self._disk.settle(round_)

    def landed(self, work: Work, landed: Landed) -> None:
        """Hear how a write went; what has failed is tried again in a while."""
        if landed.doubt:
            self._warner.warn("unproven", f"no proof of life: {landed.doubt}")
        if landed.lost:
            self._warner.warn("lost", f"the journal lost events, as {EVENTS_MAX} of them wait")
        if isinstance(landed.error, BuildAlreadyRunningError | MisuseError):
            self._over = True
            if work.news:
                self._warner.warn("taken", str(landed.error))
        elif landed.error:
            self._warner.failed(landed.error)
            if not (self._retry or self._ending):
                self._retry = self._timer.call_in(RETRY, self._again)
        self._over = self._over or landed.over
        if work.news:
            self._landed(landed)

    async def finish(self, last: Round | None) -> None:
        """Wait for the end to be on disk, tried again for two seconds; then give the task back."""
        clock = self._timer.clock
        until, self._ending = clock.monotonic() + LAST - TRY_EVERY, True
        if self._retry:
            self._retry.cancel()
        landed: Landed | None = Landed()
        while last:
            await self._disk.settle(last, last=True)
            landed = last.of(self)
            if not landed or landed.over or isinstance(landed.error, FileNotFoundError):
                break  # it hangs, or is done, or nothing will bring the root back
            if clock.monotonic() > until:
                break
            await clock.sleep(TRY_EVERY)
            last = self._disk.put(self, Work())
        if not self._over:
            self._over = True
            giving = self._disk.put(self, Work(last=True))
            if landed:  # else the disk hangs, and was waited for
                await self._disk.settle(giving, last=True)
        await self._disk.leave()

    async def _take(self) -> Landed:
        round_ = self._disk.put(self, Work())
        await self._disk.settle(round_)
        return round_.of(self) or Landed()

    def _again(self) -> None:
        self._retry = None
        self._disk.put(self, Work())

"""The files of a build's turns: read and written in a thread, as a disk may hang or be full.

What cannot be written is told, and the build goes on: they tell of it, and decide nothing. Only a
report that cannot be read is no proof.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from guardkit.clock import Clock
from guardkit.orchestrator.findings import CoachTurn
from guardkit.orchestrator.processes.rawlog import RawLog
from guardkit.orchestrator.proof.junit import Report
from guardkit.orchestrator.turn_files import (
    FEEDBACK,
    REQUEST,
    begin_log,
    clear_turns,
    make_room,
    read_report,
    read_turns,
    take,
    write_turn,
)
from guardkit.progress.folder import open_builds
from guardkit.progress.paths import build_dir
from guardkit.progress.timer import Timer
from guardkit.progress.worker import Worker

LIMIT, LIMIT_CANCELLED = 10.0, 0.5  # seconds that a disk may take, and when all is to end
LIMIT_REPORT = 600.0  # seconds in which a report is read

T = TypeVar("T")


class Documents:
    """The files of the turns of one task."""

    def __init__(self, root: Path, task_id: str, clock: Clock) -> None:
        self._root, self._task_id, self._clock = root, task_id, clock
        self.folder = Path(build_dir(root, task_id))
        self._worker = Worker()
        self._hung: asyncio.Future[Any] | None = None

    def close(self) -> None:
        """Let the thread end."""
        self._worker.shutdown()

    def report(self, turn: int) -> Path:
        """Return where the tests of a turn are to leave their report."""
        return self.folder / f"coach_turn_{turn}.xml"

    def said(self, turn: int) -> Path:
        """Return where the Player may leave its report of a turn."""
        return self.folder / f"player_turn_{turn}.json"

    @property
    def feedback(self) -> Path:
        """What the Coach has written last."""
        return self.folder / FEEDBACK

    def log(self, turn: int, who: str) -> RawLog:
        """Return what takes the stream of an agent, named for it and its turn."""
        name = f"{who}_turn_{turn}.jsonl"
        return RawLog(partial(self._open, begin_log, name), self._worker)

    async def taken(self) -> list[CoachTurn]:
        """Return the turns that an earlier run has completed, one after the other."""
        try:
            return await self._call(read_turns)
        except OSError:
            return []

    async def begin(self) -> str:
        """Remove what the turns of an earlier run have left; return what is in the way, or ""."""
        return await self._try(clear_turns)

    async def make_room(self, turn: int) -> tuple[int, str]:
        """Remove whatever is where a report is to be.

        Returns the time of now as the disk tells it, in nanoseconds; and why it cannot be, or "".
        """
        try:
            return await self._call(make_room, self.report(turn).name), ""
        except OSError as error:
            return 0, f"{error.filename or self.folder}: {error.strerror}"

    async def read(self, turn: int, since: int) -> tuple[Report | None, str]:
        """Return what the tests' report says; or None, and why, as the end of a sentence.

        since: when the tests began, as `make_room` tells.
        """
        try:
            return await self._call(read_report, self.report(turn).name, since, limit=LIMIT_REPORT)
        except OSError as error:
            return None, f"its report cannot be read: {error.strerror}"

    async def save(self, judged: CoachTurn) -> str:
        """Leave the documents of a turn; return what is to be told of that, or ""."""
        try:
            return await self._call(write_turn, judged)
        except OSError as error:
            return f"the documents of turn {judged.turn} cannot be written: {error.strerror}"

    async def cancelled_by(self) -> str | None:
        """Return who has asked for the end of the build by `guardkit cancel`, None for a signal."""
        try:
            who = await self._call(take, REQUEST, limit=LIMIT_CANCELLED)
        except OSError:
            return None
        return " ".join(filter(str.isprintable, who.decode(errors="replace").split()))

    async def _try(self, function: Callable[..., object], *args: object) -> str:
        try:
            await self._call(function, *args)
        except OSError as error:
            return f"{error.filename or self.folder}: {error.strerror}"
        return ""

    async def _call(self, function: Callable[..., T], *args: object, limit: float = LIMIT) -> T:
        """Return what a function returns of the build's folder, in the thread; raise OSError."""
        if self._hung and not self._hung.done():
            raise TimeoutError(0, "the disk hangs")
        timer = Timer.join(self._clock)
        try:
            work: asyncio.Future[T] = self._worker.submit(self._open, function, *args)
            work.add_done_callback(_see)
            with self._clock.busy():
                hangs = await timer.hangs(work, limit)
        finally:
            await timer.leave()
        if hangs:
            self._hung = work
            raise TimeoutError(0, "the disk hangs")
        return work.result()

    def _open(self, function: Callable[..., T], *args: object) -> T:
        with (
            open_builds(self._root, make=True) as builds,
            builds.folder(self._task_id, make=True) as folder,
        ):
            return function(folder, *args)


def _see(work: "asyncio.Future[Any]") -> None:
    """Look at what work has come to, for which nobody may wait any more."""
    if not work.cancelled():
        work.exception()

"""The files of a build's turns: read and written in a thread, as a disk may hang or be full.

What cannot be written is told, and the build goes on: they tell of it, and decide nothing. Only a
report that cannot be read is no proof.
"""

import asyncio
import os
import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from guardkit.clock import Clock
from guardkit.orchestrator.coach import NO_REPORT, CoachTurn, feedback, player_turn
from guardkit.orchestrator.environment import Secrets
from guardkit.orchestrator.folders import remove
from guardkit.orchestrator.junit import Report, ReportError, read_junit
from guardkit.orchestrator.rawlog import RawLog
from guardkit.progress.folder import Folder, open_builds, temporary
from guardkit.progress.paths import build_dir
from guardkit.progress.timer import Timer
from guardkit.progress.worker import Worker

FEEDBACK = "feedback.json"  # empty before the first turn
REQUEST = "cancel"  # who asks for the end of the build
TURN = re.compile(r"(player|coach|agent|coach_agent)_turn_.*")  # what tells of one
MAX_TURN = 2**26  # bytes of a document of ours
MAX_REQUEST = 200  # bytes
MAX_SAID = 2**20  # bytes of the Player's report; a longer one is none
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
        return RawLog(partial(self._open, _begin_log, name), self._worker)

    async def taken(self) -> list[CoachTurn]:
        """Return the turns that an earlier run has completed, one after the other."""
        try:
            return await self._call(_read_turns)
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
            return await self._call(_make_room, self.report(turn).name), ""
        except OSError as error:
            return 0, f"{error.filename or self.folder}: {error.strerror}"

    async def read(self, turn: int, since: int) -> tuple[Report | None, str]:
        """Return what the tests' report says; or None, and why, as the end of a sentence.

        since: when the tests began, as `make_room` tells.
        """
        try:
            return await self._call(_read, self.report(turn).name, since, limit=LIMIT_REPORT)
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
            who = await self._call(_take, REQUEST, limit=LIMIT_CANCELLED)
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


def _read(folder: Folder, name: str, since: int) -> tuple[Report | None, str]:
    try:
        with FileIO(folder.file(name)) as file:
            os.fchmod(file.fileno(), 0o600)  # it may hold whatever the tests have printed
            if os.fstat(file.fileno()).st_mtime_ns < since:
                return None, "its report is older than its run"
            return read_junit(file), ""
    except FileNotFoundError:
        return None, NO_REPORT
    except ReportError as error:
        return None, f"its report cannot be understood: {error}"


def _take(folder: Folder, name: str) -> bytes:
    """Return what a file holds, and remove it."""
    text = folder.read(name, MAX_REQUEST)
    folder.remove(name)
    return text


def _make_room(folder: Folder, name: str) -> int:
    remove(folder, name)
    aside = temporary()
    folder.replace(aside, b"")
    try:
        return folder.status(aside).st_mtime_ns
    finally:
        folder.remove(aside)


def _begin_log(folder: Folder, name: str) -> int:
    """Return the descriptor of a new file that its owner alone may read."""
    remove(folder, name)
    return folder.file(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def _read_turns(folder: Folder) -> list[CoachTurn]:
    found = list[CoachTurn]()
    with suppress(Exception):  # msgspec's: also UnicodeDecodeError; OSError: there are no more
        while True:
            text = folder.read(f"coach_turn_{len(found) + 1}.json", MAX_TURN)
            found.append(msgspec.json.decode(text, type=CoachTurn))
    return found


def clear_turns(folder: Folder) -> None:
    """Remove what the turns of an earlier run have left; before turn 1 there is no feedback."""
    for name in folder.names():
        if TURN.fullmatch(name):
            remove(folder, name)
    remove(folder, REQUEST)
    _write(folder, FEEDBACK, b"")


def write_turn(folder: Folder, judged: CoachTurn) -> str:
    """Leave the documents of a turn, and its feedback; the Player's keeps its own report."""
    name, said = f"player_turn_{judged.turn}.json", b""
    with suppress(OSError):  # there is none, or what is there is no regular file
        said = folder.read(name, MAX_SAID)
    document, trouble = player_turn(said, judged)
    _write(folder, name, _encode(document))
    _write(folder, f"coach_turn_{judged.turn}.json", _encode(judged))
    _write(folder, FEEDBACK, _encode(feedback(judged)))
    return trouble


def _write(folder: Folder, name: str, document: bytes) -> None:
    try:
        folder.replace(name, document)
    except IsADirectoryError:
        remove(folder, name)
        folder.replace(name, document)


def _encode(document: object) -> bytes:
    plain = Secrets().hide_in(msgspec.to_builtins(document))
    return msgspec.json.format(msgspec.json.encode(plain), indent=2)

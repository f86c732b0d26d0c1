"""What the thread does for a build: appends to the journal, replaces the file.

No asyncio, no sleep. The journal is written before the file: what this shows is found in that.
"""

import os
import stat
from collections.abc import Sequence
from contextlib import suppress

from msgspec import Struct
from msgspec.structs import replace

from guardkit.clock import Clock
from guardkit.errors import GuardKitError, MisuseError
from guardkit.progress.claim import Claim, Stage
from guardkit.progress.folder import Folder
from guardkit.progress.journal import append, ended_without_a_word, read_last
from guardkit.progress.paths import PROGRESS
from guardkit.progress.place import Place
from guardkit.progress.reader import read_in
from guardkit.progress.snapshot import (
    COUNT_MAX,
    Event,
    Snapshot,
    decode,
    encode,
    is_newer,
    make_event,
)
from guardkit.progress.state import News


class Work(Struct, frozen=True, gc=False):
    """What is to be done for a build: see that the task is ours, and write what is due.

    news: what is due, besides what could not be written before.
    last: let go of the task afterwards, whatever has come of it.
    """

    news: News | None = None
    last: bool = False

    def then(self, newer: "Work") -> "Work":
        """Return both in one."""
        return Work(_join(self.news, newer.news), self.last or newer.last)


class Landed(Struct, frozen=True):
    """How it went.

    error: what failed, or None; the next work does it again.
    lock: which file proves that the builder lives, None where nothing does, and then
    doubt: why.
    lost: how many transitions were dropped, as too many could not be written.
    over: the task is given back: nothing is written any more.
    """

    error: Exception | None = None
    lock: str | None = None
    doubt: str = ""
    lost: int = 0
    over: bool = False


class Files:
    """The files of one build; for use in the thread alone."""

    def __init__(self, task_id: str, run_id: str) -> None:
        self._task_id = task_id
        self._run_id = run_id
        self._claim = Claim(task_id, run_id)
        self._due: News | None = None  # what could not be written yet
        self._mend = True  # the journal, which may end in half a line
        self._told = 0  # the seq of the last event in the journal
        self._shown: Snapshot | None = None  # by the file

    def do(self, place: Place, work: Work, *, check: bool) -> Landed:
        """Do what is asked for, and what could not be done before.

        check: whether to see first that the lock file is still in place.
        """
        self._due = news = _join(self._due, work.news)
        error = self._try(place, check=check)
        if isinstance(error, FileNotFoundError):  # somebody deleted a folder: once more, anew
            place.close()
            error = self._try(place, check=True)
        if work.last or (self._shown and self._shown.terminal):
            self._claim.give_back(place)
        claim = self._claim
        lock = place.locks.identity if claim.stage is Stage.PROVEN else None
        lost = news.lost if news else 0
        return Landed(error, lock, claim.doubt, lost, claim.stage is Stage.OVER)

    def _try(self, place: Place, *, check: bool) -> Exception | None:
        stage, news = self._claim.stage, self._due
        try:
            if stage is Stage.NEW:
                _check_root(place.root)
            if stage is Stage.NEW or (check and stage is not Stage.OVER):
                self._take(place)
            if news and stage is not Stage.OVER:
                with place.builds().folder(self._task_id, make=True) as folder:
                    self._write(folder, news)
                self._due = None
        except (OSError, GuardKitError) as error:
            return error
        return None

    def _take(self, place: Place) -> None:
        """See that the task is ours; clean up where a killed builder may have had it."""
        if self._claim.take(place):
            with place.builds().folder(self._task_id, make=True) as folder:
                _remove_temporary(folder)
                if event := _find_crashed(folder, self._run_id, place.clock):
                    append(folder, [event])

    def _write(self, folder: Folder, news: News) -> None:
        try:
            if events := [event for event in news.events if event.seq > self._told]:
                mend, self._mend = self._mend, True
                append(folder, events, mend=mend)
                self._mend, self._told = False, events[-1].seq
        finally:
            if self._shown is None or is_newer(news.snapshot, self._shown):
                folder.replace(PROGRESS, encode(news.snapshot))
                self._shown = news.snapshot


def work_off(place: Place, works: Sequence[tuple[Files, Work]], *, check: bool) -> list[Landed]:
    """Do what is asked for of each build; return how that went, in the same order.

    check: whether to see first that the folder and its lock file are still in place.
    """
    if check:
        place.check()
    landed: list[Landed] = []
    for files, work in works:
        landed.append(files.do(place, work, check=check))
        place.written += 1
    return landed


def _join(older: News | None, newer: News | None) -> News | None:
    return older.then(newer) if older and newer else newer or older


def _check_root(root: str) -> None:
    try:
        found = stat.S_ISDIR(os.stat(root).st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # a NUL, a surrogate
        found = False
    if not found:
        remedy = "make it first, or pass root=None for no files"
        raise MisuseError(f"root={root!r} is no folder: {remedy}")


def _remove_temporary(folder: Folder) -> None:
    for name in folder.names():
        if name.startswith(".progress.") and name.endswith(".tmp"):
            with suppress(OSError):
                folder.remove(name)


def _find_crashed(folder: Folder, run_id: str, clock: Clock) -> Event | None:
    """Return the end of a run before `run_id` which could not write it itself."""
    last = read_last(folder)
    if not last or last.event == "build.ended" or last.run_id == run_id:
        return None
    end = last.progress
    with suppress(GuardKitError, OSError):
        newest = read_in(folder, decode)
        end = newest if newest.tracker.run_id == last.run_id and is_newer(newest, end) else end
    if not end.terminal:
        seq, error = min(end.tracker.seq + 1, COUNT_MAX), ended_without_a_word(end)
        end = replace(end, status="failed", error=error, tracker=replace(end.tracker, seq=seq))
    return make_event("build.ended", clock.now(), end)

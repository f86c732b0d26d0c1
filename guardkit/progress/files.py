"""What the thread does for a build: takes the task, appends to the journal, replaces the file.

No asyncio, no sleep. `open(path, "w")` shows torn files to readers; a temporary file in the same
folder and a rename never do. Nothing is synced: the page cache survives a killed process.
"""

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum

import msgspec
from msgspec.structs import replace

from guardkit.clock import Clock
from guardkit.errors import (
    BuildAlreadyRunningError,
    GuardKitError,
    InvalidProgressError,
    MisuseError,
    ProgressNotFoundError,
)
from guardkit.progress.folder import Folder, open_builds
from guardkit.progress.journal import append, read_last
from guardkit.progress.lock import BEATS_MISSED, Hold, Locks, UnprovenError, boot_id, look
from guardkit.progress.paths import PROGRESS
from guardkit.progress.reader import read_progress
from guardkit.progress.snapshot import Event, Snapshot, encode, is_newer, make_event
from guardkit.progress.state import News


class Work(msgspec.Struct, frozen=True, gc=False):
    """What is to be done for a build: see that the task is ours, and write what is new.

    `last`: let go of the task afterwards, whatever has come of it.
    """

    news: News | None = None
    last: bool = False

    def then(self, newer: "Work") -> "Work":
        """Return both in one."""
        news = self.news.then(newer.news) if self.news and newer.news else newer.news or self.news
        return Work(news, self.last or newer.last)


LET_GO = Work(last=True)


class Landed(msgspec.Struct, frozen=True):
    """How it went.

    error: what failed, or None.
    lock: which file proves that the builder lives, None where nothing does, and then
    doubt: why.
    over: the end of the build stands in its file, and the task is given back.
    """

    error: Exception | None = None
    lock: str | None = None
    doubt: str = ""
    over: bool = False


class Place:
    """What the thread keeps below one root: a descriptor of the folder of all builds, the locks.

    `written`: how many pieces of work are done, to be read from anywhere.
    """

    def __init__(self, root: str, clock: Clock) -> None:
        self.root = root
        self.clock = clock
        self.locks = Locks()
        self.written = 0
        self._builds: Folder | None = None

    def builds(self) -> Folder:
        """Return the folder of all builds, made if need be below a root that is there."""
        if not self._builds:
            self._builds = open_builds(self.root, make=True)
            with suppress(OSError):
                if ".gitignore" not in self._builds.names():
                    self._builds.replace(".gitignore", b"*\n", temporary())
        return self._builds

    def check(self) -> None:
        """See whether that folder still is where it was; otherwise open the one that is there."""
        if self._builds and not self._builds.is_at(self.root):
            self.close()

    def close(self) -> None:
        """Close the folder; the next use opens it anew."""
        if self._builds:
            self._builds.close()
            self._builds = None


class Claim(Enum):
    """Whether the task is ours."""

    NOT_YET = "not taken yet"
    PROVEN = "a lock proves it"
    UNPROVEN = "there are no locks to be relied on"
    GIVEN_BACK = "it was"


class Files:
    """The files of one build; used in the thread alone."""

    def __init__(self, task_id: str, run_id: str) -> None:
        self._task_id = task_id
        self._run_id = run_id
        self._claim = Claim.NOT_YET
        self._doubt = ""
        self._mend = True  # the journal, which may end in half a line
        self._told = 0  # the seq of the last event in the journal
        self._shown: Snapshot | None = None  # by the file

    def do(self, place: Place, work: Work, *, check: bool) -> Landed:
        """Do what is asked for; what is done already is not done twice."""
        error = self._try(place, work, check=check)
        if isinstance(error, FileNotFoundError):  # somebody deleted a folder: once more, anew
            place.close()
            error = self._try(place, work, check=True)
        if work.last:
            self._let_go(place)
        proven = self._claim is Claim.PROVEN
        lock, over = place.locks.identity if proven else None, self._claim is Claim.GIVEN_BACK
        return Landed(error=error, lock=lock, doubt=self._doubt, over=over)

    def holder(self, place: Place) -> str | None:
        """Name who builds the task, None where no document tells of it yet.

        Raises InvalidProgressError, and OSError.
        """
        with suppress(ProgressNotFoundError):
            snapshot = read_progress(self._task_id, root=place.root)
            tracker = snapshot.tracker
            run = self._task_id, tracker.run_id, tracker.boot_id, tracker.lock
            if look(place.builds(), [run]) == [Hold.LIVES] or self._may_live(place, snapshot):
                since = f"{snapshot.started_at:%Y-%m-%d %H:%M:%S} UTC"
                return f"process {tracker.pid} on {tracker.host}, since {since}"
        return None

    def _may_live(self, place: Place, snapshot: Snapshot) -> bool:
        """Return whether a build whose lock is not seen from here has a fresh heartbeat."""
        tracker = snapshot.tracker
        if snapshot.terminal or tracker.run_id == self._run_id or tracker.boot_id != boot_id():
            return False
        unseen = tracker.lock is None or tracker.lock != place.locks.identity
        silent = place.clock.monotonic() - tracker.beat
        return unseen and 0 <= silent < BEATS_MISSED * tracker.heartbeat_seconds

    def _try(self, place: Place, work: Work, *, check: bool) -> Exception | None:
        try:
            if self._claim is not Claim.GIVEN_BACK and work != LET_GO:
                self._do(place, work, check=check)
        except (OSError, GuardKitError) as error:
            return error
        return None

    def _do(self, place: Place, work: Work, *, check: bool) -> None:
        if not work.news:  # it is the first that is asked for
            _check_root(place.root)
        self._own(place, check=check)
        if work.news:
            with place.builds().folder(self._task_id, make=True) as folder:
                self._write(place, folder, work.news)

    def _own(self, place: Place, *, check: bool) -> None:
        """See that the task is ours; raise BuildAlreadyRunningError where it is another's."""
        if self._claim is Claim.NOT_YET or check:
            first = self._claim is not Claim.PROVEN and self._shown is None
            builds = place.builds()
            try:
                place.locks.take(builds, self._task_id, self._run_id)
            except UnprovenError as doubt:
                self._claim, self._doubt = Claim.UNPROVEN, str(doubt)
                return
            who: str | None = None
            with suppress(InvalidProgressError, OSError):
                who = self.holder(place) if first else None
            if who:
                place.locks.give_back(self._task_id, self._run_id)
                raise BuildAlreadyRunningError(f"{who} builds {self._task_id}, by another lock")
            self._claim, self._doubt = Claim.PROVEN, ""
            if first:
                with builds.folder(self._task_id, make=True) as folder:
                    self._clean_up(place, folder)

    def _clean_up(self, place: Place, folder: Folder) -> None:
        """Remove what a killed builder has left, and have the journal tell of its end."""
        for name in folder.names():
            if name.startswith(".progress.") and name.endswith(".tmp"):
                with suppress(OSError):
                    folder.remove(name)
        if event := self._find_crashed(place, folder):
            append(folder, [event])

    def _find_crashed(self, place: Place, folder: Folder) -> Event | None:
        """Return the end of a run that could not write it itself."""
        last = read_last(folder)
        if not last or last.event == "build.ended" or last.run_id == self._run_id:
            return None
        end = last.progress
        with suppress(GuardKitError):
            newest = read_progress(self._task_id, root=place.root)
            if newest.tracker.run_id == last.run_id and newest.tracker.seq >= last.seq:
                end = newest
        if not end.terminal:
            who, seq = f"process {end.tracker.pid} on {end.tracker.host}", end.tracker.seq + 1
            error = f"crashed: {who} ended without a word"
            end = replace(end, status="failed", error=error, tracker=replace(end.tracker, seq=seq))
        return make_event("build.ended", place.clock.now(), end)

    def _write(self, place: Place, folder: Folder, news: News) -> None:
        """Write the journal, and then the file: what this shows is to be found in that."""
        try:
            if events := [event for event in news.events if event.seq > self._told]:
                mend, self._mend = self._mend, True
                append(folder, events, mend=mend)
                self._mend, self._told = False, events[-1].seq
        finally:
            if self._shown is None or is_newer(news.snapshot, self._shown):
                folder.replace(PROGRESS, encode(news.snapshot), temporary())
                self._shown = news.snapshot
            if self._shown.terminal:
                self._let_go(place)

    def _let_go(self, place: Place) -> None:
        if self._claim is Claim.PROVEN:
            with suppress(OSError):  # then the last one to close the file does it
                place.locks.give_back(self._task_id, self._run_id)
        self._claim = Claim.GIVEN_BACK


def work_off(place: Place, works: Sequence[tuple[Files, Work]], *, check: bool) -> list[Landed]:
    """Do what is asked for of each build; return how that went, in the same order.

    `check`: whether to see first that the folder and its lock file are still in place.
    """
    if check:
        place.check()
    landed: list[Landed] = []
    for files, work in works:
        landed.append(files.do(place, work, check=check))
        place.written += 1
    return landed


def temporary() -> str:
    """Return a name for a temporary file that nobody can guess, and so occupy."""
    return f".progress.{os.urandom(8).hex()}.tmp"


def _check_root(root: str) -> None:
    try:
        found = stat.S_ISDIR(os.stat(root).st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # a NUL, a surrogate
        found = False
    if not found:
        remedy = "make it first, or pass root=None for no files"
        raise MisuseError(f"root={root!r} is no folder: {remedy}")

"""What a watch remembers of builds, so that it reads what has changed, and tells what is new."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from itertools import dropwhile

import msgspec
from msgspec.structs import replace

from guardkit.errors import InvalidProgressError
from guardkit.monitor.builds import Builds, Look
from guardkit.monitor.changes import Changes
from guardkit.monitor.evidence import Examiner, explain, judge_features, measure
from guardkit.monitor.verdict import Signs, Verdict
from guardkit.progress.folder import Folder, open_builds
from guardkit.progress.journal import Spot, read_on
from guardkit.progress.lock import Hold
from guardkit.progress.paths import JOURNAL, PROGRESS, TASK_ID, builds_dir
from guardkit.progress.snapshot import Event, Snapshot, Tracker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from guardkit.monitor.evidence import Doubts, Found


class Known(msgspec.Struct):
    """What is known of one build.

    document: the newest that was read.
    heard: when the document was first seen, in monotonic seconds.
    stamp: of the file that was read last; None: it is to be read again.
    told: document and state, as they were told of.
    spot, end: up to where the journal was read, and where it ended when the document was read.
    events: what the journal has of a run whose document is not there yet.
    """

    document: Snapshot | None = None
    heard: float = 0.0
    stamp: tuple[int, int, int] | None = None
    told: tuple[Snapshot | None, str] | None = None
    spot: Spot = Spot()
    end: Spot = Spot()
    events: tuple[Event, ...] = ()


class Memory(Examiner):
    """Looks at builds again and again, and knows what it has seen.

    builds: how a single look is taken.
    changes: is told which folders to watch.
    wanted: the ids of tasks, none: all.
    past: whether the first look at a build has the events of its run until then.
    known: what is known of each build.
    """

    def __init__(
        self, builds: Builds, changes: Changes, wanted: Iterable[str], *, past: bool
    ) -> None:
        super().__init__(builds.root, builds.stall_after, builds.clock)
        self.decode, self.decode_event = builds.decode, builds.decode_event
        self.known: dict[str, Known] = {}
        self._builds = builds
        self._changes = changes
        self._wanted = dict.fromkeys(wanted)
        self._past = past
        self._found: Found = {}
        self._doubts: Doubts = {}

    def scan(self, changed: set[str] | None) -> list[Look]:
        """Look where something has changed, None: anywhere; return the looks that are new.

        Raises InvalidProgressError where the builds cannot be listed.
        """
        try:
            with self._open() as folder:
                found = self._look(folder, changed)
                news = [self._tell(folder, name, *found[name]) for name in sorted(found)]
        except OSError as error:
            raise InvalidProgressError(explain(error)) from error
        self._past = True  # builds that are met from now on have no other
        return [look for look in news if look]

    def read(self, folder: Folder, task_id: str, *, again: bool) -> Snapshot:
        """Return the document of a build, the last that there was if there is none any more."""
        known = self.known.get(task_id, Known())
        try:
            return self._read_file(folder, task_id, known, again=again)
        except (FileNotFoundError, NotADirectoryError):
            if not known.document:
                raise
            return known.document

    def sign(self, task_id: str, document: Snapshot, hold: Hold, now: float) -> Signs:
        """Return the signs that go with a document that was read after `now`, monotonic seconds."""
        if self._builds.silence:
            return self._builds.sign(task_id, document, hold, now)
        heard = self.known[task_id].heard
        return measure(document, hold, now, wall=document.updated_at, heard=heard)

    def names(self, folder: Folder) -> Iterable[str]:
        """Return what may be the ids of tasks, and those that are known; raises OSError."""
        return sorted({*self.known, *(super().names(folder) if folder.fd >= 0 else ())})

    def _open(self) -> Folder:
        """Return the folder of all builds; one in which there is nothing, if it is not there."""
        try:
            return open_builds(self.root)
        except OSError as error:
            if not (self.known or isinstance(error, FileNotFoundError)):
                raise
            return Folder(-1, builds_dir(self.root))

    def _look(self, folder: Folder, changed: set[str] | None) -> Found:
        """Return what is found where something has changed, and the features that it concerns."""
        if changed is None:
            self._changes.watch()
            found = self.look_in(folder, self._wanted, self._doubts)
        else:
            names = sorted(filter(self._concerns, changed))
            for known in filter(None, map(self.known.get, names)):
                known.stamp = None
            found = self.look_at(folder, names, self._doubts)
        self._found |= found
        if any(document and document.build_type == "feature" for document, _ in found.values()):
            found = judge_features(self._found)
        return found

    def _concerns(self, name: str) -> bool:
        if self._wanted:
            return name in self._wanted or name in self.known
        return bool(TASK_ID.fullmatch(name))

    def _read_file(self, folder: Folder, task_id: str, known: Known, *, again: bool) -> Snapshot:
        """Return the document of a build, from memory if its file is that which was read last."""
        if folder.fd < 0:
            raise FileNotFoundError
        if task_id not in self.known:
            self._changes.watch(task_id)
        stamp = _stamp(folder, f"{task_id}/{PROGRESS}")
        if known.document and stamp and stamp == known.stamp and not again:
            return known.document
        if known.stamp:  # nobody has told of this
            self._changes.watch(task_id)
        with folder.folder(task_id) as build:
            if task_id not in self.known:
                self.known[task_id] = known
                known.spot = Spot() if self._past else _find_end(build)
            document, known.stamp = self.read_in(build), stamp
            known.end = _find_end(build)
        if document != known.document:
            known.document, known.heard = document, self.clock.monotonic()
        return document

    def _tell(
        self, folder: Folder, task_id: str, snapshot: Snapshot | None, verdict: Verdict
    ) -> Look | None:
        """Return a look at a build if that is wanted and new, else None."""
        known = self.known.setdefault(task_id, Known())
        told, known.told = known.told, (snapshot, verdict.state)
        if told and told[1] == verdict.state and _show_the_same(told[0], snapshot):
            return None
        if self._wanted and task_id not in self._wanted:
            return None
        events = _read_events(folder, task_id, known, snapshot, is_first=not told)
        return Look(task_id, snapshot, verdict, self._builds.where, events)


def _show_the_same(old: Snapshot | None, new: Snapshot | None) -> bool:
    """Return whether two snapshots differ in nothing but what heartbeats change."""
    return old is new or _without_times(old) == _without_times(new)


def _without_times(snapshot: Snapshot | None) -> Snapshot | None:
    return snapshot and replace(
        snapshot,
        updated_at=snapshot.started_at,
        metrics=replace(snapshot.metrics, elapsed_seconds=0),
        tracker=Tracker(run_id=snapshot.tracker.run_id, seq=snapshot.tracker.seq),
    )


def _find_end(build: Folder) -> Spot:
    """Return the end of the journal."""
    stamp = _stamp(build, JOURNAL)
    return Spot(*stamp[:2]) if stamp else Spot()


def _stamp(folder: Folder, name: str) -> tuple[int, int, int] | None:
    """Return what tells a file from the one that was there before, None if there is none.

    Nothing is opened: that a folder on the way is a link is seen when the file is read.
    """
    with suppress(OSError):
        status = os.stat(name, dir_fd=folder.fd, follow_symlinks=False)
        return status.st_ino, status.st_size, status.st_mtime_ns
    return None


def _read_events(
    folder: Folder, task_id: str, known: Known, snapshot: Snapshot | None, *, is_first: bool
) -> tuple[Event, ...]:
    """Return the transitions up to a snapshot that have not been told of.

    The journal is read after the document, as it is written before it. What it has of a later run
    waits for that run's document.
    """
    if not snapshot:
        return ()
    run_id, events = snapshot.tracker.run_id, [*known.events]
    if known.spot != known.end:
        with suppress(OSError), folder.folder(task_id) as build:
            new, known.spot = read_on(build, known.spot)
            events += new
    if is_first:
        events = [*dropwhile(lambda event: event.run_id != run_id, events)]
    end = max((n for n, event in enumerate(events, 1) if event.run_id == run_id), default=0)
    known.events = tuple(events[end:])
    return tuple(events[:end])

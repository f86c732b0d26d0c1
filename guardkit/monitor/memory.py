"""A watch: looks at builds where something has changed, and tells what is new."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import suppress
from itertools import dropwhile
from math import inf

import msgspec

from guardkit.clock import Clock
from guardkit.errors import InvalidProgressError
from guardkit.monitor.changes import Changes
from guardkit.monitor.evidence import Examiner, is_same, names_in, stamp_of
from guardkit.monitor.look import Look, differ
from guardkit.monitor.verdict import judge_features, let_go, needs_tasks, taken
from guardkit.progress.folder import Folder, open_builds
from guardkit.progress.journal import Spot, read_on
from guardkit.progress.paths import JOURNAL, PROGRESS, builds_dir, is_task_id
from guardkit.progress.reader import explain, read_in
from guardkit.progress.snapshot import Event, Snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from guardkit.monitor.evidence import Read
    from guardkit.monitor.verdict import Case, Found

# Seconds a build between two rounds of looks, for more than a few builds: to look whenever one of
# them has changed would cost more than to read them all.
PACE, FEW = 5e-5, 50
FRESH = 0.45  # seconds for which a build need not be looked at that nobody says has changed


class Known(msgspec.Struct):
    """What was read of one build.

    document: the newest one.
    heard: when the document was first seen, in monotonic seconds.
    looked: when it was last looked at.
    stamp: of the file that was read last.
    spot: up to where the journal was read; None before there is a folder.
    waiting: what the journal has of a run whose document is not there yet.
    """

    document: Snapshot | None = None
    heard: float = 0.0
    looked: float = -inf
    stamp: tuple[int, int, int] | None = None
    spot: Spot | None = None
    waiting: tuple[Event, ...] = ()


async def watch(
    where: str,
    clock: Clock,
    examiner: Callable[[Callable[[str], float]], Examiner],
    wanted: list[str],
    *,
    past: bool = False,
    beats: bool = False,
) -> AsyncGenerator[Look]:
    """Yield a look at each of some builds, then at each change, for ever; as `Builds.watch`.

    where: the folder in which `.guardkit` is.
    examiner: makes what looks at builds, of a function that tells when a document was first seen.
    wanted: the ids of tasks; none: all.
    past: whether the first look at a build has the events of its run until then.
    beats: whether a heartbeat is a change; then there are no events, and no features are judged by
        their tasks.
    """
    changed = {""}
    async with Changes(builds_dir(where), clock) as changes:
        memory = Memory(where, examiner, changes, wanted, past=past, beats=beats)
        while True:
            for look in await changes.call(memory.scan, changed):
                yield look
            await clock.sleep(PACE * (len(memory.known) - FEW))
            changed = await changes.next()


class Memory:
    """What a watch has seen and told, so that it reads what has changed, and tells what is new.

    where, examiner, wanted, past, beats: as for `watch`.
    changes: is told which folders to watch.
    known: what was read of each build, by task id.
    """

    def __init__(
        self,
        where: str,
        examiner: Callable[[Callable[[str], float]], Examiner],
        changes: Changes,
        wanted: list[str],
        *,
        past: bool,
        beats: bool,
    ) -> None:
        self.known: defaultdict[str, Known] = defaultdict(Known)
        self._where, self._changes, self._wanted = where, changes, wanted
        self._examiner = examiner(lambda task_id: self.known[task_id].heard)
        self._past, self._beats = past, beats
        self._found: Found = {}  # at the last look
        self._told: Found = {}  # that, with features judged by their tasks

    def scan(self, changed: set[str]) -> list[Look]:
        """Look where something has changed, "": maybe anywhere; return the looks that are new.

        Raises InvalidProgressError where the builds cannot be listed.
        """
        try:
            with self._open() as folder:
                if "" in changed:
                    found = self._find_anywhere(folder, changed)
                else:
                    found = self._find(folder, filter(self._concerns, changed), self._read)
                return self._tell(folder, found)
        except OSError as error:
            raise InvalidProgressError(explain(error)) from error
        finally:
            self._past = True  # builds that are met from now on have no other

    def _open(self) -> Folder:
        """Return the folder of all builds; one in which there is nothing, if it is not there."""
        try:
            return open_builds(self._where)
        except OSError as error:
            if not (self._found or isinstance(error, FileNotFoundError)):
                raise
            return Folder(-1, builds_dir(self._where))

    def _concerns(self, name: str) -> bool:
        return name in self._found or (name in self._wanted if self._wanted else is_task_id(name))

    def _find_anywhere(self, folder: Folder, changed: set[str]) -> Found:
        """Look where something is said to have changed, and where nobody has looked just now."""

        def read(folder: Folder, name: str) -> Snapshot:
            return self._read(folder, name) if name in changed else self._recall(folder, name)

        def find(names: Iterable[str]) -> Found:
            due = (each for each in names if each in changed or self.known[each].looked <= ago)
            return self._find(folder, due, read)

        ago = self._examiner.clock.monotonic() - FRESH
        self._changes.watch()
        found = find(self._wanted)
        if not self._wanted or (needs_tasks(self._found) and not self._beats):
            names = {*self._found, *(names_in(folder) if folder.fd >= 0 else ())}
            found |= find(names - {*self._wanted})
        return found

    def _find(self, folder: Folder, names: Iterable[str], read: Read) -> Found:
        """Return the builds that are not as they were found before, and note how they are."""
        names, before, now = [*names], self._found, self._examiner.clock.monotonic()
        for name in names:
            self.known[name].looked = now
        seen = self._examiner.glance(folder, names, read)
        left = [name for name in names if name not in seen and before.get(name) == _taken(name)]
        seen |= self._examiner.glance(folder, left, self._read)  # it may have written meanwhile
        new = {name: seen[name] for name in seen if not is_same(seen[name], before.get(name))}
        found = self._examiner.settle(folder, new, self._read)
        found = self._examiner.conclude(folder, found)
        found |= {name: (None, let_go(name)) for name in left if name not in seen}
        self._found |= found
        return found

    def _recall(self, folder: Folder, name: str) -> Snapshot:
        """Return the document of a build, from memory if its file is that which was read last."""
        known = self.known[name]
        stamp = stamp_of(folder, f"{name}/{PROGRESS}")
        if known.document and stamp and stamp == known.stamp:
            return known.document
        return self._read(folder, name)

    def _read(self, folder: Folder, name: str) -> Snapshot:
        """Return the document of a build, the last that there was if there is none any more."""
        known = self.known[name]
        self._changes.watch(name)  # each time, as it may be another folder by now
        try:
            if folder.fd < 0:
                raise FileNotFoundError
            with folder.folder(name) as build:
                if known.spot is None:
                    known.spot = Spot() if self._past else _find_end(build)
                stamp = stamp_of(build, PROGRESS)
                document = read_in(build, self._examiner.decode)
        except (FileNotFoundError, NotADirectoryError):
            if not known.document:
                raise
            return known.document
        known.stamp = stamp
        if document != known.document:
            known.document, known.heard = document, self._examiner.clock.monotonic()
        return document

    def _tell(self, folder: Folder, found: Found) -> list[Look]:
        """Return looks at the builds that have changed, and at features whose tasks have."""
        looks: list[Look] = []
        judged = judge_features(self._found) if needs_tasks(self._found) else found
        for name in sorted(judged.keys() & (self._wanted or judged.keys())):
            (snapshot, verdict), told = judged[name], self._told.get(name)
            if not told or told[1].state != verdict.state or self._differ(told[0], snapshot):
                events = self._read_events(folder, name, snapshot)
                looks.append(Look(name, snapshot, verdict, self._where, events))
        self._told |= judged
        return looks

    def _differ(self, old: Snapshot | None, new: Snapshot | None) -> bool:
        """Return whether two snapshots differ in what is told of."""
        return old is not new if self._beats else differ(old, new)

    def _read_events(
        self, folder: Folder, name: str, snapshot: Snapshot | None
    ) -> tuple[Event, ...]:
        """Return the transitions up to a snapshot that have not been told of.

        The journal is read after the document, as it is written before it. What it has of a later
        run waits for that run's document.
        """
        known, is_met = self.known[name], name in self._told
        if self._beats or not (snapshot and known.spot and (is_met or self._past)):
            return ()
        run_id, events = snapshot.tracker.run_id, [*known.waiting]
        stamp = stamp_of(folder, f"{name}/{JOURNAL}")
        if stamp and stamp[:2] != known.spot:
            with suppress(OSError), folder.folder(name) as build:
                new, known.spot = read_on(build, known.spot)
                events += new
        if not is_met:
            events = [*dropwhile(lambda event: event.run_id != run_id, events)]
        end = max((n for n, event in enumerate(events, 1) if event.run_id == run_id), default=0)
        known.waiting = tuple(events[end:])
        return tuple(events[:end])


def _taken(name: str) -> Case:
    return None, taken(name)


def _find_end(build: Folder) -> Spot:
    """Return the end of the journal."""
    stamp = stamp_of(build, JOURNAL)
    return Spot(*stamp[:2]) if stamp else Spot()

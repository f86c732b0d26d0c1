"""What is found out about builds: their documents, and the signs that go with these.

A look is taken in three steps. A glance is exact by its order: first the time, then the document,
then the locks. Builds in trouble are asked again, until a document has stood still between two
glances. Of those that are crashed or lost, the journal's last line may have the end.
A status line starts with this module, so that it needs the standard library alone.
"""

from __future__ import annotations

import os
from contextlib import suppress

from guardkit.errors import InvalidProgressError
from guardkit.monitor.verdict import (
    ROUNDING,
    Signs,
    Verdict,
    judge,
    judge_features,
    needs_tasks,
    taken,
)
from guardkit.progress.folder import open_builds
from guardkit.progress.lock import Hold, boot_id, look
from guardkit.progress.paths import JOURNAL, check_task_id, is_task_id
from guardkit.progress.reader import SIZE_MAX, explain, read_in

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from guardkit.clock import Clock
    from guardkit.monitor.verdict import Case, Found
    from guardkit.progress.folder import Folder
    from guardkit.progress.snapshot import Event, Snapshot

    Read = Callable[[Folder, str], Snapshot]
    Decoders = tuple[Callable[[bytes], Snapshot], Callable[[bytes], Event | None]]

ROUNDS = 7  # of glances at a build that does not stand still


class Examiner:
    """Looks at the builds in a folder, and judges them.

    decoders: return the document in bytes, or raise InvalidProgressError; the event in a line of a
        journal, or None.
    clock: tells for how long a build has been silent.
    stall_after: seconds without activity that make a build stalled.
    heard: returns when the document of a task was first seen, in monotonic seconds; None for a
        single look.
    """

    def __init__(
        self,
        decoders: Decoders,
        clock: Clock,
        stall_after: float,
        heard: Callable[[str], float] | None = None,
    ) -> None:
        self.decode, self.decode_event = decoders
        self.clock, self.stall_after = clock, stall_after
        self.heard = heard

    def look(self, root: str | os.PathLike[str], task_ids: str | Iterable[str] = ()) -> Found:
        """Return document and verdict of some builds, by default of all of them.

        Ids without a build are left out. The document is None where none can be read, and where
        another run has taken the task and has not written yet.

        root: the folder in which `.guardkit` is.
        Raises InvalidTaskIdError, and InvalidProgressError where the builds cannot be listed.
        """
        wanted = check_ids(task_ids)
        try:
            with open_builds(root) as folder:
                found = self.look_in(folder, wanted, self.read, self.read)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise InvalidProgressError(explain(error)) from error
        return {name: found[name] for name in wanted or sorted(found) if name in found}

    def look_in(self, folder: Folder, wanted: list[str], first: Read, again: Read) -> Found:
        """Return what `look` does, and the tasks of features, in the folder of all builds.

        first, again: return the document of a build, `again` where that tells of trouble.
        Raises OSError where the builds cannot be listed.
        """

        def find(names: Iterable[str]) -> Found:
            found = self.settle(folder, self.glance(folder, names, first), again)
            return self.conclude(folder, found)

        found = find(wanted or names_in(folder))
        if wanted and needs_tasks(found):
            found |= find({*names_in(folder)} - {*wanted})
        return judge_features(found)

    def glance(self, folder: Folder, names: Iterable[str], read: Read) -> Found:
        """Return what is seen of builds at first sight. Names without a build are left out."""
        now, wall = self.clock.monotonic(), self.clock.now()
        seen: dict[str, Snapshot | None] = {}
        found: Found = {}
        for name in names:
            try:
                seen[name] = read(folder, name)
            except (FileNotFoundError, NotADirectoryError):
                seen[name] = None
            except InvalidProgressError as error:
                found[name] = None, Verdict("unreadable", str(error))
            except OSError as error:
                found[name] = None, Verdict("unreadable", explain(error))
        asked = [(name, *_name_run(document)) for name, document in seen.items()]
        for (name, document), hold in zip(seen.items(), look(folder, asked), strict=True):
            if hold is Hold.TAKEN:
                found[name] = None, taken(name)
            elif document:
                signs = self.sign(document, hold, now, wall)
                found[name] = document, judge(document, signs, stall_after=self.stall_after)
        return found

    def settle(self, folder: Folder, found: Found, read: Read) -> Found:
        """Return what was found, the builds in trouble as they are when they stand still."""
        still: set[str] = set()
        for _ in range(ROUNDS):
            doubted = {name for name in found.keys() - still if _is_trouble(found[name])}
            if not doubted:
                break
            new = self.glance(folder, doubted, read)
            still |= {name for name in new if is_same(new[name], found[name])}
            found = {name: found[name] for name in found.keys() - doubted} | new
        return found

    def conclude(self, folder: Folder, found: Found) -> Found:
        """Return what was found, the end of a run where the journal alone has it."""
        ends: Found = {}
        for name, (document, verdict) in found.items():
            if document and verdict.state in {"crashed", "lost"}:
                with suppress(OSError), folder.folder(name) as build:
                    last, end = self._read_last(build), (document.tracker.run_id, "build.ended")
                    if last and last.progress.terminal and (last.run_id, last.event) == end:
                        ends[name] = last.progress, judge(last.progress, Signs(Hold.UNKNOWN))
        return found | ends

    def sign(self, document: Snapshot, hold: Hold, now: float, wall: datetime) -> Signs:
        """Return the signs that go with a document; `now` and `wall` as in `measure`."""
        heard = self.heard(document.task_id) if self.heard else None
        return measure(document, hold, now, wall=wall, heard=heard)

    def read(self, folder: Folder, name: str) -> Snapshot:
        """Return the document of a build; raises InvalidProgressError and OSError."""
        with folder.folder(name) as build:
            return read_in(build, self.decode)

    def _read_last(self, build: Folder) -> Event | None:
        for name in (JOURNAL, f"{JOURNAL}.1"):
            with suppress(FileNotFoundError):
                lines = build.read(name, SIZE_MAX, tail=True).splitlines()
                if event := next(filter(None, map(self.decode_event, reversed(lines))), None):
                    return event
        return None


def check_ids(task_ids: str | Iterable[str]) -> list[str]:
    """Return the ids of tasks, each once, or the one in a text; raises InvalidTaskIdError."""
    if isinstance(task_ids, str):
        return [check_task_id(task_ids)]
    return [check_task_id(task_id) for task_id in dict.fromkeys(task_ids)]


def names_in(folder: Folder) -> list[str]:
    """Return what may be the ids of tasks in the folder of all builds; raises OSError."""
    return [*filter(is_task_id, folder.names())]


def stamp_of(folder: Folder, name: str) -> tuple[int, int, int] | None:
    """Return what tells a file from the one that was there before, None if there is none.

    Nothing is opened: that a folder on the way is a link is seen when the file is read.
    """
    try:
        status = os.stat(name, dir_fd=folder.fd, follow_symlinks=False)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def measure(
    document: Snapshot, hold: Hold, now: float, *, wall: datetime, heard: float | None = None
) -> Signs:
    """Return the signs that go with a document that was read after `now`, monotonic seconds.

    On the builder's boot its own clock tells of its silence; elsewhere, and where a beat that lies
    ahead shows that the builder has another clock, that of who watches, from the first sight of the
    document on; else, in a single look, two wall clocks.

    wall: the time.
    heard: when the document was first seen, in monotonic seconds; None in a single look.
    """
    tracker, here = document.tracker, boot_id()
    if here and tracker.boot_id == here and now - tracker.beat > -ROUNDING:
        return Signs(hold, max(0.0, now - tracker.beat))
    is_other = bool(here and tracker.boot_id) and tracker.boot_id != here
    restarted = is_other and tracker.host == os.uname().nodename
    if heard is not None:
        return Signs(hold, max(0.0, now - heard), restarted=restarted)
    return Signs(hold, age=(wall - document.updated_at).total_seconds(), restarted=restarted)


def is_same(one: Case, other: Case | None) -> bool:
    """Return whether two looks have the same document and state."""
    return other is not None and (one[0], one[1].state) == (other[0], other[1].state)


def _is_trouble(case: Case) -> bool:
    return case[0] is None or case[1].state in {"crashed", "unresponsive", "lost"}


def _name_run(document: Snapshot | None) -> tuple[str, str, str | None]:
    """Return what the locks are asked about the run of a document."""
    tracker = document and document.tracker
    return (tracker.run_id, tracker.boot_id, tracker.lock) if tracker else ("", "", None)

"""What is found out about builds: their documents, and the signs that go with these.

The order of looking makes it exact: first the time, then the document, then the locks. Where that
tells of trouble, all three are asked again, until a document has stood still between two looks.
A status line starts with this module, so that it needs the standard library alone.
"""

from __future__ import annotations

import os
from contextlib import suppress

from guardkit.errors import InvalidProgressError
from guardkit.monitor.verdict import ROUNDING, Signs, Verdict, judge, judge_feature, taken
from guardkit.progress.folder import open_builds
from guardkit.progress.lock import Hold, boot_id, look
from guardkit.progress.paths import JOURNAL, PROGRESS, TASK_ID, check_task_id

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from guardkit.clock import Clock
    from guardkit.progress.folder import Folder
    from guardkit.progress.snapshot import Event, Snapshot

    Found = dict[str, tuple[Snapshot | None, Verdict]]
    Doubts = dict[str, tuple[Snapshot | None, str]]
    Case = tuple[str, Snapshot | None, Verdict, bool]

SIZE_MAX = 2**16  # bytes of a document, and of a line of the journal; they have 4 KiB at most
ROUNDS = 8  # of looks at a build that does not stand still
SURE = {"completed", "failed", "cancelled", "running", "stalled", "overdue"}


class Examiner:
    """Looks at the builds below a root, and judges them.

    root: the folder in which `.guardkit` is.
    stall_after: seconds without activity that make a build stalled.
    clock: tells for how long a build has been silent.
    decode: returns the document in bytes, or raises InvalidProgressError.
    decode_event: returns the event in a line of a journal, None where there is none.
    """

    decode: Callable[[bytes], Snapshot]
    decode_event: Callable[[bytes], Event | None]

    def __init__(self, root: str | os.PathLike[str], stall_after: float, clock: Clock) -> None:
        self.root, self.stall_after, self.clock = root, stall_after, clock

    def examine(self, task_ids: Iterable[str] = ()) -> Found:
        """Return document and verdict of some builds, by default of all of them, by task id.

        Ids without a build are left out. The document is None where none can be read, and where
        another run has taken the task and has not written yet.

        Raises InvalidTaskIdError, and InvalidProgressError where the builds cannot be listed.
        """
        wanted = [check_task_id(task_id) for task_id in dict.fromkeys(task_ids)]
        try:
            with open_builds(self.root) as folder:
                found = judge_features(self.look_in(folder, wanted, {}))
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise InvalidProgressError(explain(error)) from error
        return {name: found[name] for name in wanted or sorted(found) if name in found}

    def look_in(self, folder: Folder, task_ids: Iterable[str], doubts: Doubts) -> Found:
        """Return what `look_at` does, by default of all builds, and of the tasks of features."""
        wanted = [*task_ids]
        found = self.look_at(folder, wanted or self.names(folder), doubts)
        seen = [document for document, _ in found.values() if document]
        if wanted and any(each.build_type == "feature" and not each.terminal for each in seen):
            others = [name for name in self.names(folder) if name not in wanted]
            found |= self.look_at(folder, others, doubts)
        return found

    def look_at(self, folder: Folder, task_ids: Iterable[str], doubts: Doubts) -> Found:
        """Return document and verdict of builds, each of which has a folder in `folder`.

        doubts: which builds were in which trouble at the look before; it is kept up to date. A
            build that is in that trouble still is left out, as are ids without a build.
        """
        found: Found = {}
        left = [*task_ids]
        for again in range(ROUNDS):
            if not left:
                break
            cases = self._look_once(folder, left, again=again > 0)
            left = list[str]()
            for task_id, document, verdict, is_sure in cases:
                known, trouble = doubts.pop(task_id, None), (document, verdict.state)
                if not is_sure:
                    doubts[task_id] = trouble
                if is_sure or (again and trouble == known) or again == ROUNDS - 1:
                    found[task_id] = self._conclude(folder, task_id, document, verdict)
                elif trouble != known:
                    left.append(task_id)
        return found

    def names(self, folder: Folder) -> Iterable[str]:
        """Return what may be the ids of tasks in the folder of all builds; raises OSError."""
        return filter(TASK_ID.fullmatch, folder.names())

    def read(self, folder: Folder, task_id: str, *, again: bool) -> Snapshot:
        """Return the document of a build; `again`: not one from memory.

        Raises InvalidProgressError and OSError, FileNotFoundError where there is no build.
        """
        with folder.folder(task_id) as build:
            return self.read_in(build)

    def read_in(self, build: Folder) -> Snapshot:
        """Return the document in a build's folder; raises as `read`."""
        document = build.read(PROGRESS, SIZE_MAX)
        try:
            found = self.decode(document)
            if found.task_id != os.path.basename(build.path):
                raise InvalidProgressError("it is the document of another task")
            return found
        except InvalidProgressError as error:
            what = f"{build.path}/{PROGRESS}: {error}"
            raise InvalidProgressError(f"{what}; update guardkit, or remove the file") from error

    def sign(self, task_id: str, document: Snapshot, hold: Hold, now: float) -> Signs:
        """Return the signs that go with a document that was read after `now`, monotonic seconds."""
        return measure(document, hold, now, wall=self.clock.now())

    def _look_once(self, folder: Folder, task_ids: list[str], *, again: bool) -> list[Case]:
        now = self.clock.monotonic()
        seen = [self._read(folder, task_id, again=again) for task_id in task_ids]
        holds = look(folder, map(_name_run, task_ids, seen))
        cases: list[Case] = []
        for task_id, document, hold in zip(task_ids, seen, holds, strict=True):
            if isinstance(document, Verdict):
                cases.append((task_id, None, document, False))
            elif hold is Hold.TAKEN:
                cases.append((task_id, None, taken(task_id), False))
            elif document:
                signs = self.sign(task_id, document, hold, now)
                verdict = judge(document, signs, stall_after=self.stall_after)
                cases.append((task_id, document, verdict, verdict.state in SURE))
        return cases

    def _read(self, folder: Folder, task_id: str, *, again: bool) -> Snapshot | Verdict | None:
        """Return a build's document, the verdict that it is unreadable, or None without one."""
        try:
            return self.read(folder, task_id, again=again)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except InvalidProgressError as error:
            return Verdict("unreadable", str(error))
        except OSError as error:
            return Verdict("unreadable", explain(error))

    def _conclude(
        self, folder: Folder, task_id: str, document: Snapshot | None, verdict: Verdict
    ) -> tuple[Snapshot | None, Verdict]:
        """Return document and verdict, those of the run's end if the journal alone has it."""
        if document and verdict.state in {"crashed", "lost"}:
            with suppress(OSError), folder.folder(task_id) as build:
                end = document.tracker.run_id, "build.ended", True
                last = self._read_last(build)
                if last and (last.run_id, last.event, last.progress.terminal) == end:
                    return last.progress, judge(last.progress, Signs(Hold.UNKNOWN))
        return document, verdict

    def _read_last(self, build: Folder) -> Event | None:
        for name in (JOURNAL, f"{JOURNAL}.1"):
            with suppress(FileNotFoundError):
                for line in reversed(build.read(name, SIZE_MAX, tail=True).split(b"\n")):
                    if event := self.decode_event(line):
                        return event
        return None


def judge_features(found: Found) -> Found:
    """Return what was found, with each feature judged by its tasks, too."""
    tasks: dict[str | None, list[tuple[str, Verdict]]] = {}
    for task_id, (document, verdict) in found.items():
        if document and document.status == "running" and document.tracker.parent_run:
            tasks.setdefault(document.tracker.parent_run, []).append((task_id, verdict))
    judged: Found = {}
    for task_id, (document, verdict) in found.items():
        own = tasks.get(document.tracker.run_id, ()) if document else ()
        judged[task_id] = document, judge_feature(verdict, own)
    return judged


def measure(
    document: Snapshot, hold: Hold, now: float, *, wall: datetime, heard: float | None = None
) -> Signs:
    """Return the signs that go with a document that was read after `now`, monotonic seconds.

    On the builder's boot its own clock tells of its silence; elsewhere that of who watches, from
    the first sight of the document on; else, in a single look, two wall clocks.

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


def _name_run(task_id: str, seen: Snapshot | Verdict | None) -> tuple[str, str, str, str | None]:
    """Return what the locks are asked about a build."""
    if seen is None or isinstance(seen, Verdict):
        return task_id, "", "", None
    return task_id, seen.tracker.run_id, seen.tracker.boot_id, seen.tracker.lock


def explain(error: OSError) -> str:
    """Return in a sentence what cannot be read, why, and what helps."""
    return f"{error.filename} cannot be read: {error.strerror}; make it readable, or remove it"

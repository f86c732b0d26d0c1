"""Which runs are due to which servers: noted beside the journal, so that a crash forgets nothing.

A line is appended for each run that a sink begins to publish, and for each that is delivered. Who
comes next, be it a sink or a relay, goes on from there, and sends nothing that was not asked for.
"""

import os
from contextlib import suppress
from typing import Literal

import msgspec

from guardkit.monitor.builds import Builds
from guardkit.monitor.evidence import names_in
from guardkit.monitor.look import Look
from guardkit.nats.streams import RUN_ID
from guardkit.progress.folder import Folder, open_builds, write_all
from guardkit.progress.journal import read_all

NOTES = "published.jsonl"
SIZE_MAX = 2**16  # bytes, past which the oldest half of what is delivered is forgotten
GONE = {"completed", "failed", "cancelled", "crashed", "unreadable"}  # verdicts

Step = Literal["due", "done"]


class Note(msgspec.Struct, frozen=True):
    """A run, the server and the project that it goes to, and how far that is."""

    run: str
    to: str
    step: Step


def find_left(root: str, to: str, task_id: str = "") -> list[tuple[str, str]]:
    """Return the tasks and runs that are due below a root, and are built by nobody now.

    For use in a thread.

    task_id: of that task alone; `""`: of all.
    Raises OSError, and InvalidProgressError, where the builds cannot be listed.
    """
    with open_builds(root) as builds:
        names = [task_id] if task_id else names_in(builds)
        due = {name: find_due(builds, name, to, noted=True) for name in names}
    names = [name for name, runs in due.items() if runs]
    looks = Builds(root).look_now(names) if names else []
    built = {run_of(look) for look in looks if look.verdict.state not in GONE}
    return [(name, run) for name in names for run in due[name] if run not in built]


def find_due(builds: Folder, name: str, to: str, *, noted: bool) -> list[str]:
    """Return the runs of a task that are not delivered; `noted`: those alone that are to be."""
    with suppress(OSError), builds.folder(name) as folder:
        notes = read_notes(folder, to)
        if noted:
            return [run for run, step in notes.items() if step == "due" and RUN_ID.fullmatch(run)]
        events = read_all(folder)[0]
        runs = dict.fromkeys(each.run_id for each in events if each.progress.task_id == name)
        return [run for run in runs if notes.get(run) != "done" and RUN_ID.fullmatch(run)]
    return []


def run_of(look: Look) -> str:
    """Return the run that a look shows, `""` for none."""
    return look.snapshot.tracker.run_id if look.snapshot else ""


def read_notes(folder: Folder, to: str) -> dict[str, Step]:
    """Return how far the runs of a build are on their way to a server, oldest first.

    What is no note is passed over. Raises OSError, but where there are no notes.
    """
    return {note.run: note.step for note in _read(folder) if note.to == to}


def note(folder: Folder, run_id: str, to: str, step: Step) -> None:
    """Note how far a run is; raises OSError."""
    line = msgspec.json.encode(Note(run_id, to, step)) + b"\n"
    fd = folder.file(NOTES, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    try:
        size = os.fstat(fd).st_size
        is_torn = size and os.pread(fd, 1, size - 1) != b"\n"  # as a full disk leaves a line
        write_all(fd, b"\n" + line if is_torn else line)
        size = os.fstat(fd).st_size
    finally:
        os.close(fd)
    if size > SIZE_MAX:
        folder.replace(NOTES, msgspec.json.Encoder().encode_lines(_shorten(_read(folder))))


def _shorten(notes: list[Note]) -> list[Note]:
    """Return the last note of each run without the oldest half of those that are delivered."""
    last = [*{(each.run, each.to): each for each in notes}.values()]
    done = [each for each in last if each.step == "done"]
    old = {*done[: len(done) // 2]}
    kept = [each for each in last if each not in old]
    return kept if len(kept) < len(notes) else kept[len(kept) // 2 :]


def _read(folder: Folder) -> list[Note]:
    try:
        lines = folder.read(NOTES, 2 * SIZE_MAX, tail=True).splitlines()
    except FileNotFoundError:
        return []
    return [note for line in lines if (note := _decode(line))]


def _decode(line: bytes) -> Note | None:
    try:
        return msgspec.json.decode(line, type=Note)
    except Exception:  # msgspec: also UnicodeDecodeError, RecursionError
        return None

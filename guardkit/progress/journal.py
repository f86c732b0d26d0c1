"""The journal: one JSON object a line for each transition, the history that the file forgets."""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from itertools import product
from typing import NamedTuple

import msgspec

from guardkit.errors import InvalidProgressError
from guardkit.progress.folder import Folder, open_builds, read_from, write_all
from guardkit.progress.paths import JOURNAL, check_task_id
from guardkit.progress.reader import explain
from guardkit.progress.snapshot import Event, Snapshot, decode_event

OLDER = f"{JOURNAL}.1"
SIZE_MAX = 4 * 2**20  # bytes, past which nothing is appended to a file
READ_MAX = 2 * SIZE_MAX  # bytes of a file that are read, the newest; there is room for a batch more
CRASHED = "crashed: "  # begins the error of a run whose end was told by the next one
LINE_MIN, LINE_MAX = 100, 2**16  # bytes of a line that is read; that of an event has some 2,000
LINE = re.compile(rb"^[^\n]{%d,%d}\n" % (LINE_MIN, LINE_MAX), re.MULTILINE)


class Spot(NamedTuple):
    """How far a journal was read.

    file: inode of `events.jsonl`, 0: whichever is there.
    offset: bytes of it that were read.
    """

    file: int = 0
    offset: int = 0


def append(folder: Folder, events: Iterable[Event], *, mend: bool = True) -> None:
    """Append events to the journal, either all of them or none.

    A file past 4 MiB becomes `events.jsonl.1` first.

    folder: that of the build.
    mend: whether to end a half-written line first, as a killed builder leaves it.
    Raises OSError; then the file is as it was, or ends in a half-written line.
    """
    _append(folder, msgspec.json.Encoder().encode_lines(events), mend=mend)


def _append(folder: Folder, lines: bytes, *, mend: bool) -> None:
    fd = folder.file(JOURNAL, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    try:
        size = os.fstat(fd).st_size
        if size > SIZE_MAX:
            folder.rename(JOURNAL, OLDER)
            _append(folder, lines, mend=mend)
            return
        if mend and size and os.pread(fd, 1, size - 1) != b"\n":
            lines = b"\n" + lines
        try:
            write_all(fd, lines)
        except OSError:
            with suppress(OSError):  # so that nothing stands there twice after the next try
                os.ftruncate(fd, size)
            with folder.naming(JOURNAL):
                raise
    finally:
        os.close(fd)


def ended_without_a_word(snapshot: Snapshot) -> str:
    """Return the error with which the next builder closes a run that was killed.

    snapshot: the newest one of that run.
    """
    tracker = snapshot.tracker
    return f"{CRASHED}process {tracker.pid} on {tracker.host} ended without a word"


def read_last(folder: Folder) -> Event | None:
    """Return the last event of the journal in a build's folder, None where none can be found."""
    for name, size in product((JOURNAL, OLDER), (LINE_MAX, READ_MAX)):
        with suppress(OSError):
            for line in reversed(LINE.findall(folder.read(name, size, tail=True) + b"\n")):
                if event := decode_event(line):
                    return event
    return None


def read_events(task_id: str, *, root: str | os.PathLike[str] = ".") -> list[Event]:
    """Return the events of all runs of `task_id` below `root`, oldest first.

    They are those that the journal still has, which is bounded in size. A line that is no event is
    passed over, as is the last one if it is half-written. Empty where there is no journal.
    Raises InvalidTaskIdError, and InvalidProgressError where there is one that cannot be read.
    """
    check_task_id(task_id)
    try:
        with open_builds(root) as builds, builds.folder(task_id) as folder:
            return read_all(folder, pass_over=FileNotFoundError)[0]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InvalidProgressError(explain(error)) from error


def read_all(folder: Folder, *, pass_over: type[OSError] = OSError) -> tuple[list[Event], Spot]:
    """Return the events in a build's folder, oldest first, and from where on to `read_on`.

    pass_over: what of a file that raises it there are no events; what else it raises is raised.
    """
    newer, spot = _read(folder, JOURNAL, Spot(), pass_over)  # first: it may be renamed meanwhile
    older, _ = _read(folder, OLDER, Spot(), pass_over)
    events = {(event.run_id, event.seq, event.event): event for event in (*older, *newer)}
    return list(events.values()), spot


def read_on(folder: Folder, spot: Spot) -> tuple[list[Event], Spot]:
    """Return the events in the whole lines past `spot`, and where these end.

    After a rotation the rest of `events.jsonl.1` comes first. Of a file that cannot be read there
    are no events.
    """
    events, now = _read(folder, JOURNAL, spot, OSError)
    if spot.file not in {0, now.file}:
        events = _read(folder, OLDER, spot, OSError)[0] + events
    return events, now


def _read(
    folder: Folder, name: str, spot: Spot, pass_over: type[OSError]
) -> tuple[list[Event], Spot]:
    """Read the whole lines of a file, those past `spot` if it is of this file.

    Where that raises `pass_over`, there are no events, and the spot stays where it is.
    """
    try:
        fd = folder.file(name)
        try:
            status = os.fstat(fd)
            goes_on = spot.file == status.st_ino and spot.offset <= status.st_size
            start = max(spot.offset if goes_on else 0, status.st_size - READ_MAX)
            text = read_from(fd, start, status.st_size - start)
        finally:
            os.close(fd)
    except pass_over:
        return [], spot
    whole = text.rfind(b"\n") + 1
    if len(text) - whole > LINE_MAX:  # no event is that long
        whole = len(text)
    events = [event for line in LINE.finditer(text) if (event := decode_event(line[0]))]
    return events, Spot(status.st_ino, start + whole)

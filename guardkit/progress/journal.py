"""The journal: one JSON object a line for each transition, the history that the file forgets."""

import errno
import os
from collections import deque
from contextlib import suppress
from datetime import datetime
from typing import BinaryIO, NamedTuple

import msgspec

from guardkit.progress.paths import build_dir, open_file
from guardkit.progress.snapshot import Snapshot

SIZE_MAX = 4 * 2**20  # bytes
TAIL = 2**16  # bytes, in which there is more than one line


Happened = tuple[str, datetime, Snapshot]  # which event, when, and the document after it


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A transition: what happened, when (UTC, to the millisecond), and the document after it."""

    event: str
    at: str
    run_id: str
    seq: int
    progress: Snapshot


def make_event(name: str, at: datetime, snapshot: Snapshot) -> Event:
    """Return the event of that name which `snapshot` shows."""
    when = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    tracker = snapshot.tracker
    return Event(event=name, at=when, run_id=tracker.run_id, seq=tracker.seq, progress=snapshot)


def append(path: str, events: deque[Happened], *, mend: bool = True) -> None:
    """Move `events` to the end of the file, one write each.

    To mend is to end a half line before them, as a builder leaves it that was killed. A file past
    4 MiB becomes `{path}.1`. Raises OSError, also for a link, which may point at anything; what is
    not written stays in `events`.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(path, flags, 0o666)
    try:
        if mend and (size := os.fstat(fd).st_size) and os.pread(fd, 1, size - 1) != b"\n":
            os.write(fd, b"\n")
        while events:
            event = events.popleft()
            line = msgspec.json.encode(make_event(*event)) + b"\n"
            try:
                if os.write(fd, line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
            except OSError:
                events.appendleft(event)
                raise
        size = os.lseek(fd, 0, os.SEEK_CUR)
    finally:
        os.close(fd)
    if size > SIZE_MAX:
        os.replace(path, f"{path}.1")


def read_last(path: str) -> Event | None:
    """Return the last event that was appended; None where none can be found."""
    for name in (path, f"{path}.1"):
        with suppress(OSError), open_file(name) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            for line in reversed(file.read().splitlines()):
                with suppress(msgspec.MsgspecError, UnicodeDecodeError):
                    return msgspec.json.decode(line, type=Event)
    return None


def read_events(task_id: str, *, root: str | os.PathLike[str] = ".") -> list[Event]:
    """Return what the journal of `task_id` below `root` tells of all its builds, oldest first.

    Lines that are no events are passed over, as is a last one that is half written.
    """
    events, _ = read_all(build_dir(root, task_id) / "events.jsonl")
    return events


class Spot(NamedTuple):
    """How far a journal was read: the file, by its inode (0: whichever is there), and bytes."""

    file: int = 0
    offset: int = 0


def read_all(path: str | os.PathLike[str]) -> tuple[list[Event], Spot]:
    """Return the events of a journal, oldest first, and from where on to `read_on`."""
    newer, spot = read_on(path, Spot())  # first: it may become the older one meanwhile
    older, _ = read_on(f"{os.fspath(path)}.1", Spot())
    events = {(event.run_id, event.seq, event.event): event for event in (*older, *newer)}
    return list(events.values()), spot


def read_on(path: str | os.PathLike[str], spot: Spot) -> tuple[list[Event], Spot]:
    """Return the events in the whole lines past a spot, and where these end.

    Where there is another file, those come first that are in the one which was moved away.
    """
    events: list[Event] = []
    with suppress(OSError), open_file(path) as file:
        status = os.fstat(file.fileno())
        if spot.file not in {0, status.st_ino}:
            events = _read_moved(f"{os.fspath(path)}.1", spot)
        is_same = spot.file in {0, status.st_ino} and spot.offset <= status.st_size
        found, spot = _read_lines(file, spot.offset if is_same else 0)
        events += found
    return events, spot


def _read_moved(path: str, spot: Spot) -> list[Event]:
    """Return the events past a spot, or all if this is a newer file than that."""
    with suppress(OSError), open_file(path) as file:
        is_same = os.fstat(file.fileno()).st_ino == spot.file
        return _read_lines(file, spot.offset if is_same else 0)[0]
    return []


def _read_lines(file: BinaryIO, offset: int) -> tuple[list[Event], Spot]:
    events: list[Event] = []
    file.seek(offset)
    for line in file:
        if line.endswith(b"\n"):
            offset += len(line)
            with suppress(msgspec.MsgspecError, UnicodeDecodeError):
                events.append(msgspec.json.decode(line, type=Event))
    return events, Spot(os.fstat(file.fileno()).st_ino, offset)

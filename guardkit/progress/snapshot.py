"""The document: one immutable record, its JSON and its schema, and which of two is newer.

The first fourteen fields of `Snapshot` are GuardKit's published schema, in its order.
"""

from bisect import bisect_right
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from guardkit.errors import InvalidProgressError, MisuseError

SCHEMA_VERSION = 1
COUNT_MAX = 2**53 - 1  # what JavaScript, and so jq and a web page, can hold
COST_MAX = 1e15  # US dollars

Count = Annotated[int, Meta(ge=0, le=COUNT_MAX)]
Ordinal = Annotated[int, Meta(ge=1, le=COUNT_MAX)]
Cost = Annotated[float, Meta(ge=0, le=COST_MAX)]
Version = Annotated[int, Meta(ge=1, le=SCHEMA_VERSION)]
Instant = Annotated[datetime, Meta(tz=True)]
BuildType = Literal["task", "feature"]
Outcome = Literal["completed", "failed", "cancelled"]
PhaseStatus = Literal["", "pending", "in_progress", "completed", "failed", "cancelled"]


class Metrics(msgspec.Struct, frozen=True, gc=False):
    """What has been counted: whole seconds, files, tests of the latest run (0 of 0: unknown)."""

    elapsed_seconds: Count = 0
    files_created: Count = 0
    files_modified: Count = 0
    tests_passed: Count = 0
    tests_total: Count = 0


class Work(msgspec.Struct, frozen=True, gc=False):
    """How far the phase that is shown has come: `done` of `total` (None: unknown) units.

    `unit` says what is counted, such as "rows"; it may be empty.
    """

    done: Count = 0
    total: Count | None = None
    unit: str = ""


class Usage(msgspec.Struct, frozen=True, gc=False):
    """What the agents of this build have used so far: tokens, and US dollars."""

    tokens: Count = 0
    cost_usd: Cost = 0.0


class Tasks(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How many tasks a feature has, and how many of them are in which state."""

    total: Count = 0
    pending: Count = 0
    running: Count = 0
    completed: Count = 0
    failed: Count = 0
    cancelled: Count = 0


class Tracker(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Who writes the document, when, and what proves that the builder lives.

    schema_version: of this document; readers refuse a newer one.
    run_id: names the run, 16 hexadecimal digits; a second build of the task has another one.
    seq: rises by one with every snapshot of the run that differs in more than its time.
    host, pid: the machine's name and the process that builds.
    heartbeat_seconds: how often the file is written at least; 0 in a file of another writer.
    activity_at: when the build last did something.
    phase_started_at, phase_number: when the phase that is shown began, and the how manieth of the
        run it is (0: none): the same name may come again.
    budget_seconds: what that phase has declared that it may take.
    boot_id: the kernel's name for this boot of the machine, "" where there is none.
    beat: seconds of this boot's monotonic clock when the document was made.
    lock: "DEVICE:INODE" of the file that the builder holds locked; null where locks do not work.
    parent_run: run_id of the feature that the task is part of, or null.
    """

    schema_version: Version = SCHEMA_VERSION
    run_id: str = ""
    seq: Count = 0
    host: str = ""
    pid: int = 0
    heartbeat_seconds: float = 0.0
    activity_at: Instant | None = None
    phase_started_at: Instant | None = None
    phase_number: Count = 0
    budget_seconds: float | None = None
    boot_id: str = ""
    beat: float = 0.0
    lock: str | None = None
    parent_run: str | None = None


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The whole state of a build at one instant: just what stands in the progress file.

    build_id, build_type: what is built, and whether it is a `task` or a `feature`.
    status: `running`, `completed`, `failed` or `cancelled`.
    wave, wave_total: of a feature, from 1.
    task_id, task_name: the task, and its title.
    turn, turn_max: the Player and Coach round, 0 before the first, and how many there may be.
    phase, phase_status: the stretch of work that is shown, both empty before the first.
    metrics: what has been counted.
    started_at, updated_at: when the build began, and when the document was last written; UTC,
        whole seconds, to be shown only: clocks step.
    message, decision, error: the latest line, the latest decision, and why it failed.
    work: how far the phase that is shown has come, or None.
    usage: what the agents have used so far, or None.
    tasks: of a feature, the counts of its tasks, else None.
    tracker: who writes the document, and what proves life.
    """

    build_id: str
    build_type: BuildType = "task"
    status: Literal["running", "completed", "failed", "cancelled"] = "running"
    wave: Ordinal = 1
    wave_total: Ordinal = 1
    task_id: str
    task_name: str = ""
    turn: Count = 0
    turn_max: Ordinal
    phase: str = ""
    phase_status: PhaseStatus = ""
    metrics: Metrics = Metrics()
    started_at: Instant
    updated_at: Instant
    message: str | None = None
    decision: str | None = None
    error: str | None = None
    work: Work | None = None
    usage: Usage | None = None
    tasks: Tasks | None = None
    tracker: Tracker = Tracker()

    @property
    def terminal(self) -> bool:
        """Whether the build has ended: completed, failed or cancelled."""
        return self.status != "running"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A transition: a line of the journal.

    event: what happened, such as `phase.started`.
    at: when, UTC, to the millisecond, as text.
    run_id, seq: of which run, and its place there.
    progress: the document at that moment.
    """

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


def is_newer(snapshot: Snapshot, than: Snapshot | None) -> bool:
    """Return whether a snapshot is the later of two of one run: by `seq`, then by `beat`.

    A snapshot of another run counts as newer: which of two runs came later, no clock can tell.
    """
    if than is None or snapshot.tracker.run_id != than.tracker.run_id:
        return True
    new, old = snapshot.tracker, than.tracker
    return not than.terminal and (new.seq, new.beat) > (old.seq, old.beat)


def encode(snapshot: Snapshot) -> bytes:
    """Return the document as UTF-8 JSON, indented by 2, ending in a line feed."""
    return msgspec.json.format(msgspec.json.encode(snapshot), indent=2) + b"\n"


def decode(document: bytes) -> Snapshot:
    """Return the snapshot in a document, whatever other keys it has.

    Raises InvalidProgressError where there is none, or one of a newer schema.
    """
    try:
        return msgspec.json.decode(document, type=Snapshot)
    except Exception as error:  # msgspec: also UnicodeDecodeError, RecursionError
        what = "not a progress file, or one for a newer guardkit"
        raise InvalidProgressError(f"{what}: {error}") from error


def decode_event(line: bytes) -> Event | None:
    """Return the event in a line of a journal, None where there is none."""
    try:
        return msgspec.json.decode(line, type=Event)
    except Exception:  # msgspec: also UnicodeDecodeError, RecursionError
        return None


def check(name: str, value: object, kind: Any) -> Any:
    """Return `value` as one of the type `kind`; raise MisuseError, which says what is wanted.

    Of a subclass of str, which cannot be encoded, only the text is kept.
    """
    try:
        found = msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise MisuseError(f"{name}={value!r} is not valid: {error}") from None
    return str.__str__(found) if isinstance(found, str) else found


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the progress file."""
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return dialect | msgspec.json.schema(Snapshot)


def clip(text: str, size: int) -> str:
    """Return `text` in at most `size` bytes of JSON, an ellipsis for what is cut off.

    Lone surrogates, which no JSON reader accepts, become U+FFFD.
    """
    if len(text) * 6 <= size and text.isascii():  # six: as \u0000
        return text
    whole = text[: size + 1].encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    room = size + 2  # the quotes do not count
    if len(msgspec.json.encode(whole)) <= room:
        return whole
    room -= len("…".encode())
    fits = bisect_right(range(len(whole)), room, key=lambda n: len(msgspec.json.encode(whole[:n])))
    return whole[: fits - 1] + "…"

"""The document: one immutable record, its JSON and its schema.

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

Count = Annotated[int, Meta(ge=0)]
Ordinal = Annotated[int, Meta(ge=1)]
Version = Annotated[int, Meta(ge=1, le=SCHEMA_VERSION)]
Instant = Annotated[datetime, Meta(tz=True)]
BuildType = Literal["task", "feature"]
Outcome = Literal["completed", "failed", "cancelled"]
PhaseStatus = Literal["", "pending", "in_progress", "completed", "failed", "cancelled"]


class Metrics(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What has been counted: whole seconds, files, tests of the latest run (0 of 0: unknown)."""

    elapsed_seconds: Count = 0
    files_created: Count = 0
    files_modified: Count = 0
    tests_passed: Count = 0
    tests_total: Count = 0


class Tracker(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Who writes the document, how often at least, and when the build last did something.

    `seq` rises by one with every snapshot of the run that differs in more than its time: it is
    what orders two of them. `budget_seconds` is what the phase declared that it may take. In a
    file that something else has written all of it is unknown, and `heartbeat_seconds` 0.
    """

    schema_version: Version = SCHEMA_VERSION
    run_id: str = ""
    seq: Count = 0
    host: str = ""
    pid: int = 0
    heartbeat_seconds: float = 0.0
    activity_at: Instant | None = None
    phase_started_at: Instant | None = None
    budget_seconds: float | None = None


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The whole state of a build at one instant: just what stands in the progress file.

    Times are aware, in UTC, of whole seconds. `turn` is 0 before the first one, `phase` and
    `phase_status` are empty.
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
    tracker: Tracker = Tracker()

    @property
    def terminal(self) -> bool:
        """Whether the build has ended: completed, failed or cancelled."""
        return self.status != "running"


def encode(snapshot: Snapshot) -> bytes:
    """Return the document as UTF-8 JSON, indented by 2, ending in a line feed."""
    return msgspec.json.format(msgspec.json.encode(snapshot), indent=2) + b"\n"


def decode(document: bytes) -> Snapshot:
    """Return the snapshot in a document, whatever other keys it has.

    Raises InvalidProgressError where there is none, or one of a newer schema.
    """
    try:
        return msgspec.json.decode(document, type=Snapshot)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        what = "not a progress file, or one for a newer guardkit"
        raise InvalidProgressError(f"{what}: {error}") from error


def check(name: str, value: object, kind: Any) -> Any:
    """Return `value` as one of the type `kind`; raise MisuseError, which says what is wanted.

    Of a subclass of str, which cannot be encoded, only the text is kept.
    """
    try:
        found = msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise MisuseError(f"{name}={value!r} cannot be: {error}") from None
    return str.__str__(found) if isinstance(found, str) else found


def check_count(name: str, value: int) -> int:
    """Return a count as a plain int; raise MisuseError."""
    return int(check(name, value, Count))


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

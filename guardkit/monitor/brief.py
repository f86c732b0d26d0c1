"""A look at builds in short, for a status line: on the standard library alone, it starts at once.

A `Brief` has the attributes of a `Snapshot`, and stands in for one wherever it is only read. What
is missing in a document, or of another type than it should be, is taken for its default.
"""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from types import SimpleNamespace

from guardkit.errors import InvalidProgressError
from guardkit.monitor.evidence import Examiner

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from typing import Any

    from guardkit.clock import Clock
    from guardkit.monitor.verdict import Found
    from guardkit.progress.snapshot import Event, Snapshot

NUMBER_MAX = 2**53  # below it whole numbers are exact wherever JSON is read
SCHEMA_VERSION = 1
STATUSES = ("running", "completed", "failed", "cancelled")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Brief(SimpleNamespace):
    """What a JSON object says, as far as it can be understood."""

    @property
    def terminal(self) -> bool:
        """Whether the build has ended: completed, failed or cancelled."""
        return bool(self.status != "running")


def decode(document: bytes) -> Snapshot:
    """Return the brief of a document.

    Raises InvalidProgressError where it has no task or no known status, or is of a newer schema.
    """
    try:
        values = json.loads(document.decode())
    except (ValueError, RecursionError) as error:
        raise InvalidProgressError(f"not a progress file: {error}") from error
    return _check(_take(DOCUMENT, values))


def decode_event(line: bytes) -> Event | None:
    """Return the event in a line of a journal in short, None where there is none."""
    with suppress(ValueError, RecursionError):
        event: Event = _take(EVENT, json.loads(line.decode()))
        _check(event.progress)
        return event
    return None


def look(
    root: str | os.PathLike[str] = ".",
    task_ids: Iterable[str] = (),
    *,
    stall_after: float = 1800.0,
    clock: Clock | None = None,
) -> Found:
    """Return document (a `Brief`) and verdict of some builds, by default of all, by task id.

    Ids without a build are left out. The document is None where none can be read, and where another
    run has taken the task and has not written yet.

    root: the folder in which `.guardkit` is.
    stall_after: seconds without activity that make a build stalled.
    clock: by default the machine's.
    Raises InvalidTaskIdError, and InvalidProgressError where the builds cannot be listed.
    """
    if clock is None:
        from guardkit.clock import SYSTEM_CLOCK

        clock = SYSTEM_CLOCK
    return Examiner((decode, decode_event), clock, stall_after).look(root, task_ids)


def _check(brief: Snapshot) -> Snapshot:
    if not brief.task_id or brief.status not in STATUSES:
        raise InvalidProgressError("not a progress file: it has no task or no status")
    if brief.tracker.schema_version > SCHEMA_VERSION:
        raise InvalidProgressError(f"for a newer guardkit: schema {brief.tracker.schema_version}")
    return brief


def _take(shape: Any, value: Any) -> Any:
    """Return what a value of JSON says: in an object what `DOCUMENT` and its like tell of."""
    if _is(tuple, shape):
        return _take(shape[0], value) if _is(dict, value) else None
    if _is(dict, shape):
        given: dict[str, Any] = value if _is(dict, value) else {}
        return Brief(**{name: _take(each, given.get(name)) for name, each in shape.items()})
    kind = shape if _is(type, shape) else shape.__class__
    default = None if _is(type, shape) else shape
    if kind is datetime:
        return _read_instant(value) or default
    if kind is str:  # lone surrogates could not be printed
        return value.encode(errors="replace").decode() if _is(str, value) else default
    lowest = -NUMBER_MAX if kind is float else -1
    is_number = _is(int, value) or _is(kind, value)
    return value if is_number and lowest < value < NUMBER_MAX else default


def _is(kind: Any, value: Any) -> bool:
    return type(value) is kind


def _read_instant(value: Any) -> datetime | None:
    with suppress(ValueError, OverflowError):
        if isinstance(value, str) and (instant := datetime.fromisoformat(value)).tzinfo:
            return instant.astimezone(UTC)
    return None


# The fields of an object by name: their defaults; or, where that is None, their types; in another
# object its fields, in brackets where that is None by default.
TRACKER = {
    **dict.fromkeys(("run_id", "host", "boot_id"), ""),
    **dict.fromkeys(("lock", "parent_run"), str),
    **dict.fromkeys(("seq", "pid", "phase_number"), 0),
    **dict.fromkeys(("heartbeat_seconds", "beat"), 0.0),
    **dict.fromkeys(("activity_at", "phase_started_at"), datetime),
    "budget_seconds": float,
    "schema_version": SCHEMA_VERSION,
}
TASKS = ("total", "pending", "running", "completed", "failed", "cancelled")
METRICS = ("elapsed_seconds", "files_created", "files_modified", "tests_passed", "tests_total")
DOCUMENT = {
    **dict.fromkeys(("build_id", "task_id", "task_name", "phase", "phase_status"), ""),
    **dict.fromkeys(("wave", "wave_total", "turn_max"), 1),
    **dict.fromkeys(("started_at", "updated_at"), EPOCH),
    **dict.fromkeys(("message", "decision", "error"), str),
    "build_type": "task",
    "status": "running",
    "turn": 0,
    "metrics": dict.fromkeys(METRICS, 0),
    "work": ({"done": 0, "total": int, "unit": ""},),
    "usage": ({"tokens": 0, "cost_usd": 0.0},),
    "tasks": (dict.fromkeys(TASKS, 0),),
    "tracker": TRACKER,
}
EVENT = {"event": "", "run_id": "", "progress": DOCUMENT}

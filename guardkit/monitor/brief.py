"""A look at builds in short, for a status line: on the standard library alone, it starts at once.

A document that is written as guardkit writes it is read as a `Brief`, which stands in for a
`Snapshot` wherever that is only read. Any other one is left to `progress.snapshot`, which takes
longer to load: so all who look come to the same verdict, whatever stands in a file.
"""

from __future__ import annotations

from contextlib import suppress
from types import SimpleNamespace

from guardkit.clock import SYSTEM_CLOCK, Clock
from guardkit.monitor.evidence import Examiner

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from typing import Any

    from guardkit.monitor.verdict import Found
    from guardkit.progress.folder import Folder
    from guardkit.progress.snapshot import Event, Snapshot


class Brief(SimpleNamespace):
    """The object of a document; its attributes are those of the struct in `progress.snapshot`."""

    @property
    def terminal(self) -> bool:
        """Whether the build has ended: completed, failed or cancelled."""
        return bool(self.status != "running")


def look(
    root: str | os.PathLike[str] = ".",
    task_ids: str | Iterable[str] = (),
    *,
    stall_after: float = 1800.0,
    clock: Clock | None = None,
) -> Found:
    """Return document and verdict of some builds, by default of all, by task id.

    Ids without a build are left out. The document, a `Brief` or a `Snapshot`, is None where none
    can be read, and where another run has taken the task and has not written yet.

    root: the folder in which `.guardkit` is.
    stall_after: seconds without activity that make a build stalled.
    clock: by default the machine's.
    Raises InvalidTaskIdError, and InvalidProgressError where the builds
    cannot be listed.
    """
    decoders = decode, decode_event
    return Examiner(decoders, clock or SYSTEM_CLOCK, stall_after).look(root, task_ids)


class Listener(Examiner):
    """Looks again and again, and so knows for how long it has heard nothing of a build.

    A single look at a build from elsewhere has but two wall clocks to go by; like a watch, this
    one goes by the monotonic clock of who looks.

    clock: by default the machine's.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        decoders = decode, decode_event
        super().__init__(decoders, clock or SYSTEM_CLOCK, 1800.0, lambda name: self._heard[name][1])
        self._heard: dict[str, tuple[object, float]] = {}

    def read(self, folder: Folder, name: str) -> Snapshot:
        """Return the document of a build, and note when it is a new one; raises as `Examiner`."""
        document = super().read(folder, name)
        tracker = document.tracker
        stamp = tracker.run_id, tracker.seq, tracker.beat, document.updated_at
        if self._heard.get(name, ("", 0.0))[0] != stamp:
            self._heard[name] = stamp, self.clock.monotonic()
        return document


def decode(document: bytes) -> Snapshot:
    """Return what a document says; raises InvalidProgressError as `progress.snapshot.decode`."""
    with suppress(ValueError, RecursionError):
        brief: Snapshot = _take(DOCUMENT, _parse(document))
        return brief
    from guardkit.progress import snapshot

    return snapshot.decode(document)


def decode_event(line: bytes) -> Event | None:
    """Return the event in a line of a journal, None where there is none."""
    with suppress(ValueError, RecursionError):
        brief: Event = _take(EVENT, _parse(line))
        return brief
    from guardkit.progress import snapshot

    return snapshot.decode_event(line)


def parse(text: str) -> Any:
    """Return the value that a text without spaces around it is in JSON.

    `json` takes half as long to import as Python to start. CPython's scanner, round which it is
    built, is there at once; what the scanner refuses, on 3.11 by a SystemError, is left to `json`.
    Raises ValueError, also for NaN, and RecursionError.
    """
    try:
        from _json import make_scanner

        value, end = make_scanner(RULES)(text, 0)
        if end == len(text):
            return value
    except (ImportError, AttributeError, StopIteration, SystemError):
        pass
    import json

    return json.loads(text, parse_constant=_refuse)


def _parse(text: bytes) -> Any:
    """Return the JSON in a text; raises ValueError, also for lone surrogates."""
    if b"\\ud" in text.lower():
        raise ValueError
    return parse(text.decode().strip(SPACE))


def _refuse(_: str) -> float:
    raise ValueError  # NaN, or an infinity


def _take(kind: Any, value: Any) -> Any:
    """Return a value of JSON, objects as briefs; raises ValueError if it is of another kind."""
    if _is(list, kind):
        return None if value is None else _take(kind[0], value)
    if _is(dict, kind) and _is(dict, value) and kind.keys() == value.keys():
        return Brief(**{name: _take(kind[name], value[name]) for name in kind})
    if kind is INSTANT and _is(str, value):
        from datetime import datetime  # here, as the MCP server starts without any

        instant = datetime.fromisoformat(value)
        if instant.isoformat() == f"{value[:-1]}+00:00":  # less the Z
            return instant
    is_number = kind is float and (_is(int, value) or _is(float, value)) and 0 <= value < INFINITY
    is_count = _is(range, kind) and _is(int, value) and value in kind
    is_word = _is(str, value) and (kind is str or (_is(tuple, kind) and value in kind))
    if is_number or is_count or is_word:
        return value
    raise ValueError


def _is(kind: type, value: Any) -> bool:
    return type(value) is kind


def _each(kind: Any, *names: str) -> dict[str, Any]:
    return dict.fromkeys(names, kind)


INFINITY = float("inf")
SPACE = " \t\r\n"
RULES: Any = SimpleNamespace(
    strict=True,
    object_hook=None,
    object_pairs_hook=None,
    parse_float=float,
    parse_int=int,
    parse_constant=_refuse,
)
# The kinds of values. An object: the names and kinds of its fields. Text: str, or the words that
# may stand there. Whole numbers: a range. In brackets: null may stand there, too.
INSTANT = object()
COUNT, ORDINAL = range(2**53), range(1, 2**53)
ENDS = "completed", "failed", "cancelled"
METRICS = "elapsed_seconds", "files_created", "files_modified", "tests_passed", "tests_total"
TRACKER = {
    **_each(str, "run_id", "host", "boot_id"),
    **_each([str], "lock", "parent_run"),
    **_each(COUNT, "seq", "pid", "phase_number"),
    **_each(float, "heartbeat_seconds", "beat"),
    **_each([INSTANT], "activity_at", "phase_started_at"),
    "budget_seconds": [float],
    "schema_version": range(1, 2),
}
DOCUMENT = {
    **_each(str, "build_id", "task_id", "task_name", "phase"),
    **_each([str], "message", "decision", "error"),
    **_each(ORDINAL, "wave", "wave_total", "turn_max"),
    **_each(INSTANT, "started_at", "updated_at"),
    "build_type": ("task", "feature"),
    "status": ("running", *ENDS),
    "phase_status": ("", "pending", "in_progress", *ENDS),
    "turn": COUNT,
    "metrics": _each(COUNT, *METRICS),
    "work": [{"done": COUNT, "total": [COUNT], "unit": str}],
    "usage": [{"tokens": COUNT, "cost_usd": float}],
    "tasks": [_each(COUNT, "total", "pending", "running", *ENDS)],
    "tracker": TRACKER,
}
EVENT = {**_each(str, "event", "at", "run_id"), "seq": COUNT, "progress": DOCUMENT}

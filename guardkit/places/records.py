"""Looks and events as programs are given them: JSON in ASCII, whatever a build says.

Terminals obey some characters that JSON lets through, and people read JSON, too: control and
bidirectional ones, and the line ends of Unicode, are escaped.
"""

import json
from collections.abc import Iterable

import msgspec

from guardkit.monitor.look import Look
from guardkit.places.plain import clean
from guardkit.progress.snapshot import Event


def encode_looks(looks: Iterable[Look]) -> str:
    """Return looks in a list of task_id, verdict (state, evidence) and progress, or null."""
    return escape([_record(look) for look in looks], indent=2)


def encode_look(look: Look) -> str:
    """Return a look as one object on one line."""
    return escape(_record(look))


def encode_event(event: Event) -> str:
    """Return an event of the journal on one line."""
    return escape(msgspec.to_builtins(event))


def _record(look: Look) -> dict[str, object]:
    state, evidence = look.verdict
    verdict = {"state": state, "evidence": clean(evidence)}
    progress = msgspec.to_builtins(look.snapshot)
    return {"task_id": look.task_id, "verdict": verdict, "progress": progress}


def escape(value: object, *, indent: int | None = None) -> str:
    """Return a value in JSON of printable ASCII."""
    return json.dumps(value, indent=indent).replace("\x7f", "\\u007f")

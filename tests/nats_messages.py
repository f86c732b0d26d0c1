"""Documents and events as messages of the two streams."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec.structs import replace

from guardkit import Snapshot
from guardkit.nats.jetstream import Message
from guardkit.nats.streams import events_subject, status_subject
from guardkit.progress.snapshot import Event, make_event

from .looks import START, TRACKER, document


def of_run(run_id: str, seq: int = 5, *, beat: float = 0.0, **changes: Any) -> Snapshot:
    """Return the document of a run of TASK-1, on a machine that beats every 5 seconds."""
    tracker = replace(TRACKER, run_id=run_id, seq=seq, beat=beat)
    return document(**({"tracker": tracker} | changes))


def status(
    shown: Snapshot | bytes,
    number: int = 1,
    *,
    headers: dict[str, str] | None = None,
    project: str = "",
    ago: float = 0.0,
) -> Message:
    """Return a message with a document on the subject of its task; `ago`: it came before START."""
    task_id = "TASK-1" if isinstance(shown, bytes) else shown.task_id
    data = shown if isinstance(shown, bytes) else msgspec.json.encode(shown)
    subject = status_subject(task_id, project)
    return Message(subject, number, data, headers or {}, START - timedelta(seconds=ago))


def an_event(shown: Snapshot, name: str = "phase.started", *, at: datetime = START) -> Event:
    """Return the event that a document shows."""
    return make_event(name, at, shown)


def of_event(event: Event | bytes, subject: str = "", number: int = 1) -> Message:
    """Return a message with an event, by default on the subject of its run."""
    if isinstance(event, Event):
        subject = subject or events_subject(event.progress.task_id, event.run_id)
        event = msgspec.json.encode(event)
    return Message(subject, number, event, {}, START)

"""The five `pipeline.build-*` messages of nats-core, which its dashboard and agents read."""

import re
from uuid import NAMESPACE_OID, uuid5

import msgspec

from guardkit.progress.snapshot import Snapshot

SOURCE = "guardkit"
ENDS = {"completed": "complete", "failed": "failed", "cancelled": "cancelled"}


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """What nats-core wraps around every message."""

    message_id: str
    timestamp: str
    version: str = "1.0"
    source_id: str = SOURCE
    event_type: str
    correlation_id: str
    payload: dict[str, object]


def wrap(snapshot: Snapshot, event: str | None, at: str) -> tuple[str, bytes]:
    """Return the subject and the message that tell what a snapshot shows.

    `event` is the transition that has made it, if one has, and `at` its time. A message that is
    made twice has the same id.
    """
    kind = ENDS.get(snapshot.status, "started" if event == "build.started" else "progress")
    feature_id = identifier(snapshot.task_id)
    tracker = snapshot.tracker
    envelope = Envelope(
        message_id=str(uuid5(NAMESPACE_OID, f"{tracker.run_id}:{tracker.seq}:{at}")),
        timestamp=at,
        event_type=f"build_{kind}",
        correlation_id=tracker.run_id,
        payload={
            "feature_id": feature_id,
            "build_id": identifier(snapshot.build_id),
            **_details(kind, snapshot, at),
        },
    )
    return f"pipeline.build-{kind}.{feature_id}", msgspec.json.encode(envelope)


def identifier(text: str) -> str:
    """Return `text` as nats-core wants identifiers: of letters, digits, `_` and `-`."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", text)


def percent(snapshot: Snapshot) -> float:
    """Return how far a build is at least: by its waves, and its turns within the wave."""
    turns = max(snapshot.turn - 1, 0) / snapshot.turn_max
    return round(100 * min((snapshot.wave - 1 + turns) / snapshot.wave_total, 1.0), 1)


def _details(kind: str, snapshot: Snapshot, at: str) -> dict[str, object]:
    waves = {"wave_total": max(snapshot.wave, snapshot.wave_total)}
    seconds = snapshot.metrics.elapsed_seconds
    reason = snapshot.error or snapshot.decision or snapshot.status
    match kind:
        case "started":
            return {**waves}
        case "progress":
            done = {"overall_progress_pct": percent(snapshot), "elapsed_seconds": seconds}
            return {"wave": snapshot.wave, **waves, **done}
        case "complete":
            tasks = {"tasks_completed": 1, "tasks_failed": 0, "tasks_total": 1}
            summary = snapshot.message or snapshot.decision or snapshot.status
            return {**tasks, "duration_seconds": seconds, "summary": summary}
        case "failed":
            failed = identifier(snapshot.task_id)
            return {"failure_reason": reason, "recoverable": True, "failed_task_id": failed}
        case _:
            run_id = snapshot.tracker.run_id
            who = {"cancelled_by": SOURCE, "cancelled_at": at, "correlation_id": run_id}
            return {"reason": reason, **who}

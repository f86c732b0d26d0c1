"""The messages of nats-core, held against what it demands."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from msgspec.structs import replace

from guardkit import Snapshot
from guardkit.nats.envelope import percent, wrap

SCHEMAS = Path(__file__).parents[3] / "shared" / "samples" / "schemas"
AT = "2025-01-31T12:34:56.789Z"
START = datetime(2025, 1, 31, 12, 34, 56, tzinfo=UTC)
RUNNING = Snapshot(
    build_id="FEAT 1", task_id="TASK.1", turn_max=4, started_at=START, updated_at=START
)
TEXT, COUNT = {"type": "string", "minLength": 1}, {"type": "integer", "minimum": 0}
PAYLOADS: dict[str, dict[str, Any]] = {
    "build_started": {"wave_total": COUNT},
    "build_progress": {
        "wave": COUNT,
        "wave_total": COUNT,
        "overall_progress_pct": {"type": "number", "minimum": 0, "maximum": 100},
        "elapsed_seconds": COUNT,
    },
    "build_complete": {
        "tasks_completed": COUNT,
        "tasks_failed": COUNT,
        "tasks_total": COUNT,
        "duration_seconds": COUNT,
        "summary": TEXT,
    },
    "build_failed": {"failure_reason": TEXT, "recoverable": {"type": "boolean"}},
    "build_cancelled": {
        "reason": TEXT,
        "cancelled_by": TEXT,
        "cancelled_at": TEXT,
        "correlation_id": {"type": "string"},
    },
}
CASES = {
    "build_started": (RUNNING, "build.started"),
    "build_progress": (replace(RUNNING, wave=3), None),
    "build_complete": (replace(RUNNING, status="completed"), "build.ended"),
    "build_failed": (replace(RUNNING, status="failed", error="no idea"), "build.ended"),
    "build_cancelled": (replace(RUNNING, status="cancelled"), "build.ended"),
}


def message(kind: str) -> tuple[str, dict[str, Any]]:
    subject, said = wrap(*CASES[kind], AT)
    return subject, json.loads(said)


@pytest.mark.parametrize("kind", CASES)
def test_a_message_has_what_nats_core_demands(kind: str) -> None:
    subject, said = message(kind)
    assert subject == f"pipeline.{kind.replace('_', '-')}.TASK-1"
    assert (said["event_type"], said["version"], said["timestamp"]) == (kind, "1.0", AT)
    assert (said["payload"]["feature_id"], said["payload"]["build_id"]) == ("TASK-1", "FEAT-1")
    properties = PAYLOADS[kind]
    jsonschema.validate(said["payload"], {"properties": properties, "required": list(properties)})


@pytest.mark.skipif(not SCHEMAS.exists(), reason="the schemas of nats-core are not at hand")
@pytest.mark.parametrize("kind", CASES)
def test_a_message_is_valid_by_the_schemas_of_nats_core(kind: str) -> None:
    _, said = message(kind)
    [payload] = SCHEMAS.glob(f"{kind}.*.json")
    for instance, path in (
        (said, SCHEMAS / "MessageEnvelope.schema.json"),
        (said["payload"], payload),
    ):
        jsonschema.validate(instance, json.loads(path.read_text()))


def test_a_message_that_is_made_twice_is_the_same() -> None:
    assert message("build_progress") == message("build_progress")


def test_a_build_beyond_its_last_wave_counts_that_one_as_the_last() -> None:
    payload = message("build_progress")[1]["payload"]
    assert (payload["wave"], payload["wave_total"]) == (3, 3)


@pytest.mark.parametrize(
    ("turn", "wave", "wave_total", "done"),
    [(0, 1, 1, 0.0), (1, 1, 1, 0.0), (3, 1, 1, 50.0), (3, 2, 3, 50.0), (4, 9, 3, 100.0)],
)
def test_the_percentage_is_what_is_done_for_sure(
    turn: int, wave: int, wave_total: int, done: float
) -> None:
    snapshot = replace(RUNNING, turn=turn, wave=wave, wave_total=wave_total)
    assert percent(snapshot) == done

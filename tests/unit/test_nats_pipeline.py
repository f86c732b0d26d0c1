"""The messages of nats-core, held against what it demands."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import jsonschema  # type: ignore[import-untyped]
import pytest
from msgspec.structs import replace

from guardkit import Snapshot
from guardkit.nats.pipeline import identifier, percent, wrap
from guardkit.progress.snapshot import Metrics, Tasks, Tracker

SCHEMAS = Path(__file__).parents[3] / "shared" / "samples" / "schemas"
AT = "2025-01-31T12:34:56Z"
START = datetime(2025, 1, 31, 12, 34, 56, tzinfo=UTC)
RUNNING = Snapshot(
    build_id="FEAT 1",
    task_id="TASK.1",
    turn_max=4,
    started_at=START,
    updated_at=START,
    metrics=Metrics(elapsed_seconds=245),
    tracker=Tracker(run_id="0123456789abcdef", seq=5),
)
FEATURE = replace(RUNNING, build_type="feature", wave=2, wave_total=3)
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
    "build_started": RUNNING,
    "build_progress": replace(RUNNING, wave=3),
    "build_complete": replace(RUNNING, status="completed"),
    "build_failed": replace(RUNNING, status="failed", error="no idea"),
    "build_cancelled": replace(RUNNING, status="cancelled"),
}


def message(kind: str, **changes: Any) -> tuple[str, dict[str, Any]]:
    subject, said = wrap(replace(CASES[kind], **changes), begins=kind == "build_started")
    return subject, json.loads(said)


def payload(kind: str, **changes: Any) -> dict[str, Any]:
    details: dict[str, Any] = message(kind, **changes)[1]["payload"]
    return details


@pytest.mark.parametrize("kind", CASES)
def test_a_message_has_what_nats_core_demands(kind: str) -> None:
    subject, said = message(kind)
    assert subject == f"pipeline.{kind.replace('_', '-')}.TASK-1"
    assert (said["event_type"], said["version"], said["timestamp"]) == (kind, "1.0", AT)
    assert (said["source_id"], said["correlation_id"]) == ("guardkit", "0123456789abcdef")
    assert (said["payload"]["feature_id"], said["payload"]["build_id"]) == ("TASK-1", "FEAT-1")
    properties = PAYLOADS[kind]
    jsonschema.validate(said["payload"], {"properties": properties, "required": list(properties)})


@pytest.mark.skipif(not SCHEMAS.exists(), reason="the schemas of nats-core are not at hand")
@pytest.mark.parametrize("kind", CASES)
def test_a_message_is_valid_by_the_schemas_of_nats_core(kind: str) -> None:
    _, said = message(kind)
    [details] = SCHEMAS.glob(f"{kind}.*.json")
    for instance, path in (
        (said, SCHEMAS / "MessageEnvelope.schema.json"),
        (said["payload"], details),
    ):
        jsonschema.validate(instance, json.loads(path.read_text()))


def test_a_message_that_is_made_twice_is_the_same() -> None:
    assert message("build_progress") == message("build_progress")


@pytest.mark.parametrize(
    "changes",
    [
        {"tracker": replace(RUNNING.tracker, seq=6)},
        {"tracker": replace(RUNNING.tracker, run_id="b")},
        {"updated_at": START + timedelta(seconds=5)},
    ],
    ids=["of another snapshot", "of another run", "of a heartbeat"],
)
def test_another_message_has_another_id(changes: dict[str, Any]) -> None:
    ids = {message("build_progress", **each)[1]["message_id"] for each in ({}, changes)}
    assert len({UUID(each) for each in ids}) == 2


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_a_build_of_which_the_end_is_all_that_is_told_has_not_started(status: str) -> None:
    subject, _ = wrap(replace(RUNNING, status=status), begins=True)
    assert not subject.startswith("pipeline.build-started")


def test_a_build_beyond_its_last_wave_counts_that_one_as_the_last() -> None:
    details = payload("build_progress")
    assert (details["wave"], details["wave_total"]) == (3, 3)


@pytest.mark.parametrize(
    ("tasks", "counts"),
    [
        pytest.param(None, (1, 0, 1), id="a task"),
        pytest.param(Tasks(total=3, completed=3), (3, 0, 3), id="a feature"),
        pytest.param(Tasks(total=3, completed=1, failed=1, cancelled=1), (1, 2, 3), id="in part"),
        pytest.param(Tasks(total=3, completed=1, pending=2), (1, 2, 3), id="with tasks left"),
        pytest.param(Tasks(total=1, completed=2), (2, 0, 2), id="with more than were planned"),
    ],
)
def test_the_tasks_that_have_not_completed_have_failed(
    tasks: Tasks | None, counts: tuple[int, int, int]
) -> None:
    details = payload("build_complete", tasks=tasks)
    found = details["tasks_completed"], details["tasks_failed"], details["tasks_total"]
    assert found == counts


def test_a_feature_without_tasks_is_no_less_than_one() -> None:
    assert payload("build_complete", tasks=Tasks())["tasks_total"] == 1


@pytest.mark.parametrize("kind", ["build_progress", "build_complete"])
def test_the_time_is_told_in_whole_seconds(kind: str) -> None:
    key = "elapsed_seconds" if kind == "build_progress" else "duration_seconds"
    assert payload(kind)[key] == 245


@pytest.mark.parametrize(
    ("kind", "key", "changes", "text"),
    [
        pytest.param("build_complete", "summary", {"message": "done"}, "done", id="a message"),
        pytest.param("build_complete", "summary", {"decision": "approved"}, "approved", id="or"),
        pytest.param("build_complete", "summary", {}, "completed", id="or the status"),
        pytest.param("build_failed", "failure_reason", {"decision": "x"}, "no idea", id="error"),
        pytest.param(
            "build_failed", "failure_reason", {"error": None, "decision": "x"}, "x", id="decision"
        ),
        pytest.param("build_cancelled", "reason", {}, "cancelled", id="the status of an end"),
    ],
)
def test_an_end_has_a_reason(kind: str, key: str, changes: dict[str, Any], text: str) -> None:
    assert payload(kind, **changes)[key] == text


@pytest.mark.parametrize(
    ("text", "made"),
    [("TASK-FB_002", "TASK-FB_002"), ("v1.2", "v1-2"), ("FEAT 1/é>*", "FEAT-1----")],
    ids=["as nats-core wants it", "with a dot", "with what no subject may have"],
)
def test_an_identifier_has_letters_digits_and_two_marks(text: str, made: str) -> None:
    assert identifier(text) == made


@pytest.mark.parametrize(
    ("turn", "wave", "wave_total", "done"),
    [(0, 1, 1, 0.0), (1, 1, 1, 0.0), (3, 1, 1, 50.0), (3, 2, 3, 50.0), (4, 9, 3, 100.0)],
    ids=["at its beginning", "in turn 1", "after two turns of 4", "in wave 2 of 3", "beyond"],
)
def test_the_percentage_is_what_is_done_for_sure(
    turn: int, wave: int, wave_total: int, done: float
) -> None:
    snapshot = replace(RUNNING, turn=turn, wave=wave, wave_total=wave_total)
    assert percent(snapshot) == done


@pytest.mark.parametrize(
    ("tasks", "done"),
    [
        pytest.param(Tasks(total=8, completed=1, failed=1, cancelled=1), 37.5, id="those ended"),
        pytest.param(Tasks(total=3, completed=1), 33.3, id="to one digit"),
        pytest.param(Tasks(total=2, completed=3), 100.0, id="more than were planned"),
        pytest.param(Tasks(), 33.3, id="none are known: its waves"),
    ],
)
def test_the_percentage_of_a_feature_is_that_of_its_tasks(tasks: Tasks, done: float) -> None:
    assert percent(replace(FEATURE, tasks=tasks)) == done

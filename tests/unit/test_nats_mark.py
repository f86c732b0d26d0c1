"""Where to go on: what follows from the last message of a build's subject."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace
from nats.js.api import RawStreamMsg

from guardkit import Snapshot
from guardkit.nats.mark import Mark, make_headers, read_mark, settled
from guardkit.nats.order import is_newer, moved
from guardkit.progress.snapshot import Tracker, encode

START = datetime(2025, 1, 31, 12, 34, 56, tzinfo=UTC)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)


def snapshot(run_id: str = "a", seq: int = 5, **changes: object) -> Snapshot:
    made = Snapshot(
        build_id="TASK-1",
        task_id="TASK-1",
        turn_max=5,
        started_at=START,
        updated_at=START,
        tracker=Tracker(run_id=run_id, seq=seq),
    )
    return replace(made, **changes)


def test_the_last_message_tells_where_to_go_on() -> None:
    shown = snapshot()
    headers = make_headers(shown, None, after=3, last=Mark(number=7, is_state=True))
    assert headers["Nats-Expected-Last-Subject-Sequence"] == headers["Guardkit-Replaces"] == "7"
    message = RawStreamMsg(seq=8, data=encode(shown), headers=headers)
    assert read_mark(message) == Mark(
        number=8, run_id="a", after=3, replaces=7, is_state=True, shows=shown, latest=shown
    )


@pytest.mark.parametrize(
    "headers",
    [None, {"Guardkit-Seq": "9"}, {"Guardkit-After": "²"}, {"Guardkit-Event": "x"}],
)
def test_a_message_of_others_is_of_no_run(headers: dict[str, str] | None) -> None:
    mark = read_mark(RawStreamMsg(seq=8, data=b"{}", headers=headers))
    assert mark == Mark(number=8)


@pytest.mark.parametrize(
    ("new", "old", "newer"),
    [
        (snapshot(), None, True),
        (snapshot(), snapshot(), False),
        (snapshot(seq=6), snapshot(), True),
        (snapshot(seq=4, updated_at=START + SECOND), snapshot(), False),
        (snapshot(updated_at=START + SECOND), snapshot(), True),
        (snapshot(seq=6), snapshot(status="failed"), False),
        (snapshot("b", seq=1), snapshot(status="failed"), True),
        (snapshot("b", started_at=START - SECOND), snapshot(), False),
        (snapshot("b"), snapshot(updated_at=START + SECOND), False),
    ],
    ids=[
        "the first one",
        "the same",
        "a later one",
        "an earlier one, written late",
        "a heartbeat",
        "after the end",
        "the next run",
        "an earlier run",
        "an earlier run of the same second",
    ],
)
def test_one_snapshot_is_newer_than_another(
    new: Snapshot, old: Snapshot | None, newer: bool
) -> None:
    assert is_newer(new, old) is newer


@pytest.mark.parametrize(
    ("changes", "may_be"),
    [({"message": "x"}, False), ({"phase": "x"}, True), ({"decision": "x"}, True)],
)
def test_what_may_be_a_transition_is_told_from_an_update(
    changes: dict[str, str], may_be: bool
) -> None:
    assert moved(snapshot(seq=6, **changes), snapshot()) is may_be


RUNS = {"a": START - 30 * DAY, "b": START, "c": START - 30 * DAY}


@pytest.mark.parametrize(
    ("mark", "since", "passed_over"),
    [
        ("", None, []),
        ("a", None, []),
        ("b", None, ["a"]),
        ("c", None, ["a", "b"]),
        ("x", None, []),
        ("", START - 7 * DAY, ["a"]),
    ],
)
def test_runs_before_that_of_the_mark_are_settled_and_old_ones_but_the_last(
    mark: str, since: datetime | None, passed_over: list[str]
) -> None:
    assert settled(RUNS, mark, since) == passed_over

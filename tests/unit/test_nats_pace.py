"""When a state is published: exact times, and no clock."""

from datetime import UTC, datetime
from math import inf

import pytest
from msgspec.structs import replace

from guardkit import Snapshot
from guardkit.nats.pace import FIRST_LOOK, JOURNAL_LATE, SETTLED, STATE_EVERY, Pace
from guardkit.progress.snapshot import Tracker

START = datetime(2025, 1, 31, 12, 34, 56, tzinfo=UTC)
SHOWN = Snapshot(
    build_id="TASK-1",
    task_id="TASK-1",
    turn_max=5,
    started_at=START,
    updated_at=START,
    tracker=Tracker(run_id="a", seq=1),
)
COUNTED = replace(SHOWN, message="writing tests")
MOVED = replace(SHOWN, phase="Setup")
ENDED = replace(SHOWN, status="completed")


def a_pace(*, ahead: bool = True, sent: float | None = None) -> Pace:
    pace = Pace()
    pace.ahead = ahead
    if sent is not None:
        pace.sent(sent)
    return pace


@pytest.mark.parametrize(
    ("ahead", "sent", "state", "due"),
    [
        (False, None, COUNTED, 10.0),
        (True, None, COUNTED, 10.0 + SETTLED),
        (True, 9.5, COUNTED, 9.5 + STATE_EVERY),
        (True, 9.5, ENDED, 10.0 + JOURNAL_LATE),
        (False, 9.5, ENDED, 10.0),
    ],
    ids=[
        "a file is read: at once",
        "the journal has time to tell of what was before",
        "one a second",
        "an end is not held up, but by the journal",
        "the end in a file",
    ],
)
def test_a_state_is_due(ahead: bool, sent: float | None, state: Snapshot, due: float) -> None:
    pace = a_pace(ahead=ahead, sent=sent)
    pace.note(state, 10.0, is_news=True)
    assert pace.take(due - 0.001) is None
    assert pace.take(due) == state
    assert pace.take(due) is None


def test_a_newer_state_takes_the_place_of_one_that_waits_for_its_second() -> None:
    pace = a_pace(ahead=False, sent=9.5)
    pace.note(COUNTED, 10.0, is_news=True)
    pace.note(MOVED, 10.4, is_news=True)
    assert pace.take(10.5) == MOVED


def test_a_state_that_is_late_is_not_put_off_by_a_newer_one() -> None:
    pace = a_pace(sent=9.0)
    pace.note(COUNTED, 10.0, is_news=True)
    pace.note(MOVED, 10.04, is_news=True)
    assert pace.take(10.0 + SETTLED) == COUNTED


def test_an_end_takes_the_place_of_any_state() -> None:
    pace = a_pace(ahead=False, sent=9.0)
    pace.note(COUNTED, 10.0, is_news=True)
    pace.note(ENDED, 10.0, is_news=True)
    assert pace.take(10.0) == ENDED


def test_what_the_stream_has_by_another_way_is_not_published() -> None:
    pace = a_pace(ahead=False)
    pace.note(COUNTED, 10.0, is_news=True)
    pace.note(COUNTED, 10.0, is_news=False)
    assert pace.take(20.0) is None
    assert pace.next_look(20.0, COUNTED) == inf


@pytest.mark.parametrize(
    ("newest", "passed", "pause"),
    [
        (MOVED, 0.0, FIRST_LOOK),
        (MOVED, 0.02, 0.01),
        (MOVED, 0.04, SETTLED - 0.04),
        (COUNTED, 0.0, SETTLED),
    ],
    ids=["soon", "then less often", "until the state is due", "no transition is awaited"],
)
def test_the_journal_is_looked_at_for_a_transition(
    newest: Snapshot, passed: float, pause: float
) -> None:
    pace = a_pace()
    pace.note(newest, 10.0, is_news=True)
    assert pace.next_look(10.0 + passed, SHOWN) == pytest.approx(pause)

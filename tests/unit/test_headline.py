"""What the tab of a terminal says of builds."""

from typing import Any

import pytest

from guardkit import Verdict
from guardkit.places.terminal.headline import headline
from guardkit.places.terminal.osc import State
from guardkit.places.terminal.screen import Headline
from guardkit.places.terminal.seen import Seen
from guardkit.progress.snapshot import Tasks, Work

from .test_words import working


def alone(state: Any = "running", **changes: Any) -> Headline | None:
    snapshot = working(1, task_id="TASK-1", **changes)
    return headline({"TASK-1": state}, Seen("TASK-1", snapshot, Verdict(state, "it is so"), 0.0))


def test_one_build_is_told_of_by_where_it_is() -> None:
    assert alone() == ("working", "TASK-1 1/5 Player Implementation", None)
    assert alone("stalled") == ("blocked", "stalled TASK-1 1/5 Player Implementation", None)


@pytest.mark.parametrize(
    ("changes", "percent"),
    [
        ({"work": Work(4, 10)}, 40),
        ({"work": Work(4, None)}, None),
        ({"work": Work(12, 10)}, 100),
        ({"tasks": Tasks(total=4, completed=1)}, 25),
    ],
    ids=str,
)
def test_a_percentage_is_told_where_something_is_counted(
    changes: dict[str, Any], percent: int | None
) -> None:
    told = alone(**changes)
    assert told
    assert told.progress == percent


def test_a_feature_is_told_of_with_the_worst_of_its_tasks() -> None:
    done: dict[str, Any] = {
        "tasks": Tasks(total=5, completed=2),
        "turn": 0,
        "phase_status": "completed",
    }
    feature = Seen("FEAT-1", working(1, task_id="FEAT-1", **done), Verdict("running", ""), 0.0)
    states, features = {"FEAT-1": "running", "T1": "failed"}, {"T1": "FEAT-1"}
    told = headline(states, feature, features)
    assert told == ("error", "FEAT-1 2/5 tasks", 40)
    over = {"FEAT-1": "failed", "T1": "failed", "T2": "completed"}
    assert headline(over, None, {"T1": "FEAT-1", "T2": "FEAT-1"}) == (
        *("error", "1 failed, 1 completed"),
        100,
    )


def test_a_build_that_has_ended_is_told_of_by_its_end() -> None:
    assert headline({"TASK-1": "completed"}) == ("done", "TASK-1 completed", None)
    assert headline({"TASK-1": "crashed"}) == ("error", "TASK-1 crashed", None)


@pytest.mark.parametrize(
    ("states", "told"),
    [
        ("running running", ("working", "2 running", 0)),
        ("running completed", ("working", "1 running, 1 completed", 50)),
        ("completed cancelled", ("done", "1 completed, 1 cancelled", 100)),
        ("running stalled", ("blocked", "1 stalled, 1 running", 0)),
        ("running stalled failed", ("error", "1 stalled, 1 failed, 1 running", 33)),
        ("running unreadable", ("error", "1 unreadable, 1 running", 50)),
    ],
)
def test_several_builds_are_told_of_by_their_states(
    states: str, told: tuple[State, str, int]
) -> None:
    assert headline(dict(enumerate(states.split()))) == told  # type: ignore[arg-type]


def test_of_no_build_there_is_nothing_to_say() -> None:
    assert headline({}) is None

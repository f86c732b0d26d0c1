"""Four answers about a build: what changed, what it does, what shows that it advances, its end."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from guardkit import Event, Snapshot
from guardkit.places.answers import (
    advances,
    answer_lines,
    answers,
    changed_last,
    does_now,
    spent_in_phase,
    will_end,
)
from guardkit.progress.snapshot import Metrics, Tasks, Work

from ..looks import START, TRACKER, document

PLAYER, COACH = "Player Implementation", "Coach Validation"


def at(seconds: int, *, seq: int = 9, number: int = 1, began: int = 0, **changes: Any) -> Snapshot:
    """Return a document of so many seconds after the start, in its phase since `began`."""
    counted = {
        name: changes.pop(name, 0)
        for name in ("files_created", "files_modified", "tests_passed", "tests_total")
    }
    budget = changes.pop("budget", None)
    tracker = replace(
        TRACKER,
        seq=seq,
        phase_number=number,
        phase_started_at=START + timedelta(seconds=began),
        budget_seconds=budget,
    )
    where: dict[str, Any] = {
        "turn": 1,
        "phase": PLAYER,
        "phase_status": "in_progress",
        "tracker": tracker,
    }
    return document(
        updated_at=START + timedelta(seconds=seconds),
        metrics=Metrics(elapsed_seconds=seconds, **counted),
        **(where | changes),
    )


def event(name: str, seen: Snapshot) -> Event:
    run, seq = seen.tracker.run_id, seen.tracker.seq
    return Event(event=name, at="", run_id=run, seq=seq, progress=seen)


BEGUN = event("build.started", at(0, seq=1, turn=0, phase="", phase_status=""))
PHASE = event("phase.started", at(2, seq=3, began=2))


# what changed last


def test_what_came_after_the_last_transition_is_told_with_the_longest_time_that_it_may_be() -> None:
    now = at(42, files_created=3)
    assert changed_last(now, [BEGUN, PHASE]) == "3 files created, within the last 40s"
    assert changed_last(now, [BEGUN, PHASE], 5.0) == "3 files created, within the last 45s"


def test_what_a_transition_has_recorded_is_told_with_its_age() -> None:
    ended = event("phase.ended", at(60, seq=4, files_created=3, files_modified=1))
    coach = event("phase.started", at(61, seq=5, number=2, files_created=3, files_modified=1))
    now = at(185, number=2, files_created=3, files_modified=1)
    assert changed_last(now, [BEGUN, PHASE, ended, coach]) == (
        "3 files created, 1 modified, recorded 2m 5s ago"
    )


def test_only_what_is_new_is_told() -> None:
    ended = event("phase.ended", at(60, seq=4, files_created=3))
    now = at(70, files_created=3, tests_passed=8, tests_total=9)
    assert changed_last(now, [BEGUN, ended]) == "8 of 9 tests passing, within the last 10s"


def test_when_is_not_told_where_the_journal_does_not_know() -> None:
    old = event("phase.ended", at(60, seq=4, files_created=3))
    assert changed_last(at(70, files_created=3), [old]) == "3 files created"
    assert changed_last(at(70, files_created=3), []) == "3 files created"


def test_nothing_is_told_where_nothing_has_been_counted() -> None:
    assert changed_last(at(70), [BEGUN, PHASE]) == ""


# what it does now


def test_the_phase_is_told_with_its_time_and_its_message() -> None:
    now = at(67, began=2, message="running\nthe tests")
    assert does_now(now, [BEGUN, PHASE]) == f"{PLAYER} for 1m 5s - running the tests"
    assert does_now(now, [BEGUN, PHASE], 5.0) == f"{PLAYER} for 1m 10s - running the tests"


def test_a_phase_lasts_no_longer_than_its_build_whatever_seconds_are_rounded() -> None:
    now = replace(at(67, began=0), metrics=Metrics(elapsed_seconds=66))
    assert spent_in_phase(now) == 66
    assert spent_in_phase(now, 5.5) == 71.5


def test_a_message_from_before_the_phase_is_not_what_it_does_now() -> None:
    phase = event("phase.started", at(2, seq=3, began=2, message="setting up"))
    now = at(67, began=2, message="setting up")
    assert does_now(now, [phase]) == f"{PLAYER} for 1m 5s"
    assert does_now(now, []) == f"{PLAYER} for 1m 5s"


def test_between_phases_the_last_one_is_told() -> None:
    ended = event("phase.ended", at(60, seq=4, phase_status="failed"))
    now = at(63, phase_status="failed")
    assert does_now(now, [PHASE, ended]) == f"between phases: {PLAYER} failed 3s ago"
    assert does_now(now, [PHASE]) == f"between phases: {PLAYER} failed"


def test_between_phases_of_a_feature_it_is_what_the_tasks_do() -> None:
    now = at(63, phase="Setup", phase_status="completed", tasks=Tasks(total=3, running=2))
    assert does_now(now, []) == "2 tasks running"


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        pytest.param({}, "", id="nothing"),
        pytest.param({"tasks": Tasks(total=3, running=1)}, "1 task running", id="a task"),
        pytest.param({"tasks": Tasks(total=3, running=2)}, "2 tasks running", id="two tasks"),
    ],
)
def test_before_the_first_phase_it_is_what_the_tasks_do(
    changes: dict[str, Any], answer: str
) -> None:
    assert does_now(at(1, turn=0, phase="", phase_status="", **changes), []) == answer


def test_between_the_phases_of_a_feature_it_is_what_the_tasks_do() -> None:
    now = at(1, turn=0, phase="Setup", phase_status="completed", tasks=Tasks(total=3, running=2))
    assert does_now(now, []) == "2 tasks running"


def test_a_phase_without_a_beginning_is_told_without_a_time() -> None:
    now = replace(at(5), tracker=replace(TRACKER, phase_number=1))
    assert does_now(now, []) == PLAYER


# what shows that it advances


def turn_ended(turn: int, passed: int) -> Event:
    seen = at(60 * turn, seq=turn, turn=turn, tests_passed=passed, tests_total=9)
    return event("turn.ended", seen)


@pytest.mark.parametrize(
    ("message", "running", "answer"),
    [
        ("1 of 3 tasks; running T2; next T3", 1, "running T2; next T3"),
        ("1 of 3 tasks; next T2", 0, "next T2"),
        (None, 2, "2 tasks running"),
        ("0 of 3 tasks; running T1", 1, "1 task running"),
    ],
    ids=["it says", "between two waves", "it says nothing", "what it says is old"],
)
def test_what_a_feature_does_between_its_phases_is_told_of_its_tasks(
    message: str | None, running: int, answer: str
) -> None:
    tasks = Tasks(total=3, running=running, completed=1)
    now = at(1, phase="Setup", phase_status="completed", turn=0, message=message, tasks=tasks)
    assert does_now(now, []) == answer


@pytest.mark.parametrize(
    ("ended", "passed", "answer"),
    [
        pytest.param([], 0, "", id="nothing yet"),
        pytest.param([], 6, "6 of 9 tests passing", id="the first result"),
        pytest.param([6], 6, "6 of 9 tests passing", id="no other result since"),
        pytest.param(
            [6],
            8,
            "8 of 9 tests passing, before that 6 of 9 tests passing (after turn 1)",
            id="more",
        ),
        pytest.param(
            [6, 6],
            6,
            "6 of 9 tests passing, before that 6 of 9 tests passing (after turn 1)",
            id="no more than the turn before",
        ),
        pytest.param(
            [9, 6],
            6,
            "6 of 9 tests passing, before that 9 tests passing (after turn 1)",
            id="fewer than before",
        ),
    ],
)
def test_the_tests_are_told_with_those_of_the_turn_before(
    ended: list[int], passed: int, answer: str
) -> None:
    events = [turn_ended(turn, each) for turn, each in enumerate(ended, 1)]
    now = at(300, turn=len(ended) + 1, tests_passed=passed, tests_total=9 if passed else 0)
    assert advances(now, events) == answer


def test_work_and_tasks_are_told_too() -> None:
    now = at(1, work=Work(4200, 11800, "rows"), tasks=Tasks(total=7, completed=3, running=2))
    assert advances(now, []) == "4,200 of 11,800 rows; 3 of 7 tasks completed"


# what will end it


@pytest.mark.parametrize(
    ("changes", "since", "answer"),
    [
        pytest.param({"turn": 3}, 0.0, "turn 3 of 5", id="turns"),
        pytest.param(
            {"turn": 3, "budget": 300.0}, 0.0, "turn 3 of 5, 4m 0s of budget left", id="a budget"
        ),
        pytest.param({"turn": 0, "budget": 300.0}, 10.0, "3m 50s of budget left", id="as of now"),
        pytest.param({"turn": 0, "budget": 30.0}, 0.0, "budget outrun by 30s", id="outrun"),
        pytest.param(
            {"turn": 3, "budget": 300.0, "phase_status": "completed"},
            0.0,
            "turn 3 of 5",
            id="a budget of a phase that has ended",
        ),
        pytest.param(
            {"wave": 2, "wave_total": 3, "turn": 0, "tasks": Tasks(total=7)},
            0.0,
            "wave 2 of 3",
            id="waves of a feature",
        ),
        pytest.param({"wave": 2, "wave_total": 3}, 0.0, "turn 1 of 5", id="a task of a wave"),
        pytest.param({"turn": 0}, 0.0, "", id="nothing that is known"),
    ],
)
def test_the_bounds_are_told(changes: dict[str, Any], since: float, answer: str) -> None:
    assert will_end(at(60, **changes), since) == answer


# all of them


def test_what_is_not_known_is_left_out() -> None:
    assert answers(at(1, turn=0, phase="", phase_status=""), [BEGUN]) == {}
    assert answer_lines({}) == []


def test_other_runs_and_what_is_newer_than_the_snapshot_do_not_count() -> None:
    other = at(60, seq=4, turn=1, tests_passed=1, tests_total=9)
    other = replace(other, tracker=replace(other.tracker, run_id="another"))
    newer = event("turn.ended", at(80, seq=10, tests_passed=2, tests_total=9))
    found = answers(at(70, tests_passed=8, tests_total=9), [event("turn.ended", other), newer])
    assert found["advances"] == "8 of 9 tests passing"
    assert found["changed last"] == "8 of 9 tests passing"


def test_the_answers_stand_below_each_other() -> None:
    now = at(65, files_created=1, budget=300.0, message="\x1b[31mred")
    assert answer_lines(answers(now, [BEGUN, PHASE], 1.0)) == [
        "changed last: 1 file created, within the last 1m 4s",
        f"does now:     {PLAYER} for 1m 6s - red",
        "will end:     turn 1 of 5, 3m 54s of budget left",
    ]

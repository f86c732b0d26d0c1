import time
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from guardkit import Snapshot
from guardkit.places.story import Story
from guardkit.progress.snapshot import Metrics, Tasks, Tracker, Usage, Work

from .test_words import COACH, START, at, local_time_is_utc, working

__all__ = ["local_time_is_utc"]  # which is used by itself

SUMMARY = ["", "== AutoBuild Summary =="]


def told(*snapshots: Snapshot, label: bool = False) -> list[str]:
    """Return all lines but those of the first snapshot, which are the one-line form."""
    story = Story(label=label)
    story.tell(snapshots[0])
    return [line for snapshot in snapshots[1:] for line in story.tell(snapshot)]


def test_a_build_is_told_as_the_task_asked_for() -> None:
    made = Metrics(files_created=3, tests_passed=5, tests_total=5)
    coach: dict[str, Any] = {"number": 2, "phase": COACH, "metrics": made}
    ended = coach | {"phase_status": "completed"}
    lines = told(
        at(0),
        working(0),
        working(34, message="Writing tests..."),
        working(109, metrics=made, message="Writing tests...", phase_status="completed"),
        working(114, **coach, message="Writing tests..."),
        working(139, **ended, message="Writing tests..."),
        working(140, **ended, decision="approve", message="ready for human review"),
        working(
            141,
            **ended,
            decision="approved",
            message="ready for human review",
            status="completed",
        ),
    )
    assert lines == [
        "[12:34:56] Turn 1/5: Player Implementation starting...",
        "[12:35:30] Turn 1/5: Writing tests...",
        "[12:36:45] Turn 1/5: [OK] 3 files created, 5 tests passing",
        "[12:36:50] Turn 1/5: Coach Validation starting...",
        "[12:37:15] Turn 1/5: [OK] Coach Validation",
        "[12:37:16] Turn 1/5: approve: ready for human review",
        "[12:37:17] Turn 1/5: approved",
        *SUMMARY,
        "Turn 1: Player Implementation - OK - 3 files created, 5 tests passing",
        "Turn 1: Coach Validation - OK",
        "Status: APPROVED",
    ]


def test_a_phase_that_fails_says_why() -> None:
    lines = told(
        at(0),
        at(1, number=1, phase="Setup", phase_status="in_progress"),
        at(2, number=1, phase="Setup", phase_status="failed", error="disk\x1b[2J full"),
        at(3, number=1, phase="Setup", phase_status="failed", error="disk full", status="failed"),
    )
    assert lines == [
        "[12:34:57] Setup starting...",
        "[12:34:58] [FAIL] disk full",
        *SUMMARY,
        "Setup - FAIL - disk full",
        "Status: FAILED - disk full",
    ]


def test_a_cancelled_build_says_so() -> None:
    lines = told(
        at(0),
        working(1, decision="feedback"),
        working(2, decision="feedback", phase_status="cancelled", status="cancelled"),
    )
    assert lines[-5:] == [
        "[12:34:58] Turn 1/5: [CANCELLED] Player Implementation",
        *SUMMARY,
        "Turn 1: Player Implementation - CANCELLED",
        "Status: CANCELLED",
    ]


def test_the_summary_is_told_once() -> None:
    ended = at(1, status="completed")
    assert told(at(0), ended, ended) == [*SUMMARY, "Status: COMPLETED"]


def test_a_run_that_has_ended_before_it_is_looked_at_is_summed_up() -> None:
    first, *rest = Story().tell(at(1, status="failed", error="no\nidea"))
    assert first == "[12:34:57] Wave 1/1, TASK-FB-002 (starting) - 0s elapsed"
    assert rest == [*SUMMARY, "Status: FAILED - no idea"]


def test_why_a_turn_was_decided_is_told_where_its_phase_has_told_only_counts() -> None:
    why: dict[str, Any] = {"message": "2 tests failed", "phase": COACH}
    ended = why | {"phase_status": "completed", "metrics": Metrics(tests_passed=1, tests_total=3)}
    lines = told(
        at(0),
        working(1, phase=COACH),
        working(2, **ended),
        working(3, decision="feedback", **ended),
    )
    assert lines[-2:] == [
        "[12:34:58] Turn 1/5: [OK] 1 of 3 tests passing",
        "[12:34:59] Turn 1/5: feedback: 2 tests failed",
    ]


def test_the_same_decision_in_another_turn_is_told_again() -> None:
    ended: dict[str, Any] = {"phase": COACH, "phase_status": "completed", "decision": "feedback"}
    lines = told(
        working(1, phase=COACH, decision="feedback", message="2 tests failed"),
        working(2, **ended | {"message": "2 tests failed"}),
        working(3, **ended | {"message": "1 test failed"}),
    )
    assert lines[-1] == "[12:34:59] Turn 1/5: feedback: 1 test failed"


def test_a_decision_without_a_phase_is_told() -> None:
    lines = told(at(0), at(1, decision="rate_limited", message="try later"))
    assert lines == ["[12:34:57] rate_limited: try later"]


def test_an_outer_phase_that_is_shown_again_does_not_begin_again() -> None:
    lines = told(
        at(0),
        working(1, phase="Wave", message="x"),
        working(3, number=2, phase="Task", message="x"),
        working(4, phase="Wave", message="y"),
    )
    assert lines[-2:] == ["[12:34:59] Turn 1/5: Task starting...", "[12:35:00] Turn 1/5: y"]


def test_the_next_phase_of_the_same_name_begins() -> None:
    lines = told(at(0), working(1), working(3, number=2))
    assert lines[-1] == "[12:34:59] Turn 1/5: Player Implementation starting..."


def test_a_clock_that_is_set_begins_no_phase_again() -> None:
    before = working(1)
    later = START + timedelta(seconds=2)
    tracker = replace(before.tracker, seq=2, phase_started_at=later, activity_at=later)
    assert told(at(0), before, replace(before, tracker=tracker))[1:] == []


def test_a_clock_that_is_set_back_hides_no_phase() -> None:
    earlier = START - timedelta(hours=1)
    tracker = replace(working(3, number=2).tracker, phase_started_at=earlier)
    lines = told(at(0), working(1), working(3, phase=COACH, tracker=tracker))
    assert lines[-1] == "[12:34:59] Turn 1/5: Coach Validation starting..."


def test_a_phase_that_was_under_way_at_the_first_look_does_not_begin_after_the_inner_one() -> None:
    lines = told(working(3, number=2, phase="Task"), working(4, phase="Wave", message="y"))
    assert lines == ["[12:35:00] Turn 1/5: y"]


def test_a_phase_that_says_nothing_new_ends_with_its_name() -> None:
    lines = told(at(0), working(1), working(2, phase_status="completed"))
    assert lines[-1] == "[12:34:58] Turn 1/5: [OK] Player Implementation"


def test_a_message_is_told_when_a_phase_has_nothing_to_count() -> None:
    lines = told(at(0), working(1), working(2, phase_status="completed", message="all good"))
    assert lines[-1] == "[12:34:58] Turn 1/5: [OK] all good"


def test_an_older_snapshot_gives_nothing() -> None:
    story = Story()
    story.tell(at(5))
    assert (story.tell(working(3)), story.last) == ([], at(5))


def test_a_heartbeat_gives_no_line() -> None:
    beat = replace(working(1), updated_at=START + timedelta(seconds=9))
    assert told(working(1), beat) == []


def test_the_next_run_of_a_task_begins_anew() -> None:
    lines = told(working(9), at(0, tracker=replace(at(0).tracker, run_id="run-2")))
    assert lines == ["[12:34:56] Wave 1/1, TASK-FB-002 (starting) - 0s elapsed"]


def test_labels_name_the_build() -> None:
    lines = told(at(0), working(1), label=True)
    assert lines == ["[12:34:57] TASK-FB-002 Turn 1/5: Player Implementation starting..."]


def test_a_file_that_another_program_wrote_can_be_followed() -> None:
    lines = told(
        at(0, tracker=Tracker()),
        working(1, tracker=Tracker()),
        working(2, tracker=Tracker(), phase_status="completed"),
    )
    assert lines == [
        "[12:34:57] Turn 1/5: Player Implementation starting...",
        "[12:34:58] Turn 1/5: [OK] Player Implementation",
    ]


@pytest.mark.parametrize("year", [1, 9999])
def test_a_time_that_no_clock_shows_is_told(monkeypatch: pytest.MonkeyPatch, year: int) -> None:
    monkeypatch.setenv("TZ", "XXX12" if year == 1 else "XXX-12")
    time.tzset()
    [line] = Story().tell(at(0, updated_at=START.replace(year=year)))
    assert line.endswith(" Wave 1/1, TASK-FB-002 (starting) - 0s elapsed")


def test_the_summary_says_what_became_of_tasks_and_what_agents_used() -> None:
    done = Tasks(total=7, completed=6, failed=1)
    ended = at(1, status="completed", tasks=done, usage=Usage(81500, 3.4))
    assert told(at(0), ended)[2:] == [
        "6 of 7 tasks completed, 1 failed",
        "Used: 81,500 tokens, $3.40",
        "Status: COMPLETED",
    ]


def test_a_phase_ends_with_the_work_that_it_has_done() -> None:
    ended = working(2, phase_status="completed", work=Work(11800, 11800, "rows"))
    lines = told(at(0), working(1), ended)
    assert lines[-1] == "[12:34:58] Turn 1/5: [OK] 11,800 of 11,800 rows"


def test_a_late_heartbeat_after_the_end_gives_nothing() -> None:
    assert told(at(0), at(2, status="cancelled"), working(1)) == [*SUMMARY, "Status: CANCELLED"]

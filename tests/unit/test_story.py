import time
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from guardkit import Snapshot
from guardkit.places.terminal.lines import ON_TERMINALS, Kind, in_file
from guardkit.places.terminal.marks import ASCII, UNICODE
from guardkit.places.terminal.story import Story, ended_line
from guardkit.progress.snapshot import Metrics, Tasks, Tracker, Usage, Work

from .test_words import COACH, START, at, local_time_is_utc, working

__all__ = ["local_time_is_utc"]  # which is used by itself

SUMMARY = ["", "== Summary =="]
BEGUN = "[12:34:56] Wave 1/1, TASK-FB-002 (starting) - 0s elapsed"


def printed(story: Story, *snapshots: Snapshot) -> list[str]:
    """Return the lines of a file."""
    lines = [line for snapshot in snapshots for line in story.tell(snapshot)]
    return [
        text for line in lines if line.kind not in ON_TERMINALS for text in in_file(line, UNICODE)
    ]


def told(*snapshots: Snapshot, label: bool = False) -> list[str]:
    """Return all lines but those of the first snapshot, which are the one-line form."""
    story = Story(label=label)
    story.tell(snapshots[0])
    return printed(story, *snapshots[1:])


def test_a_build_is_told_as_the_task_asked_for() -> None:
    made: dict[str, Any] = {"files_created": 3, "tests_passed": 5, "tests_total": 5}
    tracker = replace(at(114, number=2).tracker, phase_started_at=START + timedelta(seconds=114))
    coach: dict[str, Any] = {"phase": COACH, "tracker": tracker}

    def later(seconds: int, how: str = "completed", **changes: Any) -> Snapshot:
        own = replace(tracker, seq=seconds, activity_at=START + timedelta(seconds=seconds))
        metrics = Metrics(elapsed_seconds=seconds, **made)
        where = coach | {"tracker": own, "metrics": metrics, "phase_status": how}
        return working(seconds, **where | changes)

    lines = told(
        at(0),
        working(0),
        working(34, message="Writing tests..."),
        working(
            109,
            metrics=Metrics(elapsed_seconds=109, **made),
            message="Writing tests...",
            phase_status="completed",
        ),
        later(114, "in_progress", message="Writing tests..."),
        later(139, message="Writing tests..."),
        later(140, decision="approve", message="ready for human review"),
        later(141, decision="approved", message="ready for human review", status="completed"),
    )
    assert lines == [
        "[12:34:56] Turn 1 of 5",
        "[12:34:56] Player Implementation starting...",
        "[12:35:30] Writing tests...",
        "[12:36:45] ✓ Player Implementation  3 files created, 5 tests passing  1:49",
        "[12:36:50] Coach Validation starting...",
        "[12:37:15] ✓ Coach Validation  0:25",
        "[12:37:16] approve: ready for human review",
        "[12:37:17] approved",
        *SUMMARY,
        "Turn 1  ✓ 5/5 tests  +3  2:21",
        "Took: 2:21",
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
        "[12:34:58] ✗ Setup  disk full  0:00",
        *SUMMARY,
        "Took: 0:00",
        "Status: FAILED - disk full",
    ]


def test_a_cancelled_build_says_so() -> None:
    lines = told(
        at(0),
        working(1, decision="feedback"),
        working(2, decision="feedback", phase_status="cancelled", status="cancelled"),
    )
    assert lines[-6:] == [
        "[12:34:58] ⊘ Player Implementation  0:00",
        *SUMMARY,
        "Turn 1  ⊘  0:00",
        "Took: 0:00",
        "Status: CANCELLED",
    ]


def test_a_message_has_the_time_at_which_it_was_said() -> None:
    said = working(2, message="writing tests")
    beat = replace(said, updated_at=said.updated_at + timedelta(minutes=5))
    assert told(working(1), beat)[-1] == "[12:34:58] writing tests"


def test_the_summary_is_told_once() -> None:
    ended = at(1, status="completed")
    assert told(at(0), ended, ended) == [*SUMMARY, "Took: 0:00", "Status: COMPLETED"]


def test_what_a_turn_was_refused_with_is_not_how_the_build_has_ended() -> None:
    refused = replace(working(1), decision="feedback", message="no")
    ended = replace(refused, status="completed")
    assert told(working(1), refused, ended)[-1] == "Status: COMPLETED"
    assert ended_line(ended).text == "completed"


def test_a_run_that_has_ended_before_it_is_looked_at_is_summed_up() -> None:
    first, *rest = printed(Story(), at(1, status="failed", error="no\nidea"))
    assert first == "[12:34:57] Wave 1/1, TASK-FB-002 (starting) - 0s elapsed"
    assert rest == [*SUMMARY, "Took: 0:00", "Status: FAILED - no idea"]


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
        "[12:34:58] ✗ Coach Validation  1 of 3 tests passing  0:00",
        "[12:34:59] feedback: 2 tests failed",
    ]


def test_the_same_decision_in_another_turn_is_told_again() -> None:
    ended: dict[str, Any] = {"phase": COACH, "phase_status": "completed", "decision": "feedback"}
    lines = told(
        working(1, phase=COACH, decision="feedback", message="2 tests failed"),
        working(2, **ended | {"message": "2 tests failed"}),
        working(3, **ended | {"message": "1 test failed"}),
    )
    assert lines[-1] == "[12:34:59] feedback: 1 test failed"


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
    assert lines[-2:] == ["[12:34:59] Task starting...", "[12:35:00] y"]


def test_the_next_phase_of_the_same_name_begins() -> None:
    lines = told(at(0), working(1), working(3, number=2))
    assert lines[-1] == "[12:34:59] Player Implementation starting..."


def test_a_clock_that_is_set_begins_no_phase_again() -> None:
    before = working(1)
    later = START + timedelta(seconds=2)
    tracker = replace(before.tracker, seq=2, phase_started_at=later, activity_at=later)
    assert told(at(0), before, replace(before, tracker=tracker))[2:] == []


def test_a_clock_that_is_set_back_hides_no_phase() -> None:
    earlier = START - timedelta(hours=1)
    tracker = replace(working(3, number=2).tracker, phase_started_at=earlier)
    lines = told(at(0), working(1), working(3, phase=COACH, tracker=tracker))
    assert lines[-1] == "[12:34:59] Coach Validation starting..."


def test_a_phase_that_was_under_way_at_the_first_look_does_not_begin_after_the_inner_one() -> None:
    lines = told(working(3, number=2, phase="Task"), working(4, phase="Wave", message="y"))
    assert lines == ["[12:35:00] y"]


def test_a_phase_that_says_nothing_new_ends_with_its_name() -> None:
    lines = told(at(0), working(1), working(2, phase_status="completed"))
    assert lines[-1] == "[12:34:58] ✓ Player Implementation  0:00"


def test_a_message_is_told_when_a_phase_has_nothing_to_count() -> None:
    lines = told(at(0), working(1), working(2, phase_status="completed", message="all good"))
    assert lines[-1] == "[12:34:58] ✓ Player Implementation  all good  0:00"


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
    assert lines == [
        "[12:34:57] TASK-FB-002 Turn 1 of 5",
        "[12:34:57] TASK-FB-002 Player Implementation starting...",
    ]


def test_a_file_that_another_program_wrote_can_be_followed() -> None:
    lines = told(
        at(0, tracker=Tracker()),
        working(1, tracker=Tracker()),
        working(2, tracker=Tracker(), phase_status="completed"),
    )
    assert lines == [
        "[12:34:57] Turn 1 of 5",
        "[12:34:57] Player Implementation starting...",
        "[12:34:58] ✓ Player Implementation  0:00",
    ]


@pytest.mark.parametrize("year", [1, 9999])
def test_a_time_that_no_clock_shows_is_told(monkeypatch: pytest.MonkeyPatch, year: int) -> None:
    monkeypatch.setenv("TZ", "XXX12" if year == 1 else "XXX-12")
    time.tzset()
    [line] = printed(Story(), at(0, updated_at=START.replace(year=year)))
    assert line.endswith(" Wave 1/1, TASK-FB-002 (starting) - 0s elapsed")


def test_what_was_said_last_is_not_why_a_build_was_cancelled() -> None:
    said = working(2, message="thinking")
    ended = working(3, message="thinking", phase_status="cancelled")
    cancelled: dict[str, Any] = {"decision": "cancelled", "phase_status": "cancelled"}
    begun = at(0), working(1), said, ended
    assert told(*begun, working(4, message="thinking", **cancelled))[-1] == "[12:35:00] cancelled"
    by = told(*begun, working(4, message="by ann", **cancelled))[-1]
    assert by == "[12:35:00] cancelled: by ann"


def test_the_summary_says_what_became_of_tasks_and_what_agents_used() -> None:
    done = Tasks(total=7, completed=6, failed=1)
    ended = at(1, status="completed", tasks=done, usage=Usage(81500, 3.4))
    assert told(at(0), ended)[2:] == [
        "6 of 7 tasks completed, 1 failed",
        "Took: 0:00, 81,500 tokens, $3.40",
        "Status: COMPLETED",
    ]


def test_a_phase_ends_with_the_work_that_it_has_done() -> None:
    ended = working(2, phase_status="completed", work=Work(11800, 11800, "rows"))
    lines = told(at(0), working(1), ended)
    assert lines[-1] == "[12:34:58] ✓ Player Implementation  11,800 of 11,800 rows  0:00"


def test_a_late_heartbeat_after_the_end_gives_nothing() -> None:
    assert told(at(0), at(2, status="cancelled"), working(1)) == [
        *SUMMARY,
        "Took: 0:00",
        "Status: CANCELLED",
    ]


def coach(seq: int, passed: int, how: str = "completed", **changes: Any) -> Snapshot:
    """Return a snapshot of the Coach, which has run three tests, in its turn and phase."""
    turn: int = changes.pop("turn", 1)
    number: int = changes.pop("number", 2 * turn)
    metrics = Metrics(
        elapsed_seconds=seq, files_created=1, tests_passed=passed, tests_total=3 * (passed > 0)
    )
    where = {"turn": turn, "phase": COACH, "phase_status": how, "metrics": metrics}
    return working(seq, number=number, **where | changes)


def test_failing_tests_are_no_success_though_the_phase_has_come_to_its_end() -> None:
    lines = told(at(0), coach(1, 0, "in_progress"), coach(2, 2))
    assert lines[-1].startswith("[12:34:58] ✗ Coach Validation  1 file created, 2 of 3 tests")


def test_tests_that_fail_as_in_the_turn_before_fail_again() -> None:
    lines = told(
        coach(3, 2, decision="feedback", message="one failed"),
        working(4, turn=2, number=3, metrics=coach(4, 2).metrics, message="one failed"),
        coach(5, 0, "in_progress", turn=2, message="one failed"),
        coach(6, 2, turn=2, message="one failed"),
    )
    assert lines[-1] == "[12:35:02] ✗ Coach Validation  2 of 3 tests passing  0:06"


def test_a_phase_that_has_run_no_tests_has_not_failed_by_those_of_another() -> None:
    lines = told(
        coach(3, 2, decision="feedback"),
        working(4, turn=2, number=3, metrics=coach(4, 2).metrics),
        working(5, turn=2, number=3, metrics=coach(4, 2).metrics, phase_status="completed"),
    )
    assert "✓ Player Implementation" in lines[-1]


def test_each_turn_has_a_heading_and_a_line_in_the_summary() -> None:
    one: dict[str, Any] = {"decision": "feedback", "message": "one failed"}
    two: dict[str, Any] = {"decision": "approve", "message": "3 tests passing"}
    lines = told(
        at(0),
        coach(1, 0, "in_progress"),
        coach(18, 2),
        coach(19, 2, **one),
        coach(20, 0, "pending", turn=2, **one),
        coach(21, 0, "in_progress", turn=2, **one),
        coach(30, 3, turn=2, **one),
        coach(31, 3, turn=2, **two),
        coach(32, 3, "in_progress", turn=2, number=5, **two | {"phase": "Finalize"}),
        coach(33, 3, turn=2, number=5, **two | {"phase": "Finalize"}),
        coach(34, 3, turn=2, number=5, status="completed", **two | {"phase": "Finalize"}),
    )
    assert [line for line in lines if line.endswith(" of 5")] == [
        "[12:34:57] Turn 1 of 5",
        "[12:35:16] Turn 2 of 5",
    ]
    assert lines[-4:] == [
        "Turn 1  ✗ 2/3 tests  +1  0:18",
        "Turn 2  ✓ 3/3 tests  +1  0:11",
        "Took: 0:34",
        "Status: APPROVE",
    ]


def test_what_comes_after_the_decision_is_no_part_of_the_turn() -> None:
    story = Story()
    finalize: dict[str, Any] = {"phase": "Finalize", "decision": "approve"}
    for snapshot in (
        at(0),
        coach(1, 0, "in_progress"),
        coach(2, 3),
        coach(3, 3, decision="approve"),
    ):
        story.tell(snapshot)
    heading, begun = story.tell(coach(4, 3, "in_progress", number=9, **finalize))
    assert (heading.kind, heading.text, begun.kind) == (Kind.TURN, "", Kind.BEGUN)
    [ended] = story.tell(coach(5, 3, number=9, **finalize))
    assert (ended.kind, ended.title) == (Kind.ENDED, "Finalize")


@pytest.mark.parametrize(
    ("changes", "row"),
    [
        pytest.param(
            {"phase_status": "failed", "error": "the Player exited with 1"},
            "Turn 1  ✗ the Player exited with 1  0:05",
            id="a phase that has failed",
        ),
        pytest.param(
            {"phase_status": "completed", "decision": "feedback", "message": "nothing changed"},
            "Turn 1  ✗ nothing changed  0:05",
            id="a decision against it",
        ),
        pytest.param({"phase_status": "completed"}, "Turn 1  ✓  0:05", id="nothing to tell"),
    ],
)
def test_a_turn_without_tests_is_summed_up_by_its_reason(changes: dict[str, Any], row: str) -> None:
    decided = {"decision": changes.pop("decision", None), "message": changes.pop("message", None)}
    ended = {"metrics": Metrics(elapsed_seconds=5), **changes}
    lines = told(
        at(0),
        working(1),
        working(5, **ended),
        working(6, **ended | decided),
        working(7, status="failed", **ended | decided),
    )
    assert row in lines


def test_a_build_among_many_ends_with_one_line() -> None:
    made = Metrics(elapsed_seconds=245, files_created=3, tests_passed=9, tests_total=9)
    line = ended_line(at(1, status="completed", decision="approved", metrics=made))
    told = "[12:34:57] ✓ TASK-FB-002  approved  3 files created, 9 tests passing  4:05"
    assert in_file(line, UNICODE) == [told]
    line = ended_line(at(1, status="failed", error="no idea"))
    assert in_file(line, ASCII) == ["[12:34:57] [FAIL] TASK-FB-002  failed: no idea  0:00"]


def test_what_was_recognised_is_kept_for_the_answers() -> None:
    story = Story()
    for snapshot in (at(0), coach(1, 0, "in_progress"), coach(2, 2), coach(3, 2, decision="x")):
        story.tell(snapshot)
    names = ["build.started", "phase.started", "phase.ended", "turn.ended"]
    assert [event.event for event in story.events] == names
    story.tell(at(0, tracker=replace(at(0).tracker, run_id="run-2")))
    assert [event.event for event in story.events] == ["build.started"]

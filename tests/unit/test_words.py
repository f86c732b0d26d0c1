import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from guardkit import Snapshot, Verdict
from guardkit.monitor.verdict import State
from guardkit.places.watch import cut
from guardkit.places.words import (
    Story,
    board,
    clean,
    counts,
    duration,
    one_line,
    status_lines,
)
from guardkit.progress.snapshot import Metrics, Tracker

START = datetime(2025, 1, 31, 12, 34, 56, tzinfo=UTC)
PLAYER, COACH = "Player Implementation", "Coach Validation"
SUMMARY = ["", "== AutoBuild Summary =="]


@pytest.fixture(autouse=True)
def local_time_is_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def at(seq: int, **changes: object) -> Snapshot:
    """Return snapshot number `seq` of a run, taken that many seconds after its start."""
    now = START + timedelta(seconds=seq)
    tracker = Tracker(
        run_id="run-1",
        seq=seq,
        host="here",
        pid=1,
        heartbeat_seconds=5,
        activity_at=now,
        phase_started_at=START,
    )
    whole = Snapshot(
        task_id="TASK-FB-002",
        build_id="TASK-FB-002",
        turn_max=5,
        started_at=START,
        updated_at=now,
        tracker=tracker,
    )
    return replace(whole, **changes)


def working(seq: int, **changes: object) -> Snapshot:
    return at(seq, **{"turn": 1, "phase": PLAYER, "phase_status": "in_progress"} | changes)


def told(*snapshots: Snapshot, label: bool = False) -> list[str]:
    """Return all lines but those of the first snapshot, which are the one-line form."""
    story = Story(label=label)
    story.tell(snapshots[0])
    return [line for snapshot in snapshots[1:] for line in story.tell(snapshot)]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        pytest.param(
            {"wave_total": 3, "turn": 2, "phase": COACH, "metrics": Metrics(elapsed_seconds=245)},
            "Wave 1/3, TASK-FB-002 (Turn 2/5, Coach Validation) - 4m 5s elapsed",
            id="in a phase of a turn",
        ),
        pytest.param({}, "Wave 1/1, TASK-FB-002 (starting) - 0s elapsed", id="before everything"),
        pytest.param(
            {"phase": "Setup"}, "Wave 1/1, TASK-FB-002 (Setup) - 0s elapsed", id="before a turn"
        ),
        pytest.param(
            {"turn": 1}, "Wave 1/1, TASK-FB-002 (Turn 1/5) - 0s elapsed", id="before a phase"
        ),
        pytest.param(
            {"phase": "\x1b[31mSet\nup"},
            "Wave 1/1, TASK-FB-002 (Set up) - 0s elapsed",
            id="with a phase that would write to the terminal",
        ),
    ],
)
def test_the_one_line_form_says_where_a_build_is(changes: dict[str, object], line: str) -> None:
    assert one_line(at(0, **changes)) == line


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0s"),
        (-3, "0s"),
        (59.9, "59s"),
        (245, "4m 5s"),
        (3600, "1h 0m 0s"),
        (90061, "25h 1m 1s"),
    ],
)
def test_durations_are_told_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        pytest.param(Metrics(), [], id="nothing"),
        pytest.param(
            Metrics(files_created=3, tests_passed=5, tests_total=5),
            ["3 files created", "5 tests passing"],
            id="all pass",
        ),
        pytest.param(
            Metrics(files_created=1, files_modified=1, tests_passed=1, tests_total=1),
            ["1 file created", "1 modified", "1 test passing"],
            id="one of each",
        ),
        pytest.param(Metrics(tests_total=5), ["0 of 5 tests passing"], id="none passes"),
        pytest.param(
            Metrics(files_modified=2, tests_passed=4, tests_total=5),
            ["2 files modified", "4 of 5 tests passing"],
            id="some pass",
        ),
        pytest.param(Metrics(tests_passed=2), ["2 tests passing"], id="no total"),
    ],
)
def test_only_what_is_there_is_counted(metrics: Metrics, words: list[str]) -> None:
    assert counts(metrics) == words


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("a\nb\r\n\tc", "a b c", id="line feeds and tabs"),
        pytest.param("\x1b[1;31mred\x1b[0m", "red", id="colours"),
        pytest.param(
            "\x1b]0;title\x07x\x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\", "xlink", id="OSC"
        ),
        pytest.param("\x1b]0;never ended", "", id="OSC without end"),
        pytest.param("a\x1bcb\x1b", "ab", id="reset, and a lone escape at the end"),
        pytest.param("a\x9b2Jb\x00\x07\x7f", "a2Jb", id="C1 controls, null, bell and delete"),
        pytest.param("\u202egpj.exe\u2069\u200b\ufeff", "gpj.exe", id="bidi and zero width"),
        pytest.param("a\u2028b\u2029c", "a b c", id="Unicode's line ends"),
        pytest.param("\ud800x", "x", id="a lone surrogate"),
        pytest.param(
            "[bold]x[/bold] :smile: 日本", "[bold]x[/bold] :smile: 日本", id="markup stays"
        ),
        pytest.param(None, "", id="nothing"),
    ],
)
def test_nothing_but_printable_characters_is_left(text: str | None, shown: str) -> None:
    assert clean(text) == shown


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        pytest.param("abcdef", 6, "abcdef", id="fits"),
        pytest.param("abcdef", 5, "abcd…", id="cut"),
        pytest.param("日本語", 4, "日…", id="a wide character is not halved"),
        pytest.param("abc def", 5, "abc…", id="no space before the ellipsis"),
        pytest.param("abcdef", 0, "…", id="no room"),
    ],
)
def test_texts_are_cut_to_the_width_in_cells(text: str, width: int, shown: str) -> None:
    assert cut(text, width) == shown


def test_a_build_is_told_as_the_task_asked_for() -> None:
    made = Metrics(files_created=3, tests_passed=5, tests_total=5)
    lines = told(
        at(0),
        working(0),
        working(34, message="Writing tests..."),
        working(109, metrics=made, message="Writing tests...", phase_status="completed"),
        working(114, phase=COACH, metrics=made, message="Writing tests..."),
        working(
            139, phase=COACH, metrics=made, message="Writing tests...", phase_status="completed"
        ),
        working(
            140,
            phase=COACH,
            metrics=made,
            phase_status="completed",
            decision="approve",
            message="ready for human review",
        ),
        working(
            141,
            phase=COACH,
            metrics=made,
            phase_status="completed",
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
        at(1, phase="Setup", phase_status="in_progress"),
        at(2, phase="Setup", phase_status="failed", error="disk\x1b[2J full"),
        at(3, phase="Setup", phase_status="failed", error="disk full", status="failed"),
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
    why: dict[str, object] = {"message": "2 tests failed", "phase": COACH}
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
    ended: dict[str, object] = {"phase": COACH, "phase_status": "completed", "decision": "feedback"}
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
    tracker = at(3).tracker
    assert tracker is not None
    inner = replace(tracker, phase_started_at=START + timedelta(seconds=3))
    lines = told(
        at(0),
        working(1, phase="Wave", message="x"),
        working(3, phase="Task", message="x", tracker=inner),
        working(4, phase="Wave", message="y"),
    )
    assert lines[-2:] == ["[12:34:59] Turn 1/5: Task starting...", "[12:35:00] Turn 1/5: y"]


def test_the_next_phase_of_the_same_name_begins() -> None:
    tracker = at(3).tracker
    assert tracker is not None
    again = replace(tracker, phase_started_at=START + timedelta(seconds=3))
    lines = told(at(0), working(1), working(3, tracker=again))
    assert lines[-1] == "[12:34:59] Turn 1/5: Player Implementation starting..."


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
    tracker = at(0).tracker
    assert tracker is not None
    lines = told(working(9), at(0, tracker=replace(tracker, run_id="run-2")))
    assert lines == ["[12:34:56] Wave 1/1, TASK-FB-002 (starting) - 0s elapsed"]


def test_labels_name_the_build() -> None:
    lines = told(at(0), working(1), label=True)
    assert lines == ["[12:34:57] TASK-FB-002 Turn 1/5: Player Implementation starting..."]


def test_a_file_that_another_program_wrote_can_be_followed() -> None:
    snapshot = working(1, tracker=Tracker())
    lines = told(at(0, tracker=Tracker()), snapshot)
    assert lines == ["[12:34:57] Turn 1/5: Player Implementation starting..."]
    assert board([snapshot], START) == [one_line(snapshot)]


@pytest.mark.parametrize("year", [1, 9999])
def test_a_time_that_no_clock_shows_is_told(monkeypatch: pytest.MonkeyPatch, year: int) -> None:
    monkeypatch.setenv("TZ", "XXX12" if year == 1 else "XXX-12")
    time.tzset()
    [line] = Story().tell(at(0, updated_at=START.replace(year=year)))
    assert line.endswith(" Wave 1/1, TASK-FB-002 (starting) - 0s elapsed")


RUNNING = Verdict(state="running", evidence="heartbeat 1 s ago")


def test_one_build_is_described_in_a_few_lines() -> None:
    snapshot = working(1, metrics=Metrics(files_created=2), message="writing\ntests")
    assert status_lines([(snapshot, RUNNING)], snapshot.updated_at + timedelta(seconds=4)) == [
        "Wave 1/1, TASK-FB-002 (Turn 1/5, Player Implementation) - 4s elapsed",
        "running: heartbeat 1 s ago",
        "2 files created",
        "writing tests",
    ]


@pytest.mark.parametrize(
    ("state", "changes"),
    [("crashed", {}), ("lost", {}), ("completed", {"status": "completed"})],
)
def test_time_has_stopped_for_a_build_that_is_over(
    state: State, changes: dict[str, object]
) -> None:
    verdict = Verdict(state=state, evidence="it is gone")
    line, *_ = status_lines([(working(1, **changes), verdict)], START + timedelta(hours=1))
    assert line.endswith("- 0s elapsed")


def test_several_builds_have_a_line_each_with_their_states_aligned() -> None:
    wide = working(2, turn=2, phase=COACH, task_id="TASK\n日本")
    builds = [(working(1), RUNNING), (wide, Verdict(state="unresponsive", evidence="blocked"))]
    assert status_lines(builds, START) == [
        "running:      Wave 1/1, TASK-FB-002 (Turn 1/5, Player Implementation) - 0s elapsed",
        "unresponsive: Wave 1/1, TASK 日本 (Turn 2/5, Coach Validation) - 0s elapsed - blocked",
    ]


def test_the_board_ticks_between_two_snapshots() -> None:
    now = START + timedelta(seconds=64)
    snapshot = working(60, metrics=Metrics(elapsed_seconds=60, tests_passed=1, tests_total=2))
    assert board([snapshot], now) == [
        "Wave 1/1, TASK-FB-002 (Turn 1/5, Player Implementation) - 1m 4s elapsed",
        "1 of 2 tests passing, heartbeat 4s ago, activity 4s ago",
    ]


def test_the_board_shows_only_what_runs() -> None:
    assert board([at(1, status="completed"), at(1, status="cancelled")], START) == []

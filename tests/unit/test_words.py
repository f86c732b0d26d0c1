import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from guardkit import Look, Snapshot, Verdict
from guardkit.places.log import heading, log_line
from guardkit.places.plain import clean, clip, printable
from guardkit.places.words import (
    age,
    counts,
    duration,
    is_news,
    look_line,
    one_line,
    status_lines,
    tasks,
    unknown,
    used,
)
from guardkit.progress.lock import boot_id
from guardkit.progress.snapshot import Event, Metrics, Tasks, Tracker, Usage, Work

if TYPE_CHECKING:
    from guardkit.monitor.verdict import State

START = datetime(2025, 1, 31, 12, 34, 56, tzinfo=UTC)
PLAYER, COACH = "Player Implementation", "Coach Validation"


@pytest.fixture(autouse=True)
def local_time_is_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def at(seq: int, *, number: int = 0, **changes: Any) -> Snapshot:
    """Return snapshot `seq` of a run, in its phase `number`, so many seconds after its start."""
    now = START + timedelta(seconds=seq)
    tracker = Tracker(
        run_id="run-1",
        seq=seq,
        host="here",
        pid=1,
        heartbeat_seconds=5,
        activity_at=now,
        phase_started_at=START,
        phase_number=number,
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


def working(seq: int, *, number: int = 1, **changes: Any) -> Snapshot:
    where = {"turn": 1, "phase": PLAYER, "phase_status": "in_progress"}
    return at(seq, number=number, **where | changes)


FEATURE: dict[str, Any] = {
    "tasks": Tasks(total=3, pending=1, running=1, completed=1),
    "phase": "Setup",
    "phase_status": "completed",
}


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
            {"tasks": Tasks(total=3, pending=3)},
            "Wave 1/1, TASK-FB-002 (starting) - 0s elapsed",
            id="before the first task of a feature",
        ),
        pytest.param(
            {"tasks": Tasks(total=3, pending=1, running=1, completed=1)},
            "Wave 1/1, TASK-FB-002 (1 of 3 tasks; 1 running, 1 pending) - 0s elapsed",
            id="while tasks of a feature run",
        ),
        pytest.param(
            FEATURE | {"message": "1 of 3 tasks; running T2; next T3"},
            "Wave 1/1, TASK-FB-002 (1 of 3 tasks; running T2; next T3) - 0s elapsed",
            id="as the builder of a feature says",
        ),
        pytest.param(
            FEATURE | {"message": "0 of 3 tasks; running T1"},
            "Wave 1/1, TASK-FB-002 (1 of 3 tasks; 1 running, 1 pending) - 0s elapsed",
            id="with a message that is older than the counts",
        ),
        pytest.param(
            FEATURE | {"phase_status": "in_progress", "turn": 1},
            "Wave 1/1, TASK-FB-002 (1 of 3 tasks; Setup) - 0s elapsed",
            id="in a phase of a feature's own",
        ),
        pytest.param(
            FEATURE | {"status": "failed", "tasks": Tasks(total=3, completed=2, failed=1)},
            "Wave 1/1, TASK-FB-002 (2 of 3 tasks; 1 failed) - 0s elapsed",
            id="of a feature that has ended",
        ),
        pytest.param(
            {"phase": "\x1b[31mSet\nup"},
            "Wave 1/1, TASK-FB-002 (Set up) - 0s elapsed",
            id="with a phase that would write to the terminal",
        ),
    ],
)
def test_the_one_line_form_says_where_a_build_is(changes: dict[str, Any], line: str) -> None:
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
    assert counts(at(0, metrics=metrics)) == words


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


def test_lines_stay_as_they_are_but_for_what_a_terminal_obeys() -> None:
    assert printable("a  b \n\x1b[2Jc\r\x9b\u202e\n") == "a  b \n[2Jc\n"


@pytest.mark.parametrize(
    ("work", "words"),
    [
        pytest.param(Work(4200, 11800, "rows"), ["4,200 of 11,800 rows"], id="with a total"),
        pytest.param(Work(4200, None, "rows"), ["4,200 rows"], id="without a total"),
        pytest.param(Work(7, 9), ["7 of 9"], id="without a unit"),
        pytest.param(Work(45, 100, "%"), ["45%"], id="a percentage"),
        pytest.param(Work(0, None, "\x1b[2Jro\nws"), ["0 ro ws"], id="a hostile unit"),
    ],
)
def test_other_work_than_files_and_tests_is_counted_in_its_unit(
    work: Work, words: list[str]
) -> None:
    assert counts(at(0, work=work)) == words


@pytest.mark.parametrize(
    ("usage", "words"),
    [
        (None, []),
        (Usage(), []),
        (Usage(1, 0.0), ["1 token"]),
        (Usage(81500, 3.4), ["81,500 tokens", "$3.40"]),
        (Usage(0, 1234.567), ["$1,234.57"]),
    ],
)
def test_what_agents_have_used_is_told(usage: Usage | None, words: list[str]) -> None:
    assert used(at(0, usage=usage)) == words


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, []),
        (Tasks(total=1, completed=1), ["1 of 1 task completed"]),
        (
            Tasks(total=7, pending=1, running=2, completed=3, failed=1),
            ["3 of 7 tasks completed", "2 running", "1 failed", "1 pending"],
        ),
    ],
)
def test_the_tasks_of_a_feature_are_counted(found: Tasks | None, words: list[str]) -> None:
    assert tasks(at(0, tasks=found)) == words


def written(beat: float, *, boot: str) -> Snapshot:
    return at(0, tracker=Tracker(boot_id=boot, beat=beat))


def test_the_age_of_a_snapshot_is_known_on_the_boot_that_wrote_it() -> None:
    assert age(written(100.0, boot=boot_id()), 104.5) == 4.5
    assert age(written(104.5, boot=boot_id()), 100.0) == 0.0


@pytest.mark.parametrize("boot", ["", "another"])
def test_the_age_of_a_snapshot_from_elsewhere_is_not_guessed(boot: str) -> None:
    assert age(written(100.0, boot=boot), 104.5) == 0.0


def look(snapshot: Snapshot | None, state: "State" = "running", why: str = "it is so") -> Look:
    task_id = snapshot.task_id if snapshot else "TASK-1"
    return Look(task_id, snapshot, Verdict(state, why), "/project")


def here(seq: int, **changes: Any) -> Snapshot:
    """Return a snapshot that was written on this boot, at that many seconds of its clock."""
    snapshot = working(seq, **changes)
    return replace(snapshot, tracker=replace(snapshot.tracker, boot_id=boot_id(), beat=float(seq)))


def test_one_build_is_described_in_a_few_lines() -> None:
    snapshot = here(1, metrics=Metrics(files_created=2), message="writing\ntests")
    assert status_lines([look(snapshot)], 5.0) == [
        "Wave 1/1, TASK-FB-002 (Turn 1/5, Player Implementation) - 4s elapsed",
        "running: it is so",
        "2 files created",
        "writing tests",
    ]


def test_what_the_verdict_has_told_is_not_repeated() -> None:
    failed = here(1, status="failed", error="out of ideas", message="out of ideas")
    lines = status_lines([look(failed, "failed", "ended after 0 s: out of ideas")], 1.0)
    assert lines[1:] == ["failed: ended after 0 s: out of ideas"]


def test_one_build_is_described_with_all_that_its_document_has() -> None:
    counted: dict[str, Any] = {
        "work": Work(4200, 11800, "rows"),
        "tasks": Tasks(total=2, running=2),
    }
    snapshot = at(1, usage=Usage(81500, 3.4), metrics=Metrics(files_created=1), **counted)
    assert status_lines([look(snapshot)], 0.0)[2:] == [
        "4,200 of 11,800 rows, 1 file created",
        "0 of 2 tasks completed, 2 running",
        "81,500 tokens, $3.40",
    ]


@pytest.mark.parametrize(
    ("state", "changes"),
    [("crashed", {}), ("lost", {}), ("completed", {"status": "completed"})],
)
def test_time_has_stopped_for_a_build_that_is_over(state: "State", changes: dict[str, Any]) -> None:
    line, *_ = status_lines([look(here(1, **changes), state)], 3600.0)
    assert line.endswith("- 0s elapsed")


def test_several_builds_have_a_line_each_with_their_states_aligned() -> None:
    wide = working(2, turn=2, phase=COACH, task_id="TASK\n日本")
    looks = [look(working(1)), look(wide, "unresponsive", "blocked"), look(None, "unreadable")]
    assert status_lines(looks, 0.0) == [
        "running:      Wave 1/1, TASK-FB-002 (Turn 1/5, Player Implementation) - 0s elapsed",
        "unresponsive: Wave 1/1, TASK 日本 (Turn 2/5, Coach Validation) - 0s elapsed - blocked",
        "unreadable:   TASK-1 - it is so",
    ]


def test_a_build_that_has_written_nothing_yet_is_told_of_with_the_reason() -> None:
    assert look_line(look(None), 0.0) == "running: TASK-1 - it is so"
    assert status_lines([look(None)], 0.0) == ["running: TASK-1 - it is so"]


def test_of_no_build_there_is_no_line() -> None:
    assert status_lines([], 0.0) == []


def event(name: str, when: str = "2025-01-31T12:35:00.250Z", **changes: Any) -> Event:
    snapshot = working(4, **changes)
    return Event(event=name, at=when, run_id="run-1", seq=4, progress=snapshot)


@pytest.mark.parametrize(
    ("happened", "line"),
    [
        (event("build.started", task_name="Prices"), "build.started  Prices"),
        (event("wave.started", wave=2, wave_total=3), "wave.started   Wave 2 of 3"),
        (
            event("wave.ended", tasks=Tasks(total=2, completed=2)),
            "wave.ended     Wave 1 of 1 - 2 of 2 tasks completed",
        ),
        (event("turn.started"), "turn.started   Turn 1 of 5"),
        (
            event("phase.ended", phase_status="completed", work=Work(5, 5, "rows")),
            f"phase.ended    {PLAYER} - completed - 5 of 5 rows",
        ),
        (event("decided", decision="approve"), "decided        approve"),
        (
            event("build.ended", status="failed", error="no\nidea", usage=Usage(5, 0.5)),
            "build.ended    failed after 0s - no idea - 5 tokens, $0.50",
        ),
        (event("some\x1b[2Jthing"), f"something      {PLAYER}"),
    ],
    ids=lambda value: value.event if isinstance(value, Event) else "",
)
def test_the_log_has_a_line_for_an_event(happened: Event, line: str) -> None:
    assert log_line(happened) == f"2025-01-31 12:35:00  {line}"


@pytest.mark.parametrize(
    "when",
    ["soon", "", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00"],
)
@pytest.mark.parametrize("zone", ["UTC", "XXX12", "XXX-12"])
def test_an_instant_that_no_clock_shows_costs_no_line_of_the_log(
    monkeypatch: pytest.MonkeyPatch, when: str, zone: str
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    assert log_line(event("decided", when, decision="approve")).endswith("  decided        approve")


def test_the_heading_of_a_run_names_it() -> None:
    assert heading(event("build.started")) == "== Run run-1 =="
    assert heading(replace(event("build.started"), run_id="")) == "== Run of another program =="


def test_what_is_too_long_ends_in_an_ellipsis() -> None:
    assert [clip("abcd", size) for size in (5, 4, 3)] == ["abcd", "abcd", "ab…"]


@pytest.mark.parametrize(
    ("state", "boot", "now", "expected"),
    [
        ("completed", boot_id(), 160.0, True),
        ("crashed", boot_id(), 160.0, True),
        ("completed", boot_id(), 160.1, False),
        ("running", "another", 1e9, True),
        ("completed", "another", 100.0, False),
        ("completed", "", 100.0, False),
    ],
)
def test_what_goes_on_is_news_and_an_end_for_a_minute_where_that_can_be_known(
    state: "State", boot: str, now: float, *, expected: bool
) -> None:
    seen = at(1)
    seen = replace(seen, tracker=replace(seen.tracker, boot_id=boot, beat=100.0))
    look = Look("TASK-1", seen, Verdict(state, "it is so"), "/project")
    assert is_news(look, now) is expected
    assert is_news(replace(look, snapshot=None), now)


def test_a_task_that_is_not_known_is_told_with_the_nearest_one() -> None:
    said = "no build of TASK-11 is known below here (did you mean TASK-1?)"
    assert unknown("TASK-11", "below here", ["TASK-1", "other"]) == said
    assert unknown("TASK-11", "below here", []) == "no build of TASK-11 is known below here"

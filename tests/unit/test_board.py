"""How many builds are drawn in a table, and one in a few lines, in the room that there is."""

from collections import Counter
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from msgspec.structs import replace

from guardkit import Snapshot, Verdict
from guardkit.places.cells import cell_len
from guardkit.places.terminal.board import TITLES, draw_many, fit, room_for
from guardkit.places.terminal.marks import ASCII, UNICODE, Marks
from guardkit.places.terminal.panel import draw_one
from guardkit.places.terminal.seen import Seen, Size
from guardkit.progress.snapshot import Metrics, Tasks, Usage

from ..looks import TRACKER
from .test_words import COACH, START, at, working

MADE = Metrics(
    elapsed_seconds=245, files_created=3, files_modified=1, tests_passed=8, tests_total=9
)
WHOLE: dict[str, Any] = {
    "metrics": MADE,
    "usage": Usage(81_500, 3.4),
    "message": "running the tests",
    "turn": 2,
    "phase": COACH,
}


def seen(
    task_id: str = "TASK-1", state: Any = "running", since: float = 0.0, **changes: Any
) -> Seen:
    snapshot = working(1, task_id=task_id, **(WHOLE | changes))
    return Seen(task_id, snapshot, Verdict(state, "it is so"), since)


def table(*builds: Seen, width: int = 100, marks: Marks = UNICODE, **rest: int) -> list[str]:
    counted = Counter(each.verdict.state for each in builds) + Counter(rest)
    drawn = draw_many(builds, rest, counted, Size(width, 40), marks)
    return [line.rstrip() for line in drawn.plain.split("\n")]


def panel(build: Seen, width: int = 100, height: int = 40, marks: Marks = UNICODE) -> list[str]:
    found = {"changed last": "3 files", "does now": COACH, "will end": "turn 2 of 5"}
    drawn = draw_one(build, found, Size(width, height), 0, marks)
    return [line.rstrip() for line in drawn.plain.split("\n")]


def test_a_row_tells_of_a_build_in_columns() -> None:
    figures = "2/5   ━━───  Coach Validation  8/9    +3 ~1  $3.40  4:05"
    assert table(seen(), seen("TASK-20", "stalled")) == [
        "",
        "1 stalled, 1 running",
        "TASK     TURN         PHASE             TESTS  FILES  COST   TIME  STATE",
        f"TASK-1   {figures}  running  running the tests",
        f"TASK-20  {figures}  stalled  it is so",
    ]


def test_a_feature_is_told_of_by_its_tasks() -> None:
    done: dict[str, Any] = {"tasks": Tasks(total=9, completed=3), "turn": 0, "phase": ""}
    row = table(seen(wave=2, wave_total=3, **done))[-1]
    assert row.startswith("TASK-1  2/3   3/9   ━━───  tasks  8/9")


def test_the_tasks_of_a_feature_are_set_in_below_it() -> None:
    told = "3 of 9 tasks; running TASK-4; next TASK-5"
    done: dict[str, Any] = {"tasks": Tasks(total=9, completed=3), "turn": 0, "phase": ""}
    feature = seen("FEAT-1", **done | {"message": told})
    part = seen("TASK-4", build_id="FEAT-1", tracker=replace(TRACKER, parent_run="f"))
    lines = table(feature, part)
    assert lines[-2].endswith("running  next TASK-5")
    assert [line.partition("  2/")[0].rstrip() for line in lines[-1:]] == ["  TASK-4"]
    assert table(part)[-1].startswith("TASK-4 ")


def test_a_feature_whose_tasks_run_is_in_no_phase() -> None:
    set_up: dict[str, Any] = {"turn": 0, "phase": "Setup", "phase_status": "completed"}
    row = table(seen(tasks=Tasks(total=9, completed=3), **set_up))[-1]
    assert "Setup" not in row


def test_a_build_that_cannot_be_read_has_a_row() -> None:
    row = table(Seen("TASK-1", None, Verdict("unreadable", "it is no progress file"), 0.0))[-1]
    assert row == "TASK-1  unreadable  it is no progress file"


def test_what_has_no_row_is_counted() -> None:
    lines = table(seen(), running=5, crashed=1)
    assert (lines[1], lines[-1]) == ("1 crashed, 6 running", "+6 more, 1 in trouble")


@pytest.mark.parametrize("width", range(35, 201, 5))
def test_a_row_has_room_and_keeps_its_task_its_time_and_its_state(width: int) -> None:
    build = seen("TASK-3-rename-the-whole-of-it", "unresponsive", wave_total=3, phase="日本語" * 5)
    lines = table(build, seen("TASK-10"), width=width)
    assert max(map(cell_len, lines)) <= width
    row = next(line for line in lines if line.startswith("TASK-3-rena"))
    assert "  4:05  unresponsive" in row


def test_the_columns_go_one_by_one_where_there_is_no_room() -> None:
    row = "TASK-1", "2/3", "2/5", "━━───", COACH, "8/9", "+3 ~1", "$3.40", "4:05", "running", "x"
    shown = [[bool(each) for each in fit([row], width)] for width in (80, 72, 66, 62, 54, 40, 30)]
    left = [
        {title or "BAR" for title, is_there in zip(TITLES, each, strict=True) if is_there}
        for each in shown
    ]
    assert [sorted(before - after) for before, after in pairwise(left)] == [
        *(["BAR"], ["WAVE"], ["COST"], ["FILES"], ["PHASE"], ["TESTS"]),
    ]


def test_what_is_wrong_is_told_before_what_matters_least() -> None:
    row = "TASK-1", "2/3", "2/5", "━━───", COACH, "8/9", "+3 ~1", "$3.40", "4:05", "stalled"
    rows = [(*row, "no activity for 1915 s")]
    assert [each for each in fit(rows, 78) if each] == [6, 3, 3, 5, 16, 3, 5, 5, 4, 7]
    assert [each for each in fit(rows, 78, is_ill=True) if each] == [6, 3, 16, 3, 4, 7, 22]


def test_a_task_has_the_room_that_a_column_has_left() -> None:
    row = "TASK-FB-006-rename", "", "2/5", "", "", "120/121", "", "", "4:05", "running", ""
    shown = ["TASK-FB-006-ren…", "2/5", "4:05", "running"]
    assert [width for width in fit([row], 36) if width] == [len(each) for each in shown]


@pytest.mark.parametrize(
    ("number", "height", "room"), [(5, 9, 5), (6, 9, 4), (1000, 40, 35), (3, 1, 1)]
)
def test_a_table_has_as_many_rows_as_lines_are_left(number: int, height: int, room: int) -> None:
    assert room_for(number, Size(80, height)) == room


def test_without_unicode_a_table_is_drawn_in_ascii() -> None:
    lines = table(seen(message="m" * 99), marks=ASCII)
    assert lines[-1].endswith("~")
    assert all(line.isascii() for line in lines)
    assert "  ==---  " in lines[-1]


def test_one_build_is_drawn_in_a_few_lines() -> None:
    assert panel(seen()) == [
        "",
        "⠋ TASK-1  turn 2 of 5  ━━───  Coach Validation  0:01" + " " * 44 + "4:05",
        "  running the tests",
        "  8/9 tests  +3 ~1  $3.40",
        "  changed last  3 files",
        "  will end      turn 2 of 5",
    ]


def test_a_phase_with_a_budget_is_told_with_it() -> None:
    build = seen()
    assert build.snapshot
    tracker = replace(build.snapshot.tracker, budget_seconds=600.0)
    head = panel(build._replace(snapshot=replace(build.snapshot, tracker=tracker), since=51.0))[1]
    assert f"{COACH}  0:52 of 10:00  " in head


@pytest.mark.parametrize(
    ("width", "head"),
    [
        (80, "⠋ TASK-1  turn 2 of 5  ━━───  Coach Validation  0:01                        4:05"),
        (50, "⠋ turn 2 of 5  ━━───  Coach Validation  0:01  4:05"),
        (40, "⠋ 2/5  Coach Validation  0:01       4:05"),
        (30, "⠋ 2/5  Coach Validation   4:05"),
        (20, "⠋ 2/5  Coach…   4:05"),
    ],
)
def test_the_time_is_always_there(width: int, head: str) -> None:
    lines = panel(seen(message="m" * 300), width)
    assert (lines[1], max(map(cell_len, lines))) == (head, max(width, len(head)))


@pytest.mark.parametrize(("width", "height"), [(59, 40), (100, 13)])
def test_the_answers_are_left_out_where_there_is_little_room(width: int, height: int) -> None:
    assert len(panel(seen(), width, height)) == 4


def test_trouble_stands_in_place_of_the_message() -> None:
    lines = panel(seen(state="stalled"))
    assert (lines[1][0], lines[2]) == ("!", "  stalled: it is so")


@pytest.mark.parametrize(
    ("since", "idle", "line"),
    [
        pytest.param(9.0, 0, "running the tests", id="in time"),
        pytest.param(12.0, 0, "no heartbeat for 12s", id="two heartbeats are missing"),
        pytest.param(5.0, 54, "running the tests", id="idle for a while"),
        pytest.param(5.0, 55, "no activity for 1m 0s  running the tests", id="idle"),
    ],
)
def test_a_heartbeat_is_told_of_when_it_is_late(since: float, idle: int, line: str) -> None:
    build = seen(since=since)
    assert build.snapshot
    tracker = replace(build.snapshot.tracker, activity_at=START + timedelta(seconds=1 - idle))
    assert (
        panel(build._replace(snapshot=replace(build.snapshot, tracker=tracker)))[2].strip() == line
    )


def test_a_build_that_has_not_begun_a_phase_is_starting() -> None:
    snapshot: Snapshot = at(0)
    lines = panel(Seen("TASK-FB-002", snapshot, Verdict("running", ""), 0.0))
    assert lines[1].split() == ["⠋", "TASK-FB-002", "starting", "0:00"]

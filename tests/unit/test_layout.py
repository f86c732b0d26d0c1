"""How a terminal lays lines out: in columns, what something has taken to the right."""

import io

import pytest
from rich.console import Console

from guardkit.places.terminal.layout import on_terminal
from guardkit.places.terminal.lines import Kind, Line
from guardkit.places.terminal.marks import ASCII, UNICODE, Marks, marks_for

PHASE = Line(
    Kind.ENDED,
    "3 files created",
    "completed",
    "Player Implementation",
    "1:49",
    "12:36:45",
    "TASK-1",
)


def shown(line: Line, width: int = 80, marks: Marks = UNICODE) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    return [text.plain.rstrip() for text in on_terminal(line, console, marks)]


def test_a_phase_stands_in_columns() -> None:
    told = "12:36:45  ✓ Player Implementation   3 files created"
    assert shown(PHASE) == [f"{told:<76}1:49"]
    other = PHASE._replace(title="Setup", took="0:01")
    assert shown(other)[0].index("3 files") == shown(PHASE)[0].index("3 files")


def test_a_wide_terminal_is_not_used_to_its_end() -> None:
    assert len(shown(PHASE, 200)[0]) == 110


def test_a_narrow_terminal_has_no_room_for_the_time_of_day() -> None:
    assert shown(PHASE, 40) == [
        "✓ Player Implementation             1:49",
        "  3 files created",
    ]


def test_a_text_without_room_goes_on_below_its_title() -> None:
    long = PHASE._replace(text="word " * 30)
    first, *rest = shown(long)
    assert first.split() == ["12:36:45", "✓", "Player", "Implementation", "1:49"]
    assert [line[:12] for line in rest] == [" " * 12] * len(rest)
    assert " ".join(rest).split() == ["word"] * 30
    assert max(map(len, rest)) <= 80


def test_no_word_of_a_title_or_an_end_is_broken() -> None:
    name = Line(Kind.NAME, "Implement text output fallback", title="TASK-1")
    assert shown(name, 30) == ["TASK-1  Implement text output", "fallback"]
    end = Line(Kind.END, "Status: FAILED - no space left on device", "failed")
    assert shown(end, 30) == ["Status: FAILED - no space left", "on device"]
    step = "Merge: git merge autobuild/TASK-FB-002"
    assert shown(Line(Kind.END, step), 30) == [step], "it can be copied"


def test_a_path_without_room_is_broken_and_whole() -> None:
    path = "/".join(["folder"] * 30)
    assert "".join(shown(PHASE._replace(text=path))[1:]).replace(" ", "") == path


def test_a_decision_is_a_sentence() -> None:
    line = Line(Kind.DECIDED, "2 tests failed", title="feedback", at="12:36:45")
    assert shown(line) == ["12:36:45    feedback: 2 tests failed"]


def test_headings_have_an_empty_line_above() -> None:
    assert shown(Line(Kind.NAME, "Add tax", title="TASK-1")) == ["TASK-1  Add tax"]
    assert shown(Line(Kind.TURN, "Turn 2 of 5")) == ["", "Turn 2 of 5"]
    assert shown(Line(Kind.TURN)) == [""]
    assert shown(Line(Kind.SUMMARY)) == ["", "Summary"]


def test_a_turn_in_the_summary_is_a_row() -> None:
    row = Line(Kind.ROW, "2/3 tests  +1 ~1", "failed", "Turn 1", "0:18")
    assert shown(row, 40) == ["Turn 1  ✗ 2/3 tests  +1 ~1          0:18"]
    assert shown(row, 40, ASCII)[0].startswith("Turn 1  [FAIL] 2/3 tests")


def test_red_and_green_are_for_the_marks_alone() -> None:
    [text] = on_terminal(PHASE, Console(file=io.StringIO(), width=80), UNICODE)
    styles = {text.plain[span.start : span.end].strip(): span.style for span in text.spans}
    assert styles == {"12:36:45": "dim", "✓": "green", "1:49": "dim"}
    assert text.style == ""


@pytest.mark.parametrize(
    ("encoding", "terminal", "marks"),
    [
        ("utf-8", "xterm-256color", UNICODE),
        ("utf-8", "", UNICODE),
        ("utf-8", "linux", ASCII),
        ("latin-1", "", ASCII),
        ("ascii", "xterm", ASCII),
        ("no such", "xterm", ASCII),
    ],
)
def test_signs_are_such_as_an_output_can_show(encoding: str, terminal: str, marks: Marks) -> None:
    assert marks_for(encoding, terminal) == marks

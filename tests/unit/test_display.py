import errno
import io
import os
import pty
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from guardkit import Verdict
from guardkit.places.output import Output
from guardkit.places.terminal.console import make_console
from guardkit.places.terminal.display import Display
from guardkit.places.terminal.lines import Kind
from guardkit.progress.snapshot import Metrics, Tasks
from guardkit.testing import FakeClock

from .test_words import at, working

pytestmark = pytest.mark.anyio


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Open a terminal; what is printed to it is not looked at."""
    monkeypatch.setenv("TERM", "xterm-256color")
    controller, terminal = pty.openpty()
    yield terminal
    os.close(controller)
    os.close(terminal)


@pytest.mark.parametrize("name", ["COLUMNS", "LINES"])
async def test_a_terminal_that_says_it_has_no_room_has_that_of_any_other(
    terminal: int, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", "30")
    monkeypatch.setenv(name, "0")
    console = make_console(Output(terminal))
    found = {"COLUMNS": console.width, "LINES": console.height}
    assert found == {"COLUMNS": 100, "LINES": 30} | {name: {"COLUMNS": 80, "LINES": 25}[name]}


async def test_what_happens_is_printed_as_it_comes(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "output"
    with path.open("w") as file:
        display = Display(file.fileno(), clock=clock)
        await display.write(at(0))
        await display.write(working(1))
        await display.write(working(1))
    first, turn, phase = path.read_text().splitlines()
    assert first.endswith("] Wave 1/1, TASK-FB-002 (starting) - 0s elapsed")
    assert turn.endswith("] Turn 1 of 5")
    assert phase.endswith("] Player Implementation starting...")
    assert display.lost == ""


async def test_a_display_that_cannot_print_says_so_and_raises_nothing(clock: FakeClock) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    display = Display(full, clock=clock)
    await display.write(at(0))
    assert display.lost == os.strerror(errno.ENOSPC)
    os.close(full)


async def test_a_display_whose_reader_has_gone_says_so(clock: FakeClock) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    display = Display(writer, clock=clock)
    await display.write(at(0))
    assert display.lost == os.strerror(errno.EPIPE)
    os.close(writer)


def ticking(display: Display) -> list[str]:
    """Return the lines below the events."""
    assert display.shown is not None
    return [line.rstrip() for line in display.board().plain.splitlines()[1:]]


async def test_what_runs_ticks_on_a_terminal_as_its_own_process_knows(
    terminal: int, clock: FakeClock
) -> None:
    display = Display(terminal, clock=clock)
    display.tell(working(60, metrics=Metrics(elapsed_seconds=60)))
    await clock.advance(4)
    [line, *_] = ticking(display)
    head = "⠙ TASK-FB-002  turn 1 of 5  ━────  Player Implementation  1:04"
    assert line == f"{head:<76}1:04"
    assert display.ticking == ["TASK-FB-002"]


async def test_what_a_look_has_found_wrong_ticks_with_the_build(
    terminal: int, clock: FakeClock
) -> None:
    display = Display(terminal, clock=clock)
    display.show("TASK-FB-002", working(1), Verdict("stalled", "no activity for 31 m"))
    assert ticking(display)[1] == "  stalled: no activity for 31 m"


@pytest.mark.parametrize(
    ("status", "state"), [("running", "crashed"), ("running", "lost"), ("failed", "failed")]
)
async def test_what_is_over_ticks_no_longer(
    terminal: int, clock: FakeClock, status: str, state: str
) -> None:
    display = Display(terminal, clock=clock)
    display.show("TASK-FB-002", working(1))
    verdict = Verdict(state, "")  # type: ignore[arg-type]
    display.show("TASK-FB-002", working(2, status=status), verdict)
    assert (ticking(display), display.ticking) == ([], [])


async def test_what_the_phase_before_has_said_is_not_shown_of_the_next(
    terminal: int, clock: FakeClock
) -> None:
    display = Display(terminal, clock=clock)
    display.show("TASK-FB-002", working(1, message="done"))
    assert "  done" in ticking(display)
    display.show("TASK-FB-002", working(2, number=2, message="done"))
    display.show("TASK-FB-002", working(3, number=2, message="done"))
    assert "  done" not in ticking(display)
    display.show("TASK-FB-002", working(4, number=2, message="2 passed"))
    display.show("TASK-FB-002", working(5, number=2, message="done"))
    assert "  done" in ticking(display)


async def test_the_tab_tells_of_what_is_alone_be_it_a_task_or_a_feature_with_its_tasks(
    terminal: int, clock: FakeClock
) -> None:
    display = Display(terminal, clock=clock)
    task = working(1, task_id="T1", build_id="F")
    display.show("T1", replace(task, tracker=replace(task.tracker, parent_run="f")))
    told = display.headline()
    assert told
    assert told.text == "T1 1/5 Player Implementation"
    done = Tasks(total=5, running=1, completed=2)
    display.show("F", at(1, task_id="F", tasks=done))
    told = display.headline()
    assert told
    assert (told.text, told.progress) == ("F 2/5 tasks", 40)


async def test_nothing_ticks_but_on_a_terminal(tmp_path: Path, clock: FakeClock) -> None:
    with (tmp_path / "output").open("w") as file:
        display = Display(file.fileno(), clock=clock)
        display.tell(working(1))
        assert display.ticking == []


async def test_nothing_ticks_on_a_terminal_that_is_to_be_printed_to_as_a_file_is(
    terminal: int, clock: FakeClock
) -> None:
    display = Display(terminal, plain=True, clock=clock)
    kinds = [line.kind for line in display.tell(at(0))]
    assert (kinds, display.ticking) == ([Kind.PLACE], [])


async def test_a_table_has_as_many_rows_as_there_is_room_for(
    terminal: int, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINES", "9")
    monkeypatch.setenv("COLUMNS", "40")
    display = Display(terminal, labels=True, clock=clock)
    for number in range(20, 0, -1):
        task_id = f"TASK-{number}"
        verdict = Verdict("crashed" if number in {7, 12} else "running", "it is so")
        display.show(task_id, working(1, task_id=task_id), verdict)
    lines = ticking(display)
    assert lines[0] == "2 crashed, 18 running"
    assert [line.split()[0] for line in lines[1:-1]] == [
        *("TASK-7", "TASK-12", "TASK-1", "TASK-2", "TASK-3"),
    ]
    assert lines[-1] == "+15 more"
    assert display.ticking == ["TASK-7", "TASK-12", "TASK-1", "TASK-2", "TASK-3"]
    assert max(map(len, lines)) <= 40


async def test_many_builds_are_told_of_when_they_end(terminal: int, clock: FakeClock) -> None:
    display = Display(terminal, labels=True, clock=clock)
    ended = working(2, status="failed", error="no idea")
    assert display.tell(working(1)) == []
    assert [line.text for line in display.tell(ended)] == ["failed: no idea"]
    assert display.tell(ended) == []
    again = replace(ended, tracker=replace(ended.tracker, run_id="run-2"))
    assert len(display.tell(again)) == 1


async def test_the_second_build_of_a_process_makes_a_table(terminal: int, clock: FakeClock) -> None:
    display = Display(terminal, clock=clock)
    await display.write(working(1))
    assert not display.has_table
    await display.write(working(1, task_id="TASK-2"))
    assert display.has_table
    assert ticking(display)[0] == "2 running"


async def test_the_board_is_new_when_a_build_has_changed_or_a_second_has_passed(
    terminal: int, clock: FakeClock
) -> None:
    display = Display(terminal, labels=True, clock=clock)
    display.show("TASK-1", working(1))
    before = display.version()
    assert display.version() == before
    display.show("TASK-1", working(2))
    changed = display.version()
    await clock.advance(1)
    assert len({before, changed, display.version()}) == 3


@pytest.mark.parametrize(
    ("env", "is_coloured"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "0"}, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
    ids=str,
)
async def test_a_file_is_coloured_where_that_is_forced(
    tmp_path: Path,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    env: dict[str, str],
    *,
    is_coloured: bool,
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "output"
    with path.open("w") as file:
        display = Display(file.fileno(), clock=clock)
        await display.write(working(1))
        await display.write(working(2, phase_status="failed", error="no idea"))
        assert not display.console.is_interactive
    assert ("\x1b[31m✗\x1b[0m" in path.read_text()) is is_coloured


async def test_an_output_without_unicode_gets_ascii(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "output"
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "latin-1"))
    with path.open("w") as file:
        display = Display(file.fileno(), clock=clock)
        await display.write(working(1))
        await display.write(working(2, phase_status="failed", error="no idea"))
    assert "] [FAIL] Player Implementation  no idea  0:00\n" in path.read_text("ascii")

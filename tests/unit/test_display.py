import errno
import os
import pty
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from guardkit import Verdict
from guardkit.places.display import Display, make_console
from guardkit.places.output import Output
from guardkit.progress.snapshot import Metrics
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
    first, second = path.read_text().splitlines()
    assert first.endswith("] Wave 1/1, TASK-FB-002 (starting) - 0s elapsed")
    assert second.endswith("] Turn 1/5: Player Implementation starting...")
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
    return display.board().plain.splitlines()[1:]


async def test_what_runs_ticks_on_a_terminal_as_its_own_process_knows(
    terminal: int, clock: FakeClock
) -> None:
    display = Display(terminal, clock=clock)
    display.tell(working(60, metrics=Metrics(elapsed_seconds=60)))
    await clock.advance(4)
    assert ticking(display) == [
        "Wave 1/1, TASK-FB-002 (Turn 1/5, Player Implementation) - 1m 4s elapsed",
        "last activity 4 s ago",
    ]
    assert display.ticking == ["TASK-FB-002"]


async def test_the_last_activity_is_never_longer_ago_than_the_build_has_run(
    terminal: int, clock: FakeClock
) -> None:
    snapshot = working(60, metrics=Metrics(elapsed_seconds=1))
    display = Display(terminal, clock=clock)
    display.tell(replace(snapshot, tracker=at(0).tracker))
    await clock.advance(2)
    assert ticking(display)[1] == "last activity 3 s ago"


async def test_what_a_look_has_found_wrong_ticks_with_the_build(
    terminal: int, clock: FakeClock
) -> None:
    display = Display(terminal, clock=clock)
    display.show(working(1), Verdict("stalled", "no activity for 31 m"))
    assert ticking(display)[1] == "stalled: no activity for 31 m"


@pytest.mark.parametrize(
    ("status", "state"), [("running", "crashed"), ("running", "lost"), ("failed", "failed")]
)
async def test_what_is_over_ticks_no_longer(
    terminal: int, clock: FakeClock, status: str, state: str
) -> None:
    display = Display(terminal, clock=clock)
    display.show(working(1))
    display.show(working(2, status=status), Verdict(state, ""))  # type: ignore[arg-type]
    assert (ticking(display), display.ticking) == ([], [])


async def test_nothing_ticks_but_on_a_terminal(tmp_path: Path, clock: FakeClock) -> None:
    with (tmp_path / "output").open("w") as file:
        display = Display(file.fileno(), clock=clock)
        display.tell(working(1))
        assert display.ticking == []


async def test_no_more_is_shown_than_the_terminal_may_have_room_for(
    terminal: int, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINES", "7")
    monkeypatch.setenv("COLUMNS", "20")
    display = Display(terminal, clock=clock)
    for number in range(20):
        display.show(working(1, task_id=f"TASK-{number}"))
    lines = ticking(display)
    assert len(lines) == 14  # of 7 builds
    assert max(map(len, lines)) == 20

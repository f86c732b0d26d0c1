"""How often a terminal is drawn on."""

import os
import pty
from collections.abc import Iterator

import pytest
from rich.console import Console
from rich.text import Text

from guardkit.clock import Clock
from guardkit.places.output import Output
from guardkit.places.terminal.console import make_console
from guardkit.places.terminal.screen import REST, Headline, Screen
from guardkit.testing import FakeClock


class Slow(FakeClock):
    """A clock by which drawing takes a time, and which is moved by hand."""

    passed = 0.0

    def monotonic(self) -> float:
        return self.passed


class Board:
    """What is new at each look."""

    def __init__(self, console: Console, takes: float) -> None:
        self.console, self.time = console, Slow()
        self.clock: Clock = self.time
        self.takes, self.drawn, self.looks = takes, 0, 0

    def board(self) -> Text:
        self.time.passed += self.takes
        self.drawn += 1
        return Text("drawn")

    def headline(self) -> Headline | None:
        return None

    def version(self) -> object:
        self.looks += 1
        return self.looks


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Iterator[Console]:
    monkeypatch.setenv("TERM", "xterm-256color")
    controller, terminal = pty.openpty()
    yield make_console(Output(terminal))
    os.close(controller)
    os.close(terminal)


@pytest.mark.parametrize("takes", [0.05, 2.0])
def test_a_board_that_takes_long_to_draw_is_drawn_once_a_second(
    console: Console, takes: float
) -> None:
    """As the first time, when all that draws is imported: else what comes then is seen late."""
    board = Board(console, takes)
    with Screen(board, lambda _: None) as screen:
        screen.refresh()
        drawn, then = board.drawn, board.time.passed
        for _ in range(20):
            while board.drawn == drawn:
                board.time.passed += 0.0625
                screen.refresh()
            assert board.time.passed - board.takes - then <= REST
            drawn, then = board.drawn, board.time.passed

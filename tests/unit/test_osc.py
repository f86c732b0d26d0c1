"""What the tab of a terminal is sent: on change alone, and nothing that is left behind."""

import os
import pty
from collections.abc import Callable
from typing import Any

import pytest

from guardkit.places.terminal.osc import (
    State,
    Tab,
    bar_of,
    knows_bar,
    knows_status,
    status_of,
    title_of,
)

BEGIN, END = b"\x1b[22;2t", b"\x1b]2;\x07\x1b[23;2t"
STATUS = b"\x1b]7501;state=working:app=guardkit:progress=40:msg=VEFTSy0x\x07"


def tab(**knows: Any) -> tuple[Tab, Callable[[], bytes]]:
    """Return a tab, and what returns what was written since the last time."""
    written: list[bytes] = []

    def take() -> bytes:
        told = b"".join(written)
        written.clear()
        return told

    return Tab(written.append, **knows), take


def test_the_title_is_kept_before_the_first_and_put_back_at_the_end() -> None:
    it, take = tab()
    it.show("working", "TASK-1")
    assert take() == BEGIN + b"\x1b]2;TASK-1\x07"
    it.show("working", "TASK-1 2/5")
    assert take() == b"\x1b]2;TASK-1 2/5\x07"
    it.clear()
    assert take() == END


def test_nothing_is_written_that_the_tab_shows_already() -> None:
    it, take = tab(has_status=True, has_bar=True)
    it.show("working", "TASK-1", 40)
    take()
    it.show("working", "TASK-1", 40)
    assert take() == b""
    it.show("error", "TASK-1")
    assert take() == status_of("error", "TASK-1") + b"\x1b]9;4;2;0\x07"


def test_all_is_cleared_once() -> None:
    it, take = tab(has_status=True, has_bar=True)
    it.clear()
    it.show("working", "TASK-1", 40)
    assert take() == BEGIN + b"\x1b]2;TASK-1\x07" + STATUS + b"\x1b]9;4;1;40\x07"
    it.clear()
    it.clear()
    assert take() == END + b"\x1b]7501;state=clear\x07\x1b]9;4;0\x07"


def test_a_text_of_a_build_ends_no_sequence_and_is_not_too_long() -> None:
    assert (
        title_of("a\x07b\x1b]0;x\x1b\\" + "c" * 99) == b"\x1b]2;ab" + b"c" * 77 + "…\x07".encode()
    )
    assert b"\x07" not in status_of("working", "a\x07\x1b]b" * 99)[:-1]


@pytest.mark.parametrize(
    ("state", "progress", "bar"),
    [
        ("working", None, b"3"),
        ("working", 40, b"1;40"),
        ("blocked", None, b"4;0"),
        ("error", 40, b"2;40"),
        ("done", 100, b"0"),
    ],
)
def test_a_bar_tells_the_state(state: State, progress: int | None, bar: bytes) -> None:
    assert bar_of(state, progress) == b"\x1b]9;4;" + bar + b"\x07"


@pytest.mark.parametrize(
    ("env", "is_known"),
    [
        ({}, False),
        ({"TERM_PROGRAM": "ghostty", "TERM_PROGRAM_VERSION": "1.2.0"}, True),
        ({"TERM_PROGRAM": "ghostty", "TERM_PROGRAM_VERSION": "1.1.9"}, False),
        ({"TERM_PROGRAM": "iTerm.app", "TERM_PROGRAM_VERSION": "3.6.6"}, True),
        ({"TERM_PROGRAM": "iTerm.app", "TERM_PROGRAM_VERSION": "3.5"}, False),
        ({"TERM_PROGRAM": "iTerm.app"}, False),
        ({"TERM_PROGRAM": "tmux", "TERM_PROGRAM_VERSION": "3.5"}, False),
        ({"ConEmuANSI": "ON"}, True),
        ({"WT_SESSION": "1"}, True),
    ],
    ids=str,
)
def test_a_bar_is_drawn_where_it_is_no_notification(env: dict[str, str], *, is_known: bool) -> None:
    assert knows_bar(env) is is_known


def test_what_is_no_terminal_of_ours_is_not_asked() -> None:
    controller, terminal = pty.openpty()
    assert not knows_status(terminal)
    reader, writer = os.pipe()
    assert not knows_status(writer)
    for fd in (controller, terminal, reader, writer):
        os.close(fd)

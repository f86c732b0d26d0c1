"""What the status line does with functions that fail, or never return."""

import threading

import pytest

from guardkit.places.statusline import within


def test_what_returns_in_time_is_the_answer() -> None:
    assert within(60.0, lambda: 5, 0) == 5


def test_what_fails_is_told_in_one_line_and_costs_its_answer_alone(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def fail() -> int:
        raise OSError("a\nb\x1b[2J")

    assert within(60.0, fail, 7) == 7
    assert capfd.readouterr().err == "guardkit-statusline: OSError: 'a\\nb\\x1b[2J'\n"


def test_what_never_returns_is_left_behind() -> None:
    free = threading.Event()
    assert within(0.0, free.wait, None) is None
    free.set()

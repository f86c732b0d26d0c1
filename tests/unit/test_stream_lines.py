"""Lines out of chunks, bounded; and what is looked up in them."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardkit.orchestrator.agents.fields import amount, at, count, items, parse, text, values
from guardkit.orchestrator.agents.lines import LINE_MAX, Lines
from guardkit.progress.snapshot import COST_MAX, COUNT_MAX


@given(st.lists(st.binary(max_size=20)))
def test_lines_are_the_same_however_they_come(chunks: list[bytes]) -> None:
    lines, whole = Lines(), b"".join(chunks)
    assert [line for chunk in chunks for line in lines.take(chunk)] == whole.split(b"\n")[:-1]


@given(st.lists(st.binary(max_size=20)), st.integers(0, 30))
def test_lines_that_are_too_long_are_left_out(chunks: list[bytes], limit: int) -> None:
    lines, whole = Lines(limit), b"".join(chunks)
    kept = [line for line in whole.split(b"\n")[:-1] if len(line) <= limit]
    assert [line for chunk in chunks for line in lines.take(chunk)] == kept


def test_a_line_of_50_mb_is_passed_over_in_bounded_memory() -> None:
    lines, chunk = Lines(), b"x" * 2**16
    tracemalloc.start()
    for _ in range(800):
        assert lines.take(chunk) == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * LINE_MAX
    assert lines.take(b"\nnext\n") == [b"next"]


def test_what_is_not_there_is_empty() -> None:
    event = parse(b'{"a": {"b": "text", "c": [1], "d": 7}}')
    assert (text(event, "a", "b"), items(event, "a", "c"), count(event, "a", "d")) == (
        "text",
        [1],
        7,
    )
    assert at(event, "a", "b", "c") is None
    assert (text(event, "a", "d"), items(event, "a", "d"), values(event, "b")) == ("", [], [])


@pytest.mark.parametrize(
    ("number", "whole", "any_"),
    [
        (b"7", 7, 7.0),
        (b"1.5", 0, 1.5),
        (b"-1", 0, 0.0),
        (b"true", 0, 0.0),
        (b"NaN", 0, 0.0),
        (b"Infinity", 0, COST_MAX),
        (b"1" + b"0" * 400, COUNT_MAX, COST_MAX),
    ],
)
def test_numbers_are_bounded(number: bytes, whole: int, any_: float) -> None:
    value = parse(number)
    assert (count(value), amount(value)) == (whole, any_)


@pytest.mark.parametrize(
    ("line", "value"),
    [(b'"caf\xe9"', "caf\ufffd"), (b'"\\ud83d"', "\ud83d"), (b"{", None), (b"[" * 10**6, None)],
    ids=["not UTF-8", "half an emoji", "cut", "nested"],
)
def test_what_is_no_json_is_none(line: bytes, value: object) -> None:
    assert parse(line) == value

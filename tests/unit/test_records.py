import json
from typing import Any

import pytest

from guardkit import Event, Look, Verdict
from guardkit.places.records import encode_event, encode_looks
from guardkit.progress.snapshot import encode

from .test_words import working

HOSTILE = "\x1b[2J\x7f\x9b\u202e\u2066\u2028\U0001f600日"


def decoded(text: str) -> Any:
    return json.loads(text)


def test_a_look_is_given_with_its_verdict_and_its_document() -> None:
    snapshot = working(1)
    look = Look("TASK-1", snapshot, Verdict("running", "last activity 1 s ago"), "/project")
    [found] = decoded(encode_looks([look]))
    assert list(found) == ["task_id", "verdict", "progress"]
    assert found["verdict"] == {"state": "running", "evidence": "last activity 1 s ago"}
    assert found["progress"] == decoded(encode(snapshot).decode())


def test_what_cannot_be_read_is_given_with_the_reason() -> None:
    look = Look("TASK-1", None, Verdict("unreadable", "it is a folder"), "/project")
    assert decoded(encode_looks([look])) == [
        {
            "task_id": "TASK-1",
            "verdict": {"state": "unreadable", "evidence": "it is a folder"},
            "progress": None,
        }
    ]


@pytest.mark.parametrize("text", [HOSTILE, "\ud800"], ids=["hostile", "half a surrogate"])
def test_nothing_but_ascii_that_a_terminal_shows_is_given(text: str) -> None:
    look = Look("TASK-1", working(1, message=HOSTILE), Verdict("failed", text), "/project")
    told = encode_looks([look])
    assert all(" " <= character <= "~" or character == "\n" for character in told)
    [found] = decoded(told)
    assert found["progress"]["message"] == HOSTILE


def test_an_event_is_given_on_a_line() -> None:
    snapshot = working(4, message=HOSTILE)
    event = Event(event="decided", at="2025-01-31", run_id="run-1", seq=4, progress=snapshot)
    line = encode_event(event)
    assert all(" " <= character <= "~" for character in line)
    assert list(decoded(line)) == ["event", "at", "run_id", "seq", "progress"]


@pytest.mark.parametrize("year", [1, 9999])
def test_an_instant_that_no_clock_shows_is_given_as_it_is(year: int) -> None:
    snapshot = working(1)
    odd = working(1, updated_at=snapshot.updated_at.replace(year=year))
    [found] = decoded(encode_looks([Look("TASK-1", odd, Verdict("running", ""), "/project")]))
    assert found["progress"]["updated_at"].startswith(f"{year:04d}-")

"""When somebody is told of a build, and with what."""

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from guardkit import Look, Verdict
from guardkit.places.notify import (
    Bell,
    by_command,
    by_desktop,
    by_terminal,
    has_desktop,
    words,
)
from guardkit.testing import FakeClock

from .test_words import working

pytestmark = pytest.mark.anyio


def look(state: Any, seq: int = 1, *, run: str = "run-1", **changes: Any) -> Look:
    parent = changes.pop("parent", None)
    snapshot = working(seq, **changes)
    tracker = replace(snapshot.tracker, run_id=run, parent_run=parent)
    snapshot = replace(snapshot, tracker=tracker)
    return Look(snapshot.task_id, snapshot, Verdict(state, f"it is {state}"), "/project")


async def rung(*looks: Look) -> list[str]:
    """Return the states that somebody was told of."""
    told: list[str] = []
    bell = Bell(lambda each: told.append(each.verdict.state))
    for each in looks:
        bell.hear(each)
    await bell.finish()
    return told


async def test_trouble_and_the_end_are_told_once_each() -> None:
    looks = [look(state) for state in ("running", "stalled", "running", "overdue", "completed")]
    assert await rung(*looks, look("completed")) == ["stalled", "completed"]


@pytest.mark.parametrize("state", ["failed", "crashed", "lost"])
async def test_what_ends_in_trouble_is_told_once(state: str) -> None:
    assert await rung(look("running"), look(state), look(state, 2)) == [state]


async def test_the_next_run_is_told_of_anew() -> None:
    assert await rung(look("failed"), look("failed", run="run-2")) == ["failed", "failed"]


async def test_the_end_of_a_task_is_no_news_but_its_trouble_is() -> None:
    looks = [look("completed", parent="f"), look("stalled", parent="f", task_id="TASK-2")]
    assert await rung(*looks) == ["stalled"]


async def test_what_cannot_be_read_is_told() -> None:
    unreadable = Look("TASK-1", None, Verdict("unreadable", "it is none"), "/project")
    assert await rung(unreadable, unreadable) == ["unreadable"]


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("ascii").splitlines()]


async def test_a_command_has_the_look_as_json_on_one_line(tmp_path: Path) -> None:
    path = tmp_path / "told"
    bell = Bell(by_command(f"cat >> {path}"))
    bell.hear(look("stalled", message="\u202e日本"))
    bell.hear(look("completed"))
    await bell.finish()
    first, second = read(path)
    assert first["task_id"] == "TASK-FB-002"
    assert first["verdict"] == {"state": "stalled", "evidence": "it is stalled"}
    assert first["progress"]["message"] == "\u202e日本"
    assert second["verdict"]["state"] == "completed"


@pytest.mark.parametrize(
    ("command", "why"),
    [
        pytest.param("echo no network >&2; exit 7", "7: no network", id="it says why"),
        pytest.param("exit 7", "7", id="it says nothing"),
    ],
)
async def test_a_command_that_fails_is_told_of_once(
    caplog: pytest.LogCaptureFixture, command: str, why: str
) -> None:
    bell = Bell(by_command(command))
    for state in ("stalled", "failed"):
        bell.hear(look(state))
    with caplog.at_level(logging.WARNING):
        await bell.finish()
    assert caplog.messages == [f"nobody was told of TASK-FB-002: the command exited with {why}"]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a notify-send on the path that notes its arguments."""
    program = tmp_path / "notify-send"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/arguments\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "arguments"


def test_the_desktop_shows_it(path: Path, clock: FakeClock) -> None:
    by_desktop(clock)(look("stalled"))
    *_, title, body = path.read_text().splitlines()
    assert "--urgency=critical" in path.read_text()
    assert (title, body) == words(look("stalled"), clock.monotonic())
    by_desktop(clock)(look("completed"))
    assert "--urgency=normal" in path.read_text()


def test_a_desktop_is_there_where_there_is_a_screen(path: Path) -> None:
    assert has_desktop({"DISPLAY": ":0"})
    assert has_desktop({"WAYLAND_DISPLAY": "wayland-0"})
    assert not has_desktop({})


@pytest.mark.parametrize(
    ("env", "start"),
    [
        ({}, b"\x1b]777;notify;TASK-FB-002 stalled;Wave 1/1, TASK-FB-002 "),
        ({"TERM_PROGRAM": "ghostty"}, b"\x1b]9;TASK-FB-002 stalled: Wave 1/1, TASK-FB-002 "),
        ({"TERM": "xterm-kitty"}, b"\x1b]9;TASK-FB-002 stalled: "),
    ],
    ids=str,
)
def test_a_terminal_shows_it(env: dict[str, str], start: bytes, clock: FakeClock) -> None:
    written: list[bytes] = []
    by_terminal(written.append, env, clock)(look("stalled", phase="a;b\x07c"))
    assert written[0].startswith(start)
    assert written[0].endswith(b" - it is stalled\x07")
    assert written[0].count(b"\x07") == 1
    assert b"a,bc" in written[0]

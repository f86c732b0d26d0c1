"""`watch_build`, as the real Claude Code calls it: as a task, and without these."""

import threading
import uuid
from pathlib import Path

import pytest

from .api import Api, Say, Use
from .builds import PLACE, TASK_ID, building
from .conftest import OpenScreen
from .home import Home
from .plugin import PROMPT, TOOL, claude, install

WATCHING = Use(f"{TOOL}watch_build", {"task_id": TASK_ID})
STATUS = rf"Status: +working · running: {PLACE}"
BEGUN, ENDED = "It is being watched.", "That is how it ended."
STILL = "still running: call again"


@pytest.fixture
def is_long(request: pytest.FixtureRequest) -> bool:
    """Whether a build is watched for more than the 120 s after which plain calls are given up."""
    return bool(request.config.getoption("long"))


def test_a_task_shows_our_words_to_the_end(
    home: Home, api: Api, project: Path, open_screen: OpenScreen, is_long: bool
) -> None:
    install(home)
    api.enqueue(WATCHING, Say(BEGUN), Say(ENDED))
    screen = open_screen(home.claude(), lines=28)
    screen.wait_for(PROMPT)
    with building(project) as builder:
        screen.type("Watch the build, please")
        screen.wait_for(BEGUN)
        screen.type("/tasks")
        runtime = r"2m 4\ds" if is_long else "5s"
        screen.wait_for(rf"{STATUS}\n *Runtime: +{runtime}", within=240)
        screen.keep("claude-code-task", without=project)
        screen.press("Enter")
        builder.communicate("go\n")
        screen.wait_for(ENDED)
    assert "completed: ended after" in api.told()


def test_a_resumed_session_finds_the_task_again(
    home: Home, api: Api, project: Path, open_screen: OpenScreen
) -> None:
    install(home)
    api.enqueue(WATCHING, Say(BEGUN), Say(ENDED))
    session = str(uuid.uuid4())
    screen = open_screen(home.claude("--session-id", session))
    screen.wait_for(PROMPT)
    with building(project) as builder:
        screen.type("Watch the build, please")
        screen.wait_for(BEGUN)
        screen.type("/exit")
        screen.wait_for("Exit and stop tasks")
        screen.press("Enter")
        screen.wait_for("claude --resume")
        assert builder.poll() is None
        resumed = open_screen(home.claude("--resume", session))
        resumed.wait_for("1 MCP task")
        resumed.type("/tasks")
        resumed.wait_for(STATUS)
        resumed.press("Enter")
        builder.kill()
        resumed.wait_for(ENDED)
    assert f"crashed: process {builder.pid} on " in api.told()


def test_without_tasks_a_call_is_answered_before_it_is_given_up(
    home: Home, api: Api, project: Path, is_long: bool
) -> None:
    install(home)
    calls = 3 if is_long else 1
    api.enqueue(*[WATCHING] * calls, Say(ENDED))
    with building(project) as builder:

        def end() -> None:
            api.wait_for(calls)
            builder.communicate("go\n")

        thread = threading.Thread(target=end)
        thread.start()
        ended = claude(home, "-p", "Watch the build, please")
        thread.join()
    assert (ended.returncode, ended.stdout) == (0, f"{ENDED}\n"), ended.stderr
    assert len(api.history) == calls + 1
    answers = api.tool_results()
    assert [STILL in answer for answer in answers] == [*[True] * (calls - 1), False]
    assert "completed: ended after" in answers[-1]

"""Builds by the real agents: two turns, a judging Coach, and each tool seen while it runs."""

import json
import os
import re
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from guardkit import assess, read_progress

from ..integration.test_cli import lines_until
from ..integration.test_cut_off import MARK, until_gone
from .api import Api, Say, Use
from .conftest import OpenScreen
from .home import Home
from .players import (
    FAILED,
    RIGHT,
    WRONG,
    Onlooker,
    build,
    command,
    document,
    environment,
    fill,
    running,
    serving,
    set_up_gemini,
    speaking_gemini,
    writing,
)

CLIS = ["claude", "codex"]
TOOLS = 10
HALF_A_SECOND = "python3 -c 'import time; time.sleep(0.5)'"
CRITERIA = {"criteria_verification": ["it is doubled"]}
APPROVE = {"decision": "approve", "rationale": "it is doubled", "issues": [], **CRITERIA}
REFUSE = {"decision": "feedback", "rationale": "no docs", "issues": ["write docs"], **CRITERIA}


def test_a_terminal_shows_the_tool_the_cost_and_the_verdict(
    home: Home, api: Api, project: Path, open_screen: OpenScreen
) -> None:
    gate = project.parent / "gate"
    os.mkfifo(gate)
    (project / "check.sh").write_text(f"echo 'types: fine'; read line < {gate}\n")
    worktree = fill(project)
    first, second = (writing("claude", worktree, text) for text in (WRONG, RIGHT))
    checking = running("claude", "sh check.sh")
    answers = first, Say("Done."), second, checking, Say("Now it is doubled.")
    api.enqueue(*(replace(each, used=(14_300, 410)) for each in answers))
    typed = "guardkit autobuild task T1 --player claude"
    screen = open_screen([*command(project, player="claude")], env=environment(home))
    screen.wait_for(r"Player Implementation  0:0[5-9] of ")
    screen.wait_for(r"Bash: sh check\.sh")
    screen.wait_for(r"0/1 tests .*\$0\.[1-9]\d")
    screen.draw("claude-builds", typed, without=project.parent)
    gate.write_text("go on\n")
    screen.wait_for(r"Status: APPROVED")
    screen.wait_for(r"Merge: git .*autobuild/T1")
    screen.draw("claude-built", typed, without=project.parent)
    assert re.search(r"Took: .* tokens, \$0\.\d\d", screen.text())


@pytest.mark.parametrize("kind", CLIS)
def test_a_build_of_two_turns_the_second_one_in_the_same_session(
    home: Home, api: Api, project: Path, kind: str
) -> None:
    worktree = fill(project)
    first, second = (writing(kind, worktree, text) for text in (WRONG, RIGHT))
    api.enqueue(first, Say("Done."), second, Say("Now it is doubled."))
    ended = build(home, player=kind)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert f"feedback: {FAILED}" in ended.stdout
    assert "approve: 1 test passing" in ended.stdout
    told = json.dumps(api.history[2])
    assert "with_tax(cents) is doubled" in told  # what it was told in turn 1 it still knows
    assert FAILED in told
    assert told.count("You are the Player") == 1
    usage = document(project)["usage"]
    assert usage["tokens"] == 480
    assert (usage["cost_usd"] > 0) is (kind == "claude")  # Codex tells none


def test_a_build_of_two_turns_by_acp(home: Home, project: Path) -> None:
    worktree = fill(project)
    first, second = (writing("gemini", worktree, text) for text in (WRONG, RIGHT))
    with serving(speaking_gemini(first, Say("Done."), second, Say("Now."))) as url:
        env = set_up_gemini(home, url)
        ended = build(home, player="acp:gemini --acp -m gemini-2.5-flash", env=env)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert f"feedback: {FAILED}" in ended.stdout
    assert "approve: 1 test passing" in ended.stdout


@pytest.mark.parametrize("kind", CLIS)
def test_a_judging_coach_refuses_once_and_then_approves(
    home: Home, api: Api, project: Path, kind: str
) -> None:
    fill(project)
    for opinion in (REFUSE, APPROVE):
        if kind == "claude":
            api.enqueue(Use("StructuredOutput", opinion), Say("Done."))
        else:
            api.enqueue(Say(json.dumps(opinion)))
    player = f"printf '%s' '{RIGHT}' > prices.py; date +%N > log.txt"
    ended = build(home, "--coach", kind, player=player)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "feedback: no docs" in ended.stdout
    assert document(project, "coach_turn_2.json")["criteria_verification"] == ["it is doubled"]
    assert "+    return cents * 2" in json.dumps(api.history[0])


@pytest.mark.parametrize("kind", CLIS)
def test_a_reader_at_100_ms_sees_nine_of_ten_tools_that_take_half_a_second(
    home: Home, api: Api, project: Path, kind: str
) -> None:
    fill(project)
    names = [f"step-{number}" for number in range(TOOLS)]
    api.enqueue(*(running(kind, f"{HALF_A_SECOND} {name}") for name in names), Say("Done."))
    with Onlooker(project) as onlooker:
        build(home, "--max-turns", "1", player=kind)
    seen = {name for name in names if any(name in message for message in onlooker.seen)}
    assert len(seen) >= TOOLS - 1, onlooker.seen


@pytest.mark.parametrize("kind", CLIS)
@pytest.mark.parametrize(
    ("number", "within", "state"),
    [(signal.SIGINT, 5.0, "cancelled"), (signal.SIGKILL, 1.0, "crashed")],
    ids=["interrupt", "kill"],
)
def test_a_build_that_is_cut_off_while_a_tool_runs_leaves_nothing_behind_and_goes_on(
    home: Home, api: Api, project: Path, kind: str, number: int, within: float, state: str
) -> None:
    worktree = fill(project)
    api.enqueue(running(kind, "python3 -c 'import time; time.sleep(600)' forever"))
    mark = os.urandom(8).hex()
    env = environment(home) | {MARK: mark}
    with subprocess.Popen(
        command(project, player=kind), env=env, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        lines_until(process.stdout, "forever")
        process.send_signal(number)
        process.wait()
    until_gone(f"{MARK}={mark}", within)
    assert assess(read_progress("T1", root=project), root=project).state == state
    api.enqueue(writing(kind, worktree, RIGHT), Say("It is doubled."))
    ended = build(home, "--resume", player=kind)
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout

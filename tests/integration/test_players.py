"""Builds whose Player is an agent: a script that speaks as Claude Code does, and one by ACP."""

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Coroutine
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from textwrap import dedent
from typing import Any

import anyio
import pytest

from guardkit import read_progress
from guardkit.errors import MisuseError, WorkspaceError
from guardkit.orchestrator.autobuild import AutoBuildOrchestrator
from guardkit.orchestrator.budgets import Budgets
from guardkit.orchestrator.loop import BuildResult
from guardkit.orchestrator.processes.environment import TRACING
from guardkit.testing import FakeClock, MemorySink

from ..repositories import git
from .test_cli import GUARDKIT, complaint, lines_until, started

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("git_identity")]

TEST = f"{quote(sys.executable)} -B -m pytest -q -p no:cacheprovider --junitxml={{junit}}"

# A stand-in for Claude Code: it keeps what it is called with, and does the next thing in `script`.
CLAUDE = """\
#!{python}
import json, os, subprocess, sys, time
from pathlib import Path

here = Path({here!r})
calls = here / "calls.jsonl"
number = len(calls.read_text().splitlines()) if calls.exists() else 0
resumed = [word.partition("=")[2] for word in sys.argv if word.startswith("--resume=")]
session = resumed[0] if resumed else f"session-{{number}}"
with calls.open("a") as file:
    file.write(json.dumps({{"words": sys.argv[1:], "prompt": sys.stdin.read()}}) + "\\n")

def say(**event):
    print(json.dumps({{"session_id": session, **event}}), flush=True)

def edit(path, text, pause=0):
    use = {{"type": "tool_use", "id": f"t{{path}}", "name": "Edit",
            "input": {{"file_path": os.path.join(os.getcwd(), path)}}}}
    say(type="assistant", message={{"id": f"m{{path}}{{number}}", "content": [use],
        "usage": {{"input_tokens": 100, "output_tokens": 10}}}})
    Path(path).write_text(text)
    time.sleep(pause)
    done = {{"type": "tool_result", "tool_use_id": f"t{{path}}"}}
    say(type="user", message={{"content": [done]}})

def end(text="done", error=False, **more):
    say(type="result", subtype="success", is_error=error, result=text, num_turns=1,
        total_cost_usd=0.25 * (number + 1), usage={{"input_tokens": 100, "output_tokens": 10}},
        **more)
    sys.exit(int(error))

say(type="system", subtype="init", model="m")
exec((here / "script.py").read_text())
"""
WRONG = "edit('prices.py', 'def with_tax(c):\\n    return c\\n')"
RIGHT = "edit('prices.py', 'def with_tax(c):\\n    return c * 2\\n')"
TWO_TURNS = f"{WRONG} if number == 0 else {RIGHT}\nend()"

Build = Callable[..., Coroutine[Any, Any, BuildResult]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    task = "---\nid: T1\ntitle: Add tax\n---\n# Acceptance criteria\n- It is doubled.\n"
    test = "import prices\n\ndef test_tax():\n    assert prices.with_tax(1) == 2\n"
    files = {"tasks/T1.md": task, "prices.py": "", "test_prices.py": test}
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "Begin")
    return folder


@pytest.fixture
def claude(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Put a scripted `claude` on the PATH; return what sets its script."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "claude"
    program.write_text(CLAUDE.format(python=sys.executable, here=str(folder)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def script(text: str) -> Path:
        (folder / "script.py").write_text(text)
        return folder

    return script


def calls(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "calls.jsonl").read_text().splitlines()]


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink(transitions=True)


@pytest.fixture
def build(root: Path, sink: MemorySink) -> Build:
    async def run(player: str = "claude --model m", **options: Any) -> BuildResult:
        options = {"test": TEST, "sinks": [sink]} | options
        with anyio.fail_after(120):
            return await AutoBuildOrchestrator(root, player=player, **options).run("T1")

    return run


def left(root: Path, name: str) -> Any:
    return json.loads((root / ".guardkit/autobuild/T1" / name).read_text())


async def test_an_agent_is_told_what_was_wrong_and_goes_on_in_its_session(
    root: Path, build: Build, claude: Callable[[str], Path], sink: MemorySink
) -> None:
    folder = claude(TWO_TURNS)
    result = await build()
    assert (result.decision, len(result.turns)) == ("approved", 2)
    first, second = calls(folder)
    assert "--model" in first["words"]
    assert "--permission-mode=acceptEdits" in first["words"]
    assert not any(word.startswith("--resume") for word in first["words"])
    assert "# Acceptance criteria\n- It is doubled." in first["prompt"]
    assert TEST in first["prompt"]
    assert "--resume=session-0" in second["words"]
    assert "- failed: test_prices::test_tax: assert 1 == 2" in second["prompt"]
    assert "Acceptance criteria" not in second["prompt"]
    snapshot = read_progress("T1", root=root)
    assert snapshot.usage
    assert (snapshot.usage.tokens, snapshot.usage.cost_usd) == (220, 0.5)


async def test_what_an_agent_does_is_shown_and_its_stream_kept_for_its_owner_alone(
    root: Path, build: Build, claude: Callable[[str], Path]
) -> None:
    claude(f"{RIGHT[:-1]}, pause=0.3)\nend()")
    sink = MemorySink()
    await build(sinks=[sink])
    assert "Edit prices.py" in {snapshot.message for snapshot in sink.snapshots}
    path = root / ".guardkit/autobuild/T1/agent_turn_1.jsonl"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text().splitlines()[-1])["type"] == "result"


async def test_a_session_that_is_gone_is_begun_anew_in_the_same_turn(
    build: Build, claude: Callable[[str], Path]
) -> None:
    gone = "end('No conversation found with session ID: x', error=True) if resumed else None"
    folder = claude(f"{gone}\n{TWO_TURNS}")
    result = await build()
    assert result.decision == "approved"
    assert len(calls(folder)) == 3


@pytest.mark.parametrize(
    ("script", "decision", "why"),
    [
        (
            "end('API Error: 401', error=True, api_error_status=401)",
            "configuration_error",
            "the Player failed: claude: the API refuses the login (API Error: 401); run `claude`",
        ),
        (
            "end('API Error: 429', error=True, api_error_status=429)",
            "rate_limited",
            "claude: rate limited (API Error: 429); wait until the limit is lifted",
        ),
        (
            "sys.stderr.write('Not logged in · Please run /login\\n'); sys.exit(1)",
            "configuration_error",
            "claude: not logged in",
        ),
        ("print('{half a line'); sys.exit(3)", "player_invocation_stall", "exited with 3"),
    ],
)
async def test_what_keeps_an_agent_from_its_work_is_told_in_one_line(
    build: Build, claude: Callable[[str], Path], script: str, decision: str, why: str
) -> None:
    claude(script)
    result = await build()
    assert result.decision == decision
    assert why in result.summary
    assert "\n" not in result.summary


async def test_what_an_agent_was_not_allowed_is_told_with_the_verdict(
    build: Build, claude: Callable[[str], Path]
) -> None:
    denied = "[dict(tool_name='Write', tool_input=dict(file_path='/opt/x'))]"
    claude(f"{WRONG}\nend(permission_denials={denied})")
    result = await build(max_turns=1)
    said = "claude: was denied (Write /opt/x); --permissions ask-nothing would allow it"
    assert result.turns[0].rationale.endswith(f"assert 1 == 2; {said}")
    assert result.summary.endswith(said)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, {}),
        ({"TRACEPARENT": "00-1-2-01"}, TRACING),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h"}, TRACING),
        (
            {"TRACEPARENT": "00-1-2-01", "OTEL_TRACES_EXPORTER": "console"},
            TRACING | {"OTEL_TRACES_EXPORTER": "console"},
        ),
    ],
    ids=["no", "parent", "endpoint", "own exporter"],
)
async def test_claude_tells_traces_where_the_user_traces(
    build: Build,
    claude: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, str],
    told: dict[str, str],
) -> None:
    for name in {"TRACEPARENT", "OTEL_EXPORTER_OTLP_ENDPOINT", *TRACING}:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    folder = claude(f"{RIGHT}\n(here / 'env').write_text(json.dumps(dict(os.environ)))\nend()")
    await build()
    env = json.loads((folder / "env").read_text())
    assert {name: env[name] for name in env.keys() & {*given, *TRACING}} == given | told


async def test_an_agent_is_ended_when_its_cost_is_used_up(
    root: Path, build: Build, claude: Callable[[str], Path]
) -> None:
    claude(f"{WRONG}\nend()")
    result = await build(budgets=Budgets(cost=0.4))
    assert (result.decision, len(result.turns)) == ("timeout_budget_exhausted", 2)
    assert "--max-cost is used up" in result.summary


@pytest.mark.parametrize(
    ("budgets", "words"),
    [
        (Budgets(player=100), "did not finish within 100 s, by --player-timeout"),
        (Budgets(phase=50), "did not finish within 50 s, by --phase-budget"),
        (Budgets(turn=40), "which is what --turn-budget had left"),
        (Budgets(build=30), "which is what --build-budget had left"),
    ],
)
async def test_the_least_of_what_is_left_ends_an_agent_and_is_named(
    root: Path,
    build: Build,
    claude: Callable[[str], Path],
    clock: FakeClock,
    budgets: Budgets,
    words: str,
) -> None:
    claude("say(type='assistant', message={})\ntime.sleep(1000)")
    results = list[BuildResult]()

    async def run() -> None:
        results.append(await build(budgets=budgets, clock=clock))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        with anyio.fail_after(60):
            while not results:
                await clock.advance(1)
    assert results[0].decision == "timeout_budget_exhausted"
    assert words in results[0].summary


@pytest.mark.skipif(not find_spec("acp"), reason="agent-client-protocol is not there")
async def test_any_agent_that_speaks_acp_builds(root: Path, build: Build, tmp_path: Path) -> None:
    program = tmp_path / "agent.py"
    program.write_text(
        dedent("""\
        import asyncio
        from pathlib import Path
        import acp
        from acp import schema

        class Agent:
            def on_connect(self, client):
                self.client = client
            async def initialize(self, protocol_version, **_):
                return acp.InitializeResponse(protocol_version=protocol_version)
            async def new_session(self, cwd, **_):
                self.cwd = Path(cwd)
                return acp.NewSessionResponse(session_id="one")
            async def prompt(self, prompt, session_id, **_):
                assert "It is doubled" in prompt[0].text
                await self.client.session_update(session_id, acp.start_tool_call(
                    "t1", "Edit prices.py", kind="edit", status="in_progress"))
                (self.cwd / "prices.py").write_text("def with_tax(c):\\n    return c * 2\\n")
                return acp.PromptResponse(stop_reason="end_turn")

        asyncio.run(acp.run_agent(Agent()))
        """)
    )
    result = await build(f"acp:{quote(sys.executable)} {quote(str(program))}", max_turns=1)
    assert (result.decision, result.summary) == ("approved", "1 test passing")


# the judging Coach


async def test_a_judging_coach_refuses_what_the_tests_have_approved(
    root: Path, build: Build, claude: Callable[[str], Path]
) -> None:
    refuse = {"decision": "feedback", "rationale": "no docs", "issues": ["write docs"]}
    approve = {
        "decision": "approve",
        "rationale": "good",
        "issues": [],
        "criteria_verification": ["c"],
    }
    answers = [refuse | {"criteria_verification": []}, approve]
    folder = claude(f"end('', structured_output={answers}[number])")
    player = "printf 'def with_tax(c):\\n    return c * 2\\n' > prices.py; date +%N >> log.txt"
    result = await build(player, coach="claude")
    assert (result.decision, len(result.turns)) == ("approved", 2)
    assert result.turns[0].issues == ["write docs"]
    assert left(root, "coach_turn_2.json")["criteria_verification"] == ["c"]
    asked = calls(folder)[0]
    assert "+    return c * 2" in asked["prompt"]
    assert any(word.startswith("--json-schema={") for word in asked["words"])
    assert "--permission-mode=dontAsk" in asked["words"]


async def test_a_judging_coach_approves_nothing_that_the_tests_have_not(
    build: Build, claude: Callable[[str], Path]
) -> None:
    folder = claude("end('', structured_output={'decision': 'approve', 'rationale': 'fine'})")
    result = await build("echo 'x = 1' > prices.py", coach="claude", max_turns=1)
    assert result.decision == "max_turns_exceeded"
    assert not (folder / "calls.jsonl").exists()


async def test_an_answer_that_is_none_is_asked_for_again_and_then_an_error(
    build: Build, claude: Callable[[str], Path]
) -> None:
    folder = claude("end('I think it is fine.')")
    player = "printf 'def with_tax(c):\\n    return c * 2\\n' > prices.py"
    result = await build(player, coach="claude", max_turns=1)
    assert result.turns[0].decision == "error"
    assert "the judging Coach gave no answer that can be read" in result.summary
    assert len(calls(folder)) == 2
    assert "was not the JSON object that was asked for" in calls(folder)[1]["prompt"]


async def test_a_command_may_be_the_judging_coach(build: Build, tmp_path: Path) -> None:
    answer = '{"decision": "feedback", "rationale": "no", "issues": ["no"]}'
    coach = f"grep -q 'It is doubled' $GUARDKIT_PROMPT_FILE && echo '{answer}'"
    player = "printf 'def with_tax(c):\\n    return c * 2\\n' > prices.py"
    result = await build(player, coach=coach, max_turns=1)
    assert result.turns[0].issues == ["no"]


# ends and beginnings


async def test_the_same_feedback_three_times_is_a_stall(build: Build) -> None:
    result = await build("date +%N > log.txt", max_turns=9)
    assert (result.decision, len(result.turns)) == ("unrecoverable_stall", 3)
    assert "the same feedback in 3 turns running" in result.summary


async def test_no_change_in_two_turns_is_a_stall(build: Build) -> None:
    player = "test -e x || echo 'y = 1' > x"
    failed = "<testcase name='a'><failure message='$(date +%N)'/></testcase>"
    test = f'echo "<testsuite>{failed}</testsuite>" > {{junit}}; exit 1'
    result = await build(player, test=test, max_turns=9)
    assert (result.decision, len(result.turns)) == ("unrecoverable_stall", 3)
    assert "no file has changed in 2 turns running" in result.summary


def autobuild(root: Path, *words: str) -> tuple[str, ...]:
    command = ("autobuild", "task", "T1", "--root", str(root), "--player", "claude")
    return (*GUARDKIT, *command, "--test", TEST, *words)


def test_a_build_whose_builder_was_killed_goes_on_after_its_last_complete_turn(
    root: Path, claude: Callable[[str], Path]
) -> None:
    folder = claude(f"{WRONG}\nif number == 0: end()\nedit('new.py', '', pause=1000)")
    with started(*autobuild(root)) as process:
        assert process.stdout
        lines_until(process.stdout, "Turn 2 of 5")
        lines_until(process.stdout, "Edit new.py")
        process.send_signal(signal.SIGKILL)
        process.wait()
    refused = subprocess.run(autobuild(root), capture_output=True, text=True, check=False)
    assert refused.returncode == 7
    ways = "go on with it by --resume, remove it by guardkit autobuild drop T1, or move it aside: "
    assert ways in complaint(refused)
    claude(f"{RIGHT}\nend()")
    ended = subprocess.run(autobuild(root, "--resume"), capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "worktree .guardkit/worktrees/T1 of an earlier run, after 1 turn" in ended.stdout
    assert "Turn 2 of 5" in ended.stdout
    assert "Turn 1 of 5" not in ended.stdout
    last = calls(folder)[-1]
    assert "--resume=session-0" in last["words"]
    assert git(root, "diff", "--name-only", "main", "autobuild/T1").split() == [
        "new.py",
        "prices.py",
    ]
    usage = read_progress("T1", root=root).usage
    assert usage
    assert usage.cost_usd == 0.75


async def test_a_build_that_has_left_nothing_is_not_resumed(build: Build) -> None:
    with pytest.raises(WorkspaceError, match=r"T1 cannot be resumed: the worktree .* is gone"):
        await build("true", resume=True)


async def test_texts_of_one_s_own_replace_what_agents_are_told(
    build: Build, claude: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = claude(f"{RIGHT}\nend()")
    (tmp_path / "player.md").write_text("Do {{id}}: {{title}}, {{unknown}}.\n{{task}}")
    await build(prompts=tmp_path)
    assert calls(folder)[0]["prompt"].startswith("Do T1: Add tax, {{unknown}}.\n---")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MisuseError, match=r"holds none of player\.md, again\.md, coach\.md"):
        await build(prompts=tmp_path / "empty")


@pytest.mark.parametrize(
    ("player", "error", "why"),
    [
        ("claude --output-format text", MisuseError, "guardkit sets it itself"),
        ("acp:", MisuseError, "acp: wants the command of an agent"),
        ("acp:'x", MisuseError, "is no command"),
        ("codex", WorkspaceError, r"codex is not found: npm install -g @openai/codex"),
        ("acp:no-such-agent", WorkspaceError, "no-such-agent is not found"),
    ],
)
async def test_an_agent_that_cannot_be_run_is_refused_before_anything_is_written(
    root: Path, build: Build, player: str, error: type[Exception], why: str
) -> None:
    with pytest.raises(error, match=why):
        await build(player)
    assert not (root / ".guardkit").exists()

"""What recorded streams of real agents tell: how they ended, what they cost, what was going on."""

from pathlib import Path
from typing import NamedTuple

import pytest

from guardkit.orchestrator.agents.claude import ClaudeReader
from guardkit.orchestrator.agents.codex import CodexReader
from guardkit.orchestrator.agents.endings import Cause, Ending
from guardkit.orchestrator.agents.news import TOOLS_MAX, Layer, News
from guardkit.orchestrator.agents.tokens import CALLS_MAX
from guardkit.progress.snapshot import Usage

STREAMS = Path(__file__).parents[1] / "streams"
WORKTREE = "/home/u/repo"
WRITE, ECHO = "Write made.py", "Bash: echo running tests; sleep 1; echo '2 passed'"
RETRY = "API retries: attempt 1 of 1"

Reader = ClaudeReader | CodexReader


class Told(NamedTuple):
    """What a stream is to tell; `message`: one of those that were shown while it ran."""

    exit_code: int | None
    cause: Cause | None
    decision: str
    tokens: int
    cost_usd: float
    message: str


TABLE = {
    "claude": Told(0, None, "", 525, 0.00190125, WRITE),
    "claude-partial": Told(0, None, "", 525, 0.00190125, ECHO),
    "claude-dont-ask": Told(0, None, "", 525, 0.00190125, ECHO),
    "claude-long": Told(0, None, "", 350, 0.0012675, "Bash: sleep 8;echo ok"),
    "claude-401": Told(1, Cause.REFUSED, "configuration_error", 0, 0, f"{RETRY}, 401, in 1 s"),
    "claude-429": Told(1, Cause.LIMITED, "rate_limited", 0, 0, f"{RETRY}, 429, in 1 s"),
    "claude-529": Told(1, Cause.OVERLOADED, "error", 0, 0, f"{RETRY}, 529, in 1 s"),
    "claude-api-down": Told(
        1, Cause.DOWN, "error", 0, 0, "API retries: attempt 4 of 10, no answer, in 5 s"
    ),
    "claude-nologin": Told(
        1, Cause.LOGIN, "configuration_error", 0, 0, "Not logged in · Please run /login"
    ),
    "claude-maxturns": Told(1, Cause.TURNS, "", 175, 0.00063375, WRITE),
    "claude-budget": Told(1, Cause.BUDGET, "timeout_budget_exhausted", 175, 0.00063375, WRITE),
    "claude-outside": Told(0, Cause.DENIED, "", 525, 0.00190125, "denied: Write /home/u/made.py"),
    "claude-bash-bg": Told(0, None, "", 525, 0.00190125, "in the background: bg"),
    "claude-subagent": Told(0, None, "", 700, 0.002535, "Task: look"),
    "claude-resumed": Told(0, None, "", 700, 0.002535, "hello"),
    "claude-session-gone": Told(1, Cause.SESSION, "", 0, 0, "thinking"),
    "claude-schema": Told(0, None, "", 175, 0.00063375, "StructuredOutput"),
    "claude-mcp-progress": Told(0, None, "", 350, 0.0012675, "raw.watch_plain"),
    "claude-mcp-task": Told(0, None, "", 350, 0.0012675, "raw.watch_task"),
    "qwen": Told(0, None, "", 360, 0, "write_file made.py"),
    "codex": Told(0, None, "", 360, 0, ECHO),
    "codex-401": Told(1, Cause.REFUSED, "configuration_error", 0, 0, f"{RETRY}, 401"),
    "codex-429": Told(1, Cause.LIMITED, "rate_limited", 0, 0, f"{RETRY}, 429"),
    "codex-500": Told(
        1,
        Cause.OVERLOADED,
        "error",
        0,
        0,
        f"{RETRY}, We\u2019re currently experiencing high demand, which may cause "
        "temporary errors.",
    ),
    "codex-down": Told(
        None,
        Cause.DOWN,
        "error",
        0,
        0,
        "the network is away: Connection failed: error sending request",
    ),
    "codex-no-key": Told(
        1, Cause.LOGIN, "configuration_error", 0, 0, "Missing environment variable: `NO_SUCH`."
    ),
    "codex-sandbox": Told(
        0,
        Cause.SANDBOX,
        "",
        240,
        0,
        "the sandbox refused, it seems: Bash: echo x > /etc/outside.txt; sleep 1",
    ),
    "codex-resumed": Told(0, None, "", 480, 0, "hello"),
    "codex-mcp": Told(0, None, "", 240, 0, "raw.watch_plain"),
    "codex-plan": Told(0, None, "", 240, 0, "tool finished"),
    "codex-schema": Told(0, None, "", 120, 0, '{"decision":"approve","tests_passed":5}'),
}
OTHERS = ["gemini", "opencode", "codex-app-server"]


def lines(name: str) -> list[bytes]:
    return (STREAMS / f"{name}.jsonl").read_bytes().splitlines()


def read(name: str, before: Usage = Usage()) -> tuple[Reader, list[News]]:  # noqa: B008
    kind = CodexReader if name.startswith("codex") else ClaudeReader
    reader = kind(WORKTREE, before)
    return reader, [news for line in lines(name) if (news := reader.take(line))]


def ended(name: str) -> Ending:
    return read(name)[0].ended(TABLE[name].exit_code)


def test_every_stream_is_in_the_table() -> None:
    names = {path.stem for path in STREAMS.glob("*.jsonl") if not path.stem.startswith("acp-")}
    assert names == {*TABLE, *OTHERS}


@pytest.mark.parametrize("name", TABLE)
def test_a_stream_tells_how_it_ended_and_what_it_cost(name: str) -> None:
    told, (reader, news) = TABLE[name], read(name)
    ending = reader.ended(told.exit_code)
    assert (ending.ok, ending.cause) == (
        told.cause in {None, Cause.DENIED, Cause.SANDBOX},
        told.cause,
    )
    assert ending.decision == told.decision
    assert ending.usage.tokens == told.tokens
    assert ending.usage.cost_usd == pytest.approx(told.cost_usd)
    assert told.message in [each.message for each in news]
    assert bool(ending.reason) is bool(told.cause)
    assert ending.reason.isprintable()


@pytest.mark.parametrize("name", TABLE)
def test_each_tool_that_begins_ends(name: str) -> None:
    _, news = read(name)
    began = [tool for each in news for tool in each.started]
    assert began == [tool for each in news for tool in each.ended]


@pytest.mark.parametrize("name", TABLE)
def test_what_was_used_never_falls(name: str) -> None:
    used = [each.usage for each in read(name)[1]]
    assert used == sorted(used, key=lambda usage: (usage.tokens, usage.cost_usd))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "claude-nologin",
            (
                "claude: not logged in (Not logged in · Please run /login); "
                "run `claude` and log in there, or set ANTHROPIC_API_KEY"
            ),
        ),
        (
            "claude-429",
            (
                "claude: rate limited (API Error: Request rejected (429) · stub says "
                "rate_limit_error); wait until the limit is lifted, or give another model"
            ),
        ),
        (
            "claude-maxturns",
            (
                "claude: out of its own turns (Reached maximum number of turns (1)); "
                "raise its limit in --player, such as --max-turns"
            ),
        ),
        (
            "claude-outside",
            "claude: was denied (Write /home/u/made.py); --permissions ask-nothing would allow it",
        ),
        (
            "codex-429",
            (
                "codex: rate limited (exceeded retry limit, last status: 429 Too Many Requests); "
                "wait until the limit is lifted, or give another model"
            ),
        ),
        (
            "codex-down",
            (
                "codex: the API cannot be reached (the network is away: Connection failed: error "
                "sending request); mend the network, or the API's address"
            ),
        ),
        (
            "codex-sandbox",
            (
                "codex: was refused by its sandbox, it seems (Bash: echo x > /etc/outside.txt; "
                "sleep 1); --permissions ask-nothing runs it without one"
            ),
        ),
    ],
)
def test_the_reason_is_one_line_with_the_remedy(name: str, reason: str) -> None:
    assert ended(name).reason == reason


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("claude", "Done: made.py written, 2 tests pass."),
        ("claude-schema", '{"decision": "approve", "rationale": "ok"}'),
        ("codex-schema", '{"decision":"approve","tests_passed":5}'),
    ],
)
def test_the_answer_is_what_was_said_last(name: str, answer: str) -> None:
    assert ended(name).answer == answer


def test_a_session_can_be_gone_on_with() -> None:
    assert ended("claude").session == "da4053f2-9db7-45e7-b579-9ae9db9fa060"
    assert ended("codex").session == "01a223ce-91f0-7212-8339-e969e2ebbf41"
    assert not ended("claude-session-gone").session


def test_a_session_that_is_resumed_tells_what_all_its_turns_have_used() -> None:
    before = Usage(525, 0.00190125)
    _, news = read("claude-resumed", before)
    assert news[0].usage == before
    assert news[-1].usage == Usage(700, 0.0025350000000000004)
    assert read("codex-resumed", Usage(360))[1][-1].usage == Usage(480)


def test_a_run_that_fails_at_once_keeps_what_its_session_had_used() -> None:
    before = Usage(700, 0.25)
    for name in ("claude-401", "claude-session-gone", "codex-401"):
        assert read(name, before)[0].ended(1).usage == before


def test_layers_are_told_apart() -> None:
    layers = {
        name: {news.layer for news in read(name)[1]}
        for name in ("claude-429", "claude-outside", "codex-down", "codex-429")
    }
    assert layers == {
        "claude-429": {Layer.THINKS, Layer.RETRIES},
        "claude-outside": {Layer.THINKS, Layer.TOOL, Layer.PERMISSION},
        "codex-down": {Layer.THINKS, Layer.NETWORK},
        "codex-429": {Layer.THINKS, Layer.RETRIES},
    }


@pytest.mark.parametrize("name", OTHERS)
def test_events_that_nobody_has_announced_are_passed_over(name: str) -> None:
    for reader in (ClaudeReader(WORKTREE), CodexReader(WORKTREE)):
        for line in lines(name):
            reader.take(line)
        assert not reader.ended(0).ok


@pytest.mark.parametrize(
    ("exit_code", "stderr", "cause", "reason"),
    [
        (-15, "", Cause.BROKEN, "claude: ended without a result (ended by SIGTERM)"),
        (143, "", Cause.BROKEN, "claude: ended without a result (ended by SIGTERM)"),
        (None, "", Cause.BROKEN, ""),
        (0, "", Cause.BROKEN, "claude: ended without a result (exited with 0)"),
        (
            1,
            "note\n\x1b[31mout of memory\x1b[0m\n",
            Cause.BROKEN,
            "claude: ended without a result (exited with 1: out of memory)",
        ),
        (
            1,
            "WARNING: a note\nerror: unknown option '--frob'\n",
            Cause.SETUP,
            (
                "claude: cannot be run like this (error: unknown option '--frob'); change --player "
                "or --permissions, or update it: npm install -g @anthropic-ai/claude-code"
            ),
        ),
    ],
    ids=["signal", "shell's signal", "time", "nothing", "stderr", "option"],
)
def test_a_run_without_a_result_says_why(
    exit_code: int | None, stderr: str, cause: Cause, reason: str
) -> None:
    ending = ClaudeReader(WORKTREE).ended(exit_code, stderr)
    assert (ending.ok, ending.cause, ending.reason) == (False, cause, reason)


@pytest.mark.parametrize(("name", "first"), [("claude-429", 2), ("codex-429", 4)])
def test_one_that_is_ended_while_it_retries_was_held_up_by_that(name: str, first: int) -> None:
    kind = CodexReader if name.startswith("codex") else ClaudeReader
    reader = kind(WORKTREE)
    for line in lines(name)[:first]:
        reader.take(line)
    assert reader.ended(-15).cause is Cause.LIMITED


def test_one_that_is_killed_after_its_result_is_not_ok() -> None:
    reader, _ = read("claude")
    assert reader.ended(-9).cause is Cause.BROKEN


def test_the_end_of_an_inner_tool_shows_the_outer_one_again() -> None:
    reader = CodexReader(WORKTREE)
    for number in (1, 2):
        command = f'"command":"/bin/bash -lc \'pytest {WORKTREE}/t{number}.py\'"'
        item = f'{{"id":"{number}","type":"command_execution",{command}}}'
        reader.take(f'{{"type":"item.started","item":{item}}}'.encode())
    assert reader.news.message == "Bash: pytest t2.py"
    reader.take(b'{"type":"item.completed","item":{"id":"2","type":"command_execution"}}')
    assert (reader.news.message, reader.news.ended) == ("Bash: pytest t1.py", ("2",))


def test_a_changed_file_is_told_as_an_edit() -> None:
    reader = CodexReader(WORKTREE)
    changes = f'[{{"path":"{WORKTREE}/a.py","kind":"update"}},{{"path":"b.py","kind":"add"}}]'
    item = f'{{"id":"1","type":"file_change","changes":{changes}}}'
    news = reader.take(f'{{"type":"item.started","item":{item}}}'.encode())
    assert news is not None
    assert news.message == "Edit a.py and 1 more"


def test_a_tool_that_is_told_of_when_it_has_ended_is_shown() -> None:
    reader = CodexReader(WORKTREE)
    item = '{"id":"1","type":"file_change","changes":[{"path":"a.py","kind":"delete"}]}'
    news = reader.take(f'{{"type":"item.completed","item":{item}}}'.encode())
    assert news is not None
    assert (news.layer, news.message, news.ended) == (Layer.THINKS, "Delete a.py", ())


@pytest.mark.parametrize(
    ("event", "layer", "message"),
    [
        ('"subtype":"status","status":"compacting"', Layer.THINKS, "compacting what it remembers"),
        (
            '"subtype":"session_state_changed","state":"requires_action"',
            Layer.PERMISSION,
            "waits for a permission",
        ),
        ('"subtype":"odd"', Layer.THINKS, ""),
    ],
)
def test_what_claude_tells_of_itself_is_shown(event: str, layer: Layer, message: str) -> None:
    news = ClaudeReader(WORKTREE).take(f'{{"type":"system",{event}}}'.encode())
    assert news is not None
    assert (news.layer, news.message) == (layer, message)


def test_many_tools_are_not_all_remembered() -> None:
    reader = ClaudeReader(WORKTREE)
    for number in range(1000):
        block = f'{{"type":"tool_use","id":"{number}","name":"Task{number}"}}'
        message = f'{{"id":"m{number}","content":[{block}]}}'
        event = f'{{"type":"assistant","parent_tool_use_id":"p","message":{message}}}'
        reader.take(event.encode())
    assert reader.news.message == "Task999"
    assert len(reader._teller._tools) == TOOLS_MAX
    assert len(reader._tokens._calls) == CALLS_MAX


@pytest.mark.parametrize("name", ["--help", "a b", "x" * 201, "", "-"])
def test_a_session_whose_id_would_be_an_option_is_none(name: str) -> None:
    claude, codex = ClaudeReader(WORKTREE), CodexReader(WORKTREE)
    claude.take(f'{{"type":"system","session_id":"{name}"}}'.encode())
    codex.take(f'{{"type":"thread.started","thread_id":"{name}"}}'.encode())
    assert (claude.session, codex.session) == ("", "")


def test_what_stands_on_stderr_besides_is_no_cause() -> None:
    noise = "MCP server: connection failed, HTTP 500\n"
    for exit_code in (1, -11, 137, None):
        assert ClaudeReader(WORKTREE).ended(exit_code, noise).cause is Cause.BROKEN
    assert ClaudeReader(WORKTREE).ended(-11, "Not logged in").cause is Cause.BROKEN


def test_a_tool_whose_end_was_lost_is_forgotten_with_the_next_answer() -> None:
    reader = ClaudeReader(WORKTREE)
    for line in lines("claude")[:3]:  # up to Write
        reader.take(line)
    assert reader.news.message == WRITE
    for line in lines("claude")[4:6]:  # without its result
        reader.take(line)
    assert reader.news.message == ECHO
    reader.take(lines("claude")[6])
    assert reader.news.message == "thinking"

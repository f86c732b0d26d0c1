"""No stream breaks a reader: keys are dropped, types changed, lines cut, bytes changed."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardkit.orchestrator.agents.claude import ClaudeReader
from guardkit.orchestrator.agents.codex import CodexReader
from guardkit.orchestrator.agents.endings import ANSWER_MAX, Ending
from guardkit.orchestrator.agents.lines import Lines
from guardkit.orchestrator.agents.news import News
from guardkit.orchestrator.agents.updates import Updates
from guardkit.progress.snapshot import COST_MAX, COUNT_MAX, Usage

STREAMS = Path(__file__).parents[1] / "streams"
NAMES = sorted(path.stem for path in STREAMS.glob("*.jsonl"))
OF_ACP = [name for name in NAMES if name.startswith("acp-")]
SEEDS = st.integers(0, 2**32)
WORKTREE = "/home/u/repo"
ODD: list[Any] = [
    *(None, True, -1, 10**400, float("nan"), float("inf"), "", [], [[]], {}, {"type": {}}),
    "\ud800\x00\u202e\x1b[2J\n\n",
    "x" * 10_000,
    [{"type": "text", "text": 7, "id": [], "path": {}, "kind": 0}],
]


def mutated(value: Any, chance: Random) -> Any:
    """Return a value of JSON, parts of which are gone, twice there, or something else."""
    if chance.randrange(12) == 0:
        return chance.choice(ODD)
    if isinstance(value, dict):
        return {key: mutated(each, chance) for key, each in value.items() if chance.randrange(12)}
    if isinstance(value, list):
        return [mutated(each, chance) for each in value for _ in range(chance.choice((1, 1, 0, 2)))]
    return value


def garbled(line: bytes, chance: Random) -> bytes:
    """Return a line that is cut, joined with itself, or not UTF-8 any more."""
    here = chance.randrange(len(line))
    return chance.choice(
        [line, line[:here], line + line, line[:here] + b"\xff\x00" + line[here:], b"\xed\xa0\x80"]
    )


def check_news(news: News | None) -> None:
    if news:
        assert news.message.isprintable()
        assert len(news.message) <= 200
        assert 0 <= news.usage.tokens <= COUNT_MAX
        assert 0 <= news.usage.cost_usd <= COST_MAX


def check_ending(ending: Ending) -> None:
    assert ending.reason.isprintable()
    assert len(ending.reason) <= 600
    assert len(ending.answer) <= ANSWER_MAX
    assert ending.cause or not ending.reason


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, exit_code=st.sampled_from((0, 1, -9, None)))
def test_events_that_have_changed_break_nothing(
    name: str, seed: int, exit_code: int | None
) -> None:
    chance = Random(seed)  # noqa: S311 - of mutations
    events = [json.loads(line) for line in (STREAMS / f"{name}.jsonl").read_bytes().splitlines()]
    for reader in (ClaudeReader(WORKTREE), CodexReader(WORKTREE)):
        for event in events:
            check_news(reader.take(json.dumps(mutated(event, chance)).encode()))
        ending = reader.ended(exit_code, "\x1b[0m error\ud800")
        check_ending(ending)
        assert ending.reason or not ending.cause or exit_code is None


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=10, deadline=None)
@given(seed=SEEDS)
def test_bytes_that_are_no_events_break_nothing(name: str, seed: int) -> None:
    chance = Random(seed)  # noqa: S311 - of mutations
    lines = (STREAMS / f"{name}.jsonl").read_bytes().splitlines()
    stream = b"\n".join(garbled(line, chance) for line in lines)
    for reader in (ClaudeReader(WORKTREE), CodexReader(WORKTREE)):
        splitter, here = Lines(limit=5_000), 0
        while here < len(stream):
            size = chance.randrange(1, 4_000)
            for line in splitter.take(stream[here : here + size]):
                check_news(reader.take(line))
            here += size
        check_ending(reader.ended(1))


@pytest.mark.parametrize("name", OF_ACP)
@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, ask_nothing=st.booleans())
def test_updates_that_have_changed_break_nothing(name: str, seed: int, ask_nothing: bool) -> None:
    chance, message = Random(seed), None  # noqa: S311 - of mutations
    updates = Updates(WORKTREE, ask_nothing=ask_nothing, before=Usage())
    for line in (STREAMS / f"{name}.jsonl").read_bytes().splitlines():
        message = mutated(json.loads(line).get("msg"), chance)
        check_news(updates.take(message))
        option = updates.permit(message)
        assert option is None or isinstance(option, str)
        check_news(updates.news)
    check_news(updates.finish(message))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\x00",
        b"null",
        b"[]",
        b"7",
        b'"text"',
        b'{"type": null}',
        b'{"type": "assistant", "message": {"content": "text", "usage": []}}',
        b'{"type": "result", "modelUsage": [], "is_error": "no"}',
        b'{"type": "item.started"}',
        b'{"type": "turn.failed", "error": "text"}',
        b'{"type": "assistant", "message": ' + b"[" * 100_000,
        b'{"type": "assistant", "message": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"type": "result", "usage": {"input_tokens": ' + b"9" * 5_000 + b"}}",
        b'{"type": "result", "total_cost_usd": 1e999, "usage": {"input_tokens": 1e999}}',
    ],
    ids=range(15),
)
def test_odd_lines_break_nothing(line: bytes) -> None:
    for reader in (ClaudeReader(WORKTREE), CodexReader(WORKTREE)):
        check_news(reader.take(line))
        check_ending(reader.ended(0))

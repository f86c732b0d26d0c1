"""The command lines of agents, and prompts that would be anything but a prompt."""

import pytest

from guardkit.errors import MisuseError
from guardkit.orchestrator.agents.command_lines import (
    PROMPT_MAX,
    claude_command,
    codex_command,
    prompt_bytes,
)

CLAUDE = ["claude", "-p", "--output-format=stream-json", "--verbose", "--include-partial-messages"]
EDITS = ["--permission-mode=acceptEdits", "--allowedTools=Bash,Edit(./**),Write(./**)"]
CODEX = ["codex", "exec", "--json", "-c"]


def test_claude_edits_and_runs_commands_in_its_worktree() -> None:
    assert claude_command(["claude"]) == CLAUDE + EDITS


def test_the_users_own_words_come_last() -> None:
    words = ["claude", "--model", "X", "--permission-mode", "plan"]
    assert claude_command(words)[-4:] == words[1:]
    command = codex_command(["codex", "-m", "X", "-c", "a=1"])
    assert command == [*CODEX, 'sandbox_mode="workspace-write"', "-m", "X", "-c", "a=1", "-"]


def test_a_later_turn_goes_on_with_the_session() -> None:
    assert claude_command(["claude", "--model", "X"], session="ID") == [
        *CLAUDE,
        *EDITS,
        "--resume=ID",
        "--model",
        "X",
    ]
    command = codex_command(["codex", "-m", "X"], session="ID")
    assert command[-5:] == ["-m", "X", "resume", "ID", "-"]


def test_a_coach_only_reads_and_answers_by_a_schema() -> None:
    assert claude_command(["claude"], permissions="read-only", schema='{"type":"object"}') == [
        *CLAUDE,
        "--permission-mode=dontAsk",
        "--allowedTools=Read,Grep,Glob",
        '--json-schema={"type":"object"}',
    ]
    command = codex_command(["codex"], permissions="read-only", schema="/x/schema.json")
    assert command == [*CODEX, 'sandbox_mode="read-only"', "--output-schema=/x/schema.json", "-"]


def test_one_who_asks_nothing_may_do_what_he_likes() -> None:
    assert claude_command(["claude"], permissions="ask-nothing") == [
        *CLAUDE,
        "--permission-mode=bypassPermissions",
    ]
    assert 'sandbox_mode="danger-full-access"' in codex_command(
        ["codex"], permissions="ask-nothing"
    )


@pytest.mark.parametrize(
    "words",
    [["claude", "--output-format=text"], ["claude", "-c"], ["claude", "--resume", "ID"]],
    ids=str,
)
def test_claudes_words_that_are_ours_are_refused(words: list[str]) -> None:
    with pytest.raises(MisuseError, match="leave it out"):
        claude_command(words)


@pytest.mark.parametrize(
    "words", [["codex", "exec"], ["codex", "-C", "/"], ["codex", "-"]], ids=str
)
def test_codexs_words_that_are_ours_are_refused(words: list[str]) -> None:
    with pytest.raises(MisuseError, match="leave it out"):
        codex_command(words)


def test_an_agent_without_a_name_is_refused() -> None:
    with pytest.raises(MisuseError, match="no agent is named"):
        claude_command([])


@pytest.mark.parametrize(
    ("prompt", "sent"),
    [
        ("--help", b"--help"),
        ("/login", b" /login"),
        ("a\0b", "a\ufffdb".encode()),
        ("\ud83d", "\ufffd".encode()),
        ("\ud83d\ude00 caf\xe9", "\U0001f600 caf\xe9".encode()),
    ],
    ids=["option", "slash", "NUL", "lone surrogate", "pair of surrogates"],
)
def test_a_prompt_is_text_for_standard_input(prompt: str, sent: bytes) -> None:
    assert prompt_bytes(prompt) == sent


def test_a_prompt_of_2_mb_loses_its_middle_and_says_so() -> None:
    sent = prompt_bytes("begin " + "é" * 2**21 + " end").decode()
    assert len(sent) <= PROMPT_MAX
    assert sent.startswith("begin é")
    assert sent.endswith("é end")
    assert "1,048,686 characters are left out here" in sent

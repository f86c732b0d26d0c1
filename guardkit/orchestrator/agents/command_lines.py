"""How the CLIs of agents are called: their command lines, and the prompt on their standard input.

Seen with Claude Code 2.1.332 and Codex 0.171. Both read the prompt from standard input: there it
may begin with a hyphen, hold a NUL, and be longer than the 128 KiB of one argument on Linux.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from guardkit.errors import MisuseError

PROMPT_MAX = 2**20  # characters: Codex refuses more
CUT = "\n\n[… {:,} characters are left out here …]\n\n"
CUT_MAX = 100  # characters of that

Permissions = Literal["worktree", "ask-nothing", "read-only"]
"""worktree: writes there, and runs commands. ask-nothing: does what it likes. read-only: a Coach.

What an agent is not permitted it is denied, as nobody is there to be asked.
"""

# A rule without a path would let Claude Code write outside the worktree, too.
CLAUDE_PERMISSIONS: dict[Permissions, tuple[str, ...]] = {
    "worktree": (
        "--permission-mode=acceptEdits",
        "--allowedTools=Bash,Edit(./**),Write(./**)",
    ),
    "ask-nothing": ("--permission-mode=bypassPermissions",),
    "read-only": ("--permission-mode=dontAsk", "--allowedTools=Read,Grep,Glob"),
}
# As settings: `codex exec resume` knows no --sandbox, and nobody may give that twice.
CODEX_PERMISSIONS: dict[Permissions, tuple[str, ...]] = {
    "worktree": ("-c", 'sandbox_mode="workspace-write"'),
    "ask-nothing": ("-c", 'sandbox_mode="danger-full-access"'),
    "read-only": ("-c", 'sandbox_mode="read-only"'),
}
CLAUDE_OWN = {"-p", "--print", "--input-format", "--output-format", "--json-schema"}
CLAUDE_SESSIONS = {"-c", "--continue", "-r", "--resume", "--bg", "--background"}
CODEX_OWN = {"exec", "resume", "--json", "--output-schema", "-C", "--cd", "--worktree", "-"}


def claude_command(
    words: Sequence[str],
    *,
    permissions: Permissions = "worktree",
    session: str = "",
    schema: str = "",
) -> list[str]:
    """Return the command line for one turn of Claude Code.

    words: the user's own, such as `claude --model X`; the CLI comes first. Their options come last
        and so count, where they say otherwise than ours.
    session: the id of the session to go on with, "" for a new one.
    schema: the JSON Schema of the answer that is asked for, "" for any answer.
    Raises MisuseError for a word without which the answers can be read, and with which not.
    """
    cli, own = _split(words, CLAUDE_OWN | CLAUDE_SESSIONS)
    command = [cli, "-p", "--output-format=stream-json", "--verbose", "--include-partial-messages"]
    command += CLAUDE_PERMISSIONS[permissions]
    command += [f"--resume={session}"] if session else []
    command += [f"--json-schema={schema}"] if schema else []
    return command + own


def codex_command(
    words: Sequence[str],
    *,
    permissions: Permissions = "worktree",
    session: str = "",
    schema: Path | str = "",
) -> list[str]:
    """Return the command line for one turn of Codex; as `claude_command`, but for the schema.

    schema: the file in which it stands, "" for any answer.
    """
    cli, own = _split(words, CODEX_OWN)
    command = [cli, "exec", "--json", *CODEX_PERMISSIONS[permissions]]
    command += [f"--output-schema={schema}"] if str(schema) else []
    return [*command, *own, *(("resume", session) if session else ()), "-"]


def prompt_text(prompt: str) -> str:
    """Return a prompt that every agent takes: of bounded length, and sure to be a prompt.

    What is too long loses its middle, and says so. A NUL and a lone surrogate become U+FFFD. A
    slash at the beginning would be a command of the agent's own: a space comes before it.
    """
    prompt = prompt.replace("\0", "\N{REPLACEMENT CHARACTER}")
    prompt = f" {prompt}" if prompt.startswith("/") else prompt
    if len(prompt) > PROMPT_MAX:
        half = (PROMPT_MAX - CUT_MAX) // 2
        prompt = prompt[:half] + CUT.format(len(prompt) - 2 * half) + prompt[-half:]
    return prompt.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def prompt_bytes(prompt: str) -> bytes:
    """Return a prompt as Claude Code and Codex read it from standard input."""
    return prompt_text(prompt).encode()


def _split(words: Sequence[str], taken: set[str]) -> tuple[str, list[str]]:
    """Return the CLI and the user's further words. Raises MisuseError."""
    if not words:
        raise MisuseError("no agent is named: give one, as --player claude")
    for word in words[1:]:
        if word.partition("=")[0] in taken:
            remedy = "leave it out, guardkit sets it itself"
            raise MisuseError(f"{word!r:.80} cannot stand behind {words[0]!r:.80}: {remedy}")
    return words[0], list(words[1:])

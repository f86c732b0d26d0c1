"""Which agent the words of --player and --coach mean."""

import shlex

from guardkit.errors import MisuseError
from guardkit.orchestrator.agents.agent import Agent, ShellAgent
from guardkit.orchestrator.agents.by_acp import AcpAgent
from guardkit.orchestrator.agents.cli import KINDS, CliAgent
from guardkit.orchestrator.agents.command_lines import Permissions

ACP = "acp:"
OWN = {"claude": {"-p", "--print"}, "codex": {"exec", "e", "review"}}  # then it is a command


def choose(text: str, *, permissions: Permissions, schema: str = "") -> Agent:
    """Return the agent that is meant.

    `claude` and `codex`, with further words of theirs, are the user's own CLIs; `acp:COMMAND` is
    any agent that speaks ACP; all else is a command of the shell, as are those CLIs where they are
    called for one answer themselves: `claude -p …`, `codex exec …`.

    schema: the JSON Schema of the answer that is wanted, "" for any.
    Raises MisuseError for what cannot be such a command.
    """
    is_acp = text.startswith(ACP)
    try:
        words = shlex.split(text.removeprefix(ACP) if is_acp else text)
    except ValueError as error:
        if is_acp:
            raise MisuseError(f"{text!r:.100} is no command: {error}") from error
        return ShellAgent(text)
    if is_acp and not words:
        raise MisuseError("acp: wants the command of an agent, such as acp:'gemini --acp'")
    if is_acp:
        return AcpAgent(words, permissions=permissions)
    kind = words[0] if words else ""
    if kind in KINDS and OWN[kind].isdisjoint(words[1:]):
        return CliAgent(kind, words, permissions=permissions, schema=schema)
    return ShellAgent(text)


def program(text: str) -> str:
    """Return the command that has to be there for an agent, as the shell would take it."""
    return text.removeprefix(ACP)

"""An agent: what is given a prompt and a worktree, and works there until it has ended."""

from collections.abc import Callable
from typing import Protocol

from guardkit.orchestrator.agents.news import News
from guardkit.orchestrator.processes.commands import CommandResult, Seat, run_command
from guardkit.progress.snapshot import Usage

Log = Callable[[bytes], object]  # takes the pieces of an agent's stream, as they come
Spend = Callable[[Usage], object]  # is told what an agent has used so far, over all its sessions


class Agent(Protocol):
    """What can be a Player, or a Coach."""

    async def work(self, prompt: str, seat: Seat, *, log: Log, spend: Spend) -> CommandResult:
        """Work on a prompt until it has ended, or its time is up.

        Later calls go on in the same session, where the agent knows such.
        """
        ...

    def resume(self, session: str, used: Usage) -> None:
        """Go on with the session of an earlier build, which had used so much."""
        ...


class ShellAgent:
    """A command of the user's: its latest line is what it is at, its exit code how it ended."""

    def __init__(self, command: str) -> None:
        self._command = command

    async def work(self, prompt: str, seat: Seat, *, log: Log, spend: Spend) -> CommandResult:
        """Run the command; the prompt is of no use to it."""
        del prompt, log, spend
        return await run_command(self._command, seat)

    def resume(self, session: str, used: Usage) -> None:
        """Do nothing: it knows no sessions."""


class Sessions:
    """What an agent has used over all its sessions; `session` is the one it is in, "" before."""

    def __init__(self) -> None:
        self.session = ""
        self.used = Usage()  # in this session
        self._before = Usage()  # in those before it

    @property
    def total(self) -> Usage:
        """What all sessions have used."""
        return add(self._before, self.used)

    def begin(self, session: str, used: Usage) -> None:
        """Go on in a session; `""`: in a new one."""
        self._before = self.total if not session else self._before
        self.session, self.used = session, used


def add(one: Usage, other: Usage) -> Usage:
    """Return the sum of what was used."""
    return Usage(one.tokens + other.tokens, one.cost_usd + other.cost_usd)


def heard(news: News, seat: Seat, sessions: Sessions, spend: Spend) -> None:
    """Tell what an agent is at, and what it has used."""
    seat.hear(news.message)
    if news.usage != sessions.used:
        sessions.used = news.usage
        spend(sessions.total)

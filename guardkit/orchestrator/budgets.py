"""How long something may take, and what it may cost."""

from collections.abc import Callable
from math import inf

import anyio
import msgspec

from guardkit import Build
from guardkit.clock import Clock
from guardkit.orchestrator.agents.agent import add
from guardkit.progress.snapshot import Usage

LEAST = 0.001  # seconds


class Budgets(msgspec.Struct, frozen=True, kw_only=True):
    """What a build may take, in seconds, and cost, in US dollars; inf: whatever it takes.

    player, tests: each run of the Player, and of the tests. phase, turn, build: each of those.
    """

    player: float = 3600.0
    tests: float = 600.0
    phase: float = inf
    turn: float = inf
    build: float = inf
    cost: float = inf


class Deadlines(msgspec.Struct, frozen=True, kw_only=True):
    """When a build and one of its turns have to be over, in monotonic seconds."""

    budgets: Budgets
    clock: Clock
    build: float
    turn: float = inf

    def begin_turn(self) -> "Deadlines":
        """Return the same for a turn that begins now."""
        return msgspec.structs.replace(self, turn=self.clock.monotonic() + self.budgets.turn)

    def left(self, own: float, option: str) -> tuple[float, str]:
        """Return how many seconds a phase has, and by which option, in words.

        own, option: what it has anyway, and the option that says so.
        """
        now = self.clock.monotonic()
        least, words = min(
            (own, f"by {option}"),
            (self.budgets.phase, "by --phase-budget"),
            (self.turn - now, "which is what --turn-budget had left"),
            (self.build - now, "which is what --build-budget had left"),
        )
        return max(least, LEAST), words

    @property
    def is_over(self) -> bool:
        """Whether the build may take no more time."""
        return self.clock.monotonic() >= self.build


class Ledger:
    """What the agents of a build have used, each over all its sessions.

    before: what earlier runs of the task have used.
    enough: is set when it may cost no more.
    """

    def __init__(self, build: Build, before: Usage, most: float) -> None:
        self.enough = anyio.Event()
        self._build, self._most = build, most
        self._used = {"before": before}
        if before != Usage():
            self._tell()

    def of(self, agent: str) -> Callable[[Usage], object]:
        """Return what is told how much an agent has used."""

        def take(used: Usage) -> None:
            self._used[agent] = used
            self._tell()

        return take

    @property
    def total(self) -> Usage:
        """What all have used."""
        total = Usage()
        for used in self._used.values():
            total = add(total, used)
        return total

    def _tell(self) -> None:
        total = self.total
        self._build.spent(tokens=total.tokens, cost_usd=total.cost_usd)
        if total.cost_usd >= self._most:
            self.enough.set()


def begin(budgets: Budgets, clock: Clock) -> Deadlines:
    """Return the deadlines of a build that begins now."""
    return Deadlines(budgets=budgets, clock=clock, build=clock.monotonic() + budgets.build)

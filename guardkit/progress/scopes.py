"""Builds, turns and phases as `async with` shows them: entered once, left once, nested."""

import asyncio
from abc import ABC, abstractmethod
from contextlib import suppress
from math import inf
from types import TracebackType
from typing import Annotated, Self

from msgspec import Meta

from guardkit.errors import MisuseError, ScopeError
from guardkit.progress.publisher import Publisher
from guardkit.progress.snapshot import Outcome, PhaseStatus, check, check_count, clip
from guardkit.progress.state import NAME_SIZE, TEXT_SIZE

DECISION_MAX = 64  # characters

Seconds = Annotated[float, Meta(ge=0.001, lt=1e308)]


class Scope(ABC):
    """What builds, turns and phases have in common."""

    _entered = False
    _failure: str | None = None

    def __init__(self, publisher: Publisher, around: "tuple[Scope, ...]" = ()) -> None:
        self._publisher = publisher
        self._state = publisher.state
        self._around = around  # what it is inside of: build, turn, phase
        self._open: list[Scope] = around[0]._open if around else []  # of the build, as entered

    async def __aenter__(self) -> Self:
        self._claim()
        self._enter()
        try:
            await self._publisher.settle()
        except asyncio.CancelledError:  # then __aexit__ is not called
            self._leave("cancelled")
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._close(exc) != "cancelled":  # which passes at once: the build's own exit waits
            await self._publisher.settle()

    def phase(self, name: str, *, budget: float | None = None) -> "Phase":
        """Return a stretch of work in here, which declares that it may take `budget` seconds."""
        return Phase(self._publisher, (*self._around, self), name, budget)

    def update(
        self,
        *,
        files_created: int | None = None,
        files_modified: int | None = None,
        tests_passed: int | None = None,
        tests_total: int | None = None,
        message: str | None = None,
    ) -> None:
        """Set counts (not differences) and the latest line; what is not given stays as it is.

        Never blocks and never raises for I/O. It may be called from any thread and as often as
        wanted: at most one write per `debounce` comes of it. Raises MisuseError for a count that
        is not a whole number from 0, and ScopeError unless the build is open.
        """
        state = self._state
        # In full for each, as a loop over them or a call for each would cost twice as much.
        if files_created is not None:
            if files_created.__class__ is not int or files_created < 0:
                files_created = check_count("files_created", files_created)
            state.files_created = files_created
        if files_modified is not None:
            if files_modified.__class__ is not int or files_modified < 0:
                files_modified = check_count("files_modified", files_modified)
            state.files_modified = files_modified
        if tests_passed is not None:
            if tests_passed.__class__ is not int or tests_passed < 0:
                tests_passed = check_count("tests_passed", tests_passed)
            state.tests_passed = tests_passed
        if tests_total is not None:
            if tests_total.__class__ is not int or tests_total < 0:
                tests_total = check_count("tests_total", tests_total)
            state.tests_total = tests_total
        if message is not None:
            state.message = message if message.__class__ is str else check("message", message, str)
        if state.clean:
            self._check_build()
            state.clean = False
            self._publisher.touch()

    def decide(self, decision: str, message: str | None = None) -> None:
        """Record what was decided, in up to 64 characters, and why; written at once.

        Raises ScopeError unless the build is open.
        """
        decision = clip(check("decision", decision, str)[:DECISION_MAX], DECISION_MAX * 6)
        self._check_here()
        self.update(message=message)
        self._publisher.publish("decided", decision=decision)

    def fail(self, reason: str) -> None:
        """Record that this scope has failed though no exception leaves it; written at once.

        Raises ScopeError unless the build is open.
        """
        self._check_here()
        self._failure = clip(check("reason", reason, str), TEXT_SIZE)
        self._publisher.publish("failed", error=self._failure)

    def _claim(self) -> None:
        if self._entered:
            raise ScopeError(f"{self} was entered before: make another one")
        self._check_open(*self._around)
        self._entered = True

    def _enter(self) -> None:
        self._begin()
        self._open.append(self)

    def _close(self, exc: BaseException | None) -> Outcome:
        """End as the body did, and return how that was."""
        if exc is None and self._failure is None:
            return self._leave("completed")
        if isinstance(exc, asyncio.CancelledError | KeyboardInterrupt | GeneratorExit):
            return self._leave("cancelled")
        if self._failure is None and exc:
            self._failure = clip(_describe(exc), TEXT_SIZE)
        return self._leave("failed", self._failure)

    def _leave(self, outcome: Outcome, error: str | None = None) -> Outcome:
        """End as told, and first, as cancelled, what another task has left open in here."""
        if self in self._open:  # else it has ended with what is around it
            for scope in self._open[::-1]:
                if self in scope._around:
                    scope._leave("cancelled")
            self._open.remove(self)
            self._end(outcome, {"error": error} if error is not None else {})
        return outcome

    def _check_here(self) -> None:
        self._check_build()
        try:
            _ = self._publisher.forked or asyncio.get_running_loop()
        except RuntimeError:
            where = "on the build's event loop: use its call_soon_threadsafe"
            raise ScopeError(f"decide and fail are to be called {where}") from None

    def _check_build(self) -> None:
        self._check_open(*self._around[:1] or (self,))

    def _check_open(self, *scopes: "Scope") -> None:
        for scope in scopes:
            if scope not in self._open:
                if scope._entered:
                    raise ScopeError(f"{scope} has ended: make another one")
                raise ScopeError(f"{scope} is not entered: use `async with` on it")

    @abstractmethod
    def _begin(self) -> None: ...

    @abstractmethod
    def _end(self, outcome: Outcome, error: dict[str, str]) -> None: ...


class Turn(Scope):
    """One round of Player and Coach; made by `build.turn`."""

    def __init__(self, publisher: Publisher, around: tuple[Scope], number: int | None) -> None:
        super().__init__(publisher, around)
        self._check_open(*around)
        self.number = self._state.view().turn + 1 if number is None else number
        self._check_number()

    def __str__(self) -> str:
        return f"turn {self.number}"

    def _check_number(self) -> None:
        now = self._state.view()
        begun, last = now.turn, now.turn_max
        if any(isinstance(scope, Turn) for scope in self._open):
            raise ScopeError(f"turn {begun} is open: leave it before {self}")
        if type(self.number) is not int or not begun < self.number <= last:
            raise MisuseError(
                f"{self} cannot be: the next one is from {begun + 1} to turn_max={last}"
            )

    def _begin(self) -> None:
        self._check_number()
        if any(isinstance(scope, Phase) for scope in self._open):
            self._publisher.publish("turn.started", turn=self.number, error=None)
        else:
            self._state.since = self._state.budget = None
            phase = {"phase": "", "phase_status": "pending"}
            self._publisher.publish("turn.started", turn=self.number, error=None, **phase)

    def _end(self, outcome: Outcome, error: dict[str, str]) -> None:
        self._publisher.publish("turn.ended", **error)


class Phase(Scope):
    """A named stretch of work; made by `turn.phase` and `build.phase`, or in another phase."""

    def __init__(
        self,
        publisher: Publisher,
        around: tuple[Scope, ...],
        name: str,
        budget: float | None,
    ) -> None:
        super().__init__(publisher, around)
        self._check_open(around[0])
        self._name = clip(check("name", name, str), NAME_SIZE)
        self._budget = None if budget in (None, inf) else check("budget", budget, Seconds)

    def __str__(self) -> str:
        return f"phase {self._name!r}"

    def _begin(self) -> None:
        self._since = self._publisher.clock.monotonic()
        self._show("phase.started", "in_progress", {})

    def _end(self, outcome: Outcome, error: dict[str, str]) -> None:
        self._show("phase.ended", outcome, error)
        for scope in self._open[::-1]:
            if isinstance(scope, Phase):
                scope._show(None, "in_progress", {})
                break

    def _show(self, event: str | None, status: PhaseStatus, error: dict[str, str]) -> None:
        self._state.since, self._state.budget = self._since, self._budget
        self._publisher.publish(event, phase=self._name, phase_status=status, **error)


def _describe(exc: BaseException) -> str:
    """Return an exception's type and text, even where its `__str__` raises."""
    text = "<exception str() failed>"
    with suppress(Exception):
        text = str(exc)
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__

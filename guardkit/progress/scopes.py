"""Turns, phases and waves."""

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from guardkit.errors import MisuseError, ScopeError
from guardkit.progress.publisher import Publisher, Stage
from guardkit.progress.scope import Scope
from guardkit.progress.snapshot import Outcome, check, clip
from guardkit.progress.state import NAME_SIZE, Change, Shown

if TYPE_CHECKING:
    from guardkit.progress.build import Build

Seconds = Annotated[float, Meta(ge=0.001, lt=1e308)]


class Outer(Scope):
    """A scope that phases may be in."""

    def phase(self, name: str, *, budget: float | None = None) -> "Phase":
        """Return a stretch of work in here, to be entered with `async with`.

        `budget`: seconds that it declares it may take. Raises MisuseError for an empty name.
        """
        return Phase(self._publisher, (*self._around, self), name, budget)


class Turn(Outer):
    """One round of Player and Coach; made by `build.turn`.

    number: from 1, and at most the build's `turn_max`.
    """

    def __init__(self, publisher: Publisher, around: tuple[Scope], number: int | None) -> None:
        super().__init__(publisher, around)
        self.number = self._state.view().turn + 1 if number is None else number
        self._check_number()
        self._stage = Stage.NEW

    def __str__(self) -> str:
        return f"turn {self.number}"

    def _check_number(self) -> None:
        now = self._state.view()
        begun, last = now.turn, now.turn_max
        if any(isinstance(scope, Turn) for scope in self._open):
            raise ScopeError(f"turn {begun} is open: leave it before {self}")
        if type(self.number) is not int or self.number <= begun:
            raise MisuseError(f"turn {self.number!r} cannot follow turn {begun}: pass {begun + 1}")
        if self.number > last:
            raise MisuseError(f"{self} is beyond turn_max={last}: pass a larger turn_max")

    def _begin(self) -> None:
        self._check_number()
        change = Change(turn=self.number, error=None)
        if not any(isinstance(scope, Phase) for scope in self._open):
            self._left.works.pop(0, None)
            change |= Change(shown=Shown(), phase_status="pending")
        self._state.step("turn.started", **change)

    def _end(self, outcome: Outcome, error: str | None) -> None:
        self._state.step("turn.ended", **_because(error))


class Phase(Outer):
    """A named stretch of work; made by `phase` of a build, a wave, a turn or another phase."""

    _shown = Shown()

    def __init__(
        self, publisher: Publisher, around: tuple[Scope, ...], name: str, budget: float | None
    ) -> None:
        super().__init__(publisher, around)
        name = clip(check("name", name, str), NAME_SIZE)
        if not name.strip():
            raise MisuseError(f"{name=} is empty: say what the phase does")
        budget = None if budget in (None, inf) else check("budget", budget, Seconds)
        self._shown = Shown(name=name, budget=budget)
        self._stage = Stage.NEW

    def __str__(self) -> str:
        return f"phase {self._shown.name!r}"

    def _phase_number(self) -> int:
        return self._shown.number

    def _begin(self) -> None:
        around = {scope._shown.number for scope in self._open if isinstance(scope, Phase)}
        for number in {*self._left.works} - around:  # of what has ended
            self._left.works.pop(number, None)
        self._shown = self._state.begin_phase(self._shown)

    def _end(self, outcome: Outcome, error: str | None) -> None:
        end = Change(shown=self._shown, phase_status=outcome)
        self._state.step("phase.ended", **(end | _because(error)))
        if around := [scope for scope in self._open if isinstance(scope, Phase)]:
            self._state.step(None, shown=around[-1]._shown, phase_status="in_progress")


class Wave(Outer):
    """Some tasks of a feature that are built at the same time; made by `feature.wave`.

    number: from 1, and at most the feature's `wave_total`.
    """

    def __init__(
        self,
        publisher: Publisher,
        around: tuple[Scope],
        number: int,
        make: "Callable[[int, str, str, int], Build]",
    ) -> None:
        super().__init__(publisher, around)
        last = self._state.view().wave_total
        if type(number) is not int or not 1 <= number <= last:
            raise MisuseError(f"wave {number!r} is not in 1 to wave_total={last}")
        self.number = number
        self._make = make
        self._check_alone()
        self._stage = Stage.NEW

    def __str__(self) -> str:
        return f"wave {self.number}"

    def task(self, task_id: str, *, task_name: str = "", turn_max: int = 5) -> "Build":
        """Return the build of one task, to be entered with `async with`; several may be at once.

        It has its own file, journal and lock; its `build_id` is the feature's id. Raises
        MisuseError for arguments without a meaning, and ScopeError unless the wave is open.
        """
        self._check_open(self)
        return self._make(self.number, task_id, task_name, turn_max)

    def _check_alone(self) -> None:
        for scope in self._open:
            if isinstance(scope, Wave):
                raise ScopeError(f"{scope} is open: leave it before {self}")

    def _begin(self) -> None:
        self._check_alone()
        self._state.step("wave.started", wave=self.number)

    def _end(self, outcome: Outcome, error: str | None) -> None:
        self._state.step("wave.ended", **_because(error))


def _because(error: str | None) -> Change:
    return {} if error is None else {"error": error}

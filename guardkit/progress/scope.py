"""What builds, waves, turns and phases have in common: entered once, left once, nested."""

import asyncio
import warnings
from abc import abstractmethod
from contextlib import suppress
from types import TracebackType
from typing import Self

from guardkit.errors import ScopeError
from guardkit.progress.disk import Round
from guardkit.progress.publisher import Publisher, Stage
from guardkit.progress.snapshot import Outcome, clip
from guardkit.progress.state import TEXT_SIZE
from guardkit.progress.updates import Updates


class Scope(Updates):
    """An async context manager for one use; `around` is what it is inside of, from the build on."""

    _stage: Stage | None = None  # before it is made

    def __init__(self, publisher: Publisher, around: "tuple[Scope, ...]" = ()) -> None:
        super().__init__(publisher)
        self._around = around
        self._open: list[Scope] = around[0]._open if around else []  # of the build, as entered
        self._check_open(*around)

    def __del__(self) -> None:
        if self._stage is Stage.NEW:
            what = f"{self} was never entered: use `async with` on it"
            warnings.warn(what, RuntimeWarning, stacklevel=2, source=self)

    async def __aenter__(self) -> Self:
        self._claim()
        self._begin()
        self._open.append(self)
        try:
            await self._publisher.settle(self._publisher.publish())
        except asyncio.CancelledError:  # then __aexit__ is not called
            self._leave("cancelled")
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._check_loop()
        outcome, error = self._outcome(exc)
        last = self._leave(outcome, error)
        if outcome != "cancelled":  # which passes at once: the build's own exit waits
            await self._publisher.settle(last)

    def _claim(self) -> None:
        if self._stage is not Stage.NEW:
            raise ScopeError(f"{self} was entered before: make another one")
        self._stage = Stage.CLOSED  # also where it is refused
        self._check_open(*self._around)
        self._check_loop()
        self._stage = Stage.OPEN

    def _outcome(self, exc: BaseException | None) -> tuple[Outcome, str | None]:
        """Return how the body has ended, and why it failed if it did."""
        if exc is None and self._failure is None:
            return "completed", None
        if isinstance(exc, asyncio.CancelledError | KeyboardInterrupt | GeneratorExit):
            return "cancelled", None
        return "failed", self._failure or clip(_describe(exc), TEXT_SIZE)

    def _leave(self, outcome: Outcome, error: str | None = None) -> Round | None:
        """End as told, and first, as cancelled, what another task has left open in here.

        Returns the round of writing that shows it.
        """
        if self not in self._open:  # it has ended with what is around it
            return None
        for scope in self._open[::-1]:
            if self in scope._around:
                scope._close("cancelled", None)
        self._close(outcome, error)
        return self._publisher.publish()

    def _close(self, outcome: Outcome, error: str | None) -> None:
        self._open.remove(self)
        self._stage = Stage.CLOSED
        self._end(outcome, error)

    def _check_loop(self) -> None:
        if not self._publisher.is_here():
            raise ScopeError(f"{self} is of another event loop: use it where its build was entered")

    def _check_build(self) -> None:
        build = self._around[0] if self._around else self
        if build._stage is not Stage.OPEN:
            self._check_open(build)

    def _check_open(self, *scopes: "Scope") -> None:
        for scope in scopes:
            if scope not in self._open:
                if scope._stage is Stage.NEW:
                    raise ScopeError(f"{scope} is not entered: use `async with` on it")
                raise ScopeError(f"{scope} has ended: make another one")

    @abstractmethod
    def _begin(self) -> None: ...

    @abstractmethod
    def _end(self, outcome: Outcome, error: str | None) -> None: ...


def _describe(exc: BaseException | None) -> str:
    """Return an exception's type and text, even where its `__str__` raises."""
    text = "<exception str() failed>"
    with suppress(Exception):  # the exception's
        text = str(exc)
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__

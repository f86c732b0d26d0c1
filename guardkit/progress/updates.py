"""What a build, a turn or a phase may tell at any moment, from anywhere."""

from abc import ABC, abstractmethod
from typing import Annotated

from msgspec import Meta

from guardkit.progress.publisher import Publisher
from guardkit.progress.snapshot import COUNT_MAX, Cost, Work, check, clip
from guardkit.progress.state import TEXT_SIZE, UNIT_SIZE

DECISION_MAX = 64  # characters

Whole = Annotated[int, Meta(ge=0)]


class Updates(ABC):
    """Calls that never block, and never raise for I/O.

    They may come from any thread, from a signal handler and from a finaliser, as often as wanted:
    at most one write per `debounce` comes of them.
    """

    _failure: str | None = None

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._state = publisher.state
        self._left = publisher.state.left

    def update(  # noqa: C901
        self,
        *,
        files_created: int | None = None,
        files_modified: int | None = None,
        tests_passed: int | None = None,
        tests_total: int | None = None,
        message: str | None = None,
    ) -> None:
        """Set counts (not differences) and the latest line; what is not given stays as it is.

        A message is cut to 512 bytes of JSON. Raises MisuseError for a count that is not a whole
        number from 0, and ScopeError unless the build is open; then none of it is taken.
        """
        # In full for each, as a loop or a call for each would cost twice as much. The stores come
        # last, without a call among them: so nobody ever sees half an update.
        if files_created is not None and (files_created.__class__ is not int or files_created < 0):
            files_created = _count("files_created", files_created)
        if files_modified is not None and (
            files_modified.__class__ is not int or files_modified < 0
        ):
            files_modified = _count("files_modified", files_modified)
        if tests_passed is not None and (tests_passed.__class__ is not int or tests_passed < 0):
            tests_passed = _count("tests_passed", tests_passed)
        if tests_total is not None and (tests_total.__class__ is not int or tests_total < 0):
            tests_total = _count("tests_total", tests_total)
        if message is not None and message.__class__ is not str:
            message = check("message", message, str)
        left = self._left
        if left.clean:
            self._check_build()
        if files_created is not None:
            left.files_created = files_created
        if files_modified is not None:
            left.files_modified = files_modified
        if tests_passed is not None:
            left.tests_passed = tests_passed
        if tests_total is not None:
            left.tests_total = tests_total
        if message is not None:
            left.message = message
        if left.clean:
            left.clean = False
            self._publisher.soon()

    def count(self, done: int, total: int | None = None, unit: str = "") -> None:
        """Set how far the phase has come, in work that is neither files nor tests.

        `done` of `total` (None: unknown) units, such as "rows". Raises as `update` does.
        """
        done = min(_count("done", done), COUNT_MAX)
        total = None if total is None else min(_count("total", total), COUNT_MAX)
        work = Work(done, total, clip(check("unit", unit, str), UNIT_SIZE))
        self._check_build()
        self._left.works[self._phase_number()] = work
        self._told()

    def spent(self, *, tokens: int | None = None, cost_usd: float | None = None) -> None:
        """Set what agents have used in this build so far: totals, in tokens and US dollars.

        Raises as `update` does.
        """
        tokens = None if tokens is None else min(_count("tokens", tokens), COUNT_MAX)
        cost_usd = None if cost_usd is None else check("cost_usd", cost_usd, Cost)
        self._check_build()
        left = self._left
        if tokens is not None:
            left.tokens = tokens
        if cost_usd is not None:
            left.cost_usd = cost_usd
        self._told()

    def touch(self) -> None:
        """Tell that something was done, though nothing of what is shown has changed.

        Raises ScopeError unless the build is open.
        """
        now, left = self._publisher.clock.monotonic(), self._left
        if left.clean:
            self._check_build()
        left.touched = now
        self._told()

    def decide(self, decision: str, message: str | None = None) -> None:
        """Record what was decided, cut to 64 characters, and why; written at once.

        Raises MisuseError for what is no text, and ScopeError unless the build is open.
        """
        decision = clip(check("decision", decision, str)[:DECISION_MAX], DECISION_MAX * 6)
        self._check_build()
        self.update(message=message)
        self._state.step("decided", decision=decision)
        self._publisher.now()

    def fail(self, reason: str) -> None:
        """Record that this scope has failed though no exception leaves it; written at once.

        The reason is cut to 512 bytes of JSON. Raises as `decide` does.
        """
        reason = clip(check("reason", reason, str), TEXT_SIZE)
        self._check_build()
        self._failure = reason
        self._state.step("failed", error=reason)
        self._publisher.now()

    def _told(self) -> None:
        if self._left.clean:
            self._left.clean = False
            self._publisher.soon()

    def _phase_number(self) -> int:
        """Return the number of the phase whose work `count` counts."""
        return self._state.shown.number

    @abstractmethod
    def _check_build(self) -> None:
        """Raise ScopeError unless the build is open."""


def _count(name: str, value: int) -> int:
    return value if type(value) is int and value >= 0 else int(check(name, value, Whole))

"""What a build does, told as it happens: `track_build`, its turns and its phases."""

import asyncio
import os
import secrets
import socket
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable
from contextlib import nullcontext, suppress
from math import inf
from types import TracebackType
from typing import Any, Literal, NoReturn, Self

from guardkit.clock import Clock, SystemClock
from guardkit.errors import BuildAlreadyRunningError, MisuseError, ScopeError
from guardkit.progress.files import FileSink, check_task_id
from guardkit.progress.publisher import Publisher, Sink, until_done
from guardkit.progress.snapshot import COUNT_MAX, Outcome, Snapshot, Tracker, clip
from guardkit.progress.state import NAME_SIZE, TEXT_SIZE, OpenPhase, State

DECISION_MAX = 64  # characters
HEARTBEAT_MIN = 0.001  # seconds; a shorter one would do nothing but write
SECONDS_MAX = 1e308


def track_build(
    task_id: str,
    *,
    task_name: str = "",
    build_id: str | None = None,
    build_type: Literal["task", "feature"] = "task",
    wave: int = 1,
    wave_total: int = 1,
    turn_max: int = 5,
    root: str | os.PathLike[str] | None = ".",
    debounce: float = 0.1,
    heartbeat: float = 5.0,
    sinks: Iterable[Sink] = (),
    clock: Clock | None = None,
) -> "Build":
    """Return an async context manager, for one use, that tells what a build does while it runs.

    The progress file and the journal are written below `root` (None: nothing on disk); `sinks`
    come on top. `debounce` is the least time between two writes that updates cause, `heartbeat`
    the most between any two, in seconds. `build_id` defaults to `task_id`.

    Raises MisuseError for arguments that mean nothing, InvalidTaskIdError among them. Entering
    raises BuildAlreadyRunningError while another builder is at this task; no I/O failure does.
    """
    check_task_id(task_id)
    for name, value in (("wave", wave), ("wave_total", wave_total), ("turn_max", turn_max)):
        if type(value) is not int or not 1 <= value <= COUNT_MAX:
            raise MisuseError(f"{name}={value!r} cannot be: give a whole number from 1")
    if build_type not in ("task", "feature"):
        raise MisuseError(f"build_type={build_type!r} is unknown: use 'task' or 'feature'")
    if root is not None:
        root = _path(root)
    debounce = _seconds("debounce", debounce, 0.0)
    heartbeat = _seconds("heartbeat", heartbeat, HEARTBEAT_MIN)
    sinks = tuple(sinks)
    if strange := [sink for sink in sinks if not callable(getattr(sink, "write", None))]:
        raise MisuseError(
            f"{strange[0]!r} is no sink: give objects with `async def write(snapshot)`"
        )
    clock = clock or SystemClock()
    now = clock.now().replace(microsecond=0)
    snapshot = Snapshot(
        build_id=clip(_text("build_id", task_id if build_id is None else build_id), NAME_SIZE),
        build_type=build_type,
        wave=wave,
        wave_total=wave_total,
        task_id=task_id,
        task_name=clip(_text("task_name", task_name), NAME_SIZE),
        turn_max=turn_max,
        started_at=now,
        updated_at=now,
    )
    tracker = Tracker(
        run_id=secrets.token_hex(8),
        host=clip(socket.gethostname(), NAME_SIZE),
        pid=os.getpid(),
        heartbeat_seconds=heartbeat,
        activity_at=now,
    )
    state = State(snapshot, tracker, clock)

    def connect() -> Publisher:
        in_flight = getattr(clock, "in_flight", nullcontext)
        disk = None if root is None else FileSink(root, task_id, in_flight)
        return Publisher(
            state.renew, disk, sinks, clock=clock, debounce=debounce, heartbeat=heartbeat
        )

    return Build(state, connect)


class _Scope(ABC):
    """What builds, turns and phases have in common: entered once, left once."""

    def __init__(self, state: State, settle: Callable[[], Awaitable[None]]) -> None:
        self._state = state
        self._settle = settle
        self._entered = False
        self._failure: str | None = None

    async def __aenter__(self) -> Self:
        self._enter()
        self._begin()
        try:
            await self._settle()
        except asyncio.CancelledError:  # then __aexit__ is not called
            self._end("cancelled")
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._leave(exc) != "cancelled":  # which passes at once: the build's own exit waits
            await self._settle()

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
        if files_created is not None:
            if files_created.__class__ is not int or files_created < 0:
                _refuse("files_created", files_created)
            state.files_created = files_created
        if files_modified is not None:
            if files_modified.__class__ is not int or files_modified < 0:
                _refuse("files_modified", files_modified)
            state.files_modified = files_modified
        if tests_passed is not None:
            if tests_passed.__class__ is not int or tests_passed < 0:
                _refuse("tests_passed", tests_passed)
            state.tests_passed = tests_passed
        if tests_total is not None:
            if tests_total.__class__ is not int or tests_total < 0:
                _refuse("tests_total", tests_total)
            state.tests_total = tests_total
        if message is not None:
            if message.__class__ is not str:
                _text("message", message)
            state.message = message
        if state.clean:
            state.touch()

    def decide(self, decision: str, message: str | None = None) -> None:
        """Record what was decided, in up to 64 characters, and why; written at once.

        Raises ScopeError unless the build is open.
        """
        decision = _text("decision", decision)[:DECISION_MAX]
        self._state.check_open()
        if message is not None:
            self.update(message=message)
        self._state.transition("decided", decision=clip(decision, DECISION_MAX * 6))

    def fail(self, reason: str) -> None:
        """Record that this scope has failed though no exception leaves it; written at once.

        Raises ScopeError unless the build is open.
        """
        reason = clip(_text("reason", reason), TEXT_SIZE)
        self._state.fail(reason)
        self._failure = reason

    def _enter(self) -> None:
        if self._entered:
            raise ScopeError(f"this {type(self).__name__.lower()} was entered before: make another")
        self._entered = True

    def _leave(self, exc: BaseException | None) -> Outcome:
        """End as the body did, and return how that was."""
        if isinstance(exc, asyncio.CancelledError | KeyboardInterrupt | GeneratorExit):
            outcome: Outcome = "cancelled"
        elif exc or self._failure is not None:
            outcome = "failed"
            if self._state.is_open:
                error = clip(_describe(exc), TEXT_SIZE) if self._failure is None else self._failure
                self._state.change(error=error)
        else:
            outcome = "completed"
        self._end(outcome)
        return outcome

    @abstractmethod
    def _begin(self) -> None: ...

    @abstractmethod
    def _end(self, outcome: Outcome) -> None: ...


class Build(_Scope):
    """A build that is tracked; made by `track_build`."""

    def __init__(self, state: State, connect: Callable[[], Publisher]) -> None:
        super().__init__(state, self._wait)
        self._connect = connect

    @property
    def snapshot(self) -> Snapshot:
        """The state as of now; from its end on, the terminal one."""
        return self._state.view()[0]

    async def __aenter__(self) -> Self:
        self._enter()
        self._publisher = publisher = self._connect()
        try:
            await publisher.open()
            self._begin()
            await publisher.settle()
        except BuildAlreadyRunningError:
            await until_done(publisher.finish())
            raise
        except asyncio.CancelledError:  # then __aexit__ is not called
            self._begin()
            self._end("cancelled")
            await until_done(publisher.finish())
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if not self._publisher.forked:
            self._leave(exc)
            ending = self._publisher.finish()
            if not isinstance(exc, GeneratorExit):  # which forbids to wait
                await until_done(ending)

    def turn(self, number: int | None = None) -> "Turn":
        """Return a Player and Coach round, to be entered; `number` where a build resumes.

        Raises ScopeError while another turn is open, MisuseError for a number that was used or is
        beyond `turn_max`.
        """
        return Turn(self._state, self._settle, self._state.check_turn(number))

    def phase(self, name: str, *, budget: float | None = None) -> "Phase":
        """Return a stretch of work outside the turns, which may take `budget` seconds."""
        return Phase(self._state, self._settle, name, budget, turn=None)

    async def _wait(self) -> None:
        await self._publisher.settle()

    def _begin(self) -> None:
        if not self._state.is_open:
            self._state.start(self._publisher.publish, self._publisher.touch)

    def _end(self, outcome: Outcome) -> None:
        self._state.end(outcome)


class Turn(_Scope):
    """One round of Player and Coach; made by `build.turn`."""

    def __init__(self, state: State, settle: Callable[[], Awaitable[None]], number: int) -> None:
        super().__init__(state, settle)
        self.number = number

    def phase(self, name: str, *, budget: float | None = None) -> "Phase":
        """Return a stretch of this turn's work, which may take `budget` seconds."""
        return Phase(self._state, self._settle, name, budget, turn=self.number)

    def _begin(self) -> None:
        self._state.begin_turn(self.number)

    def _end(self, outcome: Outcome) -> None:
        self._state.end_turn(self.number)


class Phase(_Scope):
    """A named stretch of work; made by `turn.phase` and `build.phase`."""

    def __init__(
        self,
        state: State,
        settle: Callable[[], Awaitable[None]],
        name: str,
        budget: float | None,
        turn: int | None,
    ) -> None:
        super().__init__(state, settle)
        state.check_open()
        name = clip(_text("name", name), NAME_SIZE)
        budget = None if budget in (None, inf) else _seconds("budget", budget, 0.001)
        self._phase = OpenPhase(name=name, budget=budget, turn=turn)

    def fail(self, reason: str) -> None:
        """Record that this phase has failed though no exception leaves it; written at once.

        Raises ScopeError unless the build is open.
        """
        self._phase.status = "failed"
        super().fail(reason)

    def _begin(self) -> None:
        self._state.begin_phase(self._phase)

    def _end(self, outcome: Outcome) -> None:
        self._state.end_phase(self._phase, outcome)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise MisuseError(f"{name}={value!r} is not text: give a str")
    return value


def _seconds(name: str, value: Any, least: float) -> float:
    if type(value) in (int, float) and least <= value < SECONDS_MAX:
        return float(value)
    raise MisuseError(f"{name}={value!r} cannot be waited for: give seconds, at least {least:g}")


def _path(root: str | os.PathLike[str]) -> str:
    try:
        os.fsencode(path := os.fsdecode(root))
    except (TypeError, ValueError) as error:
        raise MisuseError(f"{root=} is not a path: {error}") from None
    if "\0" in path or isinstance(root, bytes):
        raise MisuseError(f"{root=} is not a path: give a str or a Path")
    return path


def _refuse(name: str, count: object) -> NoReturn:
    raise MisuseError(f"{name}={count!r} is not a count: give a whole number from 0")


def _describe(exc: BaseException | None) -> str:
    """Return an exception's type and text, even where its `__str__` raises."""
    text = "<exception str() failed>"
    with suppress(Exception):
        text = str(exc)
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__

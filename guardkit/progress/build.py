"""What a build does, told as it happens: `track_build`."""

import asyncio
import os
from collections.abc import Iterable
from types import TracebackType
from typing import Annotated, Literal, Self, cast

from anyio import CancelScope
from msgspec import Meta

from guardkit.clock import SYSTEM_CLOCK, Clock
from guardkit.errors import BuildAlreadyRunningError, MisuseError, ScopeError
from guardkit.progress.arguments import check_root, check_sinks, first_snapshot
from guardkit.progress.disk import Round
from guardkit.progress.publisher import Publisher, Stage
from guardkit.progress.scopes import Outer, Seconds, Turn, Wave
from guardkit.progress.sinks import Delivery, Sink
from guardkit.progress.snapshot import (
    Count,
    Outcome,
    Snapshot,
    check,
)
from guardkit.progress.state import State
from guardkit.progress.tally import Tally

Pause = Annotated[float, Meta(ge=0, lt=1e308)]


def track_build(
    task_id: str,
    *,
    task_name: str = "",
    build_id: str | None = None,
    build_type: Literal["task", "feature"] = "task",
    wave: int = 1,
    wave_total: int = 1,
    turn_max: int = 5,
    task_total: int = 0,
    root: str | os.PathLike[str] | None = ".",
    debounce: float = 0.1,
    heartbeat: float = 5.0,
    sinks: Iterable[Sink] = (),
    clock: Clock | None = None,
) -> "Build":
    """Return an async context manager, for one use, that tells what a build does while it runs.

    ```
    async with track_build("TASK-FB-002", turn_max=5) as build:
        async with build.turn() as turn, turn.phase("Player Implementation") as phase:
            phase.update(files_created=2)
    ```

    task_id: letters, digits, `.`, `_` and `-`, 128 at most, the first a letter or a digit.
    task_name: the title that people are shown.
    build_id: what the task is part of; the task itself by default.
    build_type: `task`, or `feature`, which has waves of tasks.
    wave, wave_total: which wave of how many, from 1.
    turn_max: how many turns there may be, from 1.
    task_total: of a feature, how many tasks it has.
    root: the folder below which the progress file and the journal are written; None: none are.
    debounce: the least time between two writes that updates cause, in seconds.
    heartbeat: the most time between any two writes, in seconds.
    sinks: where snapshots go besides, see `Sink`.
    clock: the time; a `guardkit.testing.FakeClock` in tests.

    Raises MisuseError for arguments without a meaning, InvalidTaskIdError among them. Entering
    raises BuildAlreadyRunningError while another builder has the task, and MisuseError where `root`
    is no folder; no failure of I/O is raised.
    """
    clock, heartbeat = clock or SYSTEM_CLOCK, check("heartbeat", heartbeat, Seconds)
    snapshot = first_snapshot(
        task_id,
        task_name=task_name,
        build_id=task_id if build_id is None else build_id,
        build_type=build_type,
        wave=wave,
        wave_total=wave_total,
        turn_max=turn_max,
        now=clock.now(),
        heartbeat=heartbeat,
    )
    publisher = Publisher(
        State(snapshot, clock),
        check_root(root),
        [Delivery(sink) for sink in check_sinks(sinks)],
        clock=clock,
        debounce=check("debounce", debounce, Pause),
        heartbeat=heartbeat,
    )
    total = int(check("task_total", task_total, Count))
    if total and snapshot.build_type != "feature":
        raise MisuseError(f"{task_total=} is of a feature: pass build_type='feature'")
    return Build(publisher, task_total=total)


class Build(Outer):
    """A build that is tracked; made by `track_build` and `wave.task`."""

    def __init__(self, publisher: Publisher, *, task_total: int = 0) -> None:
        super().__init__(publisher)
        snapshot = self._state.view()
        self.task_id = snapshot.task_id
        self._tally: Tally | None = None
        if snapshot.build_type == "feature" and snapshot.tracker.parent_run is None:
            self._tally = Tally(self._left, task_total)
        self._stage = Stage.NEW

    def __del__(self) -> None:
        """Say nothing: to make a build and drop it is no mistake."""

    def __str__(self) -> str:
        return f"the build of {self.task_id}"

    @property
    def snapshot(self) -> Snapshot:
        """The state as of now; from its end on, the terminal one."""
        return self._state.view()

    @property
    def folder(self) -> str | None:
        """The folder of the progress file and the journal; None: nothing is on disk."""
        return self._publisher.folder

    async def __aenter__(self) -> Self:
        if self._stage is not Stage.NEW:
            raise ScopeError(f"{self} was entered before: make another one")
        self._check_loop()
        self._stage = Stage.OPEN
        last: Round | None = None
        try:
            lock = await self._publisher.open(self)
            last = self._start(lock)
            await self._publisher.settle(last)
        except (asyncio.CancelledError, BuildAlreadyRunningError, MisuseError) as error:
            if isinstance(error, asyncio.CancelledError):  # no __aexit__ follows
                if self not in self._open:
                    self._start(None)
                last = self._leave("cancelled")
            self._stage = Stage.CLOSED
            await _until_done(self._publisher.finish(last))
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._publisher.gone:
            return
        self._check_loop()
        ending = self._publisher.finish(self._leave(*self._outcome(exc)))
        if not isinstance(exc, GeneratorExit):  # which forbids to wait
            await _until_done(ending)

    def turn(self, number: int | None = None) -> Turn:
        """Return a Player and Coach round, to be entered with `async with`.

        `number`: the one after the latest by default; another where a build resumes. Raises
        ScopeError while another turn is open, MisuseError for a number that was used or is beyond
        `turn_max`.
        """
        return Turn(self._publisher, (self,), number)

    def wave(self, number: int) -> Wave:
        """Return a wave of this feature, to be entered with `async with`.

        Raises ScopeError while another wave is open, MisuseError for a number that is not in 1 to
        `wave_total`, and where this is no feature.
        """
        self._check_feature()
        return Wave(self._publisher, (self,), number, self._task)

    def adopt(self, snapshot: Snapshot) -> None:
        """Count a task that an earlier run of this feature has finished.

        Raises MisuseError where this is no feature, ScopeError unless it is open.
        """
        if not isinstance(cast("object", snapshot), Snapshot):
            raise MisuseError(f"{snapshot!r:.80} is no snapshot: pass that of the finished task")
        tally = self._check_feature()
        self._check_build()
        if not snapshot.terminal or snapshot.task_id == self.task_id:
            raise MisuseError(f"{snapshot.task_id} has not ended: pass that of a finished task")
        tally.add(snapshot)
        self._told()

    def _start(self, lock: str | None) -> Round | None:
        self._begin(lock)
        self._open.append(self)
        return self._publisher.begin()

    def _begin(self, lock: str | None = None) -> None:
        self._state.start()
        self._state.step("build.started", lock=lock)

    def _end(self, outcome: Outcome, error: str | None) -> None:
        # What a turn or phase has failed of is no error of a build that got over it.
        self._state.step("build.ended", status=outcome, error=error)

    def _check_feature(self) -> "Tally":
        if self._tally is None:
            remedy = "pass build_type='feature' to track_build"
            raise MisuseError(f"{self} is no feature, which alone has waves and tasks: {remedy}")
        return self._tally

    def _task(self, wave: int, task_id: str, task_name: str, turn_max: int) -> "Build":
        mine, publisher = self._state.view(), self._publisher
        snapshot = first_snapshot(
            task_id,
            task_name=task_name,
            build_id=mine.build_id,
            build_type="feature",
            wave=wave,
            wave_total=mine.wave_total,
            turn_max=turn_max,
            now=publisher.clock.now(),
            heartbeat=publisher.heartbeat,
            parent_run=mine.tracker.run_id,
        )
        return Build(publisher.like(State(snapshot, publisher.clock), self._hear))

    def _hear(self, snapshot: Snapshot) -> None:
        """Count what one of the tasks does."""
        if self._tally and self._stage is Stage.OPEN:
            if self._tally.add(snapshot):
                self._left.touched = self._publisher.clock.monotonic()
            self._told()


async def _until_done(task: "asyncio.Task[None]") -> None:
    """Wait for a task whatever is cancelled meanwhile; raise the cancellation after it."""
    cancelled = None
    with CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled:
        raise cancelled

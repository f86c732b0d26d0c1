"""What a build does, told as it happens: `track_build`."""

import asyncio
import os
import secrets
import socket
from collections.abc import Iterable
from types import TracebackType
from typing import Annotated, Literal, Self

from anyio import CancelScope
from msgspec import Meta

from guardkit.clock import SYSTEM_CLOCK, Clock
from guardkit.errors import BuildAlreadyRunningError, MisuseError
from guardkit.progress.files import FileFeed
from guardkit.progress.paths import check_task_id
from guardkit.progress.publisher import Publisher
from guardkit.progress.scopes import Scope, Seconds, Turn
from guardkit.progress.sinks import Sink
from guardkit.progress.snapshot import COUNT_MAX, BuildType, Outcome, Snapshot, Tracker, check, clip
from guardkit.progress.state import NAME_SIZE, State

Number = Annotated[int, Meta(ge=1, le=COUNT_MAX)]


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
    build_id = check_task_id(task_id) if build_id is None else build_id
    clock = clock or SYSTEM_CLOCK
    now = clock.now()
    snapshot = Snapshot(
        build_id=clip(check("build_id", build_id, str), NAME_SIZE),
        build_type=check("build_type", build_type, BuildType),
        wave=int(check("wave", wave, Number)),
        wave_total=int(check("wave_total", wave_total, Number)),
        task_id=check_task_id(task_id),
        task_name=clip(check("task_name", task_name, str), NAME_SIZE),
        turn_max=int(check("turn_max", turn_max, Number)),
        started_at=now,
        updated_at=now,
        tracker=Tracker(
            run_id=secrets.token_hex(8),
            host=clip(socket.gethostname(), NAME_SIZE),
            pid=os.getpid(),
            heartbeat_seconds=check("heartbeat", heartbeat, Seconds),
        ),
    )
    sinks = tuple(sinks)
    for sink in sinks:
        if not callable(getattr(sink, "write", None)):
            raise MisuseError(f"{sink!r} is no sink: give objects with `async def write(snapshot)`")
    publisher = Publisher(
        State(snapshot, clock),
        None if root is None else FileFeed(check("root", os.fspath(root), str), task_id),
        sinks,
        clock=clock,
        debounce=check("debounce", debounce, Annotated[float, Meta(ge=0, lt=1e308)]),
        heartbeat=snapshot.tracker.heartbeat_seconds,
    )
    return Build(publisher)


class Build(Scope):
    """A build that is tracked; made by `track_build`."""

    def __str__(self) -> str:
        return f"the build of {self._state.view().task_id}"

    @property
    def snapshot(self) -> Snapshot:
        """The state as of now; from its end on, the terminal one."""
        return self._state.view()

    async def __aenter__(self) -> Self:
        self._claim()
        try:
            await self._publisher.open()
            self._enter()
            await self._publisher.settle()
        except (asyncio.CancelledError, BuildAlreadyRunningError) as error:  # no __aexit__ follows
            if isinstance(error, asyncio.CancelledError):
                if self not in self._open:
                    self._enter()
                self._leave("cancelled")
            await _until_done(self._publisher.finish())
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if not self._publisher.forked:
            self._close(exc)
            ending = self._publisher.finish()
            if not isinstance(exc, GeneratorExit):  # which forbids to wait
                await _until_done(ending)

    def turn(self, number: int | None = None) -> Turn:
        """Return a Player and Coach round, to be entered; `number` where a build resumes.

        Raises ScopeError while another turn is open, MisuseError for a number that was used or is
        beyond `turn_max`.
        """
        return Turn(self._publisher, (self,), number)

    def _begin(self) -> None:
        self._state.start()
        self._publisher.publish("build.started")

    def _end(self, outcome: Outcome, error: dict[str, str]) -> None:
        # What a turn or phase has failed of is no error of a build that got over it.
        self._publisher.publish("build.ended", status=outcome, **{"error": None} | error)


async def _until_done(task: asyncio.Task[None]) -> None:
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

"""A look: what is shown of a build."""

from __future__ import annotations

from typing import Protocol

import msgspec
from msgspec.structs import replace

from guardkit.clock import Clock
from guardkit.monitor.verdict import Verdict
from guardkit.progress.snapshot import Event, Snapshot, Tracker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable


class Look(msgspec.Struct, frozen=True):
    """A look at one build.

    task_id: the task.
    snapshot: its document; None where none can be read, and where another run has taken the task
        and has not written yet.
    verdict: how it is, and why.
    where: the folder or the server that it is in.
    events: in a watch, the transitions since the look before, oldest first.
    """

    task_id: str
    snapshot: Snapshot | None
    verdict: Verdict
    where: str
    events: tuple[Event, ...] = ()


class Source(Protocol):
    """Where looks come from: `Builds` of a folder, or `NatsBuilds` of a server.

    where: the folder or the server. clock: by which silence is told.
    """

    where: str
    clock: Clock

    async def look(self, task_ids: str | Iterable[str] = ()) -> list[Look]:
        """Return a look at each of some builds, by default of all."""
        ...

    async def events(self, task_id: str) -> list[Event]:
        """Return what there still is of the journal of a task, oldest first."""
        ...

    def watch(
        self, task_ids: str | Iterable[str] = (), *, past: bool = False
    ) -> AsyncGenerator[Look]:
        """Yield a look at each of some builds, by default of all, then at each change, for ever."""
        ...


def differ(old: Snapshot | None, new: Snapshot | None) -> bool:
    """Return whether two snapshots differ in more than what heartbeats change."""
    if old and new and old.tracker.seq != new.tracker.seq:
        return True  # as between two updates, without a closer look
    return old is not new and _without_times(old) != _without_times(new)


def _without_times(snapshot: Snapshot | None) -> Snapshot | None:
    """Return a snapshot without what heartbeats change."""
    return snapshot and replace(
        snapshot,
        updated_at=snapshot.started_at,
        metrics=replace(snapshot.metrics, elapsed_seconds=0),
        tracker=Tracker(run_id=snapshot.tracker.run_id, seq=snapshot.tracker.seq),
    )

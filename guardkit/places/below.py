"""The tasks of a feature, as they are shown below it."""

from __future__ import annotations

from contextlib import aclosing

from guardkit.places.words import WELL, look_line

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from guardkit.monitor.look import Look, Source
    from guardkit.progress.snapshot import Event, Snapshot


def is_feature(look: Look) -> bool:
    """Return whether a look is at a feature, and not at a task of one."""
    now = look.snapshot
    return bool(now and now.build_type == "feature" and now.tracker.parent_run is None)


def tasks_of(feature: Look, looks: Iterable[Look]) -> list[Look]:
    """Return the looks at the tasks of a feature: trouble first, then in the order of the waves."""
    found: list[tuple[bool, int, str, Look]] = []
    for each in looks:
        task = each.snapshot
        if task and is_task_of(feature.task_id, task):
            is_well = each.verdict.state in WELL
            found.append((is_well, task.wave, each.task_id, each))
    return [each for *_, each in sorted(found, key=lambda row: row[:3])]


def is_task_of(feature_id: str, task: Snapshot) -> bool:
    """Return whether a snapshot is of a task that was built for a feature."""
    return task.tracker.parent_run is not None and task.build_id == feature_id


def lines_below(feature: Look, looks: Iterable[Look], now: float) -> list[str]:
    """Return a line for each task of a feature; now: seconds of this boot's monotonic clock."""
    tasks = tasks_of(feature, looks)
    width = max((len(each.verdict.state) + 1 for each in tasks), default=0)
    return [f"  {look_line(each, now, width=width)}" for each in tasks]


class Below:
    """Where looks at a feature and its tasks come from, out of all builds that there are.

    Tasks that begin meanwhile are among them.

    builds: where all are looked for. feature_id: the feature.
    """

    def __init__(self, builds: Source, feature_id: str) -> None:
        self.where, self.clock = builds.where, builds.clock
        self._builds, self._feature_id = builds, feature_id

    async def look(self, task_ids: str | Iterable[str] = ()) -> list[Look]:
        """Return a look at each of some of them, by default of all."""
        return [*filter(self._has, await self._builds.look(task_ids))]

    async def events(self, task_id: str) -> list[Event]:
        """Return what there still is of the journal of one."""
        return await self._builds.events(task_id)

    async def watch(
        self, task_ids: str | Iterable[str] = (), *, past: bool = False
    ) -> AsyncGenerator[Look]:
        """Yield a look at each of some of them, by default of all, then at each change."""
        async with aclosing(self._builds.watch(task_ids, past=past)) as looks:
            async for look in looks:
                if self._has(look):
                    yield look

    def _has(self, look: Look) -> bool:
        now = look.snapshot
        return look.task_id == self._feature_id or bool(now and is_task_of(self._feature_id, now))

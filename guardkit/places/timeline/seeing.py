"""Timelines of runs, from journals and looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardkit.places.timeline.making import Seen, make_timeline
from guardkit.places.words import age

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guardkit.monitor.look import Look
    from guardkit.places.runs import Run
    from guardkit.places.timeline.model import Timeline


class Seeing:
    """Timelines of runs, made of what is known of all.

    now: seconds of this boot's monotonic clock. looks: at the builds that the runs are of.
    known: the runs; of a feature, those of its tasks are needed, too.
    """

    def __init__(self, now: float, looks: Iterable[Look], known: Iterable[Run]) -> None:
        self._now = now
        self._looks = {look.task_id: look for look in looks}
        self._tasks: dict[str, list[Run]] = {}
        for run in known:
            if parent := run.last.tracker.parent_run:
                self._tasks.setdefault(parent, []).append(run)

    def seen(self, run: Run) -> Seen:
        """Return what is known of a run."""
        look = self._looks.get(run.last.task_id)
        since = age(look.snapshot, self._now) if look and look.snapshot else 0.0
        return Seen(run=run, look=look, since=since)

    def timeline(self, run: Run) -> Timeline:
        """Return the timeline of a run, with the tasks of a feature."""
        return make_timeline(self.seen(run), map(self.seen, self._tasks.get(run.run_id, ())))


def tasks_of(run: Run, looks: Iterable[Look]) -> list[str]:
    """Return the tasks of a feature, and none where the run is one of a task."""
    if not run.is_feature:
        return []
    own = run.last
    seen = ((look.task_id, look.snapshot) for look in looks if look.task_id != own.task_id)
    return [task_id for task_id, it in seen if it and it.build_id == own.build_id]

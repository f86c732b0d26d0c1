"""What the tasks of a feature add up to."""

from collections import Counter

from guardkit.progress.counts import Left
from guardkit.progress.snapshot import COST_MAX, COUNT_MAX, Snapshot, Tasks


class Tally:
    """The newest snapshot of each task of a feature; their sums are left for its next snapshot.

    `total`: how many tasks the feature has; more where more are seen.
    """

    def __init__(self, left: Left, total: int) -> None:
        self._left = left
        self._total = total
        self._tasks: dict[str, Snapshot] = {}
        left.tasks = self._count()

    def add(self, snapshot: Snapshot) -> bool:
        """Take the newest snapshot of a task; return whether the task has done something."""
        before = self._tasks.get(snapshot.task_id)
        self._tasks[snapshot.task_id] = snapshot
        self._sum()
        new, old = snapshot.tracker, before.tracker if before else None
        return not old or (new.seq, new.activity_at) != (old.seq, old.activity_at)

    def _sum(self) -> None:
        left, tasks = self._left, self._tasks.values()
        metrics = [task.metrics for task in tasks]
        left.files_created = sum(each.files_created for each in metrics)
        left.files_modified = sum(each.files_modified for each in metrics)
        left.tests_passed = sum(each.tests_passed for each in metrics)
        left.tests_total = sum(each.tests_total for each in metrics)
        left.tasks = self._count()
        if used := [task.usage for task in tasks if task.usage]:
            left.tokens = min(sum(each.tokens for each in used), COUNT_MAX)
            left.cost_usd = min(sum(each.cost_usd for each in used), COST_MAX)

    def _count(self) -> Tasks:
        states = Counter[str](task.status for task in self._tasks.values())
        total = max(self._total, len(self._tasks))
        return Tasks(
            total=total,
            pending=total - len(self._tasks),
            running=states["running"],
            completed=states["completed"],
            failed=states["failed"],
            cancelled=states["cancelled"],
        )

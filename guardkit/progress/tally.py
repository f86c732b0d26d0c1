"""What the tasks of a feature add up to."""

from collections import Counter

from guardkit.progress.counts import Left
from guardkit.progress.snapshot import COST_MAX, COUNT_MAX, Snapshot, Tasks


class Tally:
    """The newest snapshot of each task of a feature; their sums are left for its next snapshot.

    A task costs the same however many there are: what it was before is taken off the sums.

    `total`: how many tasks the feature has; more where more are seen.
    """

    def __init__(self, left: Left, total: int) -> None:
        self._left = left
        self._total = total
        self._tasks: dict[str, Snapshot] = {}
        self._states = Counter[str]()
        self._sums = [0, 0, 0, 0]  # of files created and modified, of tests passed and in all
        self._tokens: dict[str, int] = {}
        self._costs: dict[str, float] = {}
        left.tasks = self._count()

    def add(self, snapshot: Snapshot) -> bool:
        """Take the newest snapshot of a task; return whether the task has done something."""
        before = self._tasks.get(snapshot.task_id)
        self._tasks[snapshot.task_id] = snapshot
        self._states[snapshot.status] += 1
        self._sum(snapshot, 1)
        if before:
            self._states[before.status] -= 1
            self._sum(before, -1)
        self._use(snapshot)
        left = self._left
        left.files_created, left.files_modified, left.tests_passed, left.tests_total = self._sums
        left.tasks = self._count()
        new, old = snapshot.tracker, before.tracker if before else None
        return not old or (new.seq, new.activity_at) != (old.seq, old.activity_at)

    def _sum(self, snapshot: Snapshot, sign: int) -> None:
        each = snapshot.metrics
        found = (each.files_created, each.files_modified, each.tests_passed, each.tests_total)
        self._sums = [old + sign * new for old, new in zip(self._sums, found, strict=True)]

    def _use(self, snapshot: Snapshot) -> None:
        """Add up what agents have used, where that has changed: cents are summed anew."""
        left, used, task_id = self._left, snapshot.usage, snapshot.task_id
        if used and (used.tokens, used.cost_usd) != (
            self._tokens.get(task_id),
            self._costs.get(task_id),
        ):
            self._tokens[task_id], self._costs[task_id] = used.tokens, used.cost_usd
            left.tokens = min(sum(self._tokens.values()), COUNT_MAX)
            left.cost_usd = min(sum(self._costs.values()), COST_MAX)

    def _count(self) -> Tasks:
        states = self._states
        total = max(self._total, len(self._tasks))
        return Tasks(
            total=total,
            pending=total - len(self._tasks),
            running=states["running"],
            completed=states["completed"],
            failed=states["failed"],
            cancelled=states["cancelled"],
        )

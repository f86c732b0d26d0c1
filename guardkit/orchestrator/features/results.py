"""What the tasks of a feature have come to so far, and what that means for the others."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from guardkit.orchestrator.features.file import FeatureTask
from guardkit.orchestrator.phrases import many, some

Ending = Literal["completed", "passed over", "failed", "refused", "not started"]
WELL = {"completed", "passed over"}  # the latter by the user's word
WORDS: dict[Ending, str] = {
    "completed": "is completed",
    "passed over": "was passed over",
    "failed": "has failed",
    "refused": "was not built here",
    "not started": "was not started",
}


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How a task has ended.

    why: in one line, "" for one that is completed without a word.
    tip: the commit of what was approved, "" where that is in the checkout, or nothing was.
    """

    task_id: str
    ending: Ending
    why: str = ""
    tip: str = ""


class Results:
    """The tasks of a feature as they run and end.

    total: how many have a file of progress, or are to have one.
    stop: whether no task is to start after one has failed.
    waves: what is planned, for what comes next.
    """

    def __init__(
        self, total: int, *, stop: bool, waves: Sequence[Sequence[FeatureTask]] = ()
    ) -> None:
        self.ended: dict[str, Result] = {}
        self._total, self._stop, self._waves = total, stop, waves
        self._running: list[str] = []
        self._counted = 0

    def begin(self, task_id: str) -> None:
        """Take it that a task runs."""
        self._running.append(task_id)

    def end(self, result: Result, *, counts: bool = True) -> None:
        """Take it that a task has ended; counts: whether it has a file of progress."""
        if result.task_id in self._running:
            self._running.remove(result.task_id)
        self.ended[result.task_id] = result
        self._counted += counts and result.ending == "completed"

    def forbids(self, task: FeatureTask) -> str:
        """Return why a task cannot start, as all before it have ended, or ""."""
        for each in task.dependencies:
            if (before := self.ended[each]).ending not in WELL:
                return f"{each} {WORDS[before.ending]}"
        if self._stop and (failed := next(iter(self.bad), None)):
            return f"{failed.task_id} {WORDS[failed.ending]}, and --stop-on-failure is given"
        return ""

    @property
    def bad(self) -> list[Result]:
        """Those that came to no good end, in the order in which they ended."""
        return [each for each in self.ended.values() if each.ending not in WELL]

    @property
    def good(self) -> str:
        """What became of the others, such as `3 tasks completed, 2 passed over`."""
        found = Counter(each.ending for each in self.ended.values() if each.ending in WELL)
        over = found["passed over"]
        more = f", {over} passed over" if over else ""
        return f"{many(found['completed'], 'task')} completed{more}"

    @property
    def message(self) -> str:
        """How far the feature is: `3 of 7 tasks; TASK-2 failed; running TASK-4; next TASK-5`."""
        failed = [each.task_id for each in self.bad if each.ending == "failed"]
        parts = (
            self.completed,
            f"{some(failed)} failed" if failed else "",
            f"running {some(self._running)}" if self._running else "",
            f"next {some(following)}" if (following := self._find_next()) else "",
        )
        return "; ".join(filter(None, parts))

    @property
    def completed(self) -> str:
        """How many tasks are completed, such as `3 of 7 tasks`."""
        return f"{self._counted:,} of {many(self._total, 'task')}"

    def _find_next(self) -> list[str]:
        """Return which tasks start next: of the first wave of which any are left to start."""
        gone = {each.task_id for each in self.bad}
        if gone and self._stop:
            return []
        for wave in self._waves:
            left = [task for task in wave if task.id not in self.ended]
            lost = {task.id for task in left if not gone.isdisjoint(task.dependencies)}
            gone |= lost
            waiting = [task.id for task in left if task.id not in {*self._running, *lost}]
            if waiting:
                return waiting
        return []

    def tips(self, ids: Iterable[str]) -> dict[str, str]:
        """Return the commits of what some tasks have come to, by their ids."""
        found = ((each, self.ended[each].tip) for each in ids)
        return {each: tip for each, tip in found if tip}

"""The tasks of a feature, as they are shown below it."""

from __future__ import annotations

from guardkit.places.words import WELL, look_line

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from collections.abc import Iterable

    from guardkit.monitor.look import Look


def is_feature(look: Look) -> bool:
    """Return whether a look is at a feature, and not at a task of one."""
    now = look.snapshot
    return bool(now and now.build_type == "feature" and now.tracker.parent_run is None)


def tasks_of(feature: Look, looks: Iterable[Look]) -> list[Look]:
    """Return the looks at the tasks of a feature: trouble first, then in the order of the waves."""
    found: list[tuple[bool, int, str, Look]] = []
    for each in looks:
        task = each.snapshot
        if task and task.tracker.parent_run and task.build_id == feature.task_id:
            is_well = each.verdict.state in WELL
            found.append((is_well, task.wave, each.task_id, each))
    return [each for *_, each in sorted(found, key=lambda row: row[:3])]


def lines_below(feature: Look, looks: Iterable[Look], now: float) -> list[str]:
    """Return a line for each task of a feature; now: seconds of this boot's monotonic clock."""
    tasks = tasks_of(feature, looks)
    width = max((len(each.verdict.state) + 1 for each in tasks), default=0)
    return [f"  {look_line(each, now, width=width)}" for each in tasks]

"""The tasks of a feature, as they are shown below it."""

from __future__ import annotations

from guardkit.places.order import feature_of, natural
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
    found = [each for each in looks if feature_of(each.snapshot) == feature.task_id]

    def place(look: Look) -> tuple[object, ...]:
        wave = look.snapshot.wave if look.snapshot else 0
        return look.verdict.state in WELL, wave, natural(look.task_id)

    return sorted(found, key=place)


def lines_below(feature: Look, looks: Iterable[Look], now: float) -> list[str]:
    """Return a line for each task of a feature; now: seconds of this boot's monotonic clock."""
    tasks = tasks_of(feature, looks)
    width = max((len(each.verdict.state) + 1 for each in tasks), default=0)
    return [f"  {look_line(each, now, width=width)}" for each in tasks]

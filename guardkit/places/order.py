"""In which order many builds are shown: what needs you first."""

from __future__ import annotations

from itertools import groupby

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from collections.abc import Iterable

    from guardkit.monitor.look import Look

TROUBLE = ("crashed", "lost", "unresponsive", "overdue", "stalled", "failed", "unreadable")
STATES = (*TROUBLE, "running", "completed", "cancelled")


def trouble_first(looks: Iterable[Look]) -> list[Look]:
    """Return looks at builds, trouble on top, then what runs; a feature before its tasks.

    Builds of the same state are sorted by wave, and by id as people count: 2 before 10.
    """
    return sorted(looks, key=_place)


def _place(look: Look) -> tuple[object, ...]:
    seen = look.snapshot
    is_part = bool(seen and seen.tracker.parent_run)
    wave = seen.wave if seen else 0
    return STATES.index(look.verdict.state), is_part, wave, by_number(look.task_id)


def by_number(task_id: str) -> list[tuple[bool, int, str]]:
    """Return what ids are sorted by as people count: 2 before 10."""
    parts = ((number, "".join(part)) for number, part in groupby(task_id, str.isdecimal))
    return [(not number, int(part) if number else 0, part) for number, part in parts]

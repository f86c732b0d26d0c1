"""In which order many builds are shown: what needs you first."""

from __future__ import annotations

from collections import Counter
from itertools import groupby

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Protocol, TypeVar

    from guardkit.monitor.verdict import Verdict
    from guardkit.progress.snapshot import Snapshot

    class Seen(Protocol):
        """A look, or whatever has these of one."""

        @property
        def task_id(self) -> str:
            """The task."""
            ...

        @property
        def snapshot(self) -> Snapshot | None:
            """Its document, None where none can be read."""
            ...

        @property
        def verdict(self) -> Verdict:
            """How it is."""
            ...

    S = TypeVar("S", bound=Seen)
    _Place = tuple[int, int, list[tuple[bool, int, str]]]

TROUBLE = ("crashed", "lost", "unresponsive", "overdue", "stalled", "failed", "unreadable")
STATES = (*TROUBLE, "running", "completed", "cancelled")


def trouble_first(looks: Iterable[S]) -> list[S]:
    """Return looks at builds, trouble on top, then what runs; a feature with its tasks below it.

    A feature stands where the worst of them does. Builds of the same state are sorted by wave, and
    by id as people count: 2 before 10.
    """
    placed = [(feature_of(each.snapshot) or each.task_id, _place(each), each) for each in looks]
    worst: dict[str, _Place] = {}
    for head, place, _ in placed:
        worst[head] = min(place, worst.get(head, place))
    return [
        each
        for _, _, each in sorted(
            placed, key=lambda it: (worst[it[0]], natural(it[0]), it[0] != it[2].task_id, it[1])
        )
    ]


def _place(look: Seen) -> _Place:
    wave = look.snapshot.wave if look.snapshot else 0
    return STATES.index(look.verdict.state), wave, natural(look.task_id)


def feature_of(snapshot: Snapshot | None) -> str:
    """Return the id of the feature that a build is a task of, "" where it is of none."""
    return snapshot.build_id if snapshot and snapshot.tracker.parent_run else ""


def without_parts(looks: Iterable[S]) -> list[S]:
    """Return looks without those at tasks whose feature is among them: it tells of its tasks."""
    looks = [*looks]
    heads = {each.task_id for each in looks}
    return [each for each in looks if feature_of(each.snapshot) not in heads]


def left_out(states: Mapping[str, int]) -> str:
    """Return the words for builds that are not shown, `+7 more, 2 in trouble`; "" for none.

    states: how many of them are in which state.
    """
    more, ill = sum(states.values()), sum(states.get(each, 0) for each in TROUBLE)
    return f"+{more:,} more" * bool(more) + f", {ill:,} in trouble" * bool(ill)


def count_states(states: Mapping[str, str], features: Mapping[str, str]) -> Counter[str]:
    """Return how many builds are in which state; a feature is as one of its tasks is, or counts.

    states: by the ids of builds. features: by the ids of tasks, of which feature each is one.
    """
    counted = Counter(states.values())
    told = {it for task, it in features.items() if it in states and states[it] == states.get(task)}
    counted.subtract(states[each] for each in told)
    return counted


def natural(task_id: str) -> list[tuple[bool, int, str]]:
    """Return what ids are sorted by, so that 2 comes before 10."""
    parts = ((number, "".join(part)) for number, part in groupby(task_id, str.isdecimal))
    return [(not number, int(part) if number else 0, part) for number, part in parts]

"""How builds stand below each other: by feature and wave, trouble first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from guardkit.monitor.look import Look
from guardkit.places.order import trouble_first
from guardkit.places.plain import clean


class Wave(msgspec.Struct, frozen=True):
    """The tasks of one wave of a feature: its number, of how many, and the ids of the tasks."""

    number: int
    total: int
    tasks: tuple[str, ...]


class Group(msgspec.Struct, frozen=True):
    """A feature and its waves, or a task that is part of none.

    head: the id of the feature or of the task; `""` where a feature has no build of its own.
    title: the id of the feature, `""` of a task.
    waves: by number; none of a task.
    """

    head: str
    title: str = ""
    waves: tuple[Wave, ...] = ()


def group(looks: Iterable[Look], most: int) -> list[Group]:
    """Return the builds of one project in groups, in the order of what is worst in each.

    most: builds that are shown; those that matter least are left out.
    """
    found: dict[str, list[Look]] = {}
    for look in trouble_first(looks)[:most]:
        found.setdefault(_feature_of(look) or f":{look.task_id}", []).append(look)
    return [_group(name, members) for name, members in found.items()]


def members(groups: Sequence[Group]) -> list[str]:
    """Return the ids of the builds in some groups."""
    heads = (each.head for each in groups)
    tasks = (task for each in groups for wave in each.waves for task in wave.tasks)
    return [*filter(None, heads), *tasks]


def _group(name: str, looks: Sequence[Look]) -> Group:
    if name.startswith(":"):
        return Group(looks[0].task_id)
    waves: dict[int, list[Look]] = {}
    for look in looks:
        if look.snapshot and look.task_id != name:
            waves.setdefault(look.snapshot.wave, []).append(look)
    head = name if any(look.task_id == name for look in looks) else ""
    return Group(head, clean(name), tuple(_wave(each, waves[each]) for each in sorted(waves)))


def _wave(number: int, looks: Sequence[Look]) -> Wave:
    total = max((look.snapshot.wave_total for look in looks if look.snapshot), default=number)
    return Wave(number, max(number, total), tuple(look.task_id for look in looks))


def _feature_of(look: Look) -> str:
    """Return the id of the feature that a build is, or is part of; `""` where it is of none."""
    is_of_one = look.snapshot and look.snapshot.build_type == "feature"
    return look.snapshot.build_id if look.snapshot and is_of_one else ""

"""How builds stand below each other on the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from guardkit import Look, Snapshot, Verdict
from guardkit.places.web.groups import Group, Wave, group, members

from ..looks import document, feature, task

if TYPE_CHECKING:
    from guardkit.monitor.verdict import State


def look(seen: Snapshot, state: State = "running") -> Look:
    return Look(seen.task_id, seen, Verdict(state, ""), "here")


def test_tasks_stand_below_their_feature_by_wave() -> None:
    looks = [
        look(task("TASK-3", 0, wave=2, wave_total=2)),
        look(task("TASK-10", 0, wave_total=2)),
        look(feature(wave=2, wave_total=2)),
        look(task("TASK-2", 0, wave_total=2)),
    ]
    waves = (Wave(1, 2, ("TASK-2", "TASK-10")), Wave(2, 2, ("TASK-3",)))
    assert group(looks, 9) == [Group("FEAT-1", "FEAT-1", waves)]


def test_what_is_worst_in_it_says_where_a_group_stands() -> None:
    looks = [
        look(document("TASK-9")),
        look(feature()),
        look(task("TASK-1", 0), "crashed"),
        look(document("TASK-8"), "failed"),
        look(document("TASK-7"), "completed"),
    ]
    found = group(looks, 9)
    assert [each.head for each in found] == ["FEAT-1", "TASK-8", "TASK-9", "TASK-7"]


def test_tasks_of_a_feature_without_a_build_have_its_name_above_them() -> None:
    assert group([look(task("TASK-1", 0))], 9) == [Group("", "FEAT-1", (Wave(1, 1, ("TASK-1",)),))]


def test_a_build_without_a_document_stands_alone() -> None:
    unread = Look("TASK-1", None, Verdict("unreadable", "it is no progress file"), "here")
    assert group([unread], 9) == [Group("TASK-1")]


def test_of_too_many_those_that_matter_least_are_left_out() -> None:
    looks = [look(document(f"TASK-{n}"), "completed") for n in range(5)]
    looks.append(look(document("TASK-9"), "crashed"))
    assert members(group(looks, 3)) == ["TASK-9", "TASK-0", "TASK-1"]


def test_a_wave_beyond_the_last_one_is_counted() -> None:
    odd = replace(task("TASK-1", 0), wave=7)
    assert group([look(odd)], 9)[0].waves == (Wave(7, 7, ("TASK-1",)),)


def test_members_are_heads_and_tasks() -> None:
    looks = [look(feature()), look(task("TASK-1", 0)), look(document("TASK-2"))]
    assert sorted(members(group(looks, 9))) == ["FEAT-1", "TASK-1", "TASK-2"]

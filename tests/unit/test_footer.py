"""What a footer shows of builds: which ones, in which order, in how many cells."""

import re
from typing import Any

import pytest
from msgspec.structs import replace

from guardkit import Look, Snapshot, Verdict
from guardkit.places.cells import cell_len
from guardkit.places.footer import footer
from guardkit.places.order import STATES, TROUBLE, count_states, trouble_first
from guardkit.progress.lock import boot_id
from guardkit.progress.snapshot import Metrics, Tasks, Usage

from ..looks import TRACKER, document

NOW, WIDE = 1000.0, 500


def here(task_id: str = "TASK-1", ago: float = 0.0, **changes: Any) -> Snapshot:
    """Return the document of a builder on this boot that was written so many seconds ago."""
    parent = changes.pop("parent", None)
    tracker = replace(TRACKER, boot_id=boot_id(), beat=NOW - ago, parent_run=parent)
    return document(task_id, **({"turn": 1, "phase": "Setup", "tracker": tracker} | changes))


def seen(state: Any = "running", task_id: str = "TASK-1", **changes: Any) -> Look:
    return Look(task_id, here(task_id, **changes), Verdict(state, f"evidence of {task_id}"), "")


def shown(*looks: Look, width: int = WIDE) -> list[str]:
    return footer(looks, NOW, width, colours=False)


def line(task_id: str, state: str = "running", elapsed: str = "0s") -> str:
    return f"{state}: Wave 1/1, {task_id} (Turn 1/5, Setup) - {elapsed} elapsed"


def test_without_builds_nothing_is_shown() -> None:
    assert shown() == []


def test_a_build_that_is_well_has_one_line() -> None:
    assert shown(seen()) == [line("TASK-1")]


def test_time_goes_on_between_heartbeats() -> None:
    assert shown(seen(ago=3.0)) == [line("TASK-1", elapsed="3s")]


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        pytest.param(
            {"metrics": Metrics(tests_passed=8, tests_total=9, files_created=3)},
            "8 of 9 tests passing",
            id="tests",
        ),
        pytest.param({"usage": Usage(81_500, 3.4)}, "$3.40", id="cost"),
        pytest.param(
            {"metrics": Metrics(tests_passed=9, tests_total=9), "usage": Usage(0, 0.5)},
            "9 tests passing, $0.50",
            id="both",
        ),
    ],
)
def test_tests_and_cost_follow(changes: dict[str, Any], end: str) -> None:
    assert shown(seen(**changes)) == [f"{line('TASK-1')} - {end}"]


def test_tests_and_cost_are_left_out_where_there_is_no_room_for_all_of_them() -> None:
    made = Metrics(tests_passed=8, tests_total=9)
    [whole] = shown(seen(metrics=made))
    assert shown(seen(metrics=made), width=len(whole)) == [whole]
    assert shown(seen(metrics=made), width=len(whole) - 1) == [line("TASK-1")]


def test_a_feature_tells_of_its_tasks_in_one_line() -> None:
    told = "1 of 3 tasks; TASK-1 failed; running TASK-2"
    tasks = Tasks(total=3, running=1, completed=1, failed=1)
    feature = seen(
        task_id="FEAT-1", build_type="feature", tasks=tasks, phase_status="completed", message=told
    )
    parts = [
        seen(state, task_id, parent="r", build_id="FEAT-1")
        for state, task_id in (("failed", "TASK-1"), ("running", "TASK-2"))
    ]
    assert shown(feature, *parts) == [f"running: Wave 1/1, FEAT-1 ({told}) - 0s elapsed"]
    assert len(shown(*parts)) == 2


@pytest.mark.parametrize("state", TROUBLE)
def test_a_build_in_trouble_has_its_evidence_below(state: str) -> None:
    assert shown(seen(state)) == [line("TASK-1", state), "evidence of TASK-1"]


def test_what_cannot_be_read_is_told_by_its_id() -> None:
    look = Look("TASK-1", None, Verdict("unreadable", "it is no progress file"), "")
    assert shown(look) == ["unreadable: TASK-1", "it is no progress file"]


def test_a_task_that_was_taken_is_told_by_its_evidence() -> None:
    look = Look("TASK-1", None, Verdict("running", "another process has taken TASK-1"), "")
    assert shown(look) == ["running: TASK-1 - another process has taken TASK-1"]


@pytest.mark.parametrize("state", ["completed", "failed", "cancelled", "crashed", "lost"])
def test_a_build_that_has_ended_is_shown_for_a_minute(state: str) -> None:
    assert shown(seen(state, ago=60.0))[0].startswith(f"{state}: ")
    assert shown(seen(state, ago=60.1)) == []


@pytest.mark.parametrize("boot", ["", "another"], ids=["of no boot", "of another boot"])
def test_of_an_end_that_this_boot_s_clock_has_not_seen_nothing_is_shown(boot: str) -> None:
    ended = here(tracker=replace(TRACKER, boot_id=boot, beat=NOW))
    assert shown(Look("TASK-1", ended, Verdict("completed", ""), "")) == []


@pytest.mark.parametrize("state", ["running", "unresponsive", "overdue", "stalled"])
def test_a_build_that_goes_on_is_shown_however_old_its_document_is(state: str) -> None:
    assert len(shown(seen(state, ago=1e6))) >= 1


def test_two_builds_that_are_well_have_a_line_each() -> None:
    assert shown(seen(task_id="TASK-2"), seen(task_id="TASK-1")) == [line("TASK-1"), line("TASK-2")]


def test_more_builds_are_counted() -> None:
    looks = [seen(task_id=f"TASK-{number}") for number in range(1, 5)]
    assert shown(*looks) == [line("TASK-1"), f"{line('TASK-2')} +2 more"]


def test_of_several_the_worst_has_its_evidence_and_the_others_are_counted() -> None:
    looks = [
        seen(),
        seen("stalled", "TASK-2"),
        seen("crashed", "TASK-3"),
        seen("completed", "TASK-4"),
    ]
    assert shown(*looks) == [
        line("TASK-3", "crashed"),
        "evidence of TASK-3 +3 more, 1 in trouble",
    ]


@pytest.mark.parametrize("width", [1, 2, 9, 10, 20, 40, 79, 80, 81, 120])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    wide = here(phase="日本語の設計 " * 20)
    looks = [
        Look("TASK-1", wide, Verdict("crashed", "証拠 " * 50), ""),
        *(seen(task_id=f"TASK-{number}") for number in range(2, 30)),
    ]
    for lines in (shown(looks[0], width=width), shown(*looks, width=width)):
        assert len(lines) == 2
        assert all(0 < cell_len(each) <= width for each in lines)


def test_the_others_are_counted_also_where_the_evidence_is_cut() -> None:
    looks = [seen("crashed", "TASK-1"), seen(task_id="TASK-2")]
    assert shown(*looks, width=20) == ["crashed: Wave 1/1…", "evidence of… +1 more"]


@pytest.mark.parametrize("state", STATES)
def test_the_verdict_has_a_colour(state: str) -> None:
    coloured = footer([seen(state)], NOW, WIDE)
    assert re.match(rf"\x1b\[(?:2|3[12])m{state}\x1b\[0m: Wave", coloured[0])
    plain = [re.sub(r"\x1b\[\d+m", "", each) for each in coloured]
    assert plain == shown(seen(state))


def test_a_colour_takes_no_room_and_ends_where_the_line_is_cut() -> None:
    coloured = footer([seen("crashed"), seen(task_id="TASK-2")], NOW, 20)
    assert coloured[1] == "\x1b[31mevidence of…\x1b[0m +1 more"
    assert footer([seen("crashed")], NOW, 4)[0] == "\x1b[31mcra…\x1b[0m"


def test_what_a_build_says_cannot_write_to_the_terminal() -> None:
    evil = "a\x1b[2J\x9b1m\u202e\nb"
    look = Look("TASK-1", here(phase=evil), Verdict("crashed", evil), "")
    assert all(each.isprintable() for each in shown(look))


# the order of many


def order(*looks: Look) -> list[str]:
    return [each.task_id for each in trouble_first(looks)]


def test_trouble_comes_first_then_what_runs() -> None:
    looks = [seen(state, f"TASK-{number}") for number, state in enumerate(reversed(STATES))]
    assert order(*looks) == [f"TASK-{number}" for number in reversed(range(len(STATES)))]


def test_builds_of_the_same_state_are_sorted_by_wave_and_by_id_as_people_count() -> None:
    looks = [
        seen(task_id="TASK-10"),
        seen(task_id="TASK-2"),
        seen(task_id="TASK-1", wave=2, wave_total=2),
        seen(task_id="A1"),
    ]
    assert order(*looks) == ["A1", "TASK-2", "TASK-10", "TASK-1"]


def part(task_id: str, feature: str, state: str = "running") -> Look:
    return seen(state, task_id, parent="f", build_id=feature)


def test_a_feature_stands_above_its_tasks_where_the_worst_of_them_does() -> None:
    looks = [
        seen(task_id="A"),
        seen("stalled", "B"),
        *(part(task_id, "F1") for task_id in ("T10", "T2")),
        part("T4", "F2"),
        part("T3", "F2", "crashed"),
        *(seen(task_id=each, build_type="feature", wave=2) for each in ("F1", "F2")),
    ]
    assert order(*looks) == ["F2", "T3", "T4", "B", "A", "F1", "T2", "T10"]


def test_a_feature_counts_where_none_of_its_tasks_is_as_it_is() -> None:
    states = {"F": "running", "T1": "failed", "T2": "running", "A": "running"}
    features = {"T1": "F", "T2": "F"}
    assert count_states(states, features) == {"running": 2, "failed": 1}
    assert count_states(states | {"T2": "completed"}, features)["running"] == 2
    assert count_states(states | {"F": "crashed"}, features)["crashed"] == 1

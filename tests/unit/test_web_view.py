"""What the page says of one build: the same as all other places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from guardkit import Look, Verdict
from guardkit.places.answers import answers
from guardkit.places.web.view import TEXT_MAX, view
from guardkit.places.words import one_line
from guardkit.progress.snapshot import Metrics, Tasks, Usage, Work

from ..looks import document

if TYPE_CHECKING:
    from guardkit.monitor.verdict import State

KEY = "shop", "TASK-1"
EVIL = "a\x1b[2J\x9b31m\x08\u202e\u2066\u2028\nb"


def look(state: State = "running", why: str = "last activity 3 s ago", **changes: Any) -> Look:
    return Look("TASK-1", document(**changes), Verdict(state, why), "here")


def test_the_words_are_those_of_all_places() -> None:
    seen = look(
        turn=2,
        wave_total=3,
        phase="Coach Validation",
        phase_status="in_progress",
        metrics=Metrics(elapsed_seconds=245, files_created=3, tests_passed=8, tests_total=9),
        usage=Usage(81_500, 3.4),
    )
    assert seen.snapshot
    shown = view(KEY, seen, (), 0.0)
    whole = f"Wave 1/3, {shown.task_id} ({shown.at}) - {shown.time}"
    assert whole == one_line(seen.snapshot)
    assert shown.made == ("3 files created", "8 of 9 tests passing", "81,500 tokens", "$3.40")
    assert (shown.state, shown.why) == ("running", "last activity 3 s ago")
    assert shown.said == answers(seen.snapshot, ())
    assert (shown.id, shown.href) == ("shop:TASK-1", "/builds/shop/TASK-1")


def test_one_that_is_over_has_no_answers() -> None:
    assert view(KEY, look("crashed", turn=1), (), 0.0).said == {}


def test_one_without_a_document_has_state_and_evidence() -> None:
    unread = Look("TASK-1", None, Verdict("unreadable", "it is no progress file"), "here")
    shown = view(KEY, unread, (), 0.0)
    assert (shown.state, shown.why, shown.at) == ("unreadable", "it is no progress file", "")
    assert shown.is_in_trouble


@pytest.mark.parametrize(
    ("state", "turn", "bar"),
    [
        ("running", 0, ("next",) * 5),
        ("running", 2, ("past", "now", "next", "next", "next")),
        ("completed", 1, ("good", "next", "next", "next", "next")),
        ("failed", 5, ("past",) * 4 + ("bad",)),
        ("crashed", 1, ("bad", "next", "next", "next", "next")),
        ("cancelled", 1, ("past", "next", "next", "next", "next")),
    ],
    ids=["before", "running", "completed", "failed", "crashed", "cancelled"],
)
def test_the_bar_has_a_mark_for_each_turn(state: State, turn: int, bar: tuple[str, ...]) -> None:
    assert view(KEY, look(state, turn=turn), (), 0.0).bar == bar


def test_how_the_tasks_of_a_feature_are_is_told_once() -> None:
    tasks = Tasks(total=3, pending=1, running=0, completed=1, failed=1, cancelled=0)
    ended = look(build_type="feature", tasks=tasks, status="failed", phase="Wave")
    shown = view(KEY, ended, (), 0.0)
    assert (shown.at, shown.made) == ("1 of 3 tasks; 1 failed, 1 pending", ())


def test_the_bar_of_a_feature_has_a_mark_for_each_task() -> None:
    tasks = Tasks(total=6, pending=1, running=2, completed=1, failed=1, cancelled=1)
    bar = view(KEY, look(build_type="feature", tasks=tasks), (), 0.0).bar
    assert bar == ("good", "bad", "past", "now", "now", "next")


@pytest.mark.parametrize("turn_max", [17, 2**50], ids=["many", "absurd"])
def test_of_too_many_turns_there_is_a_share(turn_max: int) -> None:
    shown = view(KEY, look(turn=3, turn_max=turn_max), (), 0.0)
    assert (shown.bar, shown.share) == ((), (3, turn_max))


def test_of_absurdly_many_tasks_there_is_a_share() -> None:
    shown = view(KEY, look(tasks=Tasks(total=2**50, completed=2**49)), (), 0.0)
    assert (shown.bar, shown.share) == ((), (2**49, 2**50))


def test_a_turn_beyond_the_last_one_is_no_trouble() -> None:
    assert view(KEY, look(turn=9, turn_max=2), (), 0.0).bar == ("past",) * 8 + ("now",)


def test_what_a_build_says_is_on_one_plain_line_and_bounded() -> None:
    shown = view(
        KEY,
        look(
            task_name=EVIL * 500,
            turn=1,
            phase=EVIL * 500,
            phase_status="in_progress",
            work=Work(1, 2, EVIL * 500),
        ),
        (),
        0.0,
    )
    texts = [shown.name, shown.at, shown.why, *shown.made, *shown.said.values()]
    assert all(text.isprintable() and len(text) <= TEXT_MAX for text in texts)

"""The runs in a journal: whose each event is, when it was, and how the run has ended."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from guardkit import Event
from guardkit.places.runs import LONGEST, runs
from guardkit.progress.journal import ended_without_a_word
from guardkit.progress.snapshot import Metrics

from ..looks import START, TRACKER, document


def event(name: str, beat: float, *, run: str = "r", elapsed: int = 0, **changes: Any) -> Event:
    tracker = replace(TRACKER, run_id=run, beat=beat)
    seen = document(
        tracker=tracker,
        metrics=Metrics(elapsed_seconds=elapsed),
        updated_at=START + timedelta(seconds=elapsed),
        **changes,
    )
    return Event(event=name, at="", run_id=run, seq=1, progress=seen)


def test_each_run_has_its_own_events_in_the_order_in_which_they_began() -> None:
    first, second = event("build.started", 5.0, run="a"), event("build.started", 9.0, run="b")
    late = event("build.ended", 7.0, run="a", status="completed")
    found = runs([first, second, late])
    assert [run.run_id for run in found] == ["a", "b"]
    assert found[0].events == (first, late)
    assert [run.outcome for run in found] == ["completed", ""]


def test_times_are_those_of_the_monotonic_clock() -> None:
    [run] = runs([event("build.started", 100.5), event("turn.started", 103.75, elapsed=900)])
    assert run.times == (0.0, 3.25)
    assert run.time_of(event("", 110.5).progress) == 10.0


def test_without_that_clock_elapsed_seconds_count() -> None:
    [run] = runs([event("build.started", 0.0), event("turn.started", 0.0, elapsed=7)])
    assert run.times == (0.0, 7.0)


def test_of_a_journal_that_was_cut_short_the_beginning_is_known_by_the_time_that_had_passed() -> (
    None
):
    [run] = runs([event("turn.started", 1000.0, elapsed=300), event("turn.ended", 1010.0)])
    assert not run.is_whole
    assert run.times == (300.0, 310.0)


def test_times_never_fall_and_have_a_bound() -> None:
    beats = (100.0, 150.0, 120.0, 1e308, -1e308)
    [run] = runs([event("build.started", beats[0]), *(event("decided", it) for it in beats[1:])])
    assert run.times == (0.0, 50.0, 50.0, LONGEST, LONGEST)


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_a_run_has_ended_as_its_last_event_says(status: str) -> None:
    [run] = runs([event("build.started", 1.0), event("build.ended", 2.0, status=status)])
    assert run.outcome == status


def test_a_run_that_the_next_builder_has_closed_has_crashed() -> None:
    killed = event("phase.started", 1.0)
    error = ended_without_a_word(killed.progress)
    closed = event("build.ended", 1.0, status="failed", error=error)
    assert runs([killed, closed])[0].outcome == "crashed"


def test_a_run_whose_last_event_is_no_end_has_no_outcome() -> None:
    assert runs([event("build.ended", 1.0)])[0].outcome == ""
    assert runs([]) == []

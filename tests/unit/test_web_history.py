"""What the page tells of a run from its journal."""

from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from guardkit import Event, Snapshot
from guardkit.places.web.history import TURNS_MAX, make_history
from guardkit.progress.snapshot import Metrics

from ..looks import START, TRACKER, document

PLAYER, COACH = "Player Implementation", "Coach Validation"


class Journal:
    """The events of a run, each some seconds after the beginning."""

    def __init__(self, run_id: str = "r") -> None:
        self.events: list[Event] = []
        self.now = document(tracker=replace(TRACKER, run_id=run_id, beat=100.0))

    def add(self, name: str, seconds: float, **changes: Any) -> Snapshot:
        counted = {
            each: changes.pop(each, getattr(self.now.metrics, each))
            for each in ("files_created", "files_modified", "tests_passed", "tests_total")
        }
        number = changes.pop("number", self.now.tracker.phase_number)
        tracker = replace(
            self.now.tracker,
            seq=self.now.tracker.seq + 1,
            beat=100.0 + seconds,
            phase_number=number,
        )
        metrics = Metrics(elapsed_seconds=int(seconds), **counted)
        at = START + timedelta(seconds=seconds)
        self.now = replace(self.now, updated_at=at, metrics=metrics, tracker=tracker, **changes)
        event = Event(event=name, at="", run_id=tracker.run_id, seq=tracker.seq, progress=self.now)
        self.events.append(event)
        return self.now


def two_turns() -> Journal:
    journal = Journal()
    journal.add("build.started", 0)
    journal.add("phase.started", 1, phase="Setup", phase_status="in_progress", number=1)
    journal.add("phase.ended", 3, phase_status="completed")
    journal.add("turn.started", 3, turn=1)
    journal.add("phase.started", 3, phase=PLAYER, phase_status="in_progress", number=2)
    journal.add("phase.ended", 63, phase_status="completed", files_created=2)
    journal.add("phase.started", 63, phase=COACH, phase_status="in_progress", number=3)
    journal.add("phase.ended", 70, phase_status="completed", tests_passed=6, tests_total=9)
    journal.add("decided", 70, decision="feedback", message="failed: test_plain")
    journal.add("turn.ended", 70)
    journal.add("turn.started", 70, turn=2)
    journal.add("phase.started", 71, phase=PLAYER, phase_status="in_progress", number=4)
    return journal


def test_turns_have_their_phases_and_what_was_decided() -> None:
    journal = two_turns()
    setup, first, second = make_history(journal.events, journal.now, since=5.0).turns
    assert [(each.name, each.began, each.took, each.status) for each in setup.phases] == [
        ("Setup", "1s", "2s", "completed")
    ]
    assert (setup.number, first.number, second.number) == (0, 1, 2)
    assert [(each.name, each.took, each.made) for each in first.phases] == [
        (PLAYER, "1m 0s", "2 files created"),
        (COACH, "7s", "6 of 9 tests passing"),
    ]
    assert (first.decision, first.reason) == ("feedback", "failed: test_plain")
    assert first.tests == "6 of 9 tests passing"
    assert [(each.took, each.status) for each in second.phases] == [("5s", "in_progress")]
    assert second.decision == ""


def test_what_is_decided_after_the_last_turn_is_outside_of_it() -> None:
    journal = two_turns()
    journal.add("phase.ended", 80, phase_status="completed")
    journal.add("decided", 80, decision="approve", message="9 tests passing")
    journal.add("turn.ended", 81)
    journal.add("phase.started", 81, phase="Finalize", phase_status="in_progress", number=5)
    journal.add("phase.ended", 82, phase_status="completed")
    journal.add("decided", 82, decision="approved")
    journal.add("build.ended", 82, status="completed")
    turns = make_history(journal.events, journal.now).turns
    assert [(each.number, each.decision) for each in turns] == [
        (0, ""),
        (1, "feedback"),
        (2, "approve"),
        (0, "approved"),
    ]
    assert [each.name for each in turns[-1].phases] == ["Finalize"]


def test_a_phase_that_a_dead_builder_left_open_is_not_in_progress() -> None:
    journal = two_turns()
    journal.add("build.ended", 90, status="failed", error="it ended without a word")
    last = make_history(journal.events, journal.now).turns[-1].phases[-1]
    assert (last.status, last.took) == ("", "19s")


def test_a_phase_that_failed_says_why() -> None:
    journal = Journal()
    journal.add("build.started", 0)
    journal.add("phase.started", 1, phase=COACH, phase_status="in_progress", number=1)
    journal.add("phase.ended", 2, phase_status="failed", error="disk 3 is full")
    [only] = make_history(journal.events, journal.now).turns
    assert (only.phases[0].status, only.phases[0].made) == ("failed", "disk 3 is full")


def test_earlier_runs_are_told_the_newest_first() -> None:
    first, second, third = Journal("a"), Journal("b"), Journal("c")
    first.add("build.started", 0)
    first.add("build.ended", 65, status="failed", error="out of ideas")
    second.add("build.started", 0)
    third.add("build.started", 0)
    events = [*first.events, *second.events, *third.events]
    past = make_history(events, third.now).past
    assert [(run.run_id, run.ended) for run in past] == [
        ("b", "it has left no end"),
        ("a", "failed after 1m 5s, out of ideas"),
    ]


def test_of_many_turns_the_newest_are_told_of() -> None:
    journal = Journal()
    for number in range(1, TURNS_MAX + 11):
        journal.add("turn.started", number, turn=number)
        journal.add("decided", number, decision="feedback")
        journal.add("turn.ended", number)
    history = make_history(journal.events, journal.now)
    assert (len(history.turns), history.left_out) == (TURNS_MAX, 10)
    assert history.turns[-1].number == TURNS_MAX + 10


def test_without_a_journal_it_is_told_who_builds() -> None:
    history = make_history([], document())
    assert (history.turns, history.past) == ((), ())
    assert history.about.endswith("by process 7 on box")


def test_without_a_document_there_are_only_earlier_runs() -> None:
    journal = two_turns()
    history = make_history(journal.events, None)
    assert (history.turns, len(history.past)) == ((), 1)


def test_a_task_names_its_feature_if_that_can_be_an_address() -> None:
    tracker = replace(TRACKER, parent_run="f")
    named = make_history([], document(build_id="FEAT-1", tracker=tracker))
    evil = make_history([], document(build_id="../etc", tracker=tracker))
    assert (named.feature, evil.feature) == ("FEAT-1", "")

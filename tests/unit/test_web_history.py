"""What the page tells of a build from its journal."""

from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from guardkit import Event, Snapshot
from guardkit.monitor.look import Look
from guardkit.monitor.verdict import Verdict
from guardkit.places.expected import Expected
from guardkit.places.runs import runs
from guardkit.places.timeline.seeing import Seeing
from guardkit.places.web.history import PHASES_MAX, TURNS_MAX, History, make_history
from guardkit.progress.journal import ended_without_a_word
from guardkit.progress.lock import boot_id
from guardkit.progress.snapshot import Metrics

from ..looks import START, TRACKER, document

PLAYER, COACH = "Player Implementation", "Coach Validation"


class Journal:
    """The events of a run, each some seconds after the beginning."""

    def __init__(self, run_id: str = "r") -> None:
        self.events: list[Event] = []
        self.now = document(tracker=replace(TRACKER, run_id=run_id, boot_id=boot_id(), beat=100.0))

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


def history(journal: Journal, *, since: float = 0.0, past: tuple[Journal, ...] = ()) -> History:
    """Return what is told while a build runs, so many seconds after its latest event."""
    now = journal.now
    verdict = Verdict("running", "") if not now.terminal else Verdict(now.status, "")
    look = Look(now.task_id, now, verdict, ".")
    seeing = Seeing(now.tracker.beat + since, [look], own := runs(journal.events))
    before = [run for each in past for run in runs(each.events)]
    return make_history(now, seeing.timeline(own[-1]), before)


def test_phases_have_their_turns_and_what_they_made() -> None:
    told = history(two_turns(), since=5.0)
    assert [(it.turn, it.name, it.start, it.seconds, it.status, it.made) for it in told.phases] == [
        (0, "Setup", 1.0, 2.0, "completed", ""),
        (1, PLAYER, 3.0, 60.0, "completed", "2 files created"),
        (1, COACH, 63.0, 7.0, "completed", "6 of 9 tests passing"),
        (2, PLAYER, 71.0, 5.0, "in_progress", ""),
    ]


def test_turns_have_what_was_decided_in_them_and_how_their_tests_went() -> None:
    first, second = history(two_turns()).turns
    assert (first.number, first.decision, first.reason) == (1, "feedback", "failed: test_plain")
    assert first.tests == "6 of 9 tests passing"
    assert (second.number, second.decision, second.tests) == (2, "", "")


def test_a_turn_that_goes_on_has_no_tests_of_the_one_before() -> None:
    journal = two_turns()
    journal.add("phase.ended", 80, phase_status="completed", files_created=3)
    assert history(journal).turns[-1].tests == ""
    journal.add("phase.started", 80, phase=COACH, phase_status="in_progress", number=5)
    journal.add("phase.ended", 90, phase_status="completed", tests_passed=9)
    assert history(journal).turns[-1].tests == "9 tests passing"


def test_what_is_decided_after_the_last_turn_is_outside_of_it() -> None:
    journal = two_turns()
    journal.add("phase.ended", 80, phase_status="completed")
    journal.add("decided", 80, decision="approve", message="9 tests passing")
    journal.add("turn.ended", 81)
    journal.add("phase.started", 81, phase="Finalize", phase_status="in_progress", number=5)
    journal.add("phase.ended", 82, phase_status="completed")
    journal.add("decided", 82, decision="approved")
    journal.add("build.ended", 82, status="completed")
    told = history(journal)
    assert [(each.number, each.decision) for each in told.turns] == [
        (1, "feedback"),
        (2, "approve"),
        (0, "approved"),
    ]
    assert (told.phases[-1].turn, told.phases[-1].name) == (0, "Finalize")


def test_a_phase_that_a_dead_builder_left_open_is_not_in_progress() -> None:
    journal = two_turns()
    journal.add("build.ended", 90, status="failed", error="out of ideas")
    last = history(journal).phases[-1]
    assert (last.status, last.seconds, last.made) == ("failed", 19.0, "out of ideas")


def test_a_phase_that_failed_says_why() -> None:
    journal = Journal()
    journal.add("build.started", 0)
    journal.add("phase.started", 1, phase=COACH, phase_status="in_progress", number=1)
    journal.add("phase.ended", 2, phase_status="failed", error="disk 3 is full")
    [only] = history(journal).phases
    assert (only.status, only.made) == ("failed", "disk 3 is full")


def test_earlier_runs_are_told_the_newest_first() -> None:
    first, second, third = Journal("a"), Journal("b"), Journal("c")
    first.add("build.started", 0)
    first.add("build.ended", 65, status="failed", error="out of ideas")
    second.add("build.started", 0)
    third.add("build.started", 0)
    past = history(third, past=(first, second)).past
    assert [(run.run_id, run.ended) for run in past] == [
        ("b", "it has left no end"),
        ("a", "failed after 1m 5s, out of ideas"),
    ]


def test_of_a_run_that_was_killed_it_is_told_once_that_it_crashed() -> None:
    killed, next_one = Journal("a"), Journal("b")
    error = ended_without_a_word(killed.add("build.started", 0))
    killed.add("build.ended", 65, status="failed", error=error)
    next_one.add("build.started", 0)
    [past] = history(next_one, past=(killed,)).past
    assert past.ended == "crashed after 1m 5s, process 7 on box ended without a word"


def test_of_many_turns_and_phases_the_newest_are_told_of() -> None:
    journal = Journal()
    journal.add("build.started", 0)
    for number in range(1, PHASES_MAX + 11):
        journal.add("turn.started", number, turn=number)
        begun = {"phase": PLAYER, "phase_status": "in_progress", "number": number}
        journal.add("phase.started", number, **begun)
        journal.add("phase.ended", number, phase_status="completed")
        journal.add("decided", number, decision="feedback")
        journal.add("turn.ended", number)
    told = history(journal)
    assert (len(told.turns), len(told.phases), told.left_out) == (TURNS_MAX, PHASES_MAX, 10)
    assert told.turns[-1].number == told.phases[-1].turn == PHASES_MAX + 10


def test_the_expected_end_is_told_as_in_status() -> None:
    told = make_history(two_turns().now, expected=Expected(720.0, 1500.0, 9))
    assert told.expected == "12 to 25 min more, from 9 builds"


def test_without_a_journal_it_is_told_who_builds() -> None:
    told = make_history(document())
    assert (told.timeline, told.turns, told.past) == (None, (), ())
    assert told.about.endswith("by process 7 on box")


def test_without_a_document_there_are_only_earlier_runs() -> None:
    told = make_history(None, past=runs(two_turns().events))
    assert (told.timeline, len(told.past)) == (None, 1)


def test_a_task_names_its_feature_if_that_can_be_an_address() -> None:
    tracker = replace(TRACKER, parent_run="f")
    named = make_history(document(build_id="FEAT-1", tracker=tracker))
    evil = make_history(document(build_id="../etc", tracker=tracker))
    assert (named.feature, evil.feature) == ("FEAT-1", "")

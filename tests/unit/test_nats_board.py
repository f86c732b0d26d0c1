"""What is told of builds by the messages of both streams: exact times, and no server."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from guardkit import Snapshot
from guardkit.monitor.look import Look
from guardkit.monitor.verdict import Signs
from guardkit.nats.board import Board
from guardkit.nats.jetstream import Message
from guardkit.nats.known import EVENTS_MAX, HOLD, sign
from guardkit.nats.streams import DOCUMENTS, EVENTS, events_subject, status_subject
from guardkit.progress.lock import Hold
from guardkit.progress.snapshot import Event, Tracker

from .. import looks
from ..looks import START, TRACKER, document, feature
from ..nats_messages import an_event, of_event, of_run, status

SERVER = "nats://here:4222"
GARBAGE = b"\xff{"
BESIDE = "Guardkit-Beside"


def a_board(*wanted: str, project: str = "") -> Board:
    """Return what is known over a connection that was made at second 0."""
    board = Board(SERVER, project, wanted, stall_after=1800.0)
    board.join(0.0)
    return board


@pytest.fixture
def board() -> Board:
    return a_board()


def put(
    board: Board, shown: Snapshot | bytes, number: int = 1, now: float = 0.0, **how: Any
) -> None:
    """Have a document come as it is new."""
    board.take(DOCUMENTS, status(shown, number, **how), now)


def find(board: Board, shown: Snapshot | bytes, number: int = 1, **how: Any) -> None:
    """Have a document found that is there at second 0, when the server's clock is at START."""
    board.take(DOCUMENTS, status(shown, number, **how), 0.0, time=START)


def happen(board: Board, shown: Snapshot, now: float = 0.0) -> Event:
    """Have an event come, and return it."""
    event = an_event(shown)
    board.take(EVENTS, of_event(event), now)
    return event


def after(seq: int) -> dict[str, str]:
    """Return the headers of a document that is published after an event."""
    return {"Guardkit-After": str(seq)}


def told(looks: list[Look]) -> list[tuple[Snapshot | None, list[int]]]:
    """Return the document of each look, and the seqs of its events."""
    return [(look.snapshot, [event.seq for event in look.events]) for look in looks]


def evidence(board: Board, now: float = 0.0) -> str:
    """Return the evidence of a verdict that is told for the first time."""
    [look] = board.tell(now, all_=True)
    return look.verdict.evidence


# documents


def test_a_document_is_told_of_with_its_verdict_and_where_it_is(board: Board) -> None:
    put(board, of_run("a"))
    [look] = board.tell(0.0)
    assert (look.task_id, look.snapshot, look.where) == ("TASK-1", of_run("a"), SERVER)
    assert look.verdict.state == "running"
    assert look.events == ()


def test_nothing_is_told_of_twice(board: Board) -> None:
    put(board, of_run("a"))
    board.tell(0.0)
    assert board.tell(0.0) == []
    assert board.tell(1.0, all_=True) == []


def test_a_heartbeat_is_not_told_of(board: Board) -> None:
    put(board, of_run("a", 5))
    board.tell(0.0)
    put(board, of_run("a", 5, beat=5.0, updated_at=START + timedelta(seconds=5)), 2, 5.0)
    assert board.tell(5.0) == []


def test_an_update_is_told_of(board: Board) -> None:
    put(board, of_run("a", 5))
    board.tell(0.0)
    put(board, of_run("a", 6, message="writing tests"), 2)
    assert told(board.tell(0.0)) == [(of_run("a", 6, message="writing tests"), [])]


def test_all_that_have_come_are_told_of_in_the_order_of_their_ids(board: Board) -> None:
    for number, name in enumerate(["B", "A", "C"], 1):
        put(board, document(name), number)
    assert [look.task_id for look in board.tell(0.0)] == ["A", "B", "C"]


@pytest.mark.parametrize(
    "later",
    [
        pytest.param(of_run("b", 1), id="of another run, with a smaller seq"),
        pytest.param(of_run("b", started_at=START - timedelta(days=9)), id="by its clock earlier"),
        pytest.param(of_run("a", 4), id="of the same run, with a smaller seq"),
    ],
)
def test_the_order_of_the_server_decides_which_document_is_shown(
    board: Board, later: Snapshot
) -> None:
    put(board, of_run("a", 5), 1)
    put(board, later, 2)
    assert told(board.tell(0.0)) == [(later, [])]


@pytest.mark.parametrize("number", [7, 6], ids=["the same", "one before it"])
def test_a_message_that_comes_late_or_twice_is_passed_over(board: Board, number: int) -> None:
    put(board, of_run("a"), 7)
    board.tell(0.0)
    put(board, of_run("b"), number)
    assert board.tell(0.0) == []


def test_in_a_stream_that_was_made_anew_numbers_begin_anew(board: Board) -> None:
    put(board, of_run("a", 5), 7)
    board.tell(0.0)
    board.lose(1.0)
    board.join(2.0, afresh=True)
    find(board, of_run("a", 6), 1, ago=-2.0)
    assert told(board.tell(2.0)) == [(of_run("a", 6), [])]


def test_what_has_no_document_yet_is_not_shown(board: Board) -> None:
    put(board, of_run("a"))
    happen(board, document("TASK-2"))
    assert board.shown() == {"TASK-1": of_run("a")}


# events, and documents that wait for them


def test_a_document_comes_with_the_events_before_it(board: Board) -> None:
    happen(board, of_run("a", 1))
    happen(board, of_run("a", 2))
    put(board, of_run("a", 2), headers=after(2))
    assert told(board.tell(0.0)) == [(of_run("a", 2), [1, 2])]


def test_a_document_waits_for_the_events_before_it(board: Board) -> None:
    put(board, of_run("a", 3), headers=after(2))
    happen(board, of_run("a", 1))
    assert board.tell(0.5, all_=True) == []
    happen(board, of_run("a", 2), 0.6)
    assert told(board.tell(0.6)) == [(of_run("a", 3), [1, 2])]


def test_a_later_document_of_the_run_waits_as_well(board: Board) -> None:
    put(board, of_run("a", 1), 1)
    board.tell(0.0)
    put(board, of_run("a", 3), 2, headers=after(3))
    assert board.tell(0.0) == []
    happen(board, of_run("a", 3))
    assert told(board.tell(0.0)) == [(of_run("a", 3), [3])]


def test_of_documents_that_wait_the_newest_is_shown(board: Board) -> None:
    put(board, of_run("a", 2), 1, headers=after(2))
    put(board, of_run("a", 4), 2, headers=after(2))
    happen(board, of_run("a", 2))
    assert told(board.tell(0.0)) == [(of_run("a", 4), [2])]


def test_a_document_of_the_next_run_waits_for_the_events_of_that(board: Board) -> None:
    find(board, of_run("a", 8), 1, headers=after(7))
    happen(board, of_run("b", 1))
    put(board, of_run("b", 1), 2, headers=after(1))
    assert told(board.tell(0.0)) == [(of_run("b", 1), [1])]
    put(board, of_run("b", 2), 3, headers=after(2))
    assert board.tell(0.0) == []


def test_events_are_told_of_once(board: Board) -> None:
    put(board, of_run("a", 1))
    happen(board, of_run("a", 2))
    assert told(board.tell(0.0)) == [(of_run("a", 2), [2])]
    put(board, of_run("a", 3), 2, headers=after(2))
    assert told(board.tell(0.0)) == [(of_run("a", 3), [])]


def test_events_that_are_brought_into_a_stream_that_was_made_anew_do_not_come_again(
    board: Board,
) -> None:
    put(board, of_run("a", 1))
    happen(board, of_run("a", 2))
    board.tell(0.0)
    board.lose(1.0)
    board.join(2.0, afresh=True)
    for seq in (1, 2, 3):
        happen(board, of_run("a", seq), 2.0)
    assert told(board.tell(2.0)) == [(of_run("a", 3), [3])]


def test_a_document_waits_for_no_events_of_another_run(board: Board) -> None:
    put(board, of_run("b", 3), headers=after(2))
    happen(board, of_run("a", 2))
    assert board.tell(0.0) == []


@pytest.mark.parametrize("number", ["2", "9" * 18], ids=["lost", "never published"])
def test_a_document_whose_events_do_not_come_is_shown_after_a_while(
    board: Board, number: str
) -> None:
    put(board, of_run("a", 3), headers={"Guardkit-After": number})
    assert board.tell(HOLD - 0.1, all_=True) == []
    assert told(board.tell(HOLD, all_=True)) == [(of_run("a", 3), [])]


def test_a_document_that_was_there_before_waits_for_nothing(board: Board) -> None:
    find(board, of_run("a", 3), headers=after(2))
    assert told(board.tell(0.0)) == [(of_run("a", 3), [])]


def test_behind_a_document_that_was_there_the_next_waits_for_what_is_new_alone(
    board: Board,
) -> None:
    find(board, of_run("a", 3), 1, headers=after(2))
    put(board, of_run("a", 4), 2, headers=after(2))
    assert told(board.tell(0.0)) == [(of_run("a", 4), [])]


def test_an_event_shows_a_later_point_of_the_run_before_its_document(board: Board) -> None:
    put(board, of_run("a", 1))
    board.tell(0.0)
    happen(board, of_run("a", 2, phase="Setup"))
    assert told(board.tell(0.0)) == [(of_run("a", 2, phase="Setup"), [2])]


def test_an_event_does_not_show_an_earlier_point_of_the_run(board: Board) -> None:
    put(board, of_run("a", 5))
    board.tell(0.0)
    happen(board, of_run("a", 4))
    assert told(board.tell(0.0)) == [(of_run("a", 5), [4])]


def test_a_document_does_not_bring_back_what_was_before_the_event(board: Board) -> None:
    put(board, of_run("a", 1), 1)
    happen(board, of_run("a", 3))
    put(board, of_run("a", 2), 2, 0.1)
    assert told(board.tell(0.1)) == [(of_run("a", 3), [3])]


def test_what_only_an_event_tells_lasts_no_longer_than_to_the_next_document_but_one(
    board: Board,
) -> None:
    put(board, of_run("a", 1), 1)
    happen(board, of_run("a", 9, status="failed"))
    assert [look.verdict.state for look in board.tell(0.0)] == ["failed"]
    put(board, of_run("a", 2), 2, HOLD)
    assert [look.verdict.state for look in board.tell(HOLD)] == ["running"]


def test_events_wait_for_the_document_of_their_run(board: Board) -> None:
    happen(board, of_run("a", 1))
    assert board.tell(0.5, all_=True) == []
    put(board, of_run("a", 1), 1, 0.6)
    assert told(board.tell(0.6)) == [(of_run("a", 1), [1])]


def test_events_of_a_run_whose_document_does_not_come_show_it_themselves(board: Board) -> None:
    happen(board, of_run("a", 1))
    happen(board, of_run("a", 2))
    assert told(board.tell(HOLD, all_=True)) == [(of_run("a", 2), [1, 2])]


def test_a_new_run_is_told_of_at_once_with_its_first_event(board: Board) -> None:
    put(board, of_run("a", 5), 1)
    board.tell(0.0)
    happen(board, of_run("b", 1), 10.0)
    assert board.tell(10.0) == []
    put(board, of_run("b", 1), 2, 10.1, headers=after(1))
    assert told(board.tell(10.1)) == [(of_run("b", 1), [1])]


def test_what_is_delivered_late_of_another_run_is_told_of_and_shown_nowhere(board: Board) -> None:
    put(board, of_run("b", 5))
    board.tell(0.0)
    happen(board, of_run("a", 8, status="completed"))
    assert board.tell(HOLD - 0.1, all_=True) == []
    assert told(board.tell(HOLD, all_=True)) == [(of_run("b", 5), [8])]


def test_of_events_that_wait_there_are_not_too_many(board: Board) -> None:
    for seq in range(1, EVENTS_MAX + 3):
        happen(board, of_run("a", seq))
    [(_, seqs)] = told(board.tell(HOLD, all_=True))
    assert (len(seqs), seqs[0], seqs[-1]) == (EVENTS_MAX, 3, EVENTS_MAX + 2)


def test_the_events_until_now_come_before_those_that_are_new(board: Board) -> None:
    find(board, of_run("a", 3), headers=after(2))
    new = happen(board, of_run("a", 3))
    board.take_history("TASK-1", [an_event(of_run("a", 1)), an_event(of_run("a", 2)), new])
    assert told(board.tell(0.0)) == [(of_run("a", 3), [1, 2, 3])]


# what is forged, or none


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param(GARBAGE, id="garbage"),
        pytest.param(b"", id="nothing"),
        pytest.param(msgspec.json.encode(document("TASK-2")), id="of another task"),
    ],
)
def test_what_is_no_document_of_the_task_changes_nothing(board: Board, forged: bytes) -> None:
    put(board, of_run("a", 5), 1)
    board.tell(0.0)
    put(board, forged, 2)
    assert board.tell(0.0) == []
    put(board, of_run("a", 6), 3)
    assert told(board.tell(0.0)) == [(of_run("a", 6), [])]


def test_where_there_is_no_other_it_is_unreadable(board: Board) -> None:
    find(board, GARBAGE)
    [look] = board.tell(0.0)
    assert (look.snapshot, look.verdict.state) == (None, "unreadable")
    assert look.verdict.evidence == "what NATS has of TASK-1 is no progress document"


def test_what_was_unreadable_is_shown_as_soon_as_there_is_a_document(board: Board) -> None:
    find(board, GARBAGE, 1)
    board.tell(0.0)
    put(board, of_run("a"), 2)
    assert told(board.tell(0.0)) == [(of_run("a"), [])]


@pytest.mark.parametrize(
    "subject",
    [events_subject("TASK-1", "a"), status_subject("TASK-2"), "guardkit.builds.TASK-1", "x.status"],
    ids=["of events", "of another task", "of no kind", "of others"],
)
def test_a_document_on_another_subject_is_passed_over(board: Board, subject: str) -> None:
    board.take(DOCUMENTS, replace(status(of_run("a")), subject=subject), 0.0)
    assert "TASK-1" not in [look.task_id for look in board.tell(HOLD, all_=True)]
    assert board.shown() == {}


MESSAGES = {
    "garbage": of_event(GARBAGE, events_subject("TASK-1", "a")),
    "a document": of_event(msgspec.json.encode(of_run("a")), events_subject("TASK-1", "a")),
    "of another task": of_event(an_event(document("TASK-2")), events_subject("TASK-1", "r")),
    "of another run": of_event(an_event(of_run("b", 9)), events_subject("TASK-1", "a")),
    "whose document is of another run": of_event(
        replace(an_event(of_run("b", 9)), run_id="a"), events_subject("TASK-1", "a")
    ),
    "of another project": of_event(an_event(of_run("a", 9)), events_subject("TASK-1", "a", "shop")),
    "on the subject of a document": of_event(an_event(of_run("a", 9)), status_subject("TASK-1")),
    "of no run": of_event(an_event(of_run("", 9)), "guardkit.builds.TASK-1.events."),
    "of no subject of ours": of_event(an_event(of_run("a", 9)), "events.a"),
}


@pytest.mark.parametrize("forged", MESSAGES.values(), ids=MESSAGES)
def test_what_is_no_event_of_its_subject_changes_nothing(board: Board, forged: Message) -> None:
    put(board, of_run("a", 5))
    board.tell(0.0)
    board.take(EVENTS, forged, 0.0)
    assert board.tell(HOLD, all_=True) == []


# projects, and ids


def test_of_a_project_its_own_builds_alone_are_told_of() -> None:
    board = a_board(project="shop")
    put(board, of_run("a"))
    put(board, of_run("b"), project="web")
    put(board, of_run("c"), project="shop")
    assert told(board.tell(HOLD, all_=True)) == [(of_run("c"), [])]


def test_without_a_project_those_of_projects_are_not_told_of(board: Board) -> None:
    put(board, of_run("a"), project="shop")
    assert board.tell(HOLD, all_=True) == []


def test_of_ids_that_are_wanted_no_other_is_told_of() -> None:
    board = a_board("TASK-2")
    put(board, of_run("a"))
    put(board, document("TASK-2"))
    assert [look.task_id for look in board.tell(0.0)] == ["TASK-2"]


# verdicts


@pytest.mark.parametrize(
    ("silence", "age", "signs"),
    [
        pytest.param(0.0, 0.0, Signs(Hold.UNKNOWN, 0.0), id="just heard of"),
        pytest.param(15.0, 0.0, Signs(Hold.UNKNOWN, 15.0), id="three heartbeats are missing"),
        pytest.param(16.0, 0.0, Signs(Hold.UNKNOWN, 16.0), id="and another one is due"),
        pytest.param(0.0, 15.0, Signs(Hold.UNKNOWN, 15.0), id="it was there, and is no older"),
        pytest.param(5.0, 10.0, Signs(Hold.UNKNOWN, 15.0), id="it was there, and is silent"),
        pytest.param(0.0, 16.0, Signs(Hold.UNKNOWN, age=16.0), id="it was there, and is older"),
        pytest.param(15.0, 9e3, Signs(Hold.UNKNOWN, age=9015.0), id="old, nothing heard yet"),
        pytest.param(15.1, 16.0, Signs(Hold.UNKNOWN, 15.1), id="old, and now silent for us, too"),
    ],
)
def test_silence_is_what_we_have_heard_and_the_age_what_the_server_says(
    silence: float, age: float, signs: Signs
) -> None:
    assert sign(of_run("a"), silence, age) == signs


def test_a_document_without_heartbeats_is_of_whatever_age() -> None:
    foreign = document(tracker=Tracker())
    assert sign(foreign, 0.0, 9e3) == Signs(Hold.UNKNOWN, age=9e3)


def test_a_build_that_falls_silent_is_lost(board: Board) -> None:
    put(board, of_run("a"))
    board.tell(0.0)
    assert board.tell(15.0, all_=True) == []
    [look] = board.tell(15.5, all_=True)
    assert look.verdict.state == "lost"
    assert look.verdict.evidence.startswith("no heartbeat for 15 s")


@pytest.mark.parametrize("is_event", [False, True], ids=["a heartbeat", "an event"])
def test_a_build_that_is_heard_of_is_not_lost(board: Board, is_event: bool) -> None:
    put(board, of_run("a"), 1)
    board.tell(0.0)
    if is_event:
        happen(board, of_run("a"), 10.0)
    else:
        put(board, of_run("a", beat=10.0), 2, 10.0)
    assert [look.verdict.state for look in board.tell(24.0, all_=True)] == ["running"] * is_event


def test_a_build_is_running_again_when_it_is_heard_of_again(board: Board) -> None:
    put(board, of_run("a"), 1)
    assert [look.verdict.state for look in board.tell(99.0, all_=True)] == ["lost"]
    put(board, of_run("a", beat=99.0), 2, 99.0)
    assert [look.verdict.state for look in board.tell(99.0)] == ["running"]


def test_a_document_that_is_old_by_the_clock_of_the_server_is_lost_at_once(board: Board) -> None:
    find(board, of_run("a"), ago=3600.0)
    [look] = board.tell(0.0)
    assert look.verdict.state == "lost"
    assert "no heartbeat for 3600 s by the wall clock" in look.verdict.evidence


def test_while_a_document_was_on_a_server_that_was_away_nothing_is_concluded(board: Board) -> None:
    find(board, of_run("a"), ago=300.0)
    assert [look.verdict.state for look in board.tell(0.0)] == ["running"]
    assert [look.verdict.state for look in board.tell(15.5, all_=True)] == ["lost"]


def test_a_document_from_the_future_is_as_one_that_is_new(board: Board) -> None:
    find(board, of_run("a"), ago=-3600.0)
    assert [look.verdict.state for look in board.tell(0.0)] == ["running"]


def test_an_end_is_one_however_long_ago(board: Board) -> None:
    find(board, of_run("a", status="completed"), ago=9e5)
    assert [look.verdict.state for look in board.tell(9e5, all_=True)] == ["completed"]


def test_without_a_connection_no_silence_counts(board: Board) -> None:
    put(board, of_run("a"))
    board.tell(0.0)
    board.lose(10.0)
    board.lose(20.0)
    assert board.tell(9e3, all_=True) == []


def test_after_a_connection_is_there_again_silence_begins_anew(board: Board) -> None:
    put(board, of_run("a"))
    board.tell(0.0)
    board.lose(10.0)
    board.join(100.0)
    assert board.tell(115.0, all_=True) == []
    assert [look.verdict.state for look in board.tell(115.5, all_=True)] == ["lost"]


# features


def task_of(run_id: str) -> Snapshot:
    return looks.document(
        "TASK-2", tracker=replace(TRACKER, run_id="t", parent_run=run_id), build_type="feature"
    )


def test_a_feature_is_at_best_as_its_worst_task() -> None:
    board = a_board("FEAT-1")
    put(board, feature())
    put(board, task_of("f"))
    assert [look.verdict.state for look in board.tell(0.0)] == ["running"]
    [look] = board.tell(15.5, all_=True)
    assert (look.task_id, look.verdict.state) == ("FEAT-1", "lost")
    assert look.verdict.evidence.startswith("TASK-2: no heartbeat")


def test_a_feature_is_not_judged_by_the_tasks_of_another_run() -> None:
    board = a_board("FEAT-1")
    put(board, feature())
    put(board, task_of("another"))
    board.tell(0.0)
    assert board.tell(15.5, all_=True) == []


@pytest.mark.parametrize(
    ("wanted", "shown", "needs"),
    [
        pytest.param(("FEAT-1",), feature(), True, id="a feature that runs"),
        pytest.param(("FEAT-1",), feature(status="failed"), False, id="one that has ended"),
        pytest.param(("TASK-1",), of_run("a"), False, id="a task"),
        pytest.param((), feature(), False, id="all are looked at anyway"),
    ],
)
def test_of_a_feature_that_runs_the_tasks_are_needed(
    wanted: tuple[str, ...], shown: Snapshot, needs: bool
) -> None:
    board = a_board(*wanted)
    put(board, shown)
    board.tell(0.0)
    assert board.needs_tasks is needs


# another builder


def test_the_evidence_names_another_builder_that_has_left_no_end(board: Board) -> None:
    put(board, of_run("a"), headers={BESIDE: "b 7 box"})
    also = "last activity 0 s ago; process 7 on box has taken TASK-1, too, and left no end"
    assert evidence(board) == also


def test_it_is_asked_whether_another_builder_has_left_an_end(board: Board) -> None:
    put(board, of_run("a"), headers={BESIDE: "b 7 box"})
    assert board.others == {("TASK-1", "b")}


@pytest.mark.parametrize("is_event", [False, True], ids=["by the answer", "by the event itself"])
def test_another_builder_that_has_left_an_end_is_not_named(board: Board, is_event: bool) -> None:
    put(board, of_run("a"), 1, headers={BESIDE: "b 7 box"})
    if is_event:
        happen(board, of_run("b", status="failed"))
    else:
        board.end("TASK-1", "b")
    assert evidence(board) == "last activity 0 s ago"


def test_another_builder_that_has_left_an_end_is_not_asked_for_again(board: Board) -> None:
    put(board, of_run("a"), 1, headers={BESIDE: "b 7 box"})
    board.others.clear()
    board.end("TASK-1", "b")
    put(board, of_run("a", 6), 2, headers={BESIDE: "b 7 box"})
    assert board.others == set()
    assert evidence(board) == "last activity 0 s ago"


def test_another_builder_is_asked_for_once(board: Board) -> None:
    put(board, of_run("a"), 1, headers={BESIDE: "b 7 box"})
    board.others.clear()
    put(board, of_run("a", 6), 2, headers={BESIDE: "b 7 box"})
    assert board.others == set()
    assert "process 7 on box has taken TASK-1" in evidence(board)


def test_the_end_of_a_third_run_says_nothing_of_another_builder(board: Board) -> None:
    put(board, of_run("a"), headers={BESIDE: "b 7 box"})
    happen(board, of_run("c", status="failed"))
    assert "process 7 on box has taken TASK-1" in evidence(board, HOLD)


@pytest.mark.parametrize("text", ["", "b", "b x box", "a.b 7 box", "> 7 box", "é 7 box"])
def test_what_names_no_other_builder_is_passed_over(board: Board, text: str) -> None:
    put(board, of_run("a"), headers={BESIDE: text})
    assert evidence(board) == "last activity 0 s ago"
    assert board.others == set()


def test_of_a_build_that_has_ended_no_other_builder_is_named(board: Board) -> None:
    put(board, of_run("a", status="completed"), headers={BESIDE: "b 7 box"})
    assert evidence(board) == "ended after 0 s"

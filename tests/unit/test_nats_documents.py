"""Whose document is shown: what follows from the last message, and from what a run has to show."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from guardkit import Snapshot
from guardkit.nats.documents import (
    AHEAD_MAX,
    Mine,
    Shown,
    may_replace,
    name_other,
    read_document,
    read_number,
    read_shown,
)

from ..looks import START, TRACKER, document
from ..nats_messages import of_run, status

DAY = 86_400.0
MINUTES = 60.0


def mine(run_id: str = "a", **changes: Any) -> Mine:
    """Return what run `a` has to show: it began as the third message, and is at seq 5."""
    ours: dict[str, Any] = {"snapshot": of_run(run_id), "claim": 3, "lives": True}
    return Mine(**(ours | changes))


def theirs(run_id: str = "b", claim: int = 7, **changes: Any) -> Shown:
    """Return what run `b` shows, which has claimed the task after us."""
    return Shown(number=9, claim=claim, snapshot=of_run(run_id, **changes), time=START)


def ended_late(seconds: float, **changes: Any) -> Mine:
    """Return a run that is delivered after its end, which was so long after what is shown."""
    at = START + timedelta(seconds=seconds)
    shown = of_run("a", status="completed", updated_at=at)
    return Mine(**({"snapshot": shown} | changes))


# what is there, or not


@pytest.mark.parametrize("lives", [True, False], ids=["a builder's", "a relay's, after the end"])
@pytest.mark.parametrize(
    "shown", [Shown(), Shown(number=9, claim=9, time=START)], ids=["nothing", "no document"]
)
def test_where_no_document_stands_any_may(shown: Shown, lives: bool) -> None:
    assert may_replace(Mine(snapshot=of_run("a"), lives=lives), shown, silent=0.0)


# of one run, the later one


@pytest.mark.parametrize("lives", [True, False], ids=["lives", "has ended"])
@pytest.mark.parametrize(
    ("ours", "last", "may"),
    [
        pytest.param(of_run("a", 6), of_run("a", 5), True, id="a later one"),
        pytest.param(of_run("a", 5, beat=2.0), of_run("a", 5, beat=1.0), True, id="a heartbeat"),
        pytest.param(of_run("a", 6, status="failed"), of_run("a", 5), True, id="the end"),
        pytest.param(of_run("a", 5), of_run("a", 5), False, id="the same"),
        pytest.param(of_run("a", 4, beat=9.0), of_run("a", 5), False, id="an earlier one"),
        pytest.param(of_run("a", 6), of_run("a", 5, status="failed"), False, id="after the end"),
    ],
)
def test_of_one_run_the_later_document_is_shown(
    ours: Snapshot, last: Snapshot, may: bool, lives: bool
) -> None:
    shown = Shown(number=9, claim=3, snapshot=last, time=START)
    assert may_replace(mine(snapshot=ours, lives=lives), shown, silent=AHEAD_MAX) is may


# of two runs, that of the later claim


@pytest.mark.parametrize("status", ["running", "completed"])
@pytest.mark.parametrize("lives", [True, False], ids=["lives", "is gone"])
def test_the_run_of_the_later_claim_is_shown(lives: bool, status: str) -> None:
    ours = mine(snapshot=of_run("a", status=status), claim=8, lives=lives)
    assert may_replace(ours, theirs(claim=7), silent=0.0)


def test_the_order_of_claims_is_not_that_of_the_last_messages() -> None:
    shown = Shown(number=9, claim=2, snapshot=of_run("b"), time=START)
    assert may_replace(mine(claim=3), shown, silent=0.0)


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param(theirs(), id="that lives"),
        pytest.param(theirs(status="completed"), id="that has ended"),
        pytest.param(theirs(updated_at=START + timedelta(days=1)), id="that is ahead by its clock"),
    ],
)
def test_a_builder_claims_its_task_whatever_run_was_there(shown: Shown) -> None:
    assert may_replace(mine(claim=0), shown, silent=0.0)


def test_a_builder_leaves_its_task_to_one_that_has_claimed_it_later() -> None:
    assert not may_replace(mine(), theirs(), silent=0.0)


def test_a_builder_takes_its_task_back_from_one_that_has_ended() -> None:
    assert may_replace(mine(), theirs(status="cancelled"), silent=0.0)


@pytest.mark.parametrize(
    ("every", "silent", "may"),
    [
        pytest.param(5.0, 15.0, False, id="three heartbeats are missing"),
        pytest.param(5.0, 15.1, True, id="and another one is due"),
        pytest.param(0.1, 0.4, True, id="short heartbeats"),
        pytest.param(DAY, 181.0, True, id="no word for a day counts for more than a minute"),
        pytest.param(60.0, 179.0, False, id="a minute is waited for"),
    ],
)
def test_a_builder_takes_its_task_back_from_one_that_is_silent(
    every: float, silent: float, may: bool
) -> None:
    tracker = replace(TRACKER, run_id="b", heartbeat_seconds=every)
    assert may_replace(mine(), theirs(tracker=tracker), silent=silent) is may


# what is delivered only after the end of its run


@pytest.mark.parametrize(
    ("late", "may"),
    [
        pytest.param(10 * MINUTES + 1, True, id="long before that end"),
        pytest.param(10 * MINUTES, False, id="before it, as far as two clocks can tell"),
        pytest.param(0.0, False, id="at that end"),
        pytest.param(-DAY, False, id="after it"),
    ],
)
def test_after_its_end_a_run_takes_the_place_of_what_the_server_had_before_that(
    late: float, may: bool
) -> None:
    assert may_replace(ended_late(late), theirs(), silent=DAY) is may


def test_a_run_without_an_end_is_never_shown_late() -> None:
    ours = Mine(snapshot=of_run("a", updated_at=START + timedelta(days=1)))
    assert not may_replace(ours, theirs(), silent=DAY)


def test_what_the_server_does_not_date_is_not_older() -> None:
    shown = Shown(number=9, claim=7, snapshot=of_run("b"))
    assert not may_replace(ended_late(DAY), shown, silent=DAY)


@pytest.mark.parametrize("status", ["running", "failed"])
def test_a_run_is_shown_late_in_place_of_one_that_came_before_it_on_its_machine(
    status: str,
) -> None:
    ours = Mine(snapshot=of_run("a", status=status), before={"b"})
    assert may_replace(ours, theirs(), silent=0.0)


def test_a_run_is_not_shown_late_in_place_of_one_that_came_after_it() -> None:
    assert not may_replace(ended_late(-1.0, before={"z"}), theirs(), silent=DAY)


# what is forged


@pytest.mark.parametrize(
    ("forged", "truth"),
    [
        pytest.param(of_run("a", 5, status="failed"), of_run("a", 5), id="an end while it runs"),
        pytest.param(of_run("a", 99), of_run("a", 5), id="ahead of its builder"),
        pytest.param(of_run("a", 5, beat=9.0), of_run("a", 5), id="a heartbeat to come"),
        pytest.param(
            of_run("a", 5, status="failed"), of_run("a", 5, status="completed"), id="another end"
        ),
        pytest.param(of_run("a", 99), of_run("a", 5, status="completed"), id="after its end"),
    ],
)
def test_a_builder_takes_the_place_of_what_it_cannot_have_said(
    forged: Snapshot, truth: Snapshot
) -> None:
    shown = Shown(number=9, claim=3, snapshot=forged, time=START)
    assert may_replace(mine(snapshot=truth, truth=truth), shown, silent=0.0)


@pytest.mark.parametrize(
    ("last", "truth"),
    [
        pytest.param(of_run("a", 5), of_run("a", 5), id="the same"),
        pytest.param(of_run("a", 6), of_run("a", 7), id="ahead of what we have heard of"),
        pytest.param(of_run("a", 7, status="failed"), of_run("a", 7, status="failed"), id="an end"),
    ],
)
def test_a_builder_leaves_what_it_has_said_itself(last: Snapshot, truth: Snapshot) -> None:
    shown = Shown(number=9, claim=3, snapshot=last, time=START)
    assert not may_replace(mine(truth=truth), shown, silent=0.0)


def test_who_is_not_the_builder_takes_the_last_document_of_a_run_as_it_is_for_a_while() -> None:
    shown = Shown(number=9, claim=3, snapshot=of_run("a", 99), time=START)
    assert not may_replace(mine(), shown, silent=AHEAD_MAX)
    assert may_replace(mine(), shown, silent=AHEAD_MAX + 0.1)


# the other builder


def test_another_builder_that_has_left_no_end_is_named() -> None:
    assert name_other(mine(), theirs()) == "b 7 box"


@pytest.mark.parametrize(
    ("ours", "shown"),
    [
        pytest.param(mine(), Shown(), id="nothing is there"),
        pytest.param(mine(), Shown(number=9), id="what is there is no document"),
        pytest.param(mine(), theirs("a"), id="it is our run"),
        pytest.param(mine(), theirs(status="failed"), id="it has left its end"),
        pytest.param(mine(before={"b"}), theirs(), id="it came before on this machine"),
    ],
)
def test_no_other_builder_is_named(ours: Mine, shown: Shown) -> None:
    assert name_other(ours, shown) == ""


def test_the_name_of_another_builder_is_short_and_fits_into_a_header() -> None:
    tracker = replace(TRACKER, run_id="r\n" * 99, host="bücher\r\nNats-Rollup: all" * 99)
    name = name_other(mine(), theirs(tracker=tracker))
    assert name.isascii()
    assert name.isprintable()
    assert len(name) < 128


# what a message shows


def test_where_there_is_no_message_nothing_is_shown() -> None:
    assert read_shown(None, "TASK-1") == Shown()


@pytest.mark.parametrize(
    ("headers", "claim"),
    [
        pytest.param({}, 9, id="it is the claim"),
        pytest.param({"Guardkit-Claim": "3"}, 3, id="its run has claimed before"),
        pytest.param({"Guardkit-Claim": "10"}, 9, id="a claim to come"),
        pytest.param({"Guardkit-Claim": "0"}, 9, id="no claim"),
        pytest.param({"Guardkit-Claim": "first"}, 9, id="no number"),
    ],
)
def test_a_message_tells_by_which_number_its_run_has_claimed_the_task(
    headers: dict[str, str], claim: int
) -> None:
    shown = read_shown(status(of_run("b"), 9, headers=headers), "TASK-1")
    assert shown == Shown(number=9, claim=claim, snapshot=of_run("b"), time=START)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff{", id="garbage"),
        pytest.param(b"[" * 5000 + b"]" * 5000, id="nested"),
        pytest.param(b"{}", id="an empty record"),
        pytest.param(msgspec.json.encode(document("TASK-2")), id="of another task"),
    ],
)
def test_what_is_no_document_of_the_task_is_none(data: bytes) -> None:
    assert read_document(data, "TASK-1") is None


@pytest.mark.parametrize(
    ("text", "number"),
    [("7", 7), ("9" * 18, int("9" * 18)), ("9" * 19, 0), ("", 0), ("-1", 0), ("²", 0), (" 7", 0)],
    ids=["a number", "18 digits", "19 digits", "empty", "negative", "a superscript", "a space"],
)
def test_a_header_has_a_whole_number_or_none(text: str, number: int) -> None:
    assert read_number({"Guardkit-After": text}, "Guardkit-After") == number

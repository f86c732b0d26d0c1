"""What ends a wait: in one place for a shell and for an agent, and in the name of a watch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from guardkit import Verdict
from guardkit.places.until import UNTIL, Watch, recall
from guardkit.places.wait import Waiting, Wanted
from guardkit.progress.snapshot import make_event

from ..looks import START, TRACKER, document
from .test_waiting import look

if TYPE_CHECKING:
    from guardkit.monitor.verdict import Case, State
    from guardkit.places.wait import Until
    from guardkit.progress.snapshot import Event

RUN, LATER = "0123456789abcdef", "fedcba9876543210"
STATES: tuple[State, ...] = (
    "running",
    "completed",
    "failed",
    "cancelled",
    "crashed",
    "lost",
    "unresponsive",
    "overdue",
    "stalled",
    "unreadable",
)


def case(state: State = "running", run: str = RUN, seq: int = 7, **changes: Any) -> Case:
    tracker = replace(TRACKER, run_id=run, seq=seq)
    return document(tracker=tracker, **changes), Verdict(state, "it is so")


@pytest.mark.parametrize("until", UNTIL)
def test_the_name_of_a_watch_holds_all_of_it(until: Until) -> None:
    watch = Watch.begin("TASK-1", until, case())
    assert Watch.read(f"{watch}") == watch
    assert f"{watch}".startswith(f"TASK-1:{RUN}:{until}:7")
    assert f"{watch}".count(":") == 3


@pytest.mark.parametrize("run", ["", "r", "a:b:c:d:e:f:g:h:", RUN.upper(), f"{RUN}\n"])
def test_a_run_that_is_not_named_as_guardkit_does_is_whichever_is_the_latest(run: str) -> None:
    watch = Watch.begin("TASK-1", "done", case(run=run))
    assert (f"{watch}", Watch.read(f"{watch}")) == ("TASK-1::done:7", watch)
    assert watch.concerns(case(run=LATER))
    assert Watch.begin("TASK-1", "done", (None, Verdict("running", ""))) == (
        *("TASK-1", "", "done"),
        "0",
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "TASK-1",
        f"TASK-1:{RUN}:done",
        f"TASK-1:{RUN}:done:",
        f"TASK-1:{RUN}:done:7:8",
        f"TASK-1:{RUN}:done:7\n",
        f"TASK-1:{RUN}:done:-7",
        f"TASK-1:{RUN}:done:\u0667",
        f"TASK-1:{RUN}:done:{'9' * 17}",
        f"TASK-1:{RUN}:done:7-00000000",
        f"TASK-1:{RUN}:change:7",
        f"TASK-1:{RUN}:never:7",
        f"TASK-1:{RUN[1:]}:done:7",
        f"../TASK-1:{RUN}:done:7",
        f"{'T' * 129}:{RUN}:done:7",
    ],
)
def test_what_is_not_the_name_of_a_watch_is_none(text: str) -> None:
    assert Watch.read(text) is None


@pytest.mark.parametrize("first", STATES)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("until", UNTIL)
@pytest.mark.parametrize("moves", [False, True])
def test_a_watch_ends_when_a_wait_for_that_one_build_does(
    until: Until, first: State, state: State, *, moves: bool
) -> None:
    then, now = case(first), case(state, turn=int(moves))
    waiting = Waiting(Wanted(["TASK-1"], until), [look("TASK-1", first)])
    for document_of, verdict in (then, now):
        assert document_of
        waiting.see(replace(look("TASK-1"), snapshot=document_of, verdict=verdict))
    assert Watch.begin("TASK-1", until, then).is_met(now) == waiting.is_met()


def test_figures_and_messages_are_no_change() -> None:
    watch = Watch.begin("TASK-1", "change", case())
    assert not watch.is_met(case(seq=8, message="\ud800"))
    assert watch.is_met(case(seq=8, phase="Coach Validation"))


def test_a_run_that_has_not_written_yet_is_neither_another_run_nor_a_change() -> None:
    unwritten: Case = None, Verdict("running", "another process has taken TASK-1")
    watch = Watch.begin("TASK-1", "change", case())
    assert watch.concerns(unwritten)
    assert not watch.is_met(unwritten)
    assert not watch.concerns(case(run=LATER))


def event(name: str, run: str, **changes: Any) -> Event:
    return make_event(name, START, case(run=run, **changes)[0] or document())


def test_a_run_that_another_one_has_followed_ended_as_the_journal_says() -> None:
    events = [event("build.started", RUN), event("build.ended", RUN, status="failed", error="no")]
    events += [event("build.started", LATER)]
    found = recall("TASK-1", RUN, events)
    assert found
    assert found[1] == ("failed", "ended after 0 s: no")


def test_a_run_that_left_no_end_is_crashed_and_one_that_was_not_is_not_known() -> None:
    found = recall("TASK-1", RUN, [event("build.started", RUN), event("build.started", LATER)])
    assert found
    assert found[1] == ("crashed", "it has left no end, and another run has taken TASK-1")
    assert recall("TASK-1", "0" * 16, [event("build.started", RUN)]) is None

"""Verdicts: what follows from a document and from what else was seen of a build."""

import socket
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from guardkit import Snapshot
from guardkit.monitor.evidence import measure
from guardkit.monitor.verdict import (
    Signs,
    Verdict,
    judge,
    judge_feature,
    judge_features,
    needs_tasks,
)
from guardkit.progress.lock import Hold, boot_id
from guardkit.progress.snapshot import Metrics, Tracker

from .. import looks
from ..looks import START, TRACKER, feature, task

LIVES, GONE, TAKEN, UNKNOWN = Hold.LIVES, Hold.GONE, Hold.TAKEN, Hold.UNKNOWN
HOUR = 3600.0


def document(**changes: Any) -> Snapshot:
    """Return the document of a build that began at second 0 and was written then."""
    phase = {"phase": "Player Implementation", "phase_status": "in_progress"}
    return looks.document(**(phase | {"metrics": Metrics(elapsed_seconds=10_000)} | changes))


def working(seconds: float, budget: float | None = None, **changes: Any) -> Snapshot:
    """Return the document of a build that has been silently at work on a phase for a time."""
    began = START - timedelta(seconds=seconds)
    tracker = replace(TRACKER, activity_at=began, phase_started_at=began, budget_seconds=budget)
    return document(tracker=tracker, **changes)


BRISK = document(tracker=replace(TRACKER, heartbeat_seconds=0.1))
FOREIGN = document(tracker=Tracker())  # as another program writes it


@pytest.mark.parametrize(
    ("seen", "signs", "state"),
    [
        # what the document says
        pytest.param(document(status="completed"), Signs(LIVES), "completed", id="completed"),
        pytest.param(document(status="failed"), Signs(GONE), "failed", id="failed, and gone"),
        pytest.param(
            document(status="cancelled"), Signs(UNKNOWN, age=9e9), "cancelled", id="long ago"
        ),
        pytest.param(document(status="completed"), Signs(LIVES, 9e9), "completed", id="silent"),
        pytest.param(document(status="completed"), Signs(TAKEN), "running", id="taken anew"),
        # who holds the task
        pytest.param(document(), Signs(TAKEN, 9e9), "running", id="taken, and silent"),
        pytest.param(document(), Signs(GONE), "crashed", id="gone"),
        pytest.param(working(9e9, 1.0), Signs(GONE, 9e9), "crashed", id="gone, all else wrong"),
        # heartbeats by a monotonic clock: three of five seconds
        pytest.param(document(), Signs(LIVES, 15.0), "running", id="lives, 15 s"),
        pytest.param(document(), Signs(LIVES, 15.001), "unresponsive", id="lives, after 15 s"),
        pytest.param(document(), Signs(UNKNOWN, 15.0), "running", id="unknown, 15 s"),
        pytest.param(document(), Signs(UNKNOWN, 15.001), "lost", id="unknown, after 15 s"),
        pytest.param(BRISK, Signs(LIVES, 0.25), "running", id="short heartbeat"),
        pytest.param(BRISK, Signs(LIVES, 0.31), "unresponsive", id="short heartbeat, late"),
        pytest.param(working(90, 1.0), Signs(LIVES, 16.0), "unresponsive", id="not overdue"),
        # heartbeats by two wall clocks: ten minutes more, and a second
        pytest.param(document(), Signs(UNKNOWN, age=616.0), "running", id="wall, 616 s"),
        pytest.param(document(), Signs(UNKNOWN, age=616.1), "lost", id="wall, after 616 s"),
        pytest.param(document(), Signs(UNKNOWN, age=-616.0), "running", id="wall, 616 s ahead"),
        pytest.param(document(), Signs(UNKNOWN, age=-616.1), "lost", id="wall, further ahead"),
        pytest.param(document(), Signs(LIVES, age=9e9), "running", id="wall, and lives"),
        pytest.param(working(90, 1e9), Signs(UNKNOWN, age=600), "running", id="wall, no budget"),
        pytest.param(FOREIGN, Signs(UNKNOWN, age=9e9), "running", id="wall, another's"),
        # budgets, in whole seconds of the builder's wall clock, and the silence since
        pytest.param(working(61, 60.0), Signs(LIVES), "running", id="61 s of 60 s"),
        pytest.param(working(61, 60.0), Signs(LIVES, 0.1), "overdue", id="after 61 s of 60 s"),
        pytest.param(working(62, 60.0), Signs(UNKNOWN), "overdue", id="unknown, 62 s of 60 s"),
        pytest.param(working(1900, 60.0), Signs(LIVES), "overdue", id="overdue and stalled"),
        pytest.param(
            working(70, 60.0, phase_status="completed"), Signs(LIVES), "running", id="phase over"
        ),
        pytest.param(
            working(70, 60.0, phase_status="failed"), Signs(LIVES), "running", id="phase failed"
        ),
        pytest.param(working(3, 0.0), Signs(LIVES), "overdue", id="a budget of nothing"),
        # activity
        pytest.param(working(1801), Signs(LIVES), "running", id="idle for 1801 s"),
        pytest.param(working(1801), Signs(LIVES, 0.1), "stalled", id="idle for longer"),
        pytest.param(working(1802), Signs(UNKNOWN), "stalled", id="unknown, idle"),
        pytest.param(working(1802, 1e9), Signs(LIVES), "stalled", id="idle within the budget"),
        pytest.param(working(-9e9, 60.0), Signs(LIVES), "running", id="instants in the future"),
        # documents of another program, which has no heartbeat
        pytest.param(FOREIGN, Signs(UNKNOWN, 1801.0), "running", id="another's, 1801 s"),
        pytest.param(FOREIGN, Signs(UNKNOWN, 1801.1), "stalled", id="another's, after 1801 s"),
    ],
)
def test_the_first_state_that_matches_is_the_verdict(
    seen: Snapshot, signs: Signs, state: str
) -> None:
    assert judge(seen, signs).state == state


@pytest.mark.parametrize(("silence", "state"), [(11.0, "running"), (11.1, "stalled")])
def test_how_long_may_pass_without_activity_is_up_to_the_reader(silence: float, state: str) -> None:
    assert judge(document(), Signs(LIVES, silence), stall_after=10.0).state == state


def test_a_negative_heartbeat_is_none() -> None:
    strange = document(tracker=replace(TRACKER, heartbeat_seconds=-1.0))
    assert judge(strange, Signs(LIVES)).state == "running"


@pytest.mark.parametrize(
    ("seen", "signs", "evidence"),
    [
        pytest.param(
            document(status="completed", metrics=Metrics(elapsed_seconds=60)),
            Signs(UNKNOWN),
            "ended after 60 s",
            id="completed",
        ),
        pytest.param(
            document(status="failed", error="ValueError: wrong"),
            Signs(UNKNOWN),
            "ended after 10000 s: ValueError: wrong",
            id="failed",
        ),
        pytest.param(
            document(status="failed", error="E  \x1b[31massert\x1b[0m 2\n== 1"),
            Signs(UNKNOWN),
            "ended after 10000 s: E assert 2 == 1",
            id="failed, in the colours and the words of a log",
        ),
        pytest.param(
            document(status="completed"),
            Signs(TAKEN),
            "another process has taken TASK-1 and has not written yet",
            id="taken",
        ),
        pytest.param(
            document(),
            Signs(GONE),
            "process 7 on box no longer holds the lock of TASK-1: it ended without a word",
            id="crashed",
        ),
        pytest.param(
            document(),
            Signs(LIVES, 20.9),
            "no heartbeat for 20 s (every 5 s is due), process 7 on box still holds the lock: "
            "it is stopped or blocked",
            id="unresponsive",
        ),
        pytest.param(
            BRISK,
            Signs(LIVES, 0.42),
            "no heartbeat for 0.4 s (every 0.1 s is due), process 7 on box still holds the lock: "
            "it is stopped or blocked",
            id="unresponsive, short heartbeat",
        ),
        pytest.param(
            document(),
            Signs(UNKNOWN, 20.0),
            "no heartbeat for 20 s (every 5 s is due), and process 7 on box cannot be examined "
            "from here",
            id="lost",
        ),
        pytest.param(
            document(),
            Signs(UNKNOWN, age=700.0, restarted=True),
            "no heartbeat for 700 s by the wall clock (every 5 s is due), and this machine has "
            "been restarted since",
            id="lost, restarted",
        ),
        pytest.param(
            document(),
            Signs(UNKNOWN, age=-700.0),
            "the last heartbeat is 700 s ahead by the wall clock (every 5 s is due), and process "
            "7 on box cannot be examined from here",
            id="lost, from the future",
        ),
        pytest.param(
            working(68, 60.0),
            Signs(LIVES, 2.5),
            "Player Implementation has taken 70 s of 60 s",
            id="overdue",
        ),
        pytest.param(working(1999), Signs(LIVES, 1.5), "no activity for 2000 s", id="stalled"),
        pytest.param(working(3), Signs(LIVES), "last activity 3 s ago", id="running"),
        pytest.param(working(3), Signs(LIVES, 2.6), "last activity 5 s ago", id="silent"),
        pytest.param(working(-3), Signs(LIVES), "last activity 0 s ago", id="future"),
        pytest.param(
            working(3, metrics=Metrics(elapsed_seconds=2)),
            Signs(LIVES, 1.0),
            "last activity 3 s ago",
            id="no more than has elapsed",
        ),
        pytest.param(
            working(3),
            Signs(UNKNOWN, age=40.0),
            "last activity 43 s ago by the wall clock",
            id="by the wall clock",
        ),
        pytest.param(
            working(3),
            Signs(UNKNOWN, age=-40.0),
            "last activity 3 s ago by the wall clock",
            id="by a wall clock that is behind",
        ),
    ],
)
def test_the_evidence_is_a_sentence_with_figures(
    seen: Snapshot, signs: Signs, evidence: str
) -> None:
    assert judge(seen, signs).evidence == evidence


# features


@pytest.mark.parametrize(
    ("own", "tasks", "state", "evidence"),
    [
        pytest.param("running", [], "running", "why", id="no tasks"),
        pytest.param("running", ["running"], "running", "why", id="all is well"),
        pytest.param("running", ["stalled"], "stalled", "TASK-0: stalled", id="a task stalls"),
        pytest.param(
            "running", ["overdue", "crashed", "lost"], "crashed", "TASK-1: crashed", id="the worst"
        ),
        pytest.param("lost", ["stalled"], "lost", "why", id="it is worse itself"),
        pytest.param("stalled", ["stalled"], "stalled", "why", id="it is as bad"),
        pytest.param("running", ["failed"], "running", "why", id="a task that has failed"),
        pytest.param("running", ["unreadable"], "running", "why", id="a task that is no file"),
        pytest.param("failed", ["crashed"], "failed", "why", id="it has ended"),
    ],
)
def test_a_feature_is_at_best_as_its_worst_running_task(
    own: Any, tasks: list[Any], state: str, evidence: str
) -> None:
    verdicts = [(f"TASK-{n}", Verdict(each, each)) for n, each in enumerate(tasks)]
    assert judge_feature(Verdict(own, "why"), verdicts) == (state, evidence)


# time


def on(boot: str, *, beat: float = 100.0, host: str = "box") -> Snapshot:
    return document(tracker=replace(TRACKER, boot_id=boot, beat=beat, host=host))


def signs(seen: Snapshot, *, heard: float | None = None, wall: float = HOUR) -> Signs:
    """Return the signs at second 107 of the monotonic clock."""
    at = START + timedelta(seconds=wall)
    return measure(seen, UNKNOWN, 107.0, wall=at, heard=heard)


@pytest.mark.parametrize("wall", [-9e9, -1.0, 0.0, HOUR, 9e9])
@pytest.mark.parametrize("heard", [None, 0.0])
def test_on_the_same_boot_the_beat_alone_tells_of_silence(heard: float | None, wall: float) -> None:
    assert signs(on(boot_id()), heard=heard, wall=wall) == Signs(UNKNOWN, 7.0)


def test_a_beat_that_is_rounded_up_is_no_silence() -> None:
    assert signs(on(boot_id(), beat=107.0005)) == Signs(UNKNOWN, 0.0)


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(on("another"), id="another boot"),
        pytest.param(on(""), id="no boot"),
        pytest.param(on(boot_id(), beat=200.0), id="a beat that is to come"),
    ],
)
def test_elsewhere_the_watcher_s_own_clock_tells_of_silence(seen: Snapshot) -> None:
    assert signs(seen, heard=105.0) == Signs(UNKNOWN, 2.0)
    assert signs(seen, heard=108.0) == Signs(UNKNOWN, 0.0)


def test_a_single_look_from_elsewhere_has_the_wall_clock_only() -> None:
    assert signs(on("another")) == Signs(UNKNOWN, age=HOUR)
    assert signs(on("another"), wall=-5.0) == Signs(UNKNOWN, age=-5.0)


@pytest.mark.parametrize("year", [1, 9999])
def test_any_instant_can_be_measured(year: int) -> None:
    strange = replace(on("another"), updated_at=datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC))
    assert judge(strange, signs(strange)).state == "lost"


def test_a_machine_of_the_same_name_and_another_boot_was_restarted() -> None:
    here = socket.gethostname()
    assert signs(on("another", host=here)).restarted
    assert signs(on("another", host=here), heard=0.0).restarted
    assert not signs(on("", host=here)).restarted
    assert not signs(on(boot_id(), host=here, beat=200.0)).restarted


# features


def test_a_task_that_has_ended_or_cannot_be_read_is_no_worry_of_its_feature() -> None:
    own, stalled = (feature(), Verdict("running", "")), Verdict("stalled", "idle")
    ended = task("TASK-1", 2000, status="failed")
    unread = None, Verdict("unreadable", "")
    found = {"FEAT-1": own, "TASK-1": (ended, stalled), "TASK-2": unread}
    assert judge_features(found) == found


def test_nothing_but_a_feature_that_runs_needs_its_tasks() -> None:
    verdict = Verdict("running", "")
    assert needs_tasks({"FEAT-1": (feature(), verdict)})
    assert not needs_tasks({"FEAT-1": (feature(status="completed"), verdict)})
    assert not needs_tasks({"TASK-1": (document(), verdict), "TASK-2": (None, verdict)})


@pytest.mark.parametrize(
    ("silence", "said"),
    [(0.5, "0.5 s"), (0.96, "1.0 s"), (1.0, "1 s"), (1.9, "1 s"), (2.0, "2 s")],
)
def test_seconds_are_said_in_whole_and_less_than_one_in_tenths(silence: float, said: str) -> None:
    beating = document(tracker=replace(TRACKER, heartbeat_seconds=1e-3))
    verdict = judge(beating, Signs(LIVES, silence))
    assert verdict.evidence.startswith(f"no heartbeat for {said} (every 0.001 s is due)")

"""Verdicts: what follows from a document and from what else was seen of a build."""

import os
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from guardkit import Snapshot, assess, track_build
from guardkit.monitor.evidence import measure
from guardkit.monitor.verdict import Signs, Verdict, judge, judge_feature
from guardkit.progress.folder import open_builds
from guardkit.progress.lock import Hold, Locks, boot_id
from guardkit.progress.snapshot import Metrics, Tracker, encode, make_event
from guardkit.testing import FakeClock

START = datetime(2025, 1, 31, 12, 34, 56, tzinfo=UTC)
TRACKER = Tracker(run_id="r", host="box", pid=7, heartbeat_seconds=5.0, activity_at=START)
LIVES, GONE, TAKEN, UNKNOWN = Hold.LIVES, Hold.GONE, Hold.TAKEN, Hold.UNKNOWN
HOUR = 3600.0


def document(**changes: Any) -> Snapshot:
    """Return the document of a build that began at second 0 and was written then."""
    values: dict[str, Any] = {
        "build_id": "TASK-1",
        "task_id": "TASK-1",
        "turn_max": 5,
        "phase": "Player Implementation",
        "phase_status": "in_progress",
        "started_at": START,
        "updated_at": START,
        "metrics": Metrics(elapsed_seconds=10_000),
        "tracker": TRACKER,
    }
    return Snapshot(**(values | changes))


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
            "its event loop is blocked",
            id="unresponsive",
        ),
        pytest.param(
            BRISK,
            Signs(LIVES, 0.42),
            "no heartbeat for 0.4 s (every 0.1 s is due), process 7 on box still holds the lock: "
            "its event loop is blocked",
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


# assess


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Snapshot], Snapshot]:
    """Write a document as a builder leaves it that is killed then; its lock names the file."""
    path = tmp_path / ".guardkit/autobuild/TASK-1/progress.json"
    path.parent.mkdir(parents=True)
    locks = Locks()
    with open_builds(tmp_path) as folder:
        locks.take(folder, "TASK-1", "r")
        lock = locks.identity
        locks.give_back("TASK-1", "r")

    def write(seen: Snapshot) -> Snapshot:
        tracker = replace(seen.tracker, boot_id=boot_id(), lock=lock)
        seen = replace(seen, tracker=tracker)
        path.write_bytes(encode(seen))
        return seen

    return write


Write = Callable[[Snapshot], Snapshot]


def test_a_builder_that_is_gone_has_crashed(tmp_path: Path, clock: FakeClock, write: Write) -> None:
    assert assess(write(document()), root=tmp_path, clock=clock) == (
        "crashed",
        "process 7 on box no longer holds the lock of TASK-1: it ended without a word",
    )


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"boot_id": "another"}, id="another boot"),
        pytest.param({"boot_id": ""}, id="no boot"),
        pytest.param({"lock": "0:0"}, id="another lock file"),
        pytest.param({"lock": None}, id="no locks"),
    ],
)
def test_absence_of_proof_is_no_proof(
    tmp_path: Path, clock: FakeClock, write: Write, changes: dict[str, Any]
) -> None:
    seen = write(document())
    seen = replace(seen, tracker=replace(seen.tracker, **changes))
    assert assess(seen, root=tmp_path, clock=clock).state == "running"


def test_without_a_folder_nothing_is_proven(tmp_path: Path, clock: FakeClock) -> None:
    assert assess(document(), root=tmp_path / "nowhere", clock=clock).state == "running"
    late = document(updated_at=START - timedelta(hours=1))
    assert assess(late, root=tmp_path, clock=clock).state == "lost"


@pytest.mark.anyio
async def test_a_builder_that_holds_its_run_lives_whatever_its_host_is_called(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        tracker = replace(build.snapshot.tracker, host="elsewhere")
        seen = replace(build.snapshot, tracker=tracker)
        assert assess(seen, root=tmp_path, clock=clock).state == "running"


@pytest.mark.anyio
@pytest.mark.parametrize("seconds", [-HOUR, HOUR, 400 * 24 * HOUR])
async def test_a_wall_clock_that_is_set_makes_no_build_look_ill(
    tmp_path: Path, clock: FakeClock, seconds: float
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        seen = build.snapshot
        clock.jump(seconds)
        assert assess(seen, root=tmp_path, clock=clock) == ("running", "last activity 0 s ago")


@pytest.mark.anyio
async def test_a_builder_whose_event_loop_is_blocked_is_unresponsive(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        later = FakeClock()
        await later.advance(15.001)
        assert assess(build.snapshot, root=tmp_path, clock=later).state == "unresponsive"


@pytest.mark.anyio
async def test_the_clock_of_the_machine_is_used_unless_another_is_given(tmp_path: Path) -> None:
    async with track_build("TASK-1", root=tmp_path) as build:
        assert assess(build.snapshot, root=tmp_path).state == "running"


def test_a_build_that_has_ended_meanwhile_is_judged_by_its_end(
    tmp_path: Path, clock: FakeClock, write: Write
) -> None:
    write(document(status="failed", error="no"))
    assert assess(document(), root=tmp_path, clock=clock).state == "running"  # not in doubt
    seen = write(document())
    write(document(status="failed", error="no"))
    verdict = assess(seen, root=tmp_path, clock=clock)
    assert verdict == ("failed", "ended after 10000 s: no")


def test_a_build_whose_file_is_gone_too_has_crashed(
    tmp_path: Path, clock: FakeClock, write: Write
) -> None:
    seen = write(document())
    (tmp_path / ".guardkit/autobuild/TASK-1/progress.json").unlink()
    assert assess(seen, root=tmp_path, clock=clock).state == "crashed"


def test_a_file_that_cannot_be_read_is_no_evidence(
    tmp_path: Path, clock: FakeClock, write: Write
) -> None:
    seen = write(document())
    (tmp_path / ".guardkit/autobuild/TASK-1/progress.json").write_bytes(b"{")
    assert assess(seen, root=tmp_path, clock=clock).state == "crashed"


def test_a_folder_that_cannot_be_read_is_no_evidence(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / ".guardkit").symlink_to("elsewhere")
    assert assess(document(), root=tmp_path, clock=clock).state == "running"


def test_an_end_that_only_the_journal_has_counts(
    tmp_path: Path, clock: FakeClock, write: Write
) -> None:
    end = document(status="cancelled", metrics=Metrics(elapsed_seconds=60))
    journal = tmp_path / ".guardkit/autobuild/TASK-1/events.jsonl"
    journal.write_bytes(encode_events(end))
    assert assess(write(document()), root=tmp_path, clock=clock) == (
        "cancelled",
        "ended after 60 s",
    )


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([("decided", document())], id="no end"),
        pytest.param([("build.ended", document())], id="an end that is none"),
        pytest.param(
            [("build.ended", document(status="failed", tracker=replace(TRACKER, run_id="s")))],
            id="of another run",
        ),
        pytest.param(
            [("build.ended", document(status="failed")), ("build.started", document())],
            id="not the last line",
        ),
    ],
)
def test_of_the_journal_only_the_run_s_end_in_the_last_line_counts(
    tmp_path: Path, clock: FakeClock, write: Write, events: list[tuple[str, Snapshot]]
) -> None:
    journal = tmp_path / ".guardkit/autobuild/TASK-1/events.jsonl"
    journal.write_bytes(b"".join(encode_events(seen, name) for name, seen in events))
    assert assess(write(document()), root=tmp_path, clock=clock).state == "crashed"


def test_an_end_in_a_long_journal_counts(tmp_path: Path, clock: FakeClock, write: Write) -> None:
    journal = tmp_path / ".guardkit/autobuild/TASK-1/events.jsonl"
    line = encode_events(document(), "decided")
    journal.write_bytes(line * 200 + encode_events(document(status="failed")) + b"half a line")
    assert journal.stat().st_size > 2**17
    assert assess(write(document()), root=tmp_path, clock=clock).state == "failed"


def test_an_end_in_a_journal_that_was_moved_away_counts(
    tmp_path: Path, clock: FakeClock, write: Write
) -> None:
    journal = tmp_path / ".guardkit/autobuild/TASK-1/events.jsonl.1"
    journal.write_bytes(encode_events(document(status="failed")))
    assert assess(write(document()), root=tmp_path, clock=clock).state == "failed"


def encode_events(seen: Snapshot, name: str = "build.ended") -> bytes:
    """Return a line of a journal."""
    import msgspec

    return msgspec.json.encode(make_event(name, START, seen)) + b"\n"


@pytest.mark.anyio
async def test_an_earlier_run_is_not_held_against_the_present_one(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        running = build.snapshot
    ended = build.snapshot
    await clock.advance(60.0)
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        for seen in (running, ended):
            assert assess(seen, root=tmp_path, clock=clock) == ("running", "last activity 0 s ago")


@pytest.mark.anyio
async def test_a_feature_is_judged_by_its_tasks_that_are_below_the_root(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with track_build("FEAT-1", build_type="feature", root=tmp_path, clock=clock) as feature:
        async with feature.wave(1) as wave, wave.task("TASK-1") as task:
            async with task.phase("Slow", budget=1.0):
                await clock.advance(3.0)
                assert assess(feature.snapshot, root=tmp_path, clock=clock) == (
                    "overdue",
                    "TASK-1: Slow has taken 3 s of 1 s",
                )


@pytest.mark.parametrize("status", ["running", "completed"])
def test_a_task_that_was_taken_by_who_has_not_written_yet_is_running(
    tmp_path: Path, clock: FakeClock, write: Write, status: str
) -> None:
    seen = write(document(status=status))
    locks = Locks()
    with open_builds(tmp_path) as folder:
        locks.take(folder, "TASK-1", "another")
        verdict = assess(seen, root=tmp_path, clock=clock)
        locks.close()
    assert verdict == ("running", "another process has taken TASK-1 and has not written yet")


def test_a_lock_file_that_is_a_link_proves_nothing(
    tmp_path: Path, clock: FakeClock, write: Write
) -> None:
    lock = tmp_path / ".guardkit/autobuild/.lock"
    seen = write(document())
    os.rename(lock, tmp_path / "lock")
    lock.symlink_to(tmp_path / "lock")
    assert assess(seen, root=tmp_path, clock=clock).state == "running"

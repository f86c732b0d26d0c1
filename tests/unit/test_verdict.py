"""Verdicts: what follows from a snapshot, from who holds the task, and from the time."""

import signal
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from guardkit import Snapshot, assess, read_progress, track_build
from guardkit.monitor.verdict import assess_each, judge, look
from guardkit.progress.paths import lock_path
from guardkit.progress.snapshot import Metrics, Tracker, encode
from guardkit.testing import FakeClock

START = datetime(2025, 1, 31, 12, 34, 56, tzinfo=UTC)
HERE = socket.gethostname()
TRACKER = Tracker(run_id="r", host="box", pid=7, heartbeat_seconds=5.0, activity_at=START)


def seconds(number: float) -> datetime:
    return START + timedelta(seconds=number)


def snapshot(**changes: Any) -> Snapshot:
    """Return the snapshot of a build that began at second 0 and was written then."""
    values: dict[str, Any] = {
        "build_id": "TASK-1",
        "task_id": "TASK-1",
        "turn_max": 5,
        "phase": "Player Implementation",
        "phase_status": "in_progress",
        "started_at": START,
        "updated_at": START,
        "tracker": TRACKER,
    }
    return Snapshot(**(values | changes))


def working(budget: float | None = None, **changes: Any) -> Snapshot:
    """Return the snapshot of a build whose phase began at second 0, with a late heartbeat."""
    tracker = replace(TRACKER, phase_started_at=START, budget_seconds=budget)
    return snapshot(updated_at=seconds(100_000), tracker=tracker, **changes)


FOREIGN = snapshot(tracker=Tracker())


@pytest.mark.parametrize(
    ("seen", "held", "now", "state"),
    [
        # what the snapshot says
        pytest.param(snapshot(status="completed"), True, 0, "completed", id="completed"),
        pytest.param(snapshot(status="failed"), False, 9e9, "failed", id="failed, long ago"),
        pytest.param(snapshot(status="cancelled"), None, 9e9, "cancelled", id="cancelled"),
        pytest.param(snapshot(status="completed"), True, 9e9, "completed", id="late and held"),
        pytest.param(
            snapshot(status="completed", tracker=Tracker()),
            False,
            9e9,
            "completed",
            id="by another",
        ),
        # who holds it
        pytest.param(snapshot(), False, 0, "crashed", id="free"),
        pytest.param(snapshot(), False, -9e9, "crashed", id="free, from the future"),
        pytest.param(working(1.0), False, 9e8, "crashed", id="free, overdue and stalled"),
        # heartbeats: three of five seconds, and one for the whole seconds of the document
        pytest.param(snapshot(), True, 16.0, "running", id="held, 16 s"),
        pytest.param(snapshot(), True, 16.001, "unresponsive", id="held, after 16 s"),
        pytest.param(snapshot(), None, 16.0, "running", id="unknown, 16 s"),
        pytest.param(snapshot(), None, 16.001, "lost", id="unknown, after 16 s"),
        pytest.param(snapshot(), True, -9e9, "running", id="held, from the future"),
        pytest.param(snapshot(), None, -9e9, "running", id="unknown, from the future"),
        pytest.param(
            snapshot(tracker=replace(TRACKER, heartbeat_seconds=0.1)),
            True,
            1.3,
            "running",
            id="short heartbeat",
        ),
        pytest.param(
            snapshot(tracker=replace(TRACKER, heartbeat_seconds=0.1)),
            True,
            1.301,
            "unresponsive",
            id="short heartbeat, late",
        ),
        pytest.param(
            replace(working(1.0), updated_at=START), True, 17, "unresponsive", id="not overdue"
        ),
        # budgets
        pytest.param(working(60.0), True, 61.0, "running", id="budget of 60 s, 61 s"),
        pytest.param(working(60.0), True, 61.001, "overdue", id="budget of 60 s, after 61 s"),
        pytest.param(working(60.0), None, 61.001, "overdue", id="unknown, after 61 s"),
        pytest.param(working(60.0), True, -9e9, "running", id="budget, from the future"),
        pytest.param(working(60.0), True, 1900, "overdue", id="overdue and stalled"),
        pytest.param(working(60.0, phase_status="completed"), True, 70, "running", id="phase over"),
        pytest.param(working(60.0, phase_status="failed"), True, 70, "running", id="phase failed"),
        # activity
        pytest.param(working(), True, 1801.0, "running", id="1801 s without activity"),
        pytest.param(working(), True, 1801.001, "stalled", id="after 1801 s without activity"),
        pytest.param(working(), None, 1801.001, "stalled", id="unknown, after 1801 s"),
        pytest.param(working(1e9), True, 1801.001, "stalled", id="stalled within the budget"),
        # files of another writer
        pytest.param(FOREIGN, None, 0, "running", id="another's, new"),
        pytest.param(FOREIGN, None, 1801.0, "running", id="another's, 1801 s"),
        pytest.param(FOREIGN, None, 1801.001, "stalled", id="another's, after 1801 s"),
        pytest.param(FOREIGN, None, -9e9, "running", id="another's, from the future"),
    ],
)
def test_the_first_state_that_matches_is_the_verdict(
    seen: Snapshot, held: bool | None, now: float, state: str
) -> None:
    assert judge(seen, held, seconds(now)).state == state


@pytest.mark.parametrize(("now", "state"), [(11.0, "running"), (11.001, "stalled")])
@pytest.mark.parametrize("seen", [working(), FOREIGN], ids=["ours", "another's"])
def test_how_long_may_pass_without_activity_is_up_to_the_reader(
    seen: Snapshot, now: float, state: str
) -> None:
    assert judge(seen, None, seconds(now), stall_after=10.0).state == state


@pytest.mark.parametrize(
    ("seen", "held", "now", "evidence"),
    [
        pytest.param(
            snapshot(status="completed", metrics=Metrics(elapsed_seconds=60)),
            None,
            0,
            "it ended after 60 s",
            id="completed",
        ),
        pytest.param(
            snapshot(status="failed", error="ValueError: wrong"),
            None,
            0,
            "it ended after 0 s: ValueError: wrong",
            id="failed",
        ),
        pytest.param(
            snapshot(),
            False,
            0,
            "process 7 on box no longer holds the lock of TASK-1: it ended without a word",
            id="crashed",
        ),
        pytest.param(
            snapshot(),
            True,
            20,
            "no heartbeat for 20 s (every 5 s is due), process 7 on box still holds the lock: "
            "its event loop is blocked",
            id="unresponsive",
        ),
        pytest.param(
            snapshot(),
            None,
            20,
            "no heartbeat for 20 s (every 5 s is due), and process 7 on box cannot be examined "
            "from here",
            id="lost",
        ),
        pytest.param(
            working(60.0),
            True,
            70,
            "Player Implementation has taken 70 s of 60 s",
            id="overdue",
        ),
        pytest.param(working(), True, 2000, "no activity for 2000 s", id="stalled"),
        pytest.param(working(), True, 3, "it did something 3 s ago", id="running"),
        pytest.param(working(), True, -3, "it did something 0 s ago", id="running, future"),
        pytest.param(FOREIGN, None, 2000, "no activity for 2000 s", id="another's"),
        pytest.param(FOREIGN, None, 3, "it did something 3 s ago", id="another's, new"),
        pytest.param(FOREIGN, None, -3, "it did something 0 s ago", id="another's, future"),
    ],
)
def test_the_evidence_is_a_sentence_with_figures(
    seen: Snapshot, held: bool | None, now: float, evidence: str
) -> None:
    assert judge(seen, held, seconds(now)).evidence == evidence


@pytest.mark.parametrize(("silence", "state"), [(16.0, "running"), (17.0, "lost")])
def test_what_was_heard_lately_counts_more_than_what_a_distant_clock_says(
    silence: float, state: str
) -> None:
    seen = snapshot(tracker=replace(TRACKER, activity_at=seconds(3600)))
    assert judge(seen, None, seconds(3600), silence=silence).state == state


# looking


def written(root: Path, seen: Snapshot, *, lock: bool = True) -> Snapshot:
    """Write a snapshot as a builder that is gone has left it."""
    folder = root / ".guardkit/autobuild/TASK-1"
    folder.mkdir(parents=True)
    (folder / "progress.json").write_bytes(encode(seen))
    if lock:
        lock_path(root, "TASK-1").touch()
    return seen


@pytest.mark.parametrize(
    ("host", "lock", "held"),
    [
        pytest.param(HERE, True, False, id="here"),
        pytest.param(HERE, False, None, id="here, no lock file"),
        pytest.param("elsewhere", True, None, id="another machine"),
        pytest.param("elsewhere", False, None, id="another machine, no lock file"),
    ],
)
def test_that_nobody_holds_a_task_is_proof_on_its_own_machine_only(
    tmp_path: Path, host: str, lock: bool, held: bool | None
) -> None:
    seen = written(tmp_path, snapshot(tracker=replace(TRACKER, host=host)), lock=lock)
    assert look([seen], tmp_path) == [held]


def test_that_nobody_holds_the_task_of_another_writer_proves_nothing(tmp_path: Path) -> None:
    assert look([written(tmp_path, FOREIGN)], tmp_path) == [None]


@pytest.mark.anyio
async def test_that_a_task_is_held_is_proof_whatever_the_host_is_called(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        assert build.snapshot.tracker
        tracker = replace(build.snapshot.tracker, host="elsewhere")
        assert look([replace(build.snapshot, tracker=tracker)], tmp_path) == [True]


def test_without_a_root_nothing_is_proof(tmp_path: Path, clock: FakeClock) -> None:
    seen = written(tmp_path, snapshot(tracker=replace(TRACKER, host=HERE)))
    assert assess(seen, root=tmp_path, clock=clock).state == "crashed"
    assert assess(seen, root=None, clock=clock).state == "running"
    late = replace(seen, updated_at=seen.updated_at - timedelta(hours=1))
    assert assess(late, root=None, clock=clock).state == "lost"


def test_a_build_that_has_ended_meanwhile_is_judged_by_its_end(
    tmp_path: Path, clock: FakeClock
) -> None:
    seen = snapshot(tracker=replace(TRACKER, host=HERE))
    written(tmp_path, replace(seen, status="failed", error="no"))
    verdict = assess(seen, root=tmp_path, clock=clock)
    assert (verdict.state, verdict.evidence) == ("failed", "it ended after 0 s: no")


def test_a_build_whose_file_is_gone_too_has_crashed(tmp_path: Path, clock: FakeClock) -> None:
    seen = written(tmp_path, snapshot(tracker=replace(TRACKER, host=HERE)))
    (tmp_path / ".guardkit/autobuild/TASK-1/progress.json").unlink()
    assert assess(seen, root=tmp_path, clock=clock).state == "crashed"


@pytest.mark.anyio
async def test_each_of_several_builds_is_given_its_own_verdict(
    tmp_path: Path, clock: FakeClock
) -> None:
    killed = written(tmp_path, snapshot(tracker=replace(TRACKER, host=HERE)))
    async with track_build("TASK-2", root=tmp_path, clock=clock) as ended:
        seen = ended.snapshot
    async with track_build("TASK-3", root=tmp_path, clock=clock) as running:
        builds = [killed, seen, running.snapshot]
        verdicts = assess_each(builds, root=tmp_path, stall_after=1800.0, now=clock.now)
    assert [each.state for each in verdicts] == ["crashed", "completed", "running"]


@pytest.mark.anyio
async def test_an_older_snapshot_of_a_build_that_another_follows_is_not_judged_by_its_lock(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        old = read_progress("TASK-1", root=tmp_path)
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        new = read_progress("TASK-1", root=tmp_path)
        assert assess(new, root=tmp_path, clock=clock).state == "running"
        assert old.tracker != new.tracker


def test_a_builder_that_was_killed_has_crashed_at_the_first_look(tmp_path: Path) -> None:
    program = """
import asyncio, sys
from guardkit import track_build

async def main():
    async with track_build("TASK-1", root=sys.argv[1]):
        print("ready", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""
    command = (sys.executable, "-c", program, str(tmp_path))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            seen = read_progress("TASK-1", root=tmp_path)
            assert assess(seen, root=tmp_path).state == "running"
            process.send_signal(signal.SIGKILL)
            process.wait()
            verdict = assess(seen, root=tmp_path)
        finally:
            process.kill()
    assert verdict.state == "crashed"
    assert f"process {process.pid} on {HERE}" in verdict.evidence


@pytest.mark.anyio
async def test_a_builder_whose_event_loop_is_blocked_is_unresponsive(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        later = FakeClock()
        later.jump(17)
        seen = read_progress("TASK-1", root=tmp_path)
        assert assess(seen, root=tmp_path, clock=later).state == "unresponsive"


@pytest.mark.anyio
async def test_the_clock_of_the_machine_is_used_unless_another_is_given(tmp_path: Path) -> None:
    async with track_build("TASK-1", root=tmp_path):
        assert assess(read_progress("TASK-1", root=tmp_path), root=tmp_path).state == "running"


@pytest.mark.anyio
async def test_a_snapshot_of_an_earlier_run_is_not_held_against_the_present_one(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        old = build.snapshot
    await clock.advance(60.0)
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        assert assess(old, root=tmp_path, clock=clock).state == "running"

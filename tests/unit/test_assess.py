"""Verdicts on a snapshot that was read before."""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from guardkit import Snapshot, assess, track_build
from guardkit.progress.folder import open_builds
from guardkit.progress.lock import Locks, boot_id
from guardkit.progress.snapshot import Metrics, encode, make_event
from guardkit.testing import FakeClock

from ..looks import START, TRACKER, document

HOUR = 3600.0


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
    assert verdict == ("failed", "ended after 0 s: no")


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

"""One builder for each task."""

import asyncio
import json
import os
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from guardkit import (
    BuildAlreadyRunningError,
    ScopeError,
    read_progress,
    track_build,
)
from guardkit.progress.folder import open_builds
from guardkit.progress.lock import Locks
from guardkit.testing import FakeClock, MemorySink

from ..shown import Journal, OnDisk

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


async def test_a_second_builder_is_refused_and_told_of_the_first(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        with pytest.raises(BuildAlreadyRunningError, match="see `guardkit status TASK-1`") as error:
            async with track_build("TASK-1", root=tmp_path, clock=clock):
                pytest.fail("it was entered")
    who = f"process {os.getpid()} on {socket.gethostname()}, since 2025-01-31 12:34:56 UTC"
    assert who in str(error.value)


async def test_the_first_builder_is_not_disturbed_by_a_second(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk, journal: Journal
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        before = on_disk()
        sink = MemorySink()
        with pytest.raises(BuildAlreadyRunningError):
            await track_build("TASK-1", root=tmp_path, clock=clock, sinks=[sink]).__aenter__()
        assert (on_disk(), sink.snapshots) == (before, [])
        async with build.phase("Setup"):
            assert on_disk()["phase"] == "Setup"
    assert on_disk()["status"] == "completed"
    assert len({entry["run_id"] for entry in journal()}) == 1


async def test_the_next_builder_may_start_when_the_first_has_ended(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    runs = set()
    for _ in range(3):
        async with track_build("TASK-1", root=tmp_path, clock=clock):
            runs.add(on_disk()["tracker"]["run_id"])
            assert on_disk()["status"] == "running"
    assert len(runs) == 3


async def test_a_build_that_was_refused_is_of_no_use(tmp_path: Path, clock: FakeClock) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        second = track_build("TASK-1", root=tmp_path, clock=clock)
        with pytest.raises(BuildAlreadyRunningError):
            await second.__aenter__()
        with pytest.raises(ScopeError):
            second.update(files_created=1)
        with pytest.raises(ScopeError, match="make another"):
            await second.__aenter__()


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b'{"build_id": "\xff"}', id="not UTF-8"),
        pytest.param(b'{"x":' * 100_000, id="nested too deeply"),
        pytest.param(b"[]", id="not a document"),
        pytest.param(
            b'{"build_id": "B", "task_id": "TASK-1", "turn_max": 5,'
            b'"started_at": "2025-01-31T12:34:56Z", "updated_at": "2025-01-31T12:34:56Z"}',
            id="of another writer",
        ),
    ],
)
async def test_a_second_builder_is_refused_whatever_has_become_of_the_file(
    tmp_path: Path, clock: FakeClock, document: bytes
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        (tmp_path / ".guardkit/autobuild/TASK-1/progress.json").write_bytes(document)
        second = track_build("TASK-1", root=tmp_path, clock=clock)
        entering = asyncio.create_task(second.__aenter__())
        await clock.advance(0.25)
        with pytest.raises(BuildAlreadyRunningError, match="is being built by another process"):
            await entering


async def test_a_second_builder_looks_for_a_fifth_of_a_second_at_who_is_the_first(
    tmp_path: Path, clock: FakeClock
) -> None:
    path = tmp_path / ".guardkit/autobuild/TASK-1/progress.json"
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        document = path.read_bytes()
        path.unlink()
        second = track_build("TASK-1", root=tmp_path, clock=clock)
        entering = asyncio.create_task(second.__aenter__())
        await clock.advance(0.185)
        assert not entering.done()
        path.write_bytes(document)
        await clock.advance(0.01)
        with pytest.raises(BuildAlreadyRunningError, match=f"process {os.getpid()} on "):
            await entering


async def test_builders_of_other_tasks_and_roots_go_side_by_side(
    tmp_path: Path, clock: FakeClock
) -> None:
    (tmp_path / "other").mkdir()
    async with AsyncExitStack() as stack:
        for task_id, root in (("A", tmp_path), ("B", tmp_path), ("A", tmp_path / "other")):
            await stack.enter_async_context(track_build(task_id, root=root, clock=clock))


# another builder takes the task in the midst of a run


def take_over(root: Path, task_id: str) -> Locks:
    """Take the task in a new lock file, as a builder does that finds none."""
    (root / ".guardkit/autobuild/.lock").unlink()
    locks = Locks()
    with open_builds(root) as builds:
        locks.take(builds, task_id, "another run")
    return locks


async def test_a_run_whose_task_another_builder_takes_writes_no_more_and_tells_its_sinks(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk, journal: Journal
) -> None:
    sink, went_on = MemorySink(transitions=True), False
    async with track_build("TASK-1", root=tmp_path, clock=clock, sinks=[sink]) as build:
        async with build.phase("Setup"):
            before = on_disk()
            locks = take_over(tmp_path, "TASK-1")
            await clock.advance(6.0)
        build.update(files_created=1)
        build.decide("approve")
        await clock.advance(6.0)
        went_on = True
    assert went_on
    assert on_disk()["tracker"]["seq"] == before["tracker"]["seq"]
    assert [entry["event"] for entry in journal()] == ["build.started", "phase.started"]
    last = sink.snapshots[-1]
    assert (last.status, last.error) == ("failed", "another builder has taken TASK-1")
    assert [s.status for s in sink.snapshots].count("failed") == 1
    assert sink.closed
    assert build.snapshot == last
    locks.close()


async def test_a_run_whose_task_was_taken_leaves_what_the_other_builder_writes(
    tmp_path: Path, clock: FakeClock
) -> None:
    path = tmp_path / ".guardkit/autobuild/TASK-1/progress.json"
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        locks = take_over(tmp_path, "TASK-1")
        path.write_text("theirs")
        await clock.advance(20.0)
    assert path.read_text() == "theirs"
    locks.close()


async def test_a_run_whose_task_was_taken_does_not_disturb_its_neighbour(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with (
        track_build("TASK-1", root=tmp_path, clock=clock),
        track_build("TASK-2", root=tmp_path, clock=clock) as neighbour,
    ):
        locks = take_over(tmp_path, "TASK-1")
        await clock.advance(6.0)
        lock = (tmp_path / ".guardkit/autobuild/.lock").stat()
        assert neighbour.snapshot.tracker.lock == f"{lock.st_dev}:{lock.st_ino}"
        async with neighbour.phase("Setup"):
            assert read_progress("TASK-2", root=tmp_path).phase == "Setup"
    assert read_progress("TASK-2", root=tmp_path).status == "completed"
    locks.close()


async def test_a_lock_file_that_was_deleted_is_made_again_and_shown(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    path = tmp_path / ".guardkit/autobuild/.lock"
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        before = on_disk()["tracker"]["lock"]
        path.rename(path.with_name("old"))
        await clock.advance(6.0)
        status = path.stat()
        assert on_disk()["tracker"]["lock"] == f"{status.st_dev}:{status.st_ino}" != before


async def test_where_no_lock_can_be_taken_the_document_says_so_with_one_warning(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / ".guardkit/autobuild/.lock").mkdir(parents=True)
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        await clock.advance(20.0)
        assert on_disk()["tracker"]["lock"] is None
    assert on_disk()["status"] == "completed"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "no proof of life" in caplog.text


@pytest.mark.parametrize("lock", ["0:0", None], ids=["another lock file", "no lock"])
async def test_a_builder_that_seems_to_live_elsewhere_keeps_its_task_for_three_heartbeats(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk, lock: str | None
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        document = on_disk()
    document["tracker"]["lock"] = lock  # as on another mount, which does not share its locks
    path = tmp_path / ".guardkit/autobuild/TASK-1/progress.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(BuildAlreadyRunningError, match=f"process {os.getpid()} on "):
        await track_build("TASK-1", root=tmp_path, clock=clock).__aenter__()
    assert on_disk()["tracker"]["run_id"] == build.snapshot.tracker.run_id
    await clock.advance(15.0)
    async with track_build("TASK-1", root=tmp_path, clock=clock) as later:
        assert on_disk()["tracker"]["run_id"] == later.snapshot.tracker.run_id

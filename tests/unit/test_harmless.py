"""Disks that hang, that fail, and that come back: promises 3.1 and 3.4."""

import asyncio
import os
from pathlib import Path

import pytest

from guardkit import (
    MisuseError,
    read_events,
    track_build,
)
from guardkit.testing import FakeClock, MemorySink

from ..doubles import HungDisk, remove, tasks_of_ours
from ..shown import OnDisk

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


# disks that hang


async def test_a_disk_that_hangs_holds_the_build_up_once_for_a_second(
    tmp_path: Path, clock: FakeClock, disk: HungDisk
) -> None:
    entered: list[float] = []

    async def run() -> None:
        async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
            disk.hang()
            for name in "ABC":
                async with build.phase(name):
                    entered.append(clock.monotonic())

    task = asyncio.create_task(run())
    await clock.advance(0.799)
    assert entered == []
    await clock.advance(0.001)
    assert entered == [0.8, 0.8, 0.8]
    await clock.advance(0.199)
    assert not task.done()
    await clock.advance(0.001)
    assert task.done()


async def test_a_disk_that_hangs_while_the_build_is_entered_holds_it_up_for_a_second(
    tmp_path: Path, clock: FakeClock, disk: HungDisk
) -> None:
    async def run() -> None:
        async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
            async with build.phase("Setup"):
                assert clock.monotonic() == 0.8

    disk.hang()
    task = asyncio.create_task(run())
    await clock.advance(0.999)
    assert not task.done()
    await clock.advance(0.001)
    assert task.done()


async def test_what_was_last_is_written_when_a_disk_that_hung_comes_back(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk, disk: HungDisk
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        disk.hang()
        build.decide("feedback")
        await clock.advance(0.1)
        for message in ("first", "last"):
            build.update(message=message)
            await clock.advance(2.0)
        assert on_disk()["message"] is None
        disk.come_back()
        await clock.advance(0.0)
        assert on_disk()["message"] == "last"


async def test_a_build_that_ends_while_its_disk_hangs_is_shown_ended_when_it_comes_back(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk, disk: HungDisk
) -> None:
    async def run() -> None:
        async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
            disk.hang()
            await disk.let_go()
            build.decide("approve")

    task = asyncio.create_task(run())
    await clock.advance(1.0)
    assert task.done()
    assert on_disk()["status"] == "running"
    disk.come_back()
    while on_disk()["status"] == "running":  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert on_disk()["status"] == "completed"


# disks that fail


async def test_the_temporary_file_is_gone_when_a_write_fails(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    folder = tmp_path / ".guardkit/autobuild/TASK-1"
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        (folder / "progress.json").unlink()
        (folder / "progress.json").mkdir()
        async with build.phase("Setup"):
            assert sorted(os.listdir(folder)) == ["events.jsonl", "progress.json"]
        (folder / "progress.json").rmdir()
        await clock.advance(1.0)
        assert on_disk()["phase_status"] == "completed"


async def test_a_directory_deleted_meanwhile_is_made_again(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        remove(tmp_path / ".guardkit")
        async with build.phase("Setup"):
            assert on_disk()["phase"] == "Setup"
    assert (tmp_path / ".guardkit/autobuild/.gitignore").read_text() == "*\n"


async def test_a_root_deleted_meanwhile_is_not_made_again(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    async with track_build("TASK-1", root=root, clock=clock) as build:
        remove(root)
        for name in "ABC":
            async with build.phase(name):
                await clock.advance(2.0)
    assert not root.exists()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "the build continues" in caplog.text


async def test_a_root_that_is_not_there_is_refused_when_the_build_is_entered(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "nowhere"
    with pytest.raises(MisuseError, match=f"root='{root}' is no folder: make it first, or pass"):
        await track_build("TASK-1", root=root, clock=clock).__aenter__()
    assert not root.exists()
    assert caplog.records == []


async def test_a_root_that_is_a_file_is_refused_when_the_build_is_entered(
    tmp_path: Path, clock: FakeClock
) -> None:
    root = tmp_path / "file"
    root.write_text("theirs")
    with pytest.raises(MisuseError, match=f"root='{root}' is no folder: make it first, or pass"):
        await track_build("TASK-1", root=root, clock=clock).__aenter__()
    assert root.read_text() == "theirs"


@pytest.mark.parametrize("root", ["a\0b", "\ud800"], ids=["NUL", "surrogate"])
async def test_a_root_that_cannot_exist_is_refused_when_the_build_is_entered(
    clock: FakeClock, root: str
) -> None:
    entering = asyncio.create_task(track_build("TASK-1", root=root, clock=clock).__aenter__())
    await clock.advance(0.0)
    assert entering.done()
    with pytest.raises(MisuseError, match="is no folder: make it first, or pass root=None"):
        await entering


async def test_a_failed_write_is_tried_again_every_second_and_warned_of_once(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / ".guardkit/autobuild/TASK-1"
    async with track_build("TASK-1", root=tmp_path, clock=clock, heartbeat=60) as build:
        (folder / "progress.json").unlink()
        (folder / "progress.json").mkdir()
        async with build.phase("Setup"):
            pass
        await clock.advance(3.5)
        (folder / "progress.json").rmdir()
        await clock.advance(0.499)
        assert not (folder / "progress.json").exists()
        await clock.advance(0.001)
        assert on_disk()["phase"] == "Setup"
    assert len(caplog.records) == 1


async def test_what_cancels_all_tasks_stops_neither_heartbeats_nor_writes(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        build.decide("feedback")
        await asyncio.sleep(0)
        assert all(task.cancel() for task in tasks_of_ours())
        await clock.advance(5.0)
        assert on_disk()["updated_at"] == "2025-01-31T12:35:01Z"
        async with build.phase("Setup"):
            assert on_disk()["phase"] == "Setup"


async def test_events_that_cannot_be_written_are_kept_up_to_a_bound(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    sink = MemorySink(transitions=True)
    async with track_build("TASK-1", root=tmp_path, clock=clock, sinks=[sink]) as build:
        await clock.advance(0.0)
        for number in range(1100):
            build.decide(f"{number}")
    last = [*map(str, range(101, 1100)), "1099"]
    assert [snapshot.decision for snapshot in sink.snapshots[1:]] == last
    events = read_events("TASK-1", root=tmp_path)
    assert [event.progress.decision for event in events[-1000:]] == last
    assert "the journal lost events, as 1000 of them wait" in caplog.text

"""Reading from outside: once, and on every change."""

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from guardkit import (
    GuardKitError,
    InvalidProgressError,
    InvalidTaskIdError,
    ProgressNotFoundError,
    Snapshot,
    read_progress,
    track_build,
    watch_progress,
)
from guardkit.progress.reader import list_builds
from guardkit.progress.snapshot import Tracker
from guardkit.testing import FakeClock

FOREIGN = {
    "build_id": "TASK-1",
    "build_type": "task",
    "status": "running",
    "wave": 1,
    "wave_total": 1,
    "task_id": "TASK-1",
    "task_name": "",
    "turn": 0,
    "turn_max": 5,
    "phase": "",
    "phase_status": "",
    "metrics": {},
    "started_at": "2025-01-31T12:34:56Z",
    "updated_at": "2025-01-31T12:34:56Z",
}
LIMIT = 20  # seconds, real ones, after which a test that waits for the kernel has failed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / ".guardkit/autobuild/TASK-1/progress.json"
    path.parent.mkdir(parents=True)
    return path


def with_tracker(**changes: object) -> bytes:
    tracker = {
        "schema_version": 1,
        "run_id": "r",
        "seq": 1,
        "host": "box",
        "pid": 7,
        "heartbeat_seconds": 5.0,
        "activity_at": "2025-01-31T12:34:56Z",
        "phase_started_at": None,
        "budget_seconds": None,
    }
    return json.dumps(FOREIGN | {"tracker": tracker | changes}).encode()


# once


NO_FILE = "not a progress file, or one for a newer guardkit"


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        pytest.param(
            b"",
            f"{NO_FILE}: Input data was truncated",
            id="empty",
        ),
        pytest.param(
            b'{"build_id": "TA',
            f"{NO_FILE}: Input data",
            id="half",
        ),
        pytest.param(
            b"status: running\n",
            f"{NO_FILE}: JSON is malformed",
            id="YAML",
        ),
        pytest.param(
            b"null",
            f"{NO_FILE}: Expected `object`",
            id="null",
        ),
        pytest.param(
            b"[]",
            f"{NO_FILE}: Expected `object`",
            id="a list",
        ),
        pytest.param(b"{}", "missing required field `build_id`", id="no keys"),
        pytest.param(b"\xff\xfe{\x00}\x00", "not a progress file", id="UTF-16"),
        pytest.param(b'{"build_id": "\xff"}', "not a progress file", id="not UTF-8"),
        pytest.param(b'{"x":' * 100_000, "not a progress file", id="nested too deeply"),
        pytest.param(b"\0" * 1000, "not a progress file", id="zeros"),
        pytest.param(
            json.dumps(FOREIGN | {"turn": -1}).encode(), r"`\$\.turn`", id="a negative turn"
        ),
        pytest.param(with_tracker(pid="7"), r"`\$\.tracker\.pid`", id="a tracker unlike ours"),
        pytest.param(
            with_tracker(schema_version=2, run_id=5),
            r"for a newer guardkit: Expected `int` <= 1 - at `\$.tracker.schema_version`",
            id="a newer schema",
        ),
        pytest.param(
            with_tracker(schema_version="two"), "not a progress file", id="no schema version"
        ),
    ],
)
def test_what_is_no_progress_file_is_refused_in_one_line(
    tmp_path: Path, path: Path, document: bytes, reason: str
) -> None:
    path.write_bytes(document)
    with pytest.raises(InvalidProgressError, match=reason) as raised:
        read_progress("TASK-1", root=tmp_path)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


def test_a_folder_in_place_of_the_file_cannot_be_read(tmp_path: Path, path: Path) -> None:
    path.mkdir()
    with pytest.raises(InvalidProgressError, match=r"json cannot be read: not a regular file$"):
        read_progress("TASK-1", root=tmp_path)


def test_a_file_in_place_of_the_folder_cannot_be_read(tmp_path: Path, path: Path) -> None:
    path.parent.rmdir()
    path.parent.touch()
    with pytest.raises(InvalidProgressError, match=r"json cannot be read: Not a directory$"):
        read_progress("TASK-1", root=tmp_path)


def test_a_link_to_itself_cannot_be_read(tmp_path: Path, path: Path) -> None:
    path.symlink_to(path)
    with pytest.raises(InvalidProgressError, match=r"json cannot be read: Too many levels"):
        read_progress("TASK-1", root=tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_cannot_be(tmp_path: Path, path: Path) -> None:
    path.touch(mode=0)
    with pytest.raises(InvalidProgressError, match=r"json cannot be read: Permission denied$"):
        read_progress("TASK-1", root=tmp_path)


@pytest.mark.parametrize("missing", ["", "TASK-1", ".guardkit"], ids=["file", "folder", "all"])
def test_a_build_that_never_was_is_not_found(tmp_path: Path, path: Path, missing: str) -> None:
    if missing:
        shutil.rmtree(tmp_path / ".guardkit" / ("autobuild/TASK-1" if missing == "TASK-1" else ""))
    with pytest.raises(ProgressNotFoundError) as raised:
        read_progress("TASK-1", root=tmp_path)
    assert str(raised.value) == f"no build of TASK-1: there is no {path}"


@pytest.mark.parametrize("task_id", ["", "..", "../TASK-1", "/etc/passwd", "a/b", "x" * 129])
def test_what_is_no_task_id_is_refused(tmp_path: Path, task_id: str) -> None:
    with pytest.raises(InvalidTaskIdError):
        read_progress(task_id, root=tmp_path)


@pytest.mark.parametrize("root", [str, Path], ids=["str", "path"])
def test_a_file_of_another_writer_is_read(
    tmp_path: Path, path: Path, root: Callable[[Path], Any]
) -> None:
    path.write_bytes(json.dumps(FOREIGN).encode())
    assert read_progress("TASK-1", root=root(tmp_path)).tracker == Tracker()


def test_the_root_is_the_working_directory_unless_it_is_given(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(with_tracker())
    monkeypatch.chdir(tmp_path)
    assert read_progress("TASK-1").task_id == "TASK-1"


def test_builds_are_listed_by_their_files(tmp_path: Path, path: Path) -> None:
    assert list_builds(tmp_path) == []
    for task_id in ("TASK-2", "TASK-1", "TASK-10"):
        path.parent.with_name(task_id).mkdir(exist_ok=True)
        path.parent.with_name(task_id).joinpath("progress.json").touch()
    path.parent.with_name("TASK-3").mkdir()
    assert list_builds(tmp_path) == ["TASK-1", "TASK-10", "TASK-2"]


def test_where_nothing_was_built_nothing_is_listed(tmp_path: Path) -> None:
    assert list_builds(tmp_path) == []


# on every change


@pytest.mark.anyio
@pytest.mark.usefixtures("no_task_is_left")
async def test_a_watch_begins_with_what_is_there_and_ends_with_the_terminal_snapshot(
    tmp_path: Path, clock: FakeClock
) -> None:
    seen: list[Snapshot] = []
    seen_one = asyncio.Condition()

    async def watch() -> None:
        async for snapshot in watch_progress("TASK-1", root=tmp_path):
            async with seen_one:
                seen.append(snapshot)
                seen_one.notify_all()

    async def until(phase: str, status: str) -> None:
        async with seen_one:
            await seen_one.wait_for(
                lambda: seen and (seen[-1].phase, seen[-1].phase_status) == (phase, status)
            )

    async with asyncio.timeout(LIMIT), asyncio.TaskGroup() as tasks:
        async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
            tasks.create_task(watch())
            await until("", "")
            for name in "ABC":
                async with build.phase(name):
                    await until(name, "in_progress")
                await until(name, "completed")
    assert [snapshot.status for snapshot in seen] == ["running"] * 7 + ["completed"]
    numbers = [snapshot.tracker.seq for snapshot in seen if snapshot.tracker]
    assert numbers == sorted(set(numbers))


@pytest.mark.anyio
async def test_a_watch_tells_of_heartbeats(tmp_path: Path, clock: FakeClock) -> None:
    async with (
        asyncio.timeout(LIMIT),
        track_build("TASK-1", root=tmp_path, clock=clock),
        aclosing(watch_progress("TASK-1", root=tmp_path)) as watch,
    ):
        first = await anext(watch)
        await clock.advance(5.0)
        second = await anext(watch)
    assert (second.updated_at - first.updated_at).total_seconds() == 5.0
    assert second.tracker == first.tracker


@pytest.mark.anyio
async def test_a_watch_of_an_ended_build_is_one_look(tmp_path: Path, clock: FakeClock) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        pass
    seen = [snapshot async for snapshot in watch_progress("TASK-1", root=tmp_path)]
    assert [snapshot.status for snapshot in seen] == ["completed"]


@pytest.mark.anyio
async def test_a_watch_goes_on_with_the_next_run(tmp_path: Path, clock: FakeClock) -> None:
    task_id = "TASK-1"
    async with asyncio.timeout(LIMIT), aclosing(watch_progress(task_id, root=tmp_path)) as watch:
        async with track_build(task_id, root=tmp_path, clock=clock):
            await anext(watch)
            document = (tmp_path / ".guardkit/autobuild/TASK-1/progress.json").read_bytes()
        last = await anext(watch)
        assert last.status == "completed"
        assert json.loads(document)["tracker"]["run_id"] == (last.tracker and last.tracker.run_id)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("task_id", "error"),
    [("TASK-2", ProgressNotFoundError), ("../TASK-1", InvalidTaskIdError)],
    ids=["no build", "no task id"],
)
async def test_a_watch_refuses_what_a_look_refuses(
    tmp_path: Path, task_id: str, error: type[GuardKitError]
) -> None:
    with pytest.raises(error):
        await anext(watch_progress(task_id, root=tmp_path))


@pytest.mark.anyio
async def test_a_file_that_cannot_be_read_meanwhile_is_waited_for(
    tmp_path: Path, clock: FakeClock
) -> None:
    path = tmp_path / ".guardkit/autobuild/TASK-1/progress.json"
    async with (
        asyncio.timeout(LIMIT),
        track_build("TASK-1", root=tmp_path, clock=clock) as build,
        aclosing(watch_progress("TASK-1", root=tmp_path)) as watch,
    ):
        await anext(watch)
        seen = asyncio.create_task(anext(watch))
        path.unlink()
        path.write_bytes(b"{")
        async with build.phase("Setup"):
            assert (await seen).phase == "Setup"


@pytest.mark.anyio
async def test_a_watch_survives_that_the_folder_is_deleted_and_made_again(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with (
        asyncio.timeout(LIMIT),
        track_build("TASK-1", root=tmp_path, clock=clock) as build,
        aclosing(watch_progress("TASK-1", root=tmp_path)) as watch,
    ):
        await anext(watch)
        async with build.phase("Before"):
            assert (await anext(watch)).phase == "Before"
            shutil.rmtree(tmp_path / ".guardkit/autobuild/TASK-1")
        async with build.phase("After"):
            while (await anext(watch)).phase != "After":
                pass


@pytest.mark.anyio
async def test_a_watch_whose_folder_is_gone_when_it_begins_to_watch_polls(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with (
        asyncio.timeout(LIMIT),
        track_build("TASK-1", root=tmp_path, clock=clock) as build,
        aclosing(watch_progress("TASK-1", root=tmp_path, clock=clock)) as watch,
    ):
        await anext(watch)
        shutil.rmtree(tmp_path / ".guardkit/autobuild/TASK-1")
        seen = asyncio.create_task(anext(watch))
        await clock.advance(0.6)
        async with build.phase("Setup"):
            await clock.advance(0.399)
            assert not seen.done()
            await clock.advance(0.001)
            assert (await seen).phase == "Setup"
            seen = asyncio.create_task(anext(watch))
            await clock.advance(0.5)
            assert not seen.done()
        await clock.advance(0.5)
        assert (await seen).phase_status == "completed"


@pytest.mark.anyio
@pytest.mark.usefixtures("no_task_is_left")
async def test_a_watch_that_is_broken_out_of_leaves_no_task_behind(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with asyncio.timeout(LIMIT), track_build("TASK-1", root=tmp_path, clock=clock) as build:
        tasks = asyncio.all_tasks()
        async with aclosing(watch_progress("TASK-1", root=tmp_path)) as watch:
            async for snapshot in watch:
                if snapshot.phase == "Setup":
                    break
                await build.phase("Setup").__aenter__()
        assert asyncio.all_tasks() <= tasks


@pytest.mark.anyio
@pytest.mark.usefixtures("no_task_is_left")
async def test_a_watch_that_is_cancelled_ends_at_once(tmp_path: Path, clock: FakeClock) -> None:
    first = asyncio.Event()

    async def watch() -> None:
        async for _ in watch_progress("TASK-1", root=tmp_path):
            first.set()

    async with track_build("TASK-1", root=tmp_path, clock=clock):
        task = asyncio.create_task(watch())
        async with asyncio.timeout(LIMIT):
            await first.wait()
            task.cancel()
            await asyncio.wait({task})
        assert task.cancelled()


@pytest.mark.anyio
async def test_watches_of_many_builds_leave_the_host_its_threads(
    tmp_path: Path, clock: FakeClock
) -> None:
    """Every thread of the default pools stays to be had, however many builds are watched."""
    import anyio.to_thread

    folder = tmp_path / ".guardkit/autobuild"
    watches = []
    for number in range(60):
        (folder / f"TASK-{number}").mkdir(parents=True)
        document = with_tracker().replace(b"TASK-1", f"TASK-{number}".encode())
        (folder / f"TASK-{number}" / "progress.json").write_bytes(document)
        watches.append(watch_progress(f"TASK-{number}", root=tmp_path))
    limiter = anyio.to_thread.current_default_thread_limiter()
    for watch in watches:
        await anext(watch)
    waiting = [asyncio.ensure_future(anext(watch)) for watch in watches]
    try:
        await clock.advance(0.0)
        assert limiter.statistics().tasks_waiting == 0
        assert limiter.available_tokens > 0
    finally:
        for future in waiting:
            future.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for watch in watches:
            await watch.aclose()

"""The progress of one build, at each change."""

import asyncio
import os
import shutil
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from guardkit import (
    GuardKitError,
    InvalidTaskIdError,
    ProgressNotFoundError,
    Snapshot,
    track_build,
    watch_progress,
)
from guardkit.testing import FakeClock

from ..looks import TRACKER, Writer, document

LIMIT = 20.0  # seconds, real ones, until a test that hangs is ended

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


@pytest.fixture
def path(writer: Writer) -> Path:
    return writer.folder / "TASK-1/progress.json"


async def test_a_watch_begins_with_what_is_there_and_ends_with_the_terminal_snapshot(
    tmp_path: Path, clock: FakeClock
) -> None:
    seen: list[Snapshot] = []

    async def watch() -> None:
        seen.extend([each async for each in watch_progress("TASK-1", root=tmp_path, clock=clock)])

    async with asyncio.timeout(LIMIT), asyncio.TaskGroup() as tasks:
        async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
            tasks.create_task(watch())
            await clock.advance(0.0)
            for name in "ABC":
                async with build.phase(name):
                    await clock.advance(0.0)
                await clock.advance(0.0)
    assert [(each.phase, each.phase_status) for each in seen] == [
        ("", ""),
        *((name, status) for name in "ABC" for status in ("in_progress", "completed")),
        ("C", "completed"),
    ]
    assert [each.status for each in seen] == ["running"] * 7 + ["completed"]
    numbers = [each.tracker.seq for each in seen]
    assert numbers == sorted(set(numbers))


@asynccontextmanager
async def progress(root: Path, clock: FakeClock) -> AsyncIterator[AsyncGenerator[Snapshot]]:
    async with (
        asyncio.timeout(LIMIT),
        aclosing(watch_progress("TASK-1", root=root, clock=clock)) as watch,
    ):
        yield watch


async def test_a_watch_tells_of_heartbeats(tmp_path: Path, clock: FakeClock) -> None:
    async with (
        track_build("TASK-1", root=tmp_path, clock=clock),
        progress(tmp_path, clock) as watch,
    ):
        first = await anext(watch)
        await clock.advance(5.0)
        second = await anext(watch)
    assert second.updated_at - first.updated_at == timedelta(seconds=5)
    assert second.tracker.seq == first.tracker.seq


async def test_a_watch_of_an_ended_build_is_one_look(tmp_path: Path, clock: FakeClock) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        pass
    seen = [snapshot async for snapshot in watch_progress("TASK-1", root=tmp_path)]
    assert [snapshot.status for snapshot in seen] == ["completed"]


async def test_a_watch_ends_with_the_end_that_only_the_journal_has(
    tmp_path: Path, writer: Writer, clock: FakeClock
) -> None:
    writer.hold()
    writer.put(writer.own(document()))
    async with progress(tmp_path, clock) as watch:
        await anext(watch)
        last = asyncio.create_task(anext(watch))
        end = document(status="failed")
        writer.append("build.ended", end)
        writer.let_go()
        await clock.advance(0.5)
        assert await last == end
        with pytest.raises(StopAsyncIteration):
            await anext(watch)


async def test_a_watch_goes_on_with_the_next_run(
    tmp_path: Path, writer: Writer, clock: FakeClock
) -> None:
    writer.put(document())
    async with progress(tmp_path, clock) as watch:
        await anext(watch)
        new = writer.put(document(tracker=replace(TRACKER, run_id="s")))
        assert await anext(watch) == new


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


async def test_a_file_that_cannot_be_read_meanwhile_is_waited_for(
    tmp_path: Path, clock: FakeClock, writer: Writer
) -> None:
    async with (
        track_build("TASK-1", root=tmp_path, clock=clock) as build,
        progress(tmp_path, clock) as watch,
    ):
        await anext(watch)
        seen = asyncio.create_task(anext(watch))
        writer.put_bytes("TASK-1", b"{")
        await clock.advance(1.0)
        assert not seen.done()
        async with build.phase("Setup"):
            assert (await seen).phase == "Setup"


async def test_a_watch_survives_that_the_folder_is_deleted_and_made_again(
    tmp_path: Path, clock: FakeClock, path: Path
) -> None:
    async with (
        track_build("TASK-1", root=tmp_path, clock=clock) as build,
        progress(tmp_path, clock) as watch,
    ):
        await anext(watch)
        shutil.rmtree(path.parent)
        async with build.phase("After"):
            assert (await anext(watch)).phase == "After"


async def test_a_watch_looks_each_half_second_whatever_the_kernel_tells(
    tmp_path: Path, writer: Writer, clock: FakeClock
) -> None:
    """Here the folder of all builds is another one than the kernel watches."""
    seen = writer.put(document())
    async with progress(tmp_path, clock) as watch:
        await anext(watch)
        new = asyncio.create_task(anext(watch))
        shutil.copytree(writer.folder, tmp_path / "copy")
        os.rename(writer.folder, tmp_path / "away")
        os.rename(tmp_path / "copy", writer.folder)
        writer.put(replace(seen, message="new"))
        await clock.advance(0.4375)
        assert not new.done()
        await clock.advance(0.0625)
        assert (await new).message == "new"


async def test_a_watch_is_not_woken_by_other_builds(
    tmp_path: Path, writer: Writer, clock: FakeClock
) -> None:
    seen = writer.put(document())
    async with progress(tmp_path, clock) as watch:
        await anext(watch)
        new = asyncio.create_task(anext(watch))
        writer.put(document("TASK-2"))
        await clock.advance(0.0)
        assert not new.done()
        writer.put(replace(seen, message="new"))
        assert (await new).message == "new"


async def test_a_watch_that_is_broken_out_of_leaves_no_task_behind(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        tasks = asyncio.all_tasks()
        async with progress(tmp_path, clock) as watch:
            async for snapshot in watch:
                if snapshot.phase == "Setup":
                    break
                await build.phase("Setup").__aenter__()
        assert asyncio.all_tasks() <= tasks


async def test_a_watch_that_is_cancelled_ends_at_once(
    tmp_path: Path, writer: Writer, clock: FakeClock
) -> None:
    writer.put(document())

    async def watch() -> None:
        async for _ in watch_progress("TASK-1", root=tmp_path, clock=clock):
            pass

    task = asyncio.create_task(watch())
    await clock.advance(0.0)
    task.cancel()
    async with asyncio.timeout(LIMIT):
        await asyncio.wait({task})
    assert task.cancelled()


async def test_watches_of_many_builds_leave_the_host_its_threads(
    tmp_path: Path, writer: Writer, clock: FakeClock
) -> None:
    """Every thread of the default pools stays to be had, however many builds are watched."""
    import anyio.to_thread

    limiter = anyio.to_thread.current_default_thread_limiter()
    async with asyncio.timeout(LIMIT), AsyncExitStack() as stack:
        for number in range(60):
            writer.put(document(f"TASK-{number}"))
            watch = watch_progress(f"TASK-{number}", root=tmp_path, clock=clock)
            await stack.enter_async_context(aclosing(watch))
            await anext(watch)
        assert limiter.available_tokens == limiter.total_tokens

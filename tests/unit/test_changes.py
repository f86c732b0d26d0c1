"""What is told of folders in which files change."""

import asyncio
import os
import resource
import shutil
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from guardkit.monitor.changes import Changes, follow
from guardkit.testing import FakeClock

LIMIT = 20.0  # seconds, until a test that hangs is ended

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


def put(folder: Path, name: str = "progress.json") -> None:
    (folder / name).write_text("{}")


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
    return folders


@pytest.fixture
async def changes(tmp_path: Path, folders: list[Path], clock: FakeClock) -> AsyncGenerator[Changes]:
    """Tell of both folders; as the clock stands still, of nothing but what the kernel reports."""
    async with asyncio.timeout(LIMIT), Changes(str(tmp_path), clock) as changes:
        await watch(changes, "", "a", "b")
        yield changes


async def watch(changes: Changes, *names: str) -> None:
    for name in names:
        await changes.call(changes.watch, name)


def read_queue_size() -> int:
    return int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())


@contextmanager
def few(kind: int) -> Iterator[None]:
    """Leave the process no more of what it has than it uses already."""
    soft, hard = resource.getrlimit(kind)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(kind, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (soft, hard))


@pytest.mark.parametrize("name", ["progress.json", "events.jsonl"])
async def test_a_file_that_is_put_or_written_is_told_of(
    folders: list[Path], changes: Changes, name: str
) -> None:
    for folder in folders:
        put(folder, name)
        assert await changes.next() == {folder.name}


async def test_hidden_files_are_not_told_of(folders: list[Path], changes: Changes) -> None:
    put(folders[0], ".progress.1.tmp")
    put(folders[1], ".progress.1.tmp")
    os.replace(folders[1] / ".progress.1.tmp", folders[1] / "progress.json")
    assert await changes.next() == {"b"}


async def test_what_has_changed_between_two_looks_is_told_of_together(
    folders: list[Path], changes: Changes
) -> None:
    for folder in folders:
        put(folder)
    assert await changes.next() == {"a", "b"}


async def test_a_folder_may_come_later(tmp_path: Path, changes: Changes) -> None:
    later = tmp_path / "later"
    later.mkdir()
    assert await changes.next() == {"later"}
    await watch(changes, "later", "later")
    put(later)
    assert await changes.next() == {"later"}


async def test_a_folder_that_is_made_again_can_be_watched_again(
    folders: list[Path], changes: Changes
) -> None:
    shutil.rmtree(folders[0])
    folders[0].mkdir()
    assert await changes.next() == {"a"}
    await watch(changes, "a")
    put(folders[0])
    assert await changes.next() == {"a"}


async def test_a_folder_that_was_left_is_not_told_of_and_can_be_watched_again(
    folders: list[Path], changes: Changes
) -> None:
    await changes.call(changes.leave, "a")
    put(folders[0])
    put(folders[1])
    assert await changes.next() == {"b"}
    await watch(changes, "a")
    put(folders[0])
    assert await changes.next() == {"a"}


async def test_nothing_is_kept_of_folders_that_are_gone(
    tmp_path: Path, folders: list[Path], changes: Changes
) -> None:
    shutil.rmtree(folders[0])
    await changes.call(changes.leave, "b")
    put(tmp_path, "last")
    assert await changes.next() == {"last"}
    assert {*changes._names.values()} == {""}


async def test_a_link_is_not_watched(tmp_path: Path, folders: list[Path], changes: Changes) -> None:
    (tmp_path / "link").symlink_to("a")
    assert await changes.next() == {"link"}
    await watch(changes, "link")
    put(folders[0])
    assert await changes.next() == {"a"}


async def test_when_there_was_too_much_to_report_it_may_be_anywhere(
    folders: list[Path], changes: Changes
) -> None:
    """The clock stands still, so that only the overflow can have told of anything."""
    here, there = [f"{folder}/file" for folder in folders]
    put(folders[0], "file")
    for _ in range(read_queue_size()):
        os.rename(here, there)
        here, there = there, here
    while "" not in (told := await changes.next()):
        assert told <= {"a", "b"}


async def test_each_half_second_it_may_be_anywhere(changes: Changes, clock: FakeClock) -> None:
    for _ in range(3):
        told = asyncio.create_task(changes.next())
        await clock.advance(0.4375)
        assert not told.done()
        await clock.advance(0.0625)
        assert await told == {""}


async def test_the_half_seconds_go_on_while_nobody_waits(
    folders: list[Path], changes: Changes, clock: FakeClock
) -> None:
    put(folders[0])
    await clock.advance(1.75)
    assert await changes.next() == {"", "a"}
    told = asyncio.create_task(changes.next())
    await clock.advance(0.125)
    assert not told.done()
    await clock.advance(0.125)
    assert await told == {""}


async def test_without_a_descriptor_it_may_be_anywhere_each_half_second(
    tmp_path: Path, folders: list[Path], clock: FakeClock
) -> None:
    changes = Changes(str(tmp_path), clock)
    with few(resource.RLIMIT_NOFILE):
        await changes.__aenter__()
    await watch(changes, "", "a", "b")
    put(folders[0])
    told = asyncio.create_task(changes.next())
    await clock.advance(0.4375)
    assert not told.done()
    await clock.advance(0.0625)
    assert await told == {""}
    await changes.__aexit__()


async def test_a_folder_that_is_not_there_is_not_watched(tmp_path: Path, clock: FakeClock) -> None:
    base = tmp_path / "base"
    async with asyncio.timeout(LIMIT), Changes(str(base), clock) as changes:
        await watch(changes, "", "a")
        base.mkdir()
        await watch(changes, "")
        (base / "a").mkdir()
        assert await changes.next() == {"a"}


async def test_a_call_is_made_in_one_thread_for_which_no_exit_waits(changes: Changes) -> None:
    [first, second] = [await changes.call(threading.current_thread) for _ in range(2)]
    assert (first is second, first.daemon) == (True, True)
    assert first is not threading.current_thread()


async def test_a_call_that_hangs_holds_up_neither_the_loop_nor_the_exit(
    tmp_path: Path,
) -> None:
    clock, hung = FakeClock(hung_after=0.0), threading.Event()
    try:
        async with asyncio.timeout(LIMIT), Changes(str(tmp_path), clock) as changes:
            call = asyncio.create_task(changes.call(hung.wait))
            told = asyncio.create_task(changes.next())
            await clock.advance(0.5)
            assert (told.done(), call.done()) == (True, False)
            call.cancel()
            await asyncio.wait({call})
    finally:
        hung.set()


async def test_a_wait_can_be_given_up_and_taken_up_again(
    folders: list[Path], changes: Changes
) -> None:
    told = asyncio.create_task(changes.next())
    await asyncio.sleep(0)
    told.cancel()
    await asyncio.wait({told})
    put(folders[0])
    assert await changes.next() == {"a"}


# where there is no inotify


async def test_elsewhere_watchfiles_tells_of_folders_as_soon_as_there_are_any(
    tmp_path: Path, clock: FakeClock
) -> None:
    base, told = tmp_path / "builds", asyncio.Queue[str]()
    before = {*threading.enumerate()}
    task = asyncio.create_task(follow(str(base), clock, told.put_nowait))
    async with asyncio.timeout(LIMIT):
        await asyncio.sleep(0)
        [thread] = {*threading.enumerate()} - before
        (base / "a").mkdir(parents=True)
        while told.empty():  # until it has seen that there is something to watch
            await clock.advance(0.5)
            put(base / "a")
        assert await told.get() == "a"
        (base / "b").mkdir()
        while await told.get() != "b":
            pass
        task.cancel()
        await asyncio.wait({task})
    thread.join(LIMIT)
    assert (thread.daemon, thread.is_alive()) == (True, False)

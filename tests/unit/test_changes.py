"""What is told of folders in which files change."""

import asyncio
import os
import resource
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from guardkit import SystemClock
from guardkit.monitor.changes import Changes
from guardkit.testing import FakeClock

LIMIT = 20.0  # seconds, until a test that hangs is ended

pytestmark = pytest.mark.anyio


def put(folder: str, name: str = "progress.json") -> None:
    Path(folder, name).write_text("{}")


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
    return [str(folder) for folder in folders]


@pytest.fixture
async def changes(folders: list[str]) -> AsyncGenerator[Changes]:
    async with asyncio.timeout(LIMIT), Changes(folders, SystemClock()) as changes:
        yield changes


@pytest.mark.parametrize("name", ["progress.json", "events.jsonl"])
async def test_a_file_that_is_put_or_written_is_told_of(
    folders: list[str], changes: Changes, name: str
) -> None:
    for folder in folders:
        put(folder, name)
        assert await changes.next() == {folder}


async def test_temporary_files_are_not_told_of(folders: list[str], changes: Changes) -> None:
    put(folders[0], ".progress.1.tmp")
    put(folders[1], ".progress.1.tmp")
    os.replace(f"{folders[1]}/.progress.1.tmp", f"{folders[1]}/progress.json")
    assert await changes.next() == {folders[1]}


async def test_what_has_changed_between_two_looks_is_told_of_together(
    folders: list[str], changes: Changes
) -> None:
    put(folders[0], "1")
    await asyncio.sleep(0)  # it is reported
    put(folders[1], "2")
    while (told := await changes.next()) != set(folders):
        folders = [folder for folder in folders if folder not in told]


async def test_a_folder_may_come_later(tmp_path: Path, changes: Changes) -> None:
    later = tmp_path / "later"
    later.mkdir()
    for _ in range(2):
        changes.add(str(later))
    put(str(later))
    assert await changes.next() == {str(later)}


async def test_a_folder_that_is_made_again_is_found_again(
    folders: list[str], changes: Changes
) -> None:
    shutil.rmtree(folders[0])
    os.mkdir(folders[0])
    while await changes.next() != set(folders):  # what is told after a while
        pass
    put(folders[0])
    assert await changes.next() == {folders[0]}


def flood(folder: str) -> None:
    """Do more in a folder than the kernel reports at a time: files are created, and written."""
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for number in range(most // 2 + 2):
        put(folder, str(number))


async def test_when_there_is_too_much_to_report_it_may_be_anywhere(
    folders: list[str], changes: Changes
) -> None:
    flood(folders[0])
    told = set[str]()
    while told != set(folders):
        told = await changes.next()


async def test_without_a_descriptor_everything_may_have_changed_each_half_second(
    folders: list[str], clock: FakeClock
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    changes = Changes(folders, clock)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        await changes.__aenter__()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    changes.add("c")
    told = asyncio.create_task(changes.next())
    await clock.advance(0.499)
    assert not told.done()
    await clock.advance(0.001)
    assert await told == {*folders, "c"}
    await changes.__aexit__()


async def test_folders_that_are_not_there_are_looked_for(tmp_path: Path, clock: FakeClock) -> None:
    folder = tmp_path / "a"
    async with Changes([str(folder)], clock) as changes:
        told = asyncio.create_task(changes.next())
        await clock.advance(0.0)
        folder.mkdir()
        await clock.advance(0.5)
        assert await told == {str(folder)}
        put(str(folder))
        assert await changes.next() == {str(folder)}

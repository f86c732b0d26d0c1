"""A watch of builds whose files or folders are gone, or are others than they were."""

import os
import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from guardkit import InvalidProgressError, track_build
from guardkit.monitor.builds import Builds
from guardkit.progress.folder import open_builds
from guardkit.progress.lock import Locks
from guardkit.testing import FakeClock

from ..looks import Writer, document, watching

LIMIT = 20.0  # seconds, real ones, until a test that hangs is ended

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


async def test_a_document_that_cannot_be_read_any_more_is_told_of_and_so_is_the_next(
    builds: Builds, writer: Writer, clock: FakeClock
) -> None:
    seen = writer.put(document())
    async with watching(builds, clock) as watched:
        watched.take()
        writer.put_bytes("TASK-1", b"{")
        await clock.advance(0.0)
        [look] = watched.take()
        assert (look.snapshot, look.verdict.state) == (None, "unreadable")
        await clock.advance(5.0)
        assert watched.told() == []
        writer.put(seen)
        await clock.advance(0.0)
        assert [(look.snapshot, look.verdict.state) for look in watched.take()] == [
            (seen, "running")
        ]


@pytest.mark.parametrize("gone", ["TASK-1/progress.json", "TASK-1", ".", "..", "../.."])
async def test_a_build_whose_files_are_gone_is_lost_if_they_do_not_come_back(
    builds: Builds, writer: Writer, clock: FakeClock, gone: str
) -> None:
    writer.put(document())
    async with watching(builds, clock) as watched:
        watched.take()
        path = (writer.folder / gone).resolve()
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        await clock.advance(15.0)
        assert watched.told() == []
        await clock.advance(0.5)
        assert watched.told() == [("TASK-1", "lost")]


async def test_a_task_that_was_taken_and_let_go_of_without_a_document_is_told_of(
    tmp_path: Path, builds: Builds, clock: FakeClock
) -> None:
    """Its builder could not write, and has ended, or was killed before it could."""
    with open_builds(tmp_path, make=True) as folder:
        folder.folder("TASK-1", make=True).close()
        locks = Locks()
        locks.take(folder, "TASK-1", "r")
        async with watching(builds, clock) as watched:
            assert watched.told() == [("TASK-1", "running")]
            await clock.advance(5.0)
            assert watched.told() == []
            locks.give_back("TASK-1", "r")
            await clock.advance(0.5)
            [look] = watched.take()
            gone = "whoever had taken TASK-1 is gone, and has written nothing"
            assert (look.snapshot, look.verdict) == (None, ("crashed", gone))
            await clock.advance(5.0)
            assert watched.told() == []
            locks.take(folder, "TASK-1", "s")
            await clock.advance(0.5)
            assert watched.told() == [("TASK-1", "running")]
        locks.close()


async def test_a_watch_survives_that_all_folders_are_deleted_and_made_again(
    tmp_path: Path, builds: Builds, clock: FakeClock
) -> None:
    async with (
        track_build("TASK-1", root=tmp_path, clock=clock) as build,
        watching(builds, clock) as watched,
    ):
        shutil.rmtree(tmp_path / ".guardkit")
        await clock.advance(10.0)
        watched.take()
        async with build.phase("After"):
            await clock.advance(0.0)
            [look] = watched.take()
            assert look.snapshot == build.snapshot


async def test_a_watch_that_cannot_list_the_builds_is_an_error_at_first(
    tmp_path: Path, builds: Builds
) -> None:
    (tmp_path / ".guardkit").symlink_to("elsewhere")
    with pytest.raises(InvalidProgressError, match="is a link"):
        await anext(builds.watch())


async def test_a_folder_that_becomes_a_link_loses_the_builds(
    tmp_path: Path, builds: Builds, writer: Writer, clock: FakeClock
) -> None:
    writer.put(document())
    async with watching(builds, clock) as watched:
        watched.take()
        os.rename(tmp_path / ".guardkit", tmp_path / "moved")
        (tmp_path / ".guardkit").symlink_to("moved")
        await clock.advance(15.5)
        assert watched.told() == [("TASK-1", "lost")]


async def test_the_half_second_reads_what_nobody_has_told_of(
    builds: Builds, writer: Writer, clock: FakeClock
) -> None:
    """As where another machine writes; here the folder is another one than was watched."""
    seen = writer.put(document())
    async with watching(builds, clock) as watched:
        watched.take()
        away = writer.folder.with_name("away")
        shutil.copytree(writer.folder, away)
        os.rename(writer.folder, writer.folder.with_name("old"))
        os.rename(away, writer.folder)
        writer.put(replace(seen, message="new"))
        await clock.advance(0.4375)
        assert watched.told() == []
        await clock.advance(0.0625)
        assert watched.told() == [("TASK-1", "running")]
        writer.put(replace(seen, message="newer"))
        await clock.advance(0.0)
        assert watched.told() == [("TASK-1", "running")]

"""What a watch of builds reads, and what it leaves behind."""

import os
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from guardkit.monitor.builds import Builds
from guardkit.progress.snapshot import encode
from guardkit.testing import FakeClock

from ..looks import TRACKER, Counting, Writer, document, watching

LIMIT = 20.0  # seconds, real ones, until a test that hangs is ended

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


async def test_in_a_watch_nothing_is_read_that_has_not_changed(
    tmp_path: Path, writer: Writer, clock: FakeClock
) -> None:
    """Be it well, over, gone or silent."""
    writer.hold("TASK-1")
    writer.put(writer.own(document("TASK-1", tracker=replace(TRACKER, heartbeat_seconds=1.0))))
    writer.put(document("TASK-2", status="completed"))
    writer.put(writer.own(document("TASK-3")))
    seen = writer.put(document("TASK-4", tracker=replace(TRACKER, heartbeat_seconds=1.0)))
    builds = Counting(tmp_path, clock)
    async with watching(builds, clock) as watched:
        await clock.advance(10.0)
        states = dict(watched.told())
        assert states == {
            "TASK-1": "unresponsive",
            "TASK-2": "completed",
            "TASK-3": "crashed",
            "TASK-4": "lost",
        }
        builds.decoded = 0
        await clock.advance(10.0)
        assert builds.decoded == 0
        writer.put(replace(seen, message="new"))
        await clock.advance(0.0)
        assert builds.decoded == 1


async def test_a_watch_of_some_reads_no_others(
    tmp_path: Path, writer: Writer, clock: FakeClock
) -> None:
    writer.put(document())
    builds = Counting(tmp_path, clock)
    async with watching(builds, clock, "TASK-1"):
        writer.put(document("TASK-2"))
        await clock.advance(1.0)
        assert builds.decoded == 1


async def test_what_is_told_of_is_read_though_the_file_looks_as_before(
    builds: Builds, writer: Writer, clock: FakeClock
) -> None:
    """Inodes are used again, and a filesystem's clock may tick slowly."""
    seen = writer.put(document(message="old"))
    path = f"{writer.folder}/TASK-1/progress.json"
    async with watching(builds, clock) as watched:
        watched.take()
        before = os.stat(path)
        fd = os.open(path, os.O_WRONLY)
        os.write(fd, encode(replace(seen, message="new")))
        os.utime(fd, ns=(before.st_atime_ns, before.st_mtime_ns))
        os.close(fd)
        await clock.advance(0.0)
        assert [look.snapshot and look.snapshot.message for look in watched.take()] == ["new"]


async def test_what_is_told_of_as_the_half_second_passes_is_read_though_it_was_a_moment_ago(
    builds: Builds, writer: Writer, clock: FakeClock
) -> None:
    """Of a hundred builds, which are looked at in turns, so that a look has both to tell."""
    seen = [writer.put(document(f"TASK-{number}")) for number in range(100)]
    async with watching(builds, clock) as watched:
        await clock.advance(0.4999)
        writer.put(replace(seen[0], message="1"))
        await clock.advance(0.0)
        writer.put(replace(seen[0], message="2"))
        watched.take()
        await clock.advance(0.0025)
        assert [look.snapshot and look.snapshot.message for look in watched.take()] == ["2"]


async def test_where_it_was_looked_a_moment_ago_it_is_looked_again_within_a_second(
    builds: Builds, writer: Writer, clock: FakeClock
) -> None:
    """A builder that dies is told of by nobody."""
    writer.hold()
    seen = writer.put(writer.own(document()))
    async with watching(builds, clock) as watched:
        await clock.advance(0.4375)
        writer.put(replace(seen, message="new"))
        await clock.advance(0.0)
        writer.let_go()
        watched.take()
        await clock.advance(0.5)
        assert watched.told() == []
        await clock.advance(0.0625)
        assert watched.told() == [("TASK-1", "crashed")]


async def test_many_builds_are_looked_at_in_turns(
    builds: Builds, writer: Writer, clock: FakeClock
) -> None:
    seen = [writer.put(document(f"TASK-{number}")) for number in range(100)]
    async with watching(builds, clock) as watched:
        assert len(watched.take()) == 100
        await clock.advance(0.0025)
        writer.put(replace(seen[0], message="1"))
        await clock.advance(0.0)
        assert watched.told() == [("TASK-0", "running")]
        writer.put(replace(seen[1], message="2"))
        await clock.advance(0.0024)
        writer.put(replace(seen[2], message="3"))
        assert watched.told() == []
        await clock.advance(0.0002)
        assert sorted(watched.told()) == [("TASK-1", "running"), ("TASK-2", "running")]


def ears() -> set[str]:
    """Return the numbers of the descriptors that the kernel tells of changes."""
    found = set[str]()
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            if "inotify" in os.readlink(f"/proc/self/fd/{name}"):
                found.add(name)
    return found


async def test_nothing_is_left_of_a_watch(
    tmp_path: Path, writer: Writer, builds: Builds, clock: FakeClock
) -> None:
    writer.put(document())
    threads, before = {*threading.enumerate()}, ears()
    async with watching(builds, clock):
        [thread] = {*threading.enumerate()} - threads
        [ear] = ears() - before
    thread.join(LIMIT)
    assert (thread.is_alive(), ear in ears()) == (False, False)

"""Who holds a task: proof of life that the kernel gives."""

import asyncio
import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from guardkit import BuildAlreadyRunningError, assess, read_progress, track_build
from guardkit.progress.lock import Locks, is_held
from guardkit.progress.paths import lock_path
from guardkit.testing import FakeClock

BUILD = """
import asyncio, sys
from guardkit import track_build

async def main():
    async with track_build("TASK-1", root=sys.argv[1]):
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main())
"""


@contextmanager
def builder(root: Path, *before: str) -> Iterator[subprocess.Popen[str]]:
    """Run a builder of TASK-1 in a process of its own until it is given a line."""
    command, pipe = (*before, sys.executable, "-c", BUILD, str(root)), subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = lock_path(tmp_path, "TASK-1")
    path.parent.mkdir(parents=True)
    return path


def descriptors(root: Path) -> list[str]:
    """Return the files below `root` that this process holds open, deleted ones too."""
    links = []
    for name in os.listdir("/proc/self/fd"):
        try:
            links.append(str(Path("/proc/self/fd", name).readlink()))
        except FileNotFoundError:  # the one that listed them
            continue
    return [link for link in links if link.startswith(f"{root}/")]


def test_a_task_is_held_by_a_living_process(tmp_path: Path) -> None:
    with builder(tmp_path):
        assert is_held(tmp_path, "TASK-1") is True
        assert is_held(tmp_path, "TASK-13") is False


def test_a_task_is_free_as_soon_as_its_builder_was_killed(tmp_path: Path) -> None:
    with builder(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert is_held(tmp_path, "TASK-1") is False


def test_a_task_is_held_while_its_builder_is_stopped(tmp_path: Path) -> None:
    with builder(tmp_path) as process:
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        assert is_held(tmp_path, "TASK-1") is True


def test_a_task_is_free_when_its_builder_has_ended(tmp_path: Path) -> None:
    with builder(tmp_path) as process:
        process.communicate("\n")
        assert process.returncode == 0
        assert is_held(tmp_path, "TASK-1") is False


@pytest.mark.anyio
async def test_a_builder_takes_over_at_once_from_one_that_was_killed(
    tmp_path: Path, clock: FakeClock
) -> None:
    with builder(tmp_path) as process:
        with pytest.raises(BuildAlreadyRunningError, match=f"process {process.pid} on "):
            await track_build("TASK-1", root=tmp_path, clock=clock).__aenter__()
        process.kill()
        process.wait()
        async with track_build("TASK-1", root=tmp_path, clock=clock):
            assert is_held(tmp_path, "TASK-1") is True
    assert is_held(tmp_path, "TASK-1") is False


@pytest.mark.anyio
async def test_a_builder_in_a_container_is_seen_to_live_and_to_die(
    tmp_path: Path, lock: Path
) -> None:
    """Another pid namespace, as of a container that shares the folder."""
    alone = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no pid namespace may be made here")
    with builder(tmp_path, *alone) as process:
        seen = read_progress("TASK-1", root=tmp_path)
        assert seen.tracker.pid < 10
        assert assess(seen, root=tmp_path).state == "running"
        with pytest.raises(BuildAlreadyRunningError):
            await track_build("TASK-1", root=tmp_path).__aenter__()
        process.kill()
        process.wait()
        while is_held(tmp_path, "TASK-1"):  # until the kernel has ended the namespace
            pass
        assert assess(seen, root=tmp_path).state == "crashed"
        async with track_build("TASK-1", root=tmp_path):
            assert is_held(tmp_path, "TASK-1")


@pytest.mark.anyio
async def test_a_builder_in_another_event_loop_of_the_same_process_is_refused(
    tmp_path: Path, clock: FakeClock
) -> None:
    async def build() -> None:
        async with track_build("TASK-1", root=tmp_path):
            pass

    async with track_build("TASK-1", root=tmp_path, clock=clock):
        with pytest.raises(BuildAlreadyRunningError):
            await asyncio.to_thread(asyncio.run, build())
    await asyncio.to_thread(asyncio.run, build())


@pytest.mark.anyio
async def test_fifty_builds_below_one_root_hold_sixteen_descriptors_at_most(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with AsyncExitStack() as stack:
        for number in range(50):
            build = track_build(f"TASK-{number}", root=tmp_path, clock=clock)
            await stack.enter_async_context(build)
        files = {str(lock_path(tmp_path, f"TASK-{number}")) for number in range(50)}
        assert len(files) <= 16
        assert sorted(descriptors(tmp_path)) == sorted(files)
    assert descriptors(tmp_path) == []


def test_a_builder_that_was_refused_holds_no_descriptor(tmp_path: Path, lock: Path) -> None:
    first, second = Locks(), Locks()
    assert first.take(lock, "TASK-1")
    assert not second.take(lock, "TASK-1")
    assert descriptors(tmp_path) == [str(lock)]
    first.give_back("TASK-1")


@pytest.mark.anyio
async def test_of_many_builds_each_gives_back_its_own_task(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        async with track_build("TASK-13", root=tmp_path, clock=clock):
            pass
        assert is_held(tmp_path, "TASK-1") is True
        assert is_held(tmp_path, "TASK-13") is False


@pytest.mark.anyio
async def test_a_reader_never_keeps_a_builder_from_starting(
    tmp_path: Path, clock: FakeClock
) -> None:
    stop, looks = threading.Event(), set()

    def look() -> None:
        while not stop.is_set():
            looks.add(is_held(tmp_path, "TASK-1"))

    readers = [threading.Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(100):
            async with track_build("TASK-1", root=tmp_path, clock=clock):
                pass
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert {True, False} <= looks


def test_nothing_can_be_told_where_there_is_no_lock_file(tmp_path: Path) -> None:
    assert is_held(tmp_path, "TASK-1") is None


def test_a_look_makes_no_lock_file(tmp_path: Path, lock: Path) -> None:
    is_held(tmp_path, "TASK-1")
    assert not lock.exists()


def test_a_task_that_nobody_took_is_free(tmp_path: Path, lock: Path) -> None:
    lock.touch()
    assert is_held(tmp_path, "TASK-1") is False


def test_a_task_is_taken_once(tmp_path: Path, lock: Path) -> None:
    first, second = Locks(), Locks()
    assert first.take(lock, "TASK-1")
    assert not first.take(lock, "TASK-1")
    assert not second.take(lock, "TASK-1")
    assert second.take(lock, "TASK-13")
    assert not second.take(lock, "TASK-1")
    assert is_held(tmp_path, "TASK-13")
    first.give_back("TASK-1")
    assert second.take(lock, "TASK-1")
    for task_id in ("TASK-1", "TASK-13"):
        second.give_back(task_id)
    assert descriptors(tmp_path) == []


def test_giving_back_what_is_not_held_changes_nothing(tmp_path: Path, lock: Path) -> None:
    locks = Locks()
    locks.give_back("TASK-1")
    assert locks.take(lock, "TASK-1")
    locks.give_back("TASK-13")
    assert is_held(tmp_path, "TASK-1") is True
    locks.give_back("TASK-1")


def test_locks_that_are_not_to_be_had_are_told_of(lock: Path) -> None:
    lock.mkdir()
    with pytest.raises(IsADirectoryError) as raised:
        Locks().take(lock, "TASK-1")
    assert raised.value.errno == errno.EISDIR


@pytest.mark.anyio
async def test_a_build_goes_on_without_proof_of_life(
    tmp_path: Path, clock: FakeClock, lock: Path, caplog: pytest.LogCaptureFixture
) -> None:
    os.mkdir(lock)
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        async with build.phase("Setup"):
            pass
    assert build.snapshot.status == "completed"
    [record] = caplog.records
    assert record.getMessage().endswith(f"no proof of life: [Errno 21] Is a directory: '{lock}'")


@pytest.mark.anyio
async def test_a_living_builder_is_not_taken_for_dead_when_its_folders_were_deleted(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with AsyncExitStack() as stack:
        builds = [
            await stack.enter_async_context(track_build(task_id, root=tmp_path, clock=clock))
            for task_id in ("TASK-1", "TASK-13")
        ]
        shutil.rmtree(tmp_path / ".guardkit")
        for build in builds:
            async with build.phase("Setup"):
                assert is_held(tmp_path, build.snapshot.task_id) is not False
        assert is_held(tmp_path, "TASK-1") is True
        with pytest.raises(BuildAlreadyRunningError):
            await track_build("TASK-1", root=tmp_path, clock=clock).__aenter__()
    assert is_held(tmp_path, "TASK-1") is False
    assert descriptors(tmp_path) == []


@pytest.mark.anyio
async def test_a_builder_in_another_process_is_refused_though_the_folders_were_deleted(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        shutil.rmtree(tmp_path / ".guardkit")
        async with build.phase("Setup"):
            command = (sys.executable, "-c", BUILD, str(tmp_path))
            ended = subprocess.run(command, input="\n", capture_output=True, text=True, check=False)
    assert "BuildAlreadyRunningError" in ended.stderr


@pytest.mark.anyio
async def test_a_user_can_hold_a_task_beside_those_of_another_user() -> None:
    nobody, us = 65534, os.geteuid()
    with TemporaryDirectory() as folder:
        root = Path(folder)
        lock = lock_path(root, "TASK-1")
        lock.parent.mkdir(parents=True)
        for path in (root, root / ".guardkit", lock.parent):
            path.chmod(0o777)
        async with track_build("TASK-1", root=root):
            if us == 0:
                os.seteuid(nobody)
            try:
                async with track_build("TASK-13", root=root, clock=FakeClock()):
                    assert is_held(root, "TASK-13") is True
                assert is_held(root, "TASK-13") is False
            finally:
                os.seteuid(us)
            assert is_held(root, "TASK-1") is True


def test_a_lock_file_that_was_deleted_is_made_anew_with_all_that_is_held(
    tmp_path: Path, lock: Path
) -> None:
    first, second = Locks(), Locks()
    for task_id in ("TASK-1", "TASK-13"):
        assert first.take(lock, task_id)
        assert first.keep(lock, task_id)
    lock.unlink()
    first.sure = False  # a round of writing later
    assert second.take(lock, "TASK-13")
    assert first.keep(lock, "TASK-1")
    assert not first.keep(lock, "TASK-13")
    assert is_held(tmp_path, "TASK-1")
    first.give_back("TASK-1")
    second.give_back("TASK-13")
    assert descriptors(tmp_path) == []


@pytest.mark.anyio
async def test_a_builder_whose_task_was_taken_writes_no_more(
    tmp_path: Path, lock: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        os.unlink(lock)
        async with track_build("TASK-1", root=tmp_path, clock=FakeClock()) as other:
            await clock.advance(20.0)
            assert read_progress("TASK-1", root=tmp_path) == other.snapshot
    assert read_progress("TASK-1", root=tmp_path) == other.snapshot
    assert "another builder has taken TASK-1" in caplog.text


@pytest.mark.anyio
async def test_a_lock_file_that_was_deleted_is_there_again_after_a_heartbeat(
    tmp_path: Path, lock: Path, clock: FakeClock
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        os.unlink(lock)
        await clock.advance(5.0)
        assert is_held(tmp_path, "TASK-1")


@pytest.mark.anyio
async def test_without_a_lock_file_nobody_is_called_dead(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    lock_path(tmp_path, "TASK-1").mkdir(parents=True)
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        shutil.rmtree(tmp_path / ".guardkit/autobuild/TASK-1")
        async with build.phase("Setup"):
            seen = read_progress("TASK-1", root=tmp_path)
        assert seen.phase == "Setup"
        assert assess(seen, root=tmp_path, clock=clock).state == "running"
    assert "no proof of life" in caplog.text


def test_a_fork_leaves_locks_alone_that_are_gone_or_not_in_use() -> None:
    unused, gone = Locks(), Locks()
    del gone
    child = os.fork()
    if not child:
        unused.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.anyio
async def test_a_link_is_neither_locked_nor_written_to(
    tmp_path: Path, lock: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    secret, journal = tmp_path / "secret", tmp_path / ".guardkit/autobuild/TASK-1/events.jsonl"
    secret.write_text("key")
    secret.chmod(0o600)
    journal.parent.mkdir()
    for link in (lock, journal):
        link.symlink_to(secret)
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        pass
    assert (secret.read_text(), secret.stat().st_mode & 0o777) == ("key", 0o600)
    assert read_progress("TASK-1", root=tmp_path) == build.snapshot
    assert len(caplog.records) == 2


@pytest.mark.anyio
async def test_a_builder_whose_folders_were_moved_away_gives_way_to_the_next(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        (tmp_path / ".guardkit").rename(tmp_path / "moved")
        async with track_build("TASK-1", root=tmp_path, clock=FakeClock()) as other:
            await clock.advance(20.0)
            assert read_progress("TASK-1", root=tmp_path) == other.snapshot
            assert assess(other.snapshot, root=tmp_path).state != "crashed"
    assert "another builder has taken TASK-1" in caplog.text


@pytest.mark.anyio
async def test_a_builder_is_refused_though_no_descriptor_is_left(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        second = track_build("TASK-1", root=tmp_path, clock=clock)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            with pytest.raises(BuildAlreadyRunningError, match="by another builder"):
                await second.__aenter__()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.anyio
async def test_a_builder_that_is_cancelled_while_it_is_refused_leaves_no_thread_and_says_nothing(
    tmp_path: Path, lock: Path, caplog: pytest.LogCaptureFixture
) -> None:
    holder = Locks()
    assert holder.take(lock, "TASK-1")  # who does not say who it is
    threads = {*threading.enumerate()}
    refused = asyncio.create_task(track_build("TASK-1", root=tmp_path).__aenter__())
    while len({*threading.enumerate()} - threads) < 2:  # until who it is is looked for  # noqa: ASYNC110
        await asyncio.sleep(0)
    refused.cancel()
    await asyncio.wait({refused})
    assert refused.cancelled()
    for thread in {*threading.enumerate()} - threads:
        thread.join()
    assert not caplog.records
    holder.give_back("TASK-1")

"""The progress file on disk, with real files, limits, forks and processes."""

import asyncio
import os
import stat
import subprocess
import threading
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from guardkit import InvalidTaskIdError, track_build
from guardkit.progress.paths import build_dir
from guardkit.testing import FakeClock

from ..conftest import Run
from ..shown import OnDisk


def folder_of(root: Path) -> Path:
    return root / ".guardkit/autobuild/TASK-1"


# replacing


@pytest.mark.parametrize(
    ("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0, 0o666)], ids=["022", "077", "000"]
)
def test_a_file_is_of_mode_0666_less_the_umask(
    tmp_path: Path, run: Run, umask: int, mode: int
) -> None:
    program = """
async def main():
    async with track_build("TASK-1", root=root) as build:
        build.update(files_created=1)
asyncio.run(main())
say()
"""
    run(program, umask=umask)
    folder = folder_of(tmp_path)
    modes = {name: stat.S_IMODE((folder / name).stat().st_mode) for name in os.listdir(folder)}
    assert modes == {"progress.json": mode, "events.jsonl": mode}


def test_a_short_write_leaves_the_old_file_and_no_temporary_one(run: Run) -> None:
    program = """
async def main():
    clock = FakeClock()
    async with track_build("TASK-1", root=root, clock=clock) as build:
        before, size = path.read_bytes(), path.stat().st_size
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, hard))
        async with build.phase("Setup"):
            kept, names = path.read_bytes() == before, sorted(os.listdir(folder))
            await clock.advance(10)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        await clock.advance(1)
        say(kept=kept, names=names, mended=on_disk()["phase"])
asyncio.run(main())
"""
    assert run(program, stderr=subprocess.DEVNULL) == {
        "kept": True,
        "names": ["events.jsonl", "progress.json"],
        "mended": "Setup",
    }


@pytest.mark.anyio
async def test_a_symlink_in_place_of_the_file_is_replaced_and_not_followed(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    folder = folder_of(tmp_path)
    folder.mkdir(parents=True)
    (tmp_path / "theirs").write_text("theirs")
    (folder / "progress.json").symlink_to(tmp_path / "theirs")
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        assert on_disk()["status"] == "running"
    assert not (folder / "progress.json").is_symlink()
    assert (tmp_path / "theirs").read_text() == "theirs"


@pytest.mark.anyio
async def test_what_a_dead_builder_has_left_is_swept_on_start(
    tmp_path: Path, clock: FakeClock
) -> None:
    folder = folder_of(tmp_path)
    folder.mkdir(parents=True)
    for name in (".progress.1.0a.tmp", ".progress.99.ff.tmp", "notes.tmp", ".hidden"):
        (folder / name).write_text("half")
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        names = {".hidden", "notes.tmp", "progress.json", "events.jsonl"}
        assert set(os.listdir(folder)) == names


@pytest.mark.anyio
async def test_what_cannot_be_swept_does_not_hurt(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    (folder_of(tmp_path) / ".progress.1.0a.tmp").mkdir(parents=True)
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        assert on_disk()["status"] == "running"


@pytest.mark.anyio
async def test_a_file_in_place_of_a_folder_does_not_hurt(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / ".guardkit").write_text("theirs")
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        (tmp_path / ".guardkit").unlink()
        await clock.advance(1.0)
        assert on_disk()["status"] == "running"
    assert len(caplog.records) == 1


@pytest.mark.anyio
async def test_git_sees_nothing_of_it(tmp_path: Path, clock: FakeClock) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        command = ["git", "-C", str(tmp_path), "status", "--porcelain", "--untracked-files=all"]
        assert subprocess.run(command, check=True, capture_output=True).stdout == b""


@pytest.mark.anyio
async def test_a_gitignore_of_the_user_is_left_as_it_is(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / ".guardkit/autobuild/.gitignore"
    path.parent.mkdir(parents=True)
    path.write_text("!TASK-1\n")
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        assert path.read_text() == "!TASK-1\n"


# where it is


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["str", "path", "relative", "here", "default"])
async def test_the_root_may_be_text_or_a_path_relative_or_not(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path.parent if kind == "relative" else tmp_path)
    roots: dict[str, dict[str, Any]] = {
        "str": {"root": str(tmp_path)},
        "path": {"root": tmp_path},
        "relative": {"root": tmp_path.name},
        "here": {"root": Path()},
        "default": {},
    }
    async with track_build("TASK-1", clock=clock, **roots[kind]):
        assert (folder_of(tmp_path) / "progress.json").is_file()


@pytest.mark.anyio
async def test_a_build_that_changes_its_working_directory_keeps_its_file(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, on_disk: OnDisk
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    async with track_build("TASK-1", root=".", clock=clock) as build:
        monkeypatch.chdir("elsewhere")
        async with build.phase("Setup"):
            assert on_disk()["phase"] == "Setup"
    assert on_disk()["status"] == "completed"
    assert os.listdir(tmp_path / "elsewhere") == []


def test_a_working_directory_that_is_gone_does_not_hurt_the_build(run: Run) -> None:
    program = """
async def main():
    os.mkdir(root / "gone")
    os.chdir(root / "gone")
    os.rmdir(root / "gone")
    async with track_build("TASK-1") as build:
        pass
    say(status=build.snapshot.status)
asyncio.run(main())
"""
    assert run(program, stderr=subprocess.DEVNULL) == {"status": "completed"}


@pytest.mark.anyio
async def test_without_a_root_nothing_is_written(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with track_build("TASK-1", root=None, clock=clock) as build, build.phase("Setup"):
        await clock.advance(10.0)
    assert os.listdir(tmp_path) == []


def test_the_paths_of_a_task_are_below_the_root() -> None:
    assert build_dir("/r", "TASK-1") == "/r/.guardkit/autobuild/TASK-1"
    with pytest.raises(InvalidTaskIdError):
        build_dir("/r", "../TASK-1")


# other processes and threads

FORK = """
async def build_in_two_processes():
    async with track_build("TASK-1", root=root, clock=FakeClock()) as build:
        async with build.phase("Setup"):
            before, events = path.stat(), (folder / "events.jsonl").read_bytes()
            child = os.fork()
            if not child:
                build.update(files_created=9, message="child")
                build.decide("child")
                %s
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            after = path.stat()
            silent = (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
            silent = silent and (folder / "events.jsonl").read_bytes() == events
        async with build.phase("Finalize"):
            pass
    return code, silent

async def main():
    parent = os.getpid()
    try:
        code, silent = await build_in_two_processes()
    finally:
        if os.getpid() != parent:
            os._exit(3)  # the event loop itself does not outlive a fork
    last = on_disk()
    lines = (folder / "events.jsonl").read_bytes().splitlines()
    say(
        code=code,
        silent=silent,
        status=last["status"],
        message=last["message"],
        phase=last["phase"],
        events=[json.loads(line)["event"] for line in lines],
    )

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("leave", "code"),
    [
        pytest.param("os._exit(7)", 7, id="by os._exit"),
        pytest.param("return", 3, id="by returning"),
        pytest.param("raise KeyError", 3, id="by raising"),
        pytest.param("raise asyncio.CancelledError", 3, id="by a cancellation"),
    ],
)
def test_a_forked_child_writes_nothing_and_the_parent_ends_well(
    run: Run, leave: str, code: int
) -> None:
    assert run(FORK % leave) == {
        "code": code,
        "silent": True,
        "status": "completed",
        "message": None,
        "phase": "Finalize",
        "events": ["build.started", *("phase.started", "phase.ended") * 2, "build.ended"],
    }


def test_a_forked_child_may_go_through_phases_and_writes_nothing(run: Run) -> None:
    leave = """
                async with build.turn() as turn, turn.phase("Child"):
                    turn.fail("child")
                os._exit(7)"""
    said = run(FORK % leave)
    assert (said["code"], said["silent"], said["status"]) == (7, True, "completed")


@pytest.mark.anyio
async def test_a_default_thread_pool_that_is_full_does_not_delay_a_write(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    release = threading.Event()
    loop = asyncio.get_running_loop()
    agents = [loop.run_in_executor(None, release.wait) for _ in range(100)]
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        async with build.phase("Setup"):
            assert on_disk()["phase"] == "Setup"
    assert on_disk()["status"] == "completed"
    assert not any(agent.done() for agent in agents)
    release.set()
    await asyncio.gather(*agents)


@pytest.mark.anyio
async def test_builds_below_one_root_share_a_thread_and_those_elsewhere_have_another(
    tmp_path: Path, clock: FakeClock
) -> None:
    before = threading.active_count()
    async with AsyncExitStack() as stack:
        for number in range(20):
            await stack.enter_async_context(
                track_build(f"TASK-{number}", root=tmp_path, clock=clock)
            )
        assert threading.active_count() == before + 1
        (tmp_path / "other").mkdir()
        await stack.enter_async_context(track_build("TASK-1", root=tmp_path / "other", clock=clock))
        assert threading.active_count() == before + 2


def test_writes_begin_when_a_thread_is_to_be_had_again(run: Run) -> None:
    program = """
async def main():
    clock = FakeClock(hung_after=0.05)
    entered, mended = asyncio.Event(), asyncio.Event()

    async def work():
        async with track_build("TASK-1", root=root, clock=clock) as build:
            entered.set()
            await mended.wait()
            async with build.phase("Setup"):
                await clock.advance(60)
                say(refused=refused, there=path.exists())

    threading.stack_size(2**26)
    with open("/proc/self/statm") as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + 2**25, -1))  # no room for a thread's stack
    task = asyncio.create_task(work())
    await clock.advance(1)
    await entered.wait()
    refused = not path.exists()
    resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
    mended.set()
    await task

asyncio.run(main())
"""
    assert run(program) == {"refused": True, "there": True}


def test_the_interpreter_exits_though_a_write_hangs(run: Run) -> None:
    program = """
from guardkit.progress.disk import Disk
from guardkit.clock import SYSTEM_CLOCK

async def main():
    disk = Disk.join(str(root), SYSTEM_CLOCK)
    disk._worker.submit(threading.Event().wait)
    async with track_build("TASK-1", root=root) as build:
        async with build.phase("Setup"):
            pass
    say(status=build.snapshot.status)
asyncio.run(main())
"""
    assert run(program) == {"status": "completed"}


def test_a_coroutine_that_is_closed_after_its_event_loop_raises_nothing(run: Run) -> None:
    program = """
async def work():
    async with track_build("TASK-1", root=root) as build, build.turn() as turn:
        async with turn.phase("Setup"):
            entered.set()
            await asyncio.Event().wait()

loop, entered = asyncio.new_event_loop(), asyncio.Event()
coroutine = work()
task = loop.create_task(coroutine)
loop.run_until_complete(entered.wait())
loop.close()
coroutine.close()
say(phase=on_disk()["phase"])
"""
    assert run(program, stderr=subprocess.DEVNULL) == {"phase": "Setup"}

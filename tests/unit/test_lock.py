"""Who holds a task: proof of life that the kernel gives, and what is no proof."""

import asyncio
import errno
import fcntl
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, nullcontext
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from guardkit import BuildAlreadyRunningError, assess, read_progress, track_build
from guardkit.progress.folder import Folder, open_builds
from guardkit.progress.lock import Hold, Locks, UnprovenError, boot_id, look
from guardkit.progress.ofd import FLOCK, prove
from guardkit.testing import FakeClock

NOBODY = 65534
WHOLE = 0  # as the length of a lock: up to the end of the file

BEGIN = """
import os, sys
from guardkit.errors import BuildAlreadyRunningError
from guardkit.progress.folder import open_builds
from guardkit.progress.lock import Hold, Locks, look
builds, locks = open_builds(sys.argv[1], make=True), Locks()
"""
HOLD = f"""{BEGIN}
locks.take(builds, "TASK-1", "run-1")
print(locks.identity, flush=True)
sys.stdin.readline()
"""
BUILD = """
import asyncio, sys
from guardkit import track_build

async def main():
    async with track_build("TASK-1", root=sys.argv[1]):
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main())
"""


class Process(subprocess.Popen[str]):
    """A script in a process of its own, which goes on when it is given a line."""

    def __init__(self, script: str, root: Path, *before: str) -> None:
        command, pipe = (*before, sys.executable, "-c", script, str(root)), subprocess.PIPE
        super().__init__(command, stdin=pipe, stdout=pipe, text=True)

    def says(self) -> str:
        assert self.stdout
        return self.stdout.readline().strip()


@contextmanager
def running(script: str, root: Path, *before: str) -> Iterator[Process]:
    with Process(script, root, *before) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def builds(tmp_path: Path) -> Iterator[Folder]:
    with open_builds(tmp_path, make=True) as builds:
        yield builds


@pytest.fixture
def lock(builds: Folder) -> Path:
    return Path(builds.path, ".lock")


def see(
    root: Path, run: str = "run-1", lock: str | None = "", *, task: str = "TASK-1", boot: str = ""
) -> Hold:
    """Return what the locks tell of a run; by default, of one of this boot and this lock file."""
    with open_builds(root) as builds:
        if lock == "":
            lock = identity(Path(builds.path, ".lock"))
        [hold] = look(builds, [(task, run, boot or boot_id(), lock)])
    return hold


def identity(path: Path) -> str:
    status = path.lstat() if path.exists() else None
    return f"{status.st_dev}:{status.st_ino}" if status else "none"


def descriptors(root: Path) -> list[str]:
    """Return the files below `root` that this process holds open, deleted ones too."""
    links = []
    for name in os.listdir("/proc/self/fd"):
        try:
            links.append(str(Path("/proc/self/fd", name).readlink()))
        except FileNotFoundError:  # the one that listed them
            continue
    return [link for link in links if link.startswith(f"{root}/") and "lock" in link]


@contextmanager
def locked_by_bystander(
    path: Path, kind: int = fcntl.F_RDLCK, length: int = WHOLE
) -> Iterator[int]:
    """Lock a file as somebody does who may only read it."""
    flags = os.O_RDONLY if kind == fcntl.F_RDLCK else os.O_RDWR
    fd = os.open(path, flags)
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, FLOCK.pack(kind, os.SEEK_SET, 0, length, 0))
        yield fd
    finally:
        os.close(fd)


@contextmanager
def root_for_all() -> Iterator[Path]:
    """Return a root in which all may write."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        (root / ".guardkit/autobuild").mkdir(parents=True)
        for path in (root, root / ".guardkit", root / ".guardkit/autobuild"):
            path.chmod(0o777)
        yield root


@contextmanager
def as_nobody() -> Iterator[None]:
    """Be another user for a while."""
    if os.geteuid():
        pytest.skip("only root can become another user")
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[tuple[Path, Path]]:
    """Return a folder, and where it is mounted once more, through a server."""
    behind, mount = folder / "behind", folder / "mount"
    behind.mkdir()
    mount.mkdir()
    command = ("bindfs", *options, str(behind), str(mount))
    if not shutil.which("bindfs") or subprocess.run(command, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield behind, mount
    finally:
        subprocess.run(["umount", "--lazy", str(mount)], check=True)


# what a reader sees


def test_a_run_lives_while_its_process_does(tmp_path: Path) -> None:
    with running(HOLD, tmp_path) as process:
        lock = process.says()
        assert see(tmp_path, lock=lock) is Hold.LIVES
        process.communicate("\n")
        assert process.returncode == 0
        assert see(tmp_path, lock=lock) is Hold.GONE


def test_a_run_is_gone_as_soon_as_its_process_was_killed(tmp_path: Path) -> None:
    with running(HOLD, tmp_path) as process:
        lock = process.says()
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert see(tmp_path, lock=lock) is Hold.GONE


def test_a_run_lives_while_its_process_is_stopped(tmp_path: Path) -> None:
    with running(HOLD, tmp_path) as process:
        lock = process.says()
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        assert see(tmp_path, lock=lock) is Hold.LIVES


def test_a_run_in_another_pid_namespace_is_seen_to_live_and_to_die(tmp_path: Path) -> None:
    """As one of a container that shares the folder."""
    alone = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no pid namespace may be made here")
    with running(HOLD, tmp_path, *alone) as process:
        lock = process.says()
        assert see(tmp_path, lock=lock) is Hold.LIVES
        process.kill()
        process.wait()
        while see(tmp_path, lock=lock) is Hold.LIVES:  # until the kernel has ended the namespace
            pass
        assert see(tmp_path, lock=lock) is Hold.GONE


def test_a_task_that_another_run_has_taken_is_taken(tmp_path: Path) -> None:
    with running(HOLD, tmp_path) as process:
        lock = process.says()
        assert see(tmp_path, "run-0", lock=lock) is Hold.TAKEN
        assert see(tmp_path, "run-0", lock=None, boot="another") is Hold.TAKEN
        assert see(tmp_path, "run-1", lock=lock, task="TASK-13") is Hold.GONE


def test_a_living_run_lives_wherever_its_document_was_written(tmp_path: Path) -> None:
    with running(HOLD, tmp_path) as process:
        process.says()
        assert see(tmp_path, lock=None, boot="another") is Hold.LIVES


@pytest.mark.parametrize("boot", ["", "another"], ids=["unknown", "another"])
def test_after_another_boot_nothing_is_proven(builds: Folder, lock: Path, boot: str) -> None:
    lock.touch()
    assert look(builds, [("TASK-1", "run-1", boot, identity(lock))]) == [Hold.UNKNOWN]


@pytest.mark.parametrize("document", [None, "0:0", "none"], ids=["no lock", "another", "no words"])
def test_where_another_file_is_locked_nothing_is_proven(
    tmp_path: Path, lock: Path, document: str | None
) -> None:
    lock.touch()
    assert see(tmp_path, lock=document) is Hold.UNKNOWN


def test_where_there_is_no_lock_file_nothing_is_proven_and_none_is_made(
    tmp_path: Path, lock: Path
) -> None:
    assert see(tmp_path) is Hold.UNKNOWN
    assert not lock.exists()


def test_several_runs_are_told_of_in_their_order(builds: Folder, lock: Path) -> None:
    locks = Locks()
    locks.take(builds, "TASK-2", "run")
    here = boot_id(), identity(lock)
    asked = [("TASK-1", "run", *here), ("TASK-2", "run", *here), ("TASK-2", "old", *here)]
    assert look(builds, asked) == [Hold.GONE, Hold.LIVES, Hold.TAKEN]
    assert look(builds, iter(asked)) == [Hold.GONE, Hold.LIVES, Hold.TAKEN]
    locks.close()


def test_a_run_id_that_is_no_text_of_ours_is_looked_for_all_the_same(
    tmp_path: Path, lock: Path
) -> None:
    lock.touch()
    for run in ("", "\ud800", "\0\n", "x" * 2**16):
        assert see(tmp_path, run) is Hold.GONE


def test_no_two_of_many_tasks_and_runs_share_a_byte(builds: Folder) -> None:
    """A lock that stands on two is seen in the answer for either."""
    locks = Locks()
    names = [f"{kind}-{number}" for kind in ("TASK", "FEAT", "T") for number in range(400)]
    for name in names:
        locks.take(builds, name, f"{name:0>16}")
    others = [(f"{name}{end}", "run", "", None) for name in names for end in ("a", ".1", "-x")]
    assert set(look(builds, others)) == {Hold.UNKNOWN}
    locks.close()


@pytest.mark.parametrize("made", ["folder", "pipe", "link", "dangling link"])
def test_what_is_no_lock_file_proves_nothing(
    tmp_path: Path, builds: Folder, lock: Path, made: str
) -> None:
    other = tmp_path / "other"
    if made == "folder":
        lock.mkdir()
    elif made == "pipe":
        os.mkfifo(lock)
    else:
        lock.symlink_to(other)
    if made == "link":
        other.touch()
    assert look(builds, [("TASK-1", "run-1", boot_id(), identity(lock))]) == [Hold.UNKNOWN]
    locks, was_there = Locks(), other.exists()
    with pytest.raises(UnprovenError, match=r"\.lock'$"):
        locks.take(builds, "TASK-1", "run-1")
    assert locks.identity is None
    assert other.exists() is was_there


def test_a_reader_that_may_not_read_the_lock_file_can_prove_nothing() -> None:
    with root_for_all() as root, open_builds(root) as builds:
        Path(builds.path, ".lock").touch(mode=0o600)
        asked = "TASK-1", "run-1", boot_id(), identity(Path(builds.path, ".lock"))
        assert look(builds, [asked]) == [Hold.GONE]
        with as_nobody():
            assert look(builds, [asked]) == [Hold.UNKNOWN]


def test_a_run_that_went_over_to_another_file_meanwhile_is_not_gone(
    tmp_path: Path, builds: Folder, lock: Path
) -> None:
    """Its reader has opened the folder before that, and asks in it."""
    locks = Locks()
    locks.take(builds, "TASK-1", "run-1")
    asked = "TASK-1", "run-1", boot_id(), locks.identity
    (tmp_path / ".guardkit").rename(tmp_path / "moved")
    with open_builds(tmp_path, make=True) as anew:
        locks.take(anew, "TASK-1", "run-1")
        assert look(builds, [asked]) == [Hold.UNKNOWN]
        shutil.rmtree(tmp_path / ".guardkit")
        assert look(builds, [asked]) == [Hold.UNKNOWN]
    locks.close()


def test_a_look_neither_keeps_anybody_from_building_nor_takes_a_run_that_ends_for_another(
    tmp_path: Path,
) -> None:
    """The builder takes the run before the task, tells of it, and lets go of it after the task."""
    script = f"""{BEGIN}
number = os.open(f"{{builds.path}}/number", os.O_WRONLY | os.O_CREAT)
for task in range(1000, 3000):
    locks.take(builds, f"TASK-{{task}}", "run-1")
    os.pwrite(number, b"%d" % task, 0)
    locks.give_back(f"TASK-{{task - 1}}", "run-1")
print("done", flush=True)
"""
    number, seen = tmp_path / ".guardkit/autobuild/number", set[Hold]()
    with running(script, tmp_path) as process:
        while process.poll() is None:
            if number.exists() and (task := number.read_text()):
                seen.add(see(tmp_path, task=f"TASK-{task}"))
        assert process.says() == "done"
    assert Hold.LIVES in seen
    assert Hold.TAKEN not in seen


def test_a_boot_has_a_name() -> None:
    assert boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_where_the_kernel_names_no_boot_there_is_none(tmp_path: Path) -> None:
    """And then nothing is proven, though both of them are the same."""
    script = f"""{BEGIN}
from guardkit.progress.lock import boot_id
locks.take(builds, "TASK-1", "run-1")
lock = locks.identity
locks.close()
print(repr(boot_id()), *look(builds, [("TASK-1", "run-1", "", lock)]))
"""
    hidden = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$0" "$@"')
    if subprocess.run([*hidden, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no namespace of mounts may be made here")
    with running(script, tmp_path, *hidden) as process:
        assert process.says() == "'' Hold.UNKNOWN"
        assert process.wait() == 0


def test_a_look_imports_little() -> None:
    slow = {"typing", "pathlib", "dataclasses", "asyncio", "msgspec", "hashlib"}
    script = (
        "import sys; before = {*sys.modules}; import guardkit.progress.lock; "
        f"print(*sorted({slow} & ({{*sys.modules}} - before)))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert ended.stdout == b"\n"


# taking and giving back


def test_a_task_is_taken_once(tmp_path: Path, builds: Folder) -> None:
    first, second = Locks(), Locks()
    first.take(builds, "TASK-1", "run-1")
    for locks in (first, second):
        with pytest.raises(BuildAlreadyRunningError, match="another builder has taken TASK-1"):
            locks.take(builds, "TASK-1", "run-2")
    second.take(builds, "TASK-13", "run-2")
    with pytest.raises(BuildAlreadyRunningError):
        second.take(builds, "TASK-1", "run-2")
    assert see(tmp_path, "run-1") is Hold.LIVES
    assert see(tmp_path, "run-2", task="TASK-13") is Hold.LIVES
    assert see(tmp_path, "run-2") is Hold.TAKEN
    first.give_back("TASK-1", "run-1")
    second.take(builds, "TASK-1", "run-2")
    for task_id in ("TASK-1", "TASK-13"):
        second.give_back(task_id, "run-2")
    assert descriptors(tmp_path) == []


def test_a_builder_that_was_refused_holds_nothing(tmp_path: Path, builds: Folder) -> None:
    first, second = Locks(), Locks()
    first.take(builds, "TASK-1", "run-1")
    with pytest.raises(BuildAlreadyRunningError):
        second.take(builds, "TASK-1", "run-2")
    assert descriptors(tmp_path) == [f"{builds.path}/.lock"]
    assert second.identity is None
    first.close()
    assert see(tmp_path, "run-2") is Hold.GONE


def test_a_task_that_is_held_may_be_taken_again_and_again(tmp_path: Path, builds: Folder) -> None:
    locks = Locks()
    for _ in range(3):
        locks.take(builds, "TASK-1", "run-1")
        assert locks.identity == identity(Path(builds.path, ".lock"))
    locks.give_back("TASK-1", "run-1")
    assert see(tmp_path) is Hold.GONE


def test_giving_back_what_is_not_held_changes_nothing(tmp_path: Path, builds: Folder) -> None:
    locks = Locks()
    locks.give_back("TASK-1", "run-1")
    locks.take(builds, "TASK-1", "run-1")
    locks.give_back("TASK-13", "run-1")
    locks.give_back("TASK-1", "run-2")
    assert see(tmp_path) is Hold.LIVES
    locks.close()


def test_of_many_builds_each_gives_back_its_own_task(tmp_path: Path, builds: Folder) -> None:
    locks = Locks()
    names = [f"TASK-{number}" for number in range(50)]
    for name in names:
        locks.take(builds, name, "run-1")
    assert descriptors(tmp_path) == [f"{builds.path}/.lock"]
    for name, following in pairwise(names):
        locks.give_back(name, "run-1")
        assert see(tmp_path, task=name) is Hold.GONE
        assert see(tmp_path, task=following) is Hold.LIVES
    locks.give_back(names[-1], "run-1")
    assert descriptors(tmp_path) == []
    assert locks.identity is None


def test_locks_that_nobody_refers_to_any_more_are_let_go_of(tmp_path: Path, builds: Folder) -> None:
    locks = Locks()
    locks.take(builds, "TASK-1", "run-1")
    del locks
    assert see(tmp_path) is Hold.GONE


@pytest.mark.parametrize(("umask", "mode"), [(0o000, 0o644), (0o022, 0o644), (0o077, 0o600)])
def test_the_lock_file_is_its_makers_to_lock(
    builds: Folder, lock: Path, umask: int, mode: int
) -> None:
    locks, before = Locks(), os.umask(umask)
    try:
        locks.take(builds, "TASK-1", "run-1")
    finally:
        os.umask(before)
    assert stat.S_IMODE(lock.stat().st_mode) == mode
    locks.close()


def test_of_builders_that_race_for_a_task_one_has_it_at_a_time(tmp_path: Path) -> None:
    """In processes of their own; who has it makes a file that must not be there yet."""
    script = f"""{BEGIN}
won = 0
print("ready", flush=True)
sys.stdin.readline()
for number in range(500):
    try:
        locks.take(builds, "TASK-1", f"{{os.getpid()}}-{{number}}")
    except BuildAlreadyRunningError:
        continue
    os.close(os.open(f"{{sys.argv[1]}}/winner", os.O_CREAT | os.O_EXCL))
    os.unlink(f"{{sys.argv[1]}}/winner")
    locks.give_back("TASK-1", f"{{os.getpid()}}-{{number}}")
    won += 1
print("won" if won else "lost", flush=True)
"""
    racers = [Process(script, tmp_path) for _ in range(4)]
    try:
        assert [racer.says() for racer in racers] == ["ready"] * 4
        for racer in racers:
            assert racer.stdin
            racer.stdin.write("\n")
            racer.stdin.flush()
        assert {racer.says() for racer in racers} <= {"won", "lost"}
        assert [racer.wait() for racer in racers] == [0] * 4
    finally:
        for racer in racers:
            racer.kill()
            racer.communicate()


# what is no builder's lock


def test_a_read_lock_is_no_builders(tmp_path: Path, builds: Folder, lock: Path) -> None:
    lock.touch(mode=0o644)
    locks = Locks()
    with locked_by_bystander(lock):
        assert see(tmp_path) is Hold.GONE
        with pytest.raises(UnprovenError, match="locked, but not as a builder does") as raised:
            locks.take(builds, "TASK-1", "run-1")
        assert (raised.value.errno, raised.value.filename) == (errno.EAGAIN, str(lock))
        assert descriptors(tmp_path).count(str(lock)) == 1  # the bystander's
    locks.take(builds, "TASK-1", "run-1")  # it mends itself
    assert see(tmp_path) is Hold.LIVES
    locks.close()


def test_a_read_lock_of_another_user_neither_stops_a_builder_nor_revives_one() -> None:
    with root_for_all() as root, open_builds(root) as builds:
        locks, path = Locks(), Path(builds.path, ".lock")
        path.touch(mode=0o644)
        with as_nobody(), locked_by_bystander(path):
            with pytest.raises(PermissionError):
                os.open(path, os.O_RDWR)
            assert see(root) is Hold.GONE
            os.seteuid(0)
            with pytest.raises(UnprovenError):
                locks.take(builds, "TASK-1", "run-1")


def test_a_living_builder_is_not_hidden_by_a_read_lock_elsewhere_in_the_file(
    tmp_path: Path, builds: Folder, lock: Path
) -> None:
    locks = Locks()
    locks.take(builds, "TASK-1", "run-1")
    with locked_by_bystander(lock, length=100):
        assert see(tmp_path) is Hold.LIVES
        locks.take(builds, "TASK-1", "run-1")
        assert see(tmp_path, "run-0") is Hold.TAKEN
    locks.close()


def test_a_lock_file_of_another_user_is_looked_at_and_not_locked() -> None:
    with root_for_all() as root, open_builds(root) as builds:
        theirs, ours = Locks(), Locks()
        theirs.take(builds, "TASK-1", "run-1")
        with as_nobody():
            with pytest.raises(BuildAlreadyRunningError, match="has taken TASK-1"):
                ours.take(builds, "TASK-1", "run-2")
            with pytest.raises(UnprovenError, match="Permission denied"):
                ours.take(builds, "TASK-13", "run-2")
            assert see(root) is Hold.LIVES
            assert see(root, "run-2", task="TASK-13") is Hold.GONE
        theirs.close()


def test_where_no_lock_file_may_be_made_nothing_is_proven() -> None:
    with root_for_all() as root, open_builds(root) as builds:
        Path(builds.path).chmod(0o755)
        with as_nobody(), pytest.raises(UnprovenError, match="Permission denied"):
            Locks().take(builds, "TASK-1", "run-1")


def test_a_builder_that_finds_no_descriptor_left_does_not_build_without_proof(
    builds: Folder,
) -> None:
    held, locks = Locks(), Locks()
    held.take(builds, "TASK-1", "run-1")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(OSError) as raised:  # noqa: PT011
            locks.take(builds, "TASK-13", "run-1")
        assert raised.value.errno == errno.EMFILE
        assert not isinstance(raised.value, UnprovenError)
        held.take(builds, "TASK-1", "run-1")  # what is held needs none
        with pytest.raises(BuildAlreadyRunningError):
            held.take(builds, "TASK-1", "run-2")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    held.close()


# a lock file that is replaced


@pytest.mark.parametrize("how", ["deleted", "replaced", "renamed"])
def test_a_builder_goes_over_to_the_lock_file_that_is_there_now(
    tmp_path: Path, builds: Folder, lock: Path, how: str
) -> None:
    locks = Locks()
    for task_id in ("TASK-1", "TASK-13"):
        locks.take(builds, task_id, "run-1")
    before = locks.identity
    if how == "renamed":
        lock.rename(tmp_path / "kept elsewhere")
    else:
        (lock.parent / "new").touch()
        lock.unlink()
    if how == "replaced":
        (lock.parent / "new").rename(lock)
    assert see(tmp_path, lock=before) is Hold.UNKNOWN
    locks.take(builds, "TASK-13", "run-1")
    assert locks.identity == identity(lock)
    assert see(tmp_path) is Hold.LIVES
    assert see(tmp_path, task="TASK-13") is Hold.LIVES
    assert descriptors(tmp_path) == [str(lock)]
    locks.close()


def test_a_builder_whose_task_another_one_has_in_the_new_file_is_told_so(
    tmp_path: Path, builds: Folder, lock: Path
) -> None:
    first, second = Locks(), Locks()
    for task_id in ("TASK-1", "TASK-13"):
        first.take(builds, task_id, "run-1")
    lock.unlink()
    second.take(builds, "TASK-13", "run-2")
    first.take(builds, "TASK-1", "run-1")
    with pytest.raises(BuildAlreadyRunningError, match="TASK-13"):
        first.take(builds, "TASK-13", "run-1")
    assert see(tmp_path) is Hold.LIVES
    assert see(tmp_path, "run-1", task="TASK-13") is Hold.TAKEN
    second.give_back("TASK-13", "run-2")
    first.take(builds, "TASK-13", "run-1")  # nothing keeps a builder from trying again
    first.close()


def test_a_builder_that_can_prove_nothing_in_the_new_file_still_holds_the_old_one(
    tmp_path: Path, builds: Folder, lock: Path
) -> None:
    locks = Locks()
    locks.take(builds, "TASK-1", "run-1")
    before = locks.identity
    lock.rename(lock.parent / "old")
    lock.symlink_to("old")
    with pytest.raises(UnprovenError, match="it is a link"):
        locks.take(builds, "TASK-1", "run-1")
    assert locks.identity is None
    (lock.parent / "old").rename(lock)
    assert see(tmp_path, lock=before) is Hold.LIVES
    locks.take(builds, "TASK-1", "run-1")
    assert locks.identity == before
    locks.close()


def test_a_read_lock_in_the_new_file_costs_but_the_proof(
    tmp_path: Path, builds: Folder, lock: Path
) -> None:
    locks = Locks()
    locks.take(builds, "TASK-1", "run-1")
    lock.unlink()
    lock.touch()
    with locked_by_bystander(lock), pytest.raises(UnprovenError):
        locks.take(builds, "TASK-1", "run-1")
    locks.take(builds, "TASK-1", "run-1")
    assert see(tmp_path) is Hold.LIVES
    locks.close()


def test_a_builder_whose_folder_was_deleted_needs_another_one(tmp_path: Path, lock: Path) -> None:
    locks = Locks()
    with open_builds(tmp_path) as gone:
        locks.take(gone, "TASK-1", "run-1")
        shutil.rmtree(tmp_path / ".guardkit")
        with pytest.raises(FileNotFoundError) as raised:
            locks.take(gone, "TASK-1", "run-1")
        assert not isinstance(raised.value, UnprovenError)
    with open_builds(tmp_path, make=True) as builds:
        locks.take(builds, "TASK-1", "run-1")
    assert see(tmp_path) is Hold.LIVES
    assert descriptors(tmp_path) == [str(lock)]
    locks.close()


# mounts on which locks do not mean what they ought to


def test_a_mount_that_shares_no_locks_proves_nothing_from_the_other_side(tmp_path: Path) -> None:
    with mounted(tmp_path) as (behind, mount):
        with running(HOLD, behind) as process:
            lock = process.says()
            assert see(behind, lock=lock) is Hold.LIVES
            assert see(mount, lock=lock) is Hold.UNKNOWN
        with running(HOLD, mount) as process:
            lock = process.says()
            assert see(mount, lock=lock) is Hold.LIVES
            assert see(behind, lock=lock) is Hold.UNKNOWN


FORWARDING = "--enable-lock-forwarding", "--multithreaded"  # as those of one process: the server


def test_a_mount_that_grants_locks_to_everybody_is_found_out(tmp_path: Path) -> None:
    with mounted(tmp_path, *FORWARDING) as (_, mount), open_builds(mount, make=True) as builds:
        with pytest.raises(UnprovenError, match="several can lock it at once"):
            Locks().take(builds, "TASK-1", "run-1")


@pytest.mark.parametrize(
    ("name", "kind", "fault"),
    [
        pytest.param("one", fcntl.F_WRLCK, None, id="kept"),
        pytest.param("two", fcntl.F_WRLCK, "several can lock it at once", id="granted to all"),
        pytest.param("one", fcntl.F_RDLCK, "it does not show who has locked it", id="not shown"),
    ],
)
def test_a_second_descriptor_proves_that_a_byte_is_kept(
    tmp_path: Path, name: str, kind: int, fault: str | None
) -> None:
    """One of another file stands for a kernel that does not know of the lock."""
    for each in ("one", "two"):
        (tmp_path / each).touch()
    second = os.open(tmp_path / name, os.O_RDWR)
    try:
        with locked_by_bystander(tmp_path / "one", kind):
            with pytest.raises(OSError, match=fault) if fault else nullcontext():
                prove(second, 5)
    finally:
        os.close(second)


# forks


FORK = f"""{BEGIN}
locks.take(builds, "TASK-1", "run-1")
child = os.fork()
if not child:
    locks.give_back("TASK-1", "run-1")
    try:
        locks.take(builds, "TASK-1", "run-1")
    except BuildAlreadyRunningError:
        print(locks.identity, flush=True)
    locks.close()
    sys.stdin.readline()
    os._exit(0)
os.waitpid(child, 0)
"""


def test_a_child_neither_takes_what_its_parent_holds_nor_lives_in_its_place(
    tmp_path: Path,
) -> None:
    with running(FORK, tmp_path) as process:
        assert process.says() == "None"
        assert see(tmp_path) is Hold.LIVES
        process.kill()
        process.wait()  # the child has the end of the pipe that we write to, and lives on
        assert see(tmp_path) is Hold.GONE


def test_a_fork_leaves_locks_alone_that_are_gone_or_not_in_use(tmp_path: Path) -> None:
    script = f"""{BEGIN}
gone = Locks()
del gone
child = os.fork()
if not child:
    locks.take(builds, "TASK-1", "run-1")
    print(locks.identity is not None, flush=True)
    os._exit(0)
print(os.waitpid(child, 0)[1])
"""
    with running(script, tmp_path) as process:
        assert [process.says(), process.says()] == ["True", "0"]


# builds


@pytest.mark.anyio
async def test_a_builder_takes_over_at_once_from_one_that_was_killed(
    tmp_path: Path, clock: FakeClock
) -> None:
    with running(BUILD, tmp_path) as process:
        assert process.says() == "ready"
        with pytest.raises(BuildAlreadyRunningError, match=f"process {process.pid} on "):
            await track_build("TASK-1", root=tmp_path, clock=clock).__aenter__()
        process.kill()
        process.wait()
        async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
            assert see(tmp_path, build.snapshot.tracker.run_id) is Hold.LIVES
    assert see(tmp_path, build.snapshot.tracker.run_id) is Hold.GONE


@pytest.mark.anyio
async def test_a_builder_in_a_container_is_seen_to_live_and_to_die(tmp_path: Path) -> None:
    """Another pid namespace and another name of the host."""
    alone = ("unshare", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc")
    renamed = ("sh", "-c", 'hostname container && exec "$0" "$@"')
    if subprocess.run([*alone, *renamed, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no such namespaces may be made here")
    with running(BUILD, tmp_path, *alone, *renamed) as process:
        assert process.says() == "ready"
        seen = read_progress("TASK-1", root=tmp_path)
        assert seen.tracker.pid < 10
        assert seen.tracker.host == "container"
        assert assess(seen, root=tmp_path).state == "running"
        with pytest.raises(BuildAlreadyRunningError):
            await track_build("TASK-1", root=tmp_path).__aenter__()
        process.kill()
        process.wait()
        while see(tmp_path, seen.tracker.run_id) is Hold.LIVES:  # until its namespace has ended
            pass
        assert assess(seen, root=tmp_path).state == "crashed"
        async with track_build("TASK-1", root=tmp_path) as build:
            assert see(tmp_path, build.snapshot.tracker.run_id) is Hold.LIVES


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
async def test_fifty_builds_below_one_root_hold_one_lock_file_open(
    tmp_path: Path, clock: FakeClock, lock: Path
) -> None:
    async with AsyncExitStack() as stack:
        for number in range(50):
            build = track_build(f"TASK-{number}", root=tmp_path, clock=clock)
            await stack.enter_async_context(build)
        assert descriptors(tmp_path) == [str(lock)]
    assert descriptors(tmp_path) == []


@pytest.mark.anyio
async def test_a_reader_never_keeps_a_builder_from_starting(
    tmp_path: Path, clock: FakeClock, builds: Folder
) -> None:
    stop, looks = threading.Event(), set[Hold]()

    def read() -> None:
        while not stop.is_set():
            looks.update(look(builds, [("TASK-1", "none", "", None)]))

    readers = [threading.Thread(target=read) for _ in range(2)]
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
    assert looks == {Hold.TAKEN, Hold.UNKNOWN}


@pytest.mark.anyio
async def test_a_build_goes_on_without_proof_of_life(
    tmp_path: Path, clock: FakeClock, lock: Path, caplog: pytest.LogCaptureFixture
) -> None:
    os.mkdir(lock)
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        async with build.phase("Setup"):
            seen = read_progress("TASK-1", root=tmp_path)
            assert (seen.phase, seen.tracker.lock) == ("Setup", None)
            assert assess(seen, root=tmp_path, clock=clock).state == "running"
    assert build.snapshot.status == "completed"
    [record] = caplog.records
    assert str(lock) in record.getMessage()


@pytest.mark.anyio
async def test_a_builder_whose_folders_were_deleted_is_still_alone_and_still_alive(
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
                seen = read_progress(build.snapshot.task_id, root=tmp_path)
                assert assess(seen, root=tmp_path, clock=clock).state == "running"
        assert see(tmp_path, builds[0].snapshot.tracker.run_id) is Hold.LIVES
        with pytest.raises(BuildAlreadyRunningError):
            await track_build("TASK-1", root=tmp_path, clock=clock).__aenter__()
        command = (sys.executable, "-c", BUILD, str(tmp_path))
        ended = subprocess.run(command, input="\n", capture_output=True, text=True, check=False)
        assert "BuildAlreadyRunningError" in ended.stderr
    assert descriptors(tmp_path) == []


@pytest.mark.anyio
@pytest.mark.parametrize("moved", ["the lock file", "the folders"])
async def test_a_builder_whose_task_was_taken_writes_no_more(
    tmp_path: Path,
    lock: Path,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
    moved: str,
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        if moved == "the folders":
            (tmp_path / ".guardkit").rename(tmp_path / "moved")
        else:
            os.unlink(lock)
        later = FakeClock()  # by which the first one has missed its heartbeats
        await later.advance(100.0)
        async with track_build("TASK-1", root=tmp_path, clock=later) as other:
            await clock.advance(20.0)
            seen = read_progress("TASK-1", root=tmp_path)
            assert seen == other.snapshot
            assert assess(seen, root=tmp_path, clock=later).state == "running"
    assert read_progress("TASK-1", root=tmp_path) == other.snapshot
    assert "another builder has taken TASK-1" in caplog.text


@pytest.mark.anyio
async def test_a_lock_file_that_was_deleted_is_there_again_after_a_heartbeat(
    tmp_path: Path, lock: Path, clock: FakeClock
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        os.unlink(lock)
        await clock.advance(5.0)
        assert see(tmp_path, build.snapshot.tracker.run_id) is Hold.LIVES


@pytest.mark.anyio
async def test_links_are_neither_locked_nor_written_to(
    tmp_path: Path, lock: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    secret, journal = tmp_path / "secret", lock.parent / "TASK-1/events.jsonl"
    secret.write_text("key")
    secret.chmod(0o600)
    journal.parent.mkdir()
    for link in (lock, journal):
        link.symlink_to(secret)
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        pass
    assert (secret.read_text(), stat.S_IMODE(secret.stat().st_mode)) == ("key", 0o600)
    assert read_progress("TASK-1", root=tmp_path) == build.snapshot
    assert len(caplog.records) == 2


@pytest.mark.anyio
async def test_a_builder_is_refused_though_no_descriptor_is_left(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        second = track_build("TASK-1", root=tmp_path, clock=clock)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            with pytest.raises(BuildAlreadyRunningError):
                await second.__aenter__()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

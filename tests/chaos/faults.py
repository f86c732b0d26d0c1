"""Faults that a build has to survive without noticing: entered, they are there; left, mended."""

import asyncio
import fcntl
import os
import resource
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from errno import EMFILE, ENOSPC
from pathlib import Path
from typing import NamedTuple

import anyio.to_thread

from guardkit.testing import FakeClock

from .forking import folder_of

AN_HOUR = 3600.0
NOBODY = 65534
FILES_MAX = 256


NOT_AT_ALL, ONCE, PERHAPS, TWICE = range(1), range(1, 2), range(2), range(2, 3)


class Fault(NamedTuple):
    """What is done to a build, or to where it is.

    make: how, below which root and by which clock.
    warnings: how often it is to be warned of.
    at_start: whether a build can begin in it; to begin without a root is misuse.
    """

    make: Callable[[Path, FakeClock], AbstractContextManager[None]]
    warnings: range = ONCE
    on_tmpfs: bool = False
    as_nobody: bool = False
    at_start: bool = True


@contextmanager
def no_space(root: Path, clock: FakeClock) -> Iterator[None]:
    filler = root / "filler"
    with filler.open("wb", buffering=0) as file, suppress_errors(ENOSPC):
        while file.write(b"x" * 4096):
            pass
    yield
    filler.unlink()


@contextmanager
def no_inodes(root: Path, clock: FakeClock) -> Iterator[None]:
    filler = root / "filler"
    with suppress_errors(ENOSPC):
        filler.mkdir()
        for number in range(64):
            (filler / str(number)).touch()
    yield
    shutil.rmtree(filler, ignore_errors=True)


@contextmanager
def read_only(root: Path, clock: FakeClock) -> Iterator[None]:
    # over it, as a remount is refused while a file below it is open for writing
    nothing = root.with_name("nothing")
    nothing.mkdir(exist_ok=True)
    layers = f"lowerdir={root}:{nothing}"
    subprocess.run(["mount", "-t", "overlay", "-o", layers, "none", str(root)], check=True)
    yield
    subprocess.run(["umount", "--lazy", str(root)], check=True)


@contextmanager
def no_file_may_grow(root: Path, clock: FakeClock) -> Iterator[None]:
    with limit(resource.RLIMIT_FSIZE, 0):
        yield


@contextmanager
def no_permission(root: Path, clock: FakeClock) -> Iterator[None]:
    folders = [path for path in [root, *root.rglob("*")] if path.is_dir()]
    for folder in folders:
        folder.chmod(0o555)
    yield
    for folder in folders:
        folder.chmod(0o777)


@contextmanager
def folder_deleted(root: Path, clock: FakeClock) -> Iterator[None]:
    shutil.rmtree(folder_of(root, "TASK-1"), ignore_errors=True)
    yield


@contextmanager
def all_folders_deleted(root: Path, clock: FakeClock) -> Iterator[None]:
    shutil.rmtree(root / ".guardkit", ignore_errors=True)
    yield


@contextmanager
def root_deleted(root: Path, clock: FakeClock) -> Iterator[None]:
    shutil.rmtree(root)
    yield
    root.mkdir()  # raises where the build has made it again


@contextmanager
def root_moved(root: Path, clock: FakeClock) -> Iterator[None]:
    away = root.with_name("away")
    root.rename(away)
    yield
    away.rename(root)


@contextmanager
def directory_for_file(root: Path, clock: FakeClock) -> Iterator[None]:
    with instead_of(root, "progress.json") as path:
        (path / "full").mkdir(parents=True)
        yield


@contextmanager
def symlink_for_file(root: Path, clock: FakeClock) -> Iterator[None]:
    victim = root / "victim"
    victim.write_text("precious")
    with instead_of(root, "progress.json") as path:
        path.symlink_to(victim)
        yield
        assert victim.read_text() == "precious"


@contextmanager
def fifo_for_file(root: Path, clock: FakeClock) -> Iterator[None]:
    with instead_of(root, "progress.json") as path:
        os.mkfifo(path)
        yield


@contextmanager
def directory_for_journal(root: Path, clock: FakeClock) -> Iterator[None]:
    with instead_of(root, "events.jsonl") as path:
        path.mkdir()
        yield


@contextmanager
def fifo_for_journal(root: Path, clock: FakeClock) -> Iterator[None]:
    with instead_of(root, "events.jsonl") as path:
        os.mkfifo(path)
        yield


def link_for(name: str) -> Callable[[Path, FakeClock], AbstractContextManager[None]]:
    """Have a link stand where one of the folders or files below a root has stood."""

    @contextmanager
    def make(root: Path, clock: FakeClock) -> Iterator[None]:
        victims, path = root / "victims", root / name
        target = victims / name
        plant(victims)
        before = contents(victims)
        with moved_away(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(target)
            yield
            assert path.is_symlink()
            assert contents(victims) == before
            path.unlink()
        shutil.rmtree(victims)

    return make


def plant(root: Path) -> None:
    """Make what a builder would delete, replace, append to or lock, if it followed a link."""
    folder = folder_of(root, "TASK-1")
    folder.mkdir(parents=True)
    names = ("progress.json", "events.jsonl", ".progress.1.1.tmp", "../.gitignore", "../.lock")
    for name in names:
        (folder / name).write_text("precious")


def contents(root: Path) -> dict[Path, tuple[bytes, int]]:
    """Return what each file below a root holds, and when it was changed last."""
    files = [path for path in root.rglob("*") if path.is_file()]
    return {path: (path.read_bytes(), path.stat().st_ctime_ns) for path in files}


@contextmanager
def moved_away(path: Path) -> Iterator[None]:
    """Have nothing at a path; what was there comes back, if nothing else is there by then."""
    away = path.with_name("moved-away")
    with suppress(FileNotFoundError):
        path.rename(away)
    yield
    if away.exists() and not path.exists():
        away.rename(path)
    elif away.exists():
        away.unlink()


def lock_of(root: Path) -> Path:
    """Return the path of the lock file, by the contract."""
    path = root / ".guardkit/autobuild/.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def lock_deleted(root: Path, clock: FakeClock) -> Iterator[None]:
    lock_of(root).unlink(missing_ok=True)
    yield


@contextmanager
def lock_replaced(root: Path, clock: FakeClock) -> Iterator[None]:
    path = lock_of(root)
    path.with_name("new").touch(0o644)
    path.with_name("new").rename(path)
    yield


@contextmanager
def lock_read_locked(root: Path, clock: FakeClock) -> Iterator[None]:
    """Have a new lock file, all of which somebody has locked who may only read it."""
    with lock_replaced(root, clock), lock_of(root).open("rb") as file:
        asked = struct.pack("hhqqi0q", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, asked)
        yield


@contextmanager
def fifo_for_lock(root: Path, clock: FakeClock) -> Iterator[None]:
    with moved_away(lock_of(root)):
        os.mkfifo(lock_of(root))
        yield
        lock_of(root).unlink()


@contextmanager
def directory_for_lock(root: Path, clock: FakeClock) -> Iterator[None]:
    with moved_away(lock_of(root)):
        lock_of(root).mkdir()
        yield
        lock_of(root).rmdir()


@contextmanager
def temporary_names_occupied(root: Path, clock: FakeClock) -> Iterator[None]:
    """Take the names that anybody would guess: numbers behind that of the process."""
    folder = folder_of(root, "TASK-1")
    folder.mkdir(parents=True, exist_ok=True)
    names = [folder / f".progress.{os.getpid()}.{number}.tmp" for number in range(500)]
    for name in names:
        name.mkdir()
    yield
    for name in names:
        name.rmdir()


@contextmanager
def no_open_files(root: Path, clock: FakeClock) -> Iterator[None]:
    with limit(resource.RLIMIT_NOFILE, FILES_MAX), ExitStack() as stack:
        with suppress_errors(EMFILE):
            while True:
                stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        yield


@contextmanager
def no_threads_to_be_had(root: Path, clock: FakeClock) -> Iterator[None]:
    """Fill the event loop's default pool, and take all that anyio lends."""
    free, loop = threading.Event(), asyncio.get_running_loop()
    for _ in range(64):
        loop.run_in_executor(None, free.wait)
    limiter = anyio.to_thread.current_default_thread_limiter()
    borrowers = [object() for _ in range(int(limiter.available_tokens))]
    for borrower in borrowers:
        limiter.acquire_on_behalf_of_nowait(borrower)
    yield
    for borrower in borrowers:
        limiter.release_on_behalf_of(borrower)
    free.set()


@contextmanager
def blocked_loop(root: Path, clock: FakeClock) -> Iterator[None]:
    time.sleep(0.05)
    yield
    time.sleep(0.05)


@contextmanager
def clock_set_forth(root: Path, clock: FakeClock) -> Iterator[None]:
    clock.jump(AN_HOUR)
    yield
    clock.jump(-AN_HOUR)


@contextmanager
def clock_set_back(root: Path, clock: FakeClock) -> Iterator[None]:
    clock.jump(-AN_HOUR)
    yield
    clock.jump(AN_HOUR)


@contextmanager
def suppress_errors(number: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != number:
            raise


@contextmanager
def limit(what: int, value: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(what)
    resource.setrlimit(what, (value, hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (soft, hard))


@contextmanager
def instead_of(root: Path, name: str) -> Iterator[Path]:
    """Give the path of one of the build's files, where nothing is now; clear what is put there."""
    path = folder_of(root, "TASK-1") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    yield path
    if path.is_dir():
        shutil.rmtree(path)
    elif not path.is_file():
        with suppress(FileNotFoundError):
            path.unlink()


FAULTS = {
    "no space": Fault(no_space, on_tmpfs=True),
    "no inodes": Fault(no_inodes, on_tmpfs=True),
    "read-only": Fault(read_only, warnings=TWICE, on_tmpfs=True),  # and no proof of life
    "no file may grow": Fault(no_file_may_grow),
    "no permission": Fault(no_permission, as_nobody=True),
    "folder deleted": Fault(folder_deleted, warnings=NOT_AT_ALL),
    "all folders deleted": Fault(all_folders_deleted, warnings=NOT_AT_ALL),
    "root deleted": Fault(root_deleted, at_start=False),
    "root moved away": Fault(root_moved, at_start=False),
    "a directory for the file": Fault(directory_for_file),
    "a symlink for the file": Fault(symlink_for_file, warnings=NOT_AT_ALL),
    "a FIFO for the file": Fault(fifo_for_file, warnings=NOT_AT_ALL),
    "a directory for the journal": Fault(directory_for_journal),
    "a FIFO for the journal": Fault(fifo_for_journal, warnings=PERHAPS),
    "a link for .guardkit": Fault(link_for(".guardkit")),
    "a link for the folder of all builds": Fault(link_for(".guardkit/autobuild")),
    "a link for the folder": Fault(link_for(".guardkit/autobuild/TASK-1")),
    "a link for the journal": Fault(link_for(".guardkit/autobuild/TASK-1/events.jsonl")),
    "a link for the lock": Fault(link_for(".guardkit/autobuild/.lock")),
    "lock deleted": Fault(lock_deleted, warnings=NOT_AT_ALL),
    "lock replaced": Fault(lock_replaced, warnings=NOT_AT_ALL),
    "lock read-locked by a bystander": Fault(lock_read_locked),
    "a FIFO for the lock": Fault(fifo_for_lock),
    "a directory for the lock": Fault(directory_for_lock),
    "temporary names occupied": Fault(temporary_names_occupied, warnings=NOT_AT_ALL),
    "no open files": Fault(no_open_files),
    "no threads to be had": Fault(no_threads_to_be_had, warnings=NOT_AT_ALL),
    "blocked loop": Fault(blocked_loop, warnings=NOT_AT_ALL),
    "clock set forth": Fault(clock_set_forth, warnings=NOT_AT_ALL),
    "clock set back": Fault(clock_set_back, warnings=NOT_AT_ALL),
}

"""Faults that a build has to survive without noticing: entered, they are there; left, mended."""

import asyncio
import os
import resource
import shutil
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


NOT_AT_ALL, ONCE, PERHAPS = range(1), range(1, 2), range(2)


class Fault(NamedTuple):
    """How it is made, below which root and by which clock, and how often it is to be warned of."""

    make: Callable[[Path, FakeClock], AbstractContextManager[None]]
    warnings: range = ONCE
    on_tmpfs: bool = False
    as_nobody: bool = False


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
    subprocess.run(["mount", "--bind", "-o", "ro", str(root), str(root)], check=True)
    yield
    subprocess.run(["umount", str(root)], check=True)


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
    "read-only": Fault(read_only, on_tmpfs=True),
    "no file may grow": Fault(no_file_may_grow),
    "no permission": Fault(no_permission, as_nobody=True),
    "folder deleted": Fault(folder_deleted, warnings=NOT_AT_ALL),
    "all folders deleted": Fault(all_folders_deleted, warnings=NOT_AT_ALL),
    "root deleted": Fault(root_deleted),
    "root moved away": Fault(root_moved),
    "a directory for the file": Fault(directory_for_file),
    "a symlink for the file": Fault(symlink_for_file, warnings=NOT_AT_ALL),
    "a FIFO for the file": Fault(fifo_for_file, warnings=NOT_AT_ALL),
    "a directory for the journal": Fault(directory_for_journal),
    "a FIFO for the journal": Fault(fifo_for_journal, warnings=PERHAPS),
    "no open files": Fault(no_open_files),
    "no threads to be had": Fault(no_threads_to_be_had, warnings=NOT_AT_ALL),
    "blocked loop": Fault(blocked_loop, warnings=NOT_AT_ALL),
    "clock set forth": Fault(clock_set_forth, warnings=NOT_AT_ALL),
    "clock set back": Fault(clock_set_back, warnings=NOT_AT_ALL),
}

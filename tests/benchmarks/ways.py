"""Ways to write what a build writes: in C, by bare calls, by aiofiles."""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable
from itertools import count
from pathlib import Path

import aiofiles
import aiofiles.os

from guardkit.progress.folder import Folder, temporary
from guardkit.progress.paths import JOURNAL, PROGRESS

_numbers = count()


def temporary_in(folder: Path | str) -> str:
    """Return a path that is free."""
    return f"{folder}/.progress.{next(_numbers)}.tmp"


def compile_floor(into: Path) -> Callable[[Folder, str, bytes, int], float] | None:
    """Compile the writer in C; return it as a function, in seconds for a write; None without cc."""
    if not shutil.which("cc"):
        return None
    source, library = Path(__file__).with_name("floor.c"), into / "floor.so"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
    replace = ctypes.CDLL(str(library)).replace
    text, size = ctypes.c_char_p, ctypes.c_size_t
    replace.argtypes = [ctypes.c_int, text, text, size, ctypes.c_int]
    replace.restype = ctypes.c_longlong

    def write(builds: Folder, task: str, document: bytes, times: int) -> float:
        nanoseconds: int = replace(builds.fd, task.encode(), document, len(document), times)
        if nanoseconds < 0:
            raise OSError(-nanoseconds, os.strerror(-nanoseconds))
        return nanoseconds / 1e9 / times

    return write


def bare(path: str, document: bytes, temporary: str) -> None:
    """Replace a file by the calls of `os` alone."""
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    os.write(fd, document)
    os.close(fd)
    os.replace(temporary, path)


def bare_transition(builds: int, task: str, document: bytes, line: bytes) -> None:
    """Make the system calls of a transition by `os` alone: append to the journal, replace the file.

    builds: a descriptor of the folder in which the folder of the task is.
    """
    safe = os.O_NOFOLLOW | os.O_CLOEXEC
    folder = os.open(task, os.O_PATH | os.O_DIRECTORY | safe, dir_fd=builds)
    append = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK
    fd = os.open(JOURNAL, append | safe, 0o666, dir_fd=folder)
    os.fstat(fd)
    os.lseek(fd, 0, os.SEEK_END)
    os.write(fd, line)
    os.close(fd)
    name = temporary()
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | safe, 0o666, dir_fd=folder)
    os.write(fd, document)
    os.close(fd)
    os.replace(name, PROGRESS, src_dir_fd=folder, dst_dir_fd=folder)
    os.close(folder)


async def transition_call_by_call(folder: Path, document: bytes, line: bytes) -> None:
    """Append to the journal and replace the file, with a hop to a thread for each call."""
    async with aiofiles.open(folder / JOURNAL, "ab") as file:
        await file.write(line)
    name = temporary_in(folder)
    async with aiofiles.open(name, "wb") as file:
        await file.write(document)
    await aiofiles.os.replace(name, folder / PROGRESS)

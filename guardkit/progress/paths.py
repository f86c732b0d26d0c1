"""Where the files of a build are, what may stand in their names, and how they are opened."""

import errno
import os
import re
import stat
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

from guardkit.errors import InvalidTaskIdError

TASK_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def builds_dir(root: str | os.PathLike[str]) -> Path:
    """Return the folder that holds a folder for each build below `root`."""
    return Path(root, ".guardkit", "autobuild")


def build_dir(root: str | os.PathLike[str], task_id: str) -> Path:
    """Return the folder of a build's files; raises InvalidTaskIdError."""
    return builds_dir(root) / check_task_id(task_id)


def progress_path(root: str | os.PathLike[str], task_id: str) -> str:
    """Return where a build's progress file is; raises InvalidTaskIdError."""
    return os.path.join(root, ".guardkit", "autobuild", check_task_id(task_id), "progress.json")


def lock_name(task_id: str) -> str:
    """Return the name of the file beside the builds in which a task has a byte to lock.

    It is one of sixteen, as the kernel walks all the locks in a file for each that is taken.
    """
    return f".lock-{crc32(task_id.encode()) % 16:x}"


def lock_path(root: str | os.PathLike[str], task_id: str) -> Path:
    """Return the path of that file."""
    return builds_dir(root) / lock_name(task_id)


def check_task_id(task_id: object) -> str:
    """Return `task_id`; raise InvalidTaskIdError unless it is one, and so never a path."""
    if isinstance(task_id, str) and (match := TASK_ID.fullmatch(task_id)):
        return match[0]
    raise InvalidTaskIdError(
        f"{task_id!r:.40} is not a task id: use 1 to 128 letters, digits, '.', '_' and '-', "
        "beginning with a letter or a digit"
    )


def open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file for reading; raises OSError, also where it is a pipe that would be waited for."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    return open(fd, "rb")

"""Proof of life: who builds a task holds a byte of a file locked, until it dies.

A few lock files serve all the tasks below a root, a byte each: a thousand builds hold as few
descriptors.
The locks are those of an open file description (Linux): the kernel lets go of them when the holder
dies, across pid namespaces too, and a reader can ask without taking anything.
"""

import errno
import os
import struct
import sys
import weakref
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from threading import Lock

from guardkit.progress.paths import builds_dir, lock_name, open_file

if sys.platform == "linux":
    import fcntl

FLOCK = struct.Struct("hhqqi0q")  # l_type, l_whence, l_start, l_len, l_pid


class Locks:
    """The tasks that the builds of one event loop hold in one lock file.

    `sure` is whether the file was looked at lately.
    """

    def __init__(self) -> None:
        self.sure = False
        self._fd = -1
        self._held: set[str] = set()
        self._guard = Lock()
        _all.add(self)

    def __del__(self) -> None:
        self.close()

    def take(self, path: str | os.PathLike[str], task_id: str) -> bool:
        """Hold the task; False where another builder does. Raises OSError without such locks."""
        with self._guard:
            if task_id in self._held:
                return False
            self._renew(path)
            try:
                _ask(self._fd, "F_OFD_SETLK", "F_WRLCK", task_id)
                self._held.add(task_id)
            except BlockingIOError:
                return False
            finally:
                if not self._held:
                    self.close()
            return True

    def keep(self, path: str | os.PathLike[str], task_id: str) -> bool:
        """Return whether a task is still held, in the file that is at `path` now.

        If the file is not there any more, another builder may hold the task in a new one. Raises
        OSError.
        """
        with self._guard:
            if not self.sure:
                self._renew(path)
                self.sure = True
            return task_id in self._held

    def give_back(self, task_id: str) -> None:
        """Let go of a task; the last one closes the descriptor."""
        with self._guard:
            if task_id in self._held:
                self._held.remove(task_id)
                _ask(self._fd, "F_OFD_SETLK", "F_UNLCK", task_id)
                if not self._held:
                    self.close()

    def close(self) -> None:
        """Close the descriptor; in a forked child, where that takes nothing from the parent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _renew(self, path: str | os.PathLike[str]) -> None:
        """Have the file open that is at `path`, and locked in it what is held."""
        if self._fd >= 0:
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(self._fd), os.lstat(path)):
                    return
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW  # a link may point at anything
        try:
            fd = os.open(path, flags | os.O_CREAT | os.O_EXCL)
            os.fchmod(fd, 0o666)  # there is nothing in it, and all must be able to lock it
        except FileExistsError:
            fd = os.open(path, flags)
        for task_id in sorted(self._held):
            try:
                _ask(fd, "F_OFD_SETLK", "F_WRLCK", task_id)
            except BlockingIOError:
                self._held.remove(task_id)
        self.close()
        self._fd = fd


def is_held(root: str | os.PathLike[str], task_id: str) -> bool | None:
    """Return whether a living builder holds a task below `root`; None where that cannot be told."""
    [held] = are_held(root, [task_id])
    return held


def are_held(root: str | os.PathLike[str], task_ids: Iterable[str]) -> list[bool | None]:
    """Return `is_held` of each task; each file is opened once, as closing it walks its locks."""
    with ExitStack() as stack:
        look = cache(partial(_open, stack, builds_dir(root)))
        return [_is_held(look, task_id) for task_id in task_ids]


def _open(stack: ExitStack, folder: Path, name: str) -> int:
    return stack.enter_context(open_file(folder / name)).fileno()


def _is_held(look: Callable[[str], int], task_id: str) -> bool | None:
    try:
        return _ask(look(lock_name(task_id)), "F_OFD_GETLK", "F_WRLCK", task_id)
    except OSError:
        return None


def _ask(fd: int, command: str, kind: str, task_id: str) -> bool:
    """Apply a lock command to the task's byte; return whether the answer is that of a lock."""
    if sys.platform != "linux":
        raise OSError(errno.ENOTSUP, "this platform has no locks of open file descriptions")
    byte = int.from_bytes(sha256(task_id.encode()).digest()[:7], "big")
    asked = FLOCK.pack(getattr(fcntl, kind), os.SEEK_SET, byte, 1, 0)
    answer: bytes = fcntl.fcntl(fd, getattr(fcntl, command), asked)
    return bool(FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)


def _close_all() -> None:
    """Close what a forked child has inherited: else a dead builder would seem to live in it."""
    for locks in list(_all):
        locks.close()


# Of the process, as a call that is registered cannot be taken back.
_all: "weakref.WeakSet[Locks]" = weakref.WeakSet()
os.register_at_fork(after_in_child=_close_all)

"""Proof of life: who builds a task holds a byte of a file locked, until it dies.

One lock file serves all tasks below a root, a byte each: a thousand builds hold one descriptor.
The locks are those of an open file description (Linux): the kernel lets go of them when the holder
dies, across pid namespaces too, and a reader can ask without taking anything.
"""

import errno
import os
import struct
import sys
from hashlib import sha256
from pathlib import Path
from threading import Lock

if sys.platform == "linux":
    import fcntl

FLOCK = struct.Struct("hhqqi0q")  # l_type, l_whence, l_start, l_len, l_pid


class Locks:
    """The tasks below one root that the builds of one event loop hold."""

    def __init__(self) -> None:
        self._fd = -1
        self._held: set[str] = set()
        self._guard = Lock()

    def take(self, path: Path, task_id: str) -> bool:
        """Hold the task; False where another builder does. Raises OSError without such locks."""
        with self._guard:
            if task_id in self._held:
                return False
            if self._fd < 0:
                self._fd = _open(path)
            try:
                _ask(self._fd, "F_OFD_SETLK", "F_WRLCK", task_id)
            except BlockingIOError:
                return False
            self._held.add(task_id)
            return True

    def give_back(self, task_id: str) -> None:
        """Let go of a task that is held; the last one closes the descriptor."""
        with self._guard:
            self._held.discard(task_id)
            if self._held:
                _ask(self._fd, "F_OFD_SETLK", "F_UNLCK", task_id)
            elif self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def renew(self, path: Path) -> None:
        """Hold the same tasks in the file that is at `path` now, as the old one was deleted."""
        with self._guard:
            fd = _open(path)
            for task_id in self._held:
                _ask(fd, "F_OFD_SETLK", "F_WRLCK", task_id)
            os.close(self._fd)
            self._fd = fd


def is_held(path: Path, task_id: str) -> bool | None:
    """Return whether a living builder holds the task; None where that cannot be told."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _ask(fd, "F_OFD_GETLK", "F_WRLCK", task_id)
    except OSError:
        return None
    finally:
        os.close(fd)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)


def _ask(fd: int, command: str, kind: str, task_id: str) -> bool:
    """Apply a lock command to the task's byte; return whether the answer is that of a lock."""
    if sys.platform != "linux":
        raise OSError(errno.ENOTSUP, "this platform has no locks of open file descriptions")
    byte = int.from_bytes(sha256(task_id.encode()).digest()[:7], "big")
    asked = FLOCK.pack(getattr(fcntl, kind), os.SEEK_SET, byte, 1, 0)
    answer: bytes = fcntl.fcntl(fd, getattr(fcntl, command), asked)
    return bool(FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)

"""Locks of an open file description (Linux), on single bytes of a file.

The kernel lets go of them when the last descriptor is closed, also for who was killed, and tells
anybody who may read the file, in other pid namespaces too, that they are held.
https://www.gnu.org/software/libc/manual/html_node/Open-File-Description-Locks.html
"""

import errno
import os
import struct
import sys
from contextlib import suppress

if sys.platform == "linux":
    import fcntl

FLOCK = struct.Struct("hhqqi0q")  # l_type, l_whence, l_start, l_len, l_pid


def lock(fd: int, byte: int) -> None:
    """Take the write lock of a byte. Raises BlockingIOError where others hold any, and OSError."""
    _call(fd, "F_OFD_SETLK", "F_WRLCK", byte)


def unlock(fd: int, byte: int) -> None:
    """Let go of a byte. Raises OSError."""
    _call(fd, "F_OFD_SETLK", "F_UNLCK", byte)


def is_locked(fd: int, byte: int) -> bool:
    """Return whether others hold the write lock of a byte. Raises OSError."""
    return _call(fd, "F_OFD_GETLK", "F_WRLCK", byte) == fcntl.F_WRLCK


def prove(second: int, byte: int) -> None:
    """See that the kernel keeps a byte for the descriptor that has locked it: not all do.

    second: another descriptor of that file, from a call of open of its own. Raises OSError.
    """
    with suppress(BlockingIOError):
        lock(second, byte)
        unlock(second, byte)  # not every mount lets go at the closing
        raise OSError(errno.ENOLCK, "several can lock it at once")
    if not is_locked(second, byte):
        raise OSError(errno.ENOLCK, "it does not show who has locked it")


def _call(fd: int, command: str, kind: str, byte: int) -> int:
    if sys.platform != "linux":
        raise OSError(errno.ENOTSUP, "this platform has no locks of open file descriptions")
    asked = FLOCK.pack(getattr(fcntl, kind), os.SEEK_SET, byte, 1, 0)
    answer = fcntl.fcntl(fd, getattr(fcntl, command), asked)
    return int(FLOCK.unpack(answer)[0])

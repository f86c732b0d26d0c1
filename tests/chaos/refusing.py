"""A command that runs another one, to which the kernel refuses the locks of open file descriptions.

As on a file system that has none: with ENOLCK, by a filter for its system calls (seccomp).
"""

import ctypes
import errno
import os
import platform
import struct
import sys

FCNTL = {"x86_64": 72, "aarch64": 25}.get(platform.machine())
F_OFD_GETLK, F_OFD_SETLKW = 36, 38
NUMBER, COMMAND = 0, 24  # where the filter finds a call's number and its second argument
LOAD, IF_EQUAL, IF_FROM, IF_ABOVE, RETURN = 0x20, 0x15, 0x35, 0x25, 0x06
ALLOW, FAIL = 0x7FFF0000, 0x00050000
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2


class Program(ctypes.Structure):
    """A filter: how many instructions it has, and where they are."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def refuse_locks() -> None:
    """Have the kernel refuse them to this process, and to what it becomes."""
    lines = [  # code, lines to jump if so and if not, what with
        (LOAD, 0, 0, NUMBER),
        (IF_EQUAL, 0, 4, FCNTL),
        (LOAD, 0, 0, COMMAND),
        (IF_FROM, 0, 2, F_OFD_GETLK),
        (IF_ABOVE, 1, 0, F_OFD_SETLKW),
        (RETURN, 0, 0, FAIL | errno.ENOLCK),
        (RETURN, 0, 0, ALLOW),
    ]
    instructions = b"".join(struct.pack("HBBI", *line) for line in lines)
    program = Program(len(lines), instructions)
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in (
        (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0),
    ):
        if libc.prctl(*arguments):
            raise OSError(ctypes.get_errno(), "the kernel takes no filter")


if __name__ == "__main__":
    refuse_locks()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606

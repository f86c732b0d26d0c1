"""What leads out of a command: a terminal where ours is one, else a pipe, each its own.

A standard output and a standard error that lead to the same place share one, so that what comes of
both stays in order. Standard input is handed on as it is, but for a terminal, which the command has
its own of.
"""

import fcntl
import os
import termios
import tty
from contextlib import suppress
from typing import NamedTuple

WINDOW = b"\0" * 8  # struct winsize


class Wire(NamedTuple):
    """What a command writes into `theirs` is read from `ours`, and is for `fd`: 1 or 2."""

    ours: int
    theirs: int
    fd: int


class Wires:
    """The standard streams of a command, made for those of this process.

    out, err: those of its standard output and standard error, which may be the same one.
    terminal: what becomes the terminal of the command's session, None where the standard output
        is none; it stays in ours then.
    """

    def __init__(self) -> None:
        self.terminal: int | None = None
        self.out = _lay(1)
        if os.isatty(1):
            self.terminal = self.out.theirs
            if is_ours(1):  # else it is in the mode in which a shell reads its next line
                termios.tcsetattr(self.terminal, termios.TCSANOW, termios.tcgetattr(1))
        self.err = self.out if os.path.sameopenfile(1, 2) else _lay(2)
        self.resize()

    @property
    def theirs(self) -> tuple[int, int, int]:
        """What becomes the standard input, output and error of the command."""
        terminal = self.terminal
        stdin = 0 if terminal is None or not os.isatty(0) else terminal
        return stdin, self.out.theirs, self.err.theirs

    @property
    def each(self) -> list[Wire]:
        """The wires."""
        return [self.out] if self.err is self.out else [self.out, self.err]

    def resize(self) -> None:
        """Give the terminals of the command the size of ours."""
        for wire in self.each:
            with suppress(OSError):  # it is none, or is gone
                size = fcntl.ioctl(wire.fd, termios.TIOCGWINSZ, WINDOW)
                fcntl.ioctl(wire.ours, termios.TIOCSWINSZ, size)

    def cut(self, wire: Wire) -> None:
        """Have the command see that nobody reads a wire any more."""
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, wire.ours, inheritable=False)
        os.close(null)

    def close_ours(self) -> None:
        """Close our ends."""
        for wire in self.each:
            os.close(wire.ours)

    def close_theirs(self) -> None:
        """Close the command's ends."""
        for wire in self.each:
            os.close(wire.theirs)


def is_ours(fd: int) -> bool:
    """Return whether we are in the foreground of a terminal, or it knows no such thing."""
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:  # it is not that of our session
        return True


def _lay(fd: int) -> Wire:
    """Return what is for a descriptor, and looks to the command as that does to us."""
    if not os.isatty(fd):
        ours, theirs = os.pipe()
        return Wire(ours, theirs, fd)
    ours, theirs = os.openpty()
    if fd != 1:
        tty.setraw(theirs, termios.TCSANOW)  # ours does the rest
    os.set_blocking(ours, False)
    return Wire(ours, theirs, fd)

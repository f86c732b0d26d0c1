"""Terminals that a test looks at, and types on."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Self

import pytest

PROMPT = b"ready> "
SHELL = ("bash", "--norc", "--noprofile", "--noediting", "-i")


class Terminal:
    """A terminal on which a program runs, alone in a session of its own.

    columns, rows: the size.
    env: is added to the environment.
    """

    def __init__(
        self, *command: str, columns: int = 80, rows: int = 24, env: Mapping[str, str] | None = None
    ) -> None:
        self._open: tuple[int, ...] = pty.openpty()
        self._controller, self._terminal = self._open
        self.resize(columns, rows)
        unset = {"COLUMNS", "LINES", "NO_COLOR", "TERM_PROGRAM", "WT_SESSION", "ConEmuANSI"}
        plain = {name: value for name, value in os.environ.items() if name not in unset}
        self.process = subprocess.Popen(
            ("setsid", "--ctty", *command),
            stdin=self._terminal,
            stdout=self._terminal,
            stderr=self._terminal,
            env=plain | {"TERM": "xterm", "PS1": PROMPT.decode()} | dict(env or {}),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        self.close()

    def close(self) -> None:
        """Close the terminal, as who closes a window."""
        for fd in self._open:
            os.close(fd)
        self._open = ()

    @property
    def mode(self) -> list[object]:
        """The attributes, such as raw mode."""
        return list(termios.tcgetattr(self._terminal))

    def resize(self, columns: int, rows: int) -> None:
        """Make it larger or smaller, as who drags a window."""
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, size)

    def type(self, keys: bytes) -> None:
        """Type keys, as far as the terminal takes them."""
        os.write(self._controller, keys)

    def read_until(self, end: bytes) -> bytes:
        """Return what is shown, up to some bytes."""
        shown = b""
        while not shown.endswith(end):
            if not select.select([self._controller], [], [], 60)[0]:
                pytest.fail(f"no {end!r} in {shown!r}")
            shown += os.read(self._controller, 1)
        return shown

    def read_to_end(self) -> bytes:
        """Return what is shown until the program has ended."""
        return b"".join(self.chunks())

    def chunks(self) -> Iterator[bytes]:
        """Yield what is shown until the program has ended."""
        ended = os.pidfd_open(self.process.pid)
        while ready := select.select([self._controller, ended], [], [], 60)[0]:
            if self._controller not in ready:
                break
            yield os.read(self._controller, 65536)
        os.close(ended)
        assert ready, "it does not end"
        self.process.wait()

    def run(self, line: str) -> bytes:
        """Have a shell run a line; return what that shows, without its echo, to the next prompt."""
        self.type(line.encode() + b"\n")
        self.read_until(b"\n")
        return self.read_until(PROMPT).removesuffix(PROMPT)

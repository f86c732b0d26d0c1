"""The status line that was there before ours, which goes on to be shown."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from subprocess import PIPE, Popen

PATIENCE = 3.0  # seconds
OUTPUT_MAX = 2**16  # bytes


class Earlier:
    """A command that a shell runs from here on, in a process group of its own.

    command: what the settings had.
    given: its standard input.
    """

    def __init__(self, command: str, given: bytes) -> None:
        shell = "/bin/sh", "-c", command
        self._process = Popen(shell, stdin=PIPE, stdout=PIPE, process_group=0)
        self._given, self._printed, self._has_ended = given, b"", False

    def talk(self) -> None:
        """Hand it its input, and take what it prints until it has ended."""
        if self._process.stdin and self._process.stdout:  # as asked for
            with suppress(OSError), self._process.stdin as stdin:  # nobody may read it
                stdin.write(self._given)
            stdout = self._process.stdout.fileno()
            while len(self._printed) < OUTPUT_MAX and (more := os.read(stdout, OUTPUT_MAX)):
                self._printed += more
        self._has_ended = len(self._printed) < OUTPUT_MAX

    def printed(self) -> bytes:
        """Return what it has printed until now, in whole lines; end it where it goes on."""
        if not self._has_ended and self._process.poll() is None:
            with suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
        is_whole = not self._printed or self._printed.endswith(b"\n")
        return self._printed if is_whole else self._printed + b"\n"

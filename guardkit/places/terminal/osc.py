"""What the tab of a terminal shows of builds: its title, its progress, and the program's status.

The title is OSC 2, the progress OSC 9;4, and the status OSC 7501, the Program Status Protocol
(https://www.superlogical.com/rex/docs/build/program-status), which a terminal is asked for first.
Nothing of them is left behind.
"""

from __future__ import annotations

import os
import re
import select
import termios
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Literal

from guardkit.clock import SYSTEM_CLOCK, Clock
from guardkit.places.plain import clean, clip

State = Literal["working", "blocked", "done", "error"]

APP = "guardkit"
TITLE_MAX, TEXT_MAX = 80, 200  # characters
PATIENCE = 1.0  # seconds until a terminal counts as one that never answers
# To ask for the status, and for what every terminal answers, so that no answer is one, too.
QUERY = b"\x1b]7501;?\x07\x1b[c"
KNOWS, ANSWERED = rb"\x1b\]7501;\?(?:\x07|\x1b\\)", rb"\x1b\[\?[0-9;]*c"
KEEP_TITLE, OLD_TITLE = b"\x1b[22;2t", b"\x1b]2;\x07\x1b[23;2t"  # xterm's stack; else it is empty
CLEAR_STATUS, CLEAR_BAR = b"\x1b]7501;state=clear\x07", b"\x1b]9;4;0\x07"
BARS: dict[State, int] = {"working": 1, "error": 2, "blocked": 4}
ENDLESS = 3  # a bar of which nobody knows how far it is


class Tab:
    """The tab of one terminal; nothing is written that it shows already.

    write: brings bytes to the terminal, and raises nothing.
    has_status, has_bar: whether it knows OSC 7501 and OSC 9;4, see `knows_status`, `knows_bar`.
    """

    def __init__(
        self,
        write: Callable[[bytes], object],
        *,
        has_status: bool = False,
        has_bar: bool = False,
    ) -> None:
        self._write = write
        self._has_status, self._has_bar = has_status, has_bar
        self._title = self._status = self._bar = b""  # what it shows

    def show(self, state: State, text: str, progress: int | None = None) -> None:
        """Show how it is.

        text: in a few words, which become the title, and the message of the status.
        progress: percent; None: nobody knows.
        """
        title = title_of(text)
        status = status_of(state, text, progress) if self._has_status else b""
        bar = bar_of(state, progress) if self._has_bar else b""
        begins = b"" if self._title else KEEP_TITLE
        new = (
            now for now, old in zip((title, status, bar), self._shown, strict=True) if now != old
        )
        if told := b"".join((begins, *new)):
            self._write(told)
        self._title, self._status, self._bar = title, status, bar

    def clear(self) -> None:
        """Leave the tab as it was."""
        ends = OLD_TITLE, CLEAR_STATUS, CLEAR_BAR
        if told := b"".join(end for end, old in zip(ends, self._shown, strict=True) if old):
            self._write(told)
        self._title = self._status = self._bar = b""

    @property
    def _shown(self) -> tuple[bytes, bytes, bytes]:
        return self._title, self._status, self._bar


def title_of(text: str) -> bytes:
    """Return what makes a text the title."""
    return b"\x1b]2;" + clip(clean(text), TITLE_MAX).encode(errors="replace") + b"\x07"


def status_of(state: State, text: str, progress: int | None = None) -> bytes:
    """Return a report of the program's status."""
    message = b64encode(clip(clean(text), TEXT_MAX).encode(errors="replace")).decode()
    percent = f":progress={progress}" if progress is not None and state == "working" else ""
    return f"\x1b]7501;state={state}:app={APP}{percent}:msg={message}\x07".encode()


def bar_of(state: State, progress: int | None = None) -> bytes:
    """Return a report of the progress; none is left of what is done."""
    if state not in BARS:
        return CLEAR_BAR
    if state == "working" and progress is None:
        return f"\x1b]9;4;{ENDLESS}\x07".encode()
    return f"\x1b]9;4;{BARS[state]};{progress or 0}\x07".encode()


def knows_bar(env: Mapping[str, str]) -> bool:
    """Return whether the environment is that of a terminal that draws OSC 9;4.

    Others take it for a notification, and pop up its figures.
    """
    if env.get("TERM_PROGRAM") == "ghostty":
        return _version(env) >= (1, 2)
    if env.get("TERM_PROGRAM") == "iTerm.app":
        return _version(env) >= (3, 6, 6)
    return (
        env.get("TERM_PROGRAM") == "WezTerm" or env.get("ConEmuANSI") == "ON" or "WT_SESSION" in env
    )


def knows_status(fd: int, *, patience: float = PATIENCE, clock: Clock = SYSTEM_CLOCK) -> bool:
    """Return whether a terminal answers that it knows OSC 7501.

    Only the terminal of this process is asked, and only from its foreground: from elsewhere, to
    listen would stop the process. What is typed meanwhile is lost.

    fd: leads to it. patience: seconds, for one that answers nothing.
    """
    with suppress(OSError, termios.error):
        if os.tcgetpgrp(fd) != os.getpgrp():
            return False
        ear = os.open(os.ttyname(fd), os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            return _ask(ear, clock.monotonic() + patience, clock)
        finally:
            os.close(ear)
    return False


def _ask(fd: int, until: float, clock: Clock) -> bool:
    before = termios.tcgetattr(fd)
    quiet = [*before[:3], before[3] & ~(termios.ECHO | termios.ICANON), *before[4:]]
    coming, heard = select.poll(), b""
    coming.register(fd, select.POLLIN)
    termios.tcsetattr(fd, termios.TCSANOW, quiet)
    try:
        os.write(fd, QUERY)
        while not re.search(ANSWERED, heard) and (rest := until - clock.monotonic()) > 0:
            if coming.poll(rest * 1000):
                heard += (more := os.read(fd, 1024))
                if not more:  # nobody is there
                    break
    finally:
        termios.tcsetattr(fd, termios.TCSANOW, before)
    return bool(re.search(KNOWS, heard))


def _version(env: Mapping[str, str]) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", env.get("TERM_PROGRAM_VERSION", ""))[:3]))

"""The lines of an output as it comes: what has been said last."""

import re

from guardkit.orchestrator.processes.commands import plain

SIZE = 16 * 1024  # bytes of the end that are kept
ECHO = re.compile(r"\s*(?:\^[@-_])*\s*")  # of Ctrl-C and its like, which a terminal shows as ^C
FULL_SCREEN = re.compile(rb"\x1b\[\?(?:1049|1047|47)([hl])")  # begins with h, ends with l


class Lines:
    """The end of an output, and which of its lines are new.

    `feed` is for one thread, `take` for another one.
    """

    def __init__(self) -> None:
        self._fed = 0, b""  # how many bytes have come, and the last of them
        self._taken = 0  # up to where they were lines
        self._full_screen = False

    def feed(self, chunk: bytes) -> None:
        """Add what has come."""
        number, end = self._fed
        end = chunk[-SIZE:] if len(chunk) >= SIZE else (end + chunk)[-SIZE:]
        self._fed = number + len(chunk), end

    def take(self, *, whole: bool = False) -> list[str]:
        r"""Return the lines that have come since the last time, plain, without empty ones.

        A carriage return ends a line, as progress bars have it. What a program draws on the full
        screen is no line.

        whole: whether a line counts that has not ended, such as a question; such a line is
            returned again when it goes on.
        """
        number, end = self._fed
        new = number - self._taken
        text = self._leave_screens_out(end[-new:] if new else b"").replace(b"\r", b"\n")
        ended, _, rest = text.rpartition(b"\n")
        if new > len(end):  # it begins within a line
            _, _, ended = ended.partition(b"\n")
        self._taken = number - len(rest)
        said = plain((text if whole else ended).decode(errors="replace"))
        return [line for line in said.split("\n") if not ECHO.fullmatch(line)]

    def _leave_screens_out(self, text: bytes) -> bytes:
        for found in FULL_SCREEN.finditer(text):
            self._full_screen = found[1] == b"h"
        if self._full_screen:
            return b""
        return FULL_SCREEN.split(text)[-1]

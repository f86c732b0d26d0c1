"""Which colour a state has, and whether an output is coloured at all.

Red, green, dim and the default are read on dark and on light screens; yellow and white are not. A
status line starts with this module, so that it needs the standard library alone.
"""

from __future__ import annotations

import os

SGR = {"red": "\x1b[31m", "green": "\x1b[32m", "dim": "\x1b[2m"}
PLAIN = "\x1b[0m"
STATES = {
    **dict.fromkeys(("crashed", "lost", "failed", "unreadable"), "red"),
    **dict.fromkeys(("unresponsive", "overdue", "stalled"), "red"),
    **dict.fromkeys(("running", "completed"), "green"),
    "cancelled": "dim",
}


def is_forced() -> bool:
    """Return whether FORCE_COLOR asks for colours where there is no terminal."""
    return os.environ.get("FORCE_COLOR", "") not in {"", "0"}


def has_colours(fd: int) -> bool:
    """Return whether what is printed to a descriptor is coloured: NO_COLOR comes first."""
    if os.environ.get("NO_COLOR"):
        return False
    return is_forced() or (os.isatty(fd) and os.environ.get("TERM", "dumb") != "dumb")


def coloured(text: str, style: str) -> str:
    """Return a text in a style, as it is where there is none."""
    return f"{SGR[style]}{text}{PLAIN}" if style else text

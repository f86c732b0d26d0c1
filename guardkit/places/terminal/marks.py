"""The few signs that screens are drawn with, and what stands for them where there is no Unicode."""

from __future__ import annotations

from typing import NamedTuple

POOR = frozenset({"linux", "vt100", "vt220"})  # terminals whose fonts lack most signs


class Marks(NamedTuple):
    """The signs of one screen.

    passed, failed, cancelled: how something has ended. full, empty: of a bar, one cell each.
    spinner: its frames. more: what stands for text that is cut off, one cell.
    """

    passed: str
    failed: str
    cancelled: str
    full: str
    empty: str
    spinner: str
    more: str

    def of(self, status: str) -> str:
        """Return the mark of `completed`, `failed` or `cancelled`, "" for all else."""
        found = {"completed": self.passed, "failed": self.failed, "cancelled": self.cancelled}
        return found.get(status, "")


UNICODE = Marks("✓", "✗", "⊘", "━", "─", "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "…")
ASCII = Marks("[OK]", "[FAIL]", "[CANCELLED]", "=", "-", "|/-\\", "~")


def marks_for(encoding: str, terminal: str = "") -> Marks:
    """Return the signs that an output can show.

    encoding: of the output. terminal: the value of TERM, where the output is a terminal.
    """
    try:
        "".join(UNICODE).encode(encoding)
    except (LookupError, UnicodeEncodeError):
        return ASCII
    return ASCII if terminal in POOR else UNICODE

"""Text that a terminal, a line and a page may show: without control characters, and cut."""

from __future__ import annotations

ESCAPES = r"(?s)\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)|\x1b.?"


def clean(text: str | None) -> str:
    """Return `text` on one line, without escape sequences, controls and bidirectional marks."""
    text = text or ""
    if not text.isprintable():
        import re  # which takes long, for a status line

        plain = re.sub(ESCAPES, "", text)
        text = "".join(c for c in plain if c.isprintable() or c.isspace())
    return " ".join(text.split())


def printable(text: str) -> str:
    """Return lines without what a terminal obeys.

    All that is shown passes here last, whatever it was made of; `clean` is for what a build says.
    """
    lines = text.split("\n")
    return "\n".join(
        it if it.isprintable() else "".join(filter(str.isprintable, it)) for it in lines
    )


def clip(text: str, size: int) -> str:
    """Return at most `size` characters of a text, an ellipsis for what is cut off."""
    return text if len(text) <= size else f"{text[: size - 1]}…"

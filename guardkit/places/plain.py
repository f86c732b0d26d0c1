"""Text that a terminal, a line and a page may show: without control characters, and cut."""

from __future__ import annotations

from guardkit.progress.plain import clean

__all__ = ["clean", "clip", "printable"]


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

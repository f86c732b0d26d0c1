"""What a build says, on one line that a terminal, a page and a verdict may show."""

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

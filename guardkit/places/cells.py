"""How wide a text is on a terminal: in cells, of which some characters take two, and some none."""

from __future__ import annotations

WIDE, ZERO = ("W", "F"), ("Mn", "Me", "Cf")  # as Unicode calls them


def cell_len(text: str) -> int:
    """Return how many cells a printable text takes."""
    if text.isascii():
        return len(text)
    from unicodedata import category, east_asian_width

    zero = sum(category(each) in ZERO for each in text)
    return len(text) + sum(east_asian_width(each) in WIDE for each in text) - zero


def cut(text: str, width: int, more: str = "…") -> str:
    """Return a printable text in at most `width` cells, `more`, one cell, for what is cut off."""
    if cell_len(text) <= width:
        return text
    room, kept = width - 1, 0
    for each in text:
        room -= cell_len(each)
        if room < 0:
            break
        kept += 1
    return text[:kept].rstrip(" -,") + more

"""How wide a text is on a terminal: in cells, of which some characters take two, and some none."""

from __future__ import annotations

WIDE, ZERO = ("W", "F"), ("Mn", "Me", "Cf")  # as Unicode calls them
LEAST = 4  # characters of a word that are worth showing


def cell_len(text: str) -> int:
    """Return how many cells a printable text takes."""
    if text.isascii():
        return len(text)
    from unicodedata import category, east_asian_width

    zero = sum(category(each) in ZERO for each in text)
    return len(text) + sum(east_asian_width(each) in WIDE for each in text) - zero


def cut(text: str, width: int, more: str = "…") -> str:
    """Return a printable text in at most `width` cells, `more`, one cell, for what is cut off.

    After the first word, one with a figure is shown whole or not at all, as half of a figure is
    another one, and any other by a few characters at least.
    """
    if cell_len(text) <= width:
        return text
    room, kept = width - 1, 0
    for each in text:
        room -= cell_len(each)
        if room < 0:
            break
        kept += 1
    return text[: _word_end(text, kept)].rstrip(" -,;(") + more


def _word_end(text: str, kept: int) -> int:
    """Return how many characters to keep, so that no word is left by too little of it."""
    began = text.rfind(" ", 0, kept) + 1
    word = text[began:].partition(" ")[0]
    is_whole = began + len(word) <= kept
    if is_whole or not text[:began].strip():
        return kept
    return began if any(map(str.isdecimal, word)) or kept - began < LEAST else kept

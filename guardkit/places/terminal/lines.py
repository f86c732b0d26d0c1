"""A line that is told of a build, as parts, which a terminal and a file lay out differently."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from guardkit.places.terminal.marks import Marks


class Kind(Enum):
    """What a line is for."""

    PLACE = "the one-line form, where a build begins to be told of"
    NAME = "what is built, above all that is told of it"
    TURN = "the heading of a turn, or of what comes after the last one"
    UNDER_WAY = "the heading of a turn that has begun before anything was told of it"
    BEGUN = "a phase that begins"
    SAID = "a message"
    ENDED = "a phase that ends, or a build"
    DECIDED = "a decision"
    TROUBLE = "a build that is in trouble, or no longer"
    SUMMARY = "the heading of a summary"
    ROW = "a turn in a summary"
    END = "how a build has ended, and what comes next"


# A terminal shows below the lines what runs, and a file has no room that could be drawn anew.
ON_TERMINALS, IN_FILES = {Kind.NAME, Kind.UNDER_WAY}, {Kind.PLACE, Kind.BEGUN, Kind.SAID}


class Line(NamedTuple):
    """A line, in parts of which each may be empty.

    status: `completed`, `failed` or `cancelled`, which becomes a mark.
    title: what the text is about. took: how long that has taken, as `0:18`.
    at: the local time of day. label: the task, where there are several.
    """

    kind: Kind
    text: str = ""
    status: str = ""
    title: str = ""
    took: str = ""
    at: str = ""
    label: str = ""


def in_file(line: Line, marks: Marks) -> list[str]:
    """Return a line as a file has it, a heading with an empty one above."""
    kind, mark = line.kind, marks.of(line.status)
    if kind is Kind.SUMMARY:
        of = f" of {line.label}" if line.label else ""
        return ["", f"== Summary{of} =="]
    between = ": " if kind is Kind.DECIDED else "  "
    rest = between.join(filter(None, (line.title, line.text)))
    rest = "  ".join(filter(None, (rest, line.took)))
    label = f"{line.label} " if line.label else ""
    if kind is Kind.ROW:
        row = "  ".join(filter(None, (line.title, f"{mark} {line.text}".rstrip(), line.took)))
        return [f"{label}{row}"]
    if kind is Kind.END or not rest:
        return [f"{label}{rest}"] if rest else []
    at = f"[{line.at}]" if line.at else ""
    label = "" if kind is Kind.PLACE else line.label
    return [" ".join(filter(None, (at, label, mark, rest)))]

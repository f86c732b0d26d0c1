"""Where a failed test stands, as far as its report and its name tell."""

import os
import re
from pathlib import Path
from typing import NamedTuple

from guardkit.progress.folder import read_file

SIZE_MAX = 2**20  # bytes of a file in which a test is looked for
PARTS_MAX = 20  # of the dotted name of a class


class Location(NamedTuple):
    """A path relative to the worktree, "" where it is not known, and a line, 0 likewise."""

    path: str = ""
    line: int = 0


def locate(failure: str, place: str, worktree: Path) -> Location:
    """Return where a failed test stands: in a file that there is, or nowhere.

    failure, place: as a `Report` has them, `class::name: why` and `file:line`.
    """
    around, _, name = failure.partition(": ")[0].rpartition("::")
    file, _, line = place.rpartition(":")
    reported = int(line) if re.fullmatch("[0-9]{1,7}", line) else 0
    parts = around.split(".")[:PARTS_MAX]
    modules = ("/".join(parts[:size]) + ".py" for size in range(len(parts), 0, -1))
    for path in filter(None, (file, around, *modules)):
        whole = os.path.normpath(worktree / path)
        if whole.startswith(f"{worktree}/") and (text := _read(whole)) is not None:
            relative = os.path.relpath(whole, worktree)
            return Location(relative, _find(name, text, relative) or reported)
    return Location()


def _find(name: str, text: bytes, path: str) -> int:
    """Return the line in which a test of Python begins, else 0: pytest tells the one before."""
    function = re.match(r"\w+", name)
    if not function or not path.endswith(".py"):
        return 0
    head = re.compile(rf"^[ \t]*(?:async[ \t]+)?def[ \t]+{function[0]}\b".encode(), re.MULTILINE)
    found = head.search(text)
    return text.count(b"\n", 0, found.start()) + 1 if found else 0


def _read(path: str) -> bytes | None:
    try:
        return read_file(path, SIZE_MAX)
    except (OSError, ValueError):  # there is none, or no file; no path
        return None

"""What the Coach and the Player of AutoBuild have left of a turn, beside the journal.

The files are written by a build, and so may be anything: they are read with bounds, no link is
followed, and none is handed on: what is shown of them is picked out, cut and cleaned.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import msgspec

from guardkit.places.plain import clean, clip
from guardkit.progress.folder import Folder, open_builds

SIZE_MAX = 2**20  # bytes of a file; a larger one is not read
TURNS_MAX = 10  # of which the files are read, the newest
ITEMS_MAX, TEXT_MAX, LINES_MAX = 100, 300, 40  # failing tests or files; characters; lines
KINDS = {"A": "created", "M": "modified", "D": "deleted"}


class Paper(msgspec.Struct, frozen=True, kw_only=True):
    """What was left of one turn, cut and cleaned.

    decision: of the Coach. issues: what was amiss; failing tests among them.
    files: by path, whether it was created, modified or deleted. more: files that are left out.
    player, tests: the last lines of what they have written.
    """

    decision: str = ""
    issues: tuple[str, ...] = ()
    files: dict[str, str] = {}
    more: int = 0
    player: str = ""
    tests: str = ""


class _Output(msgspec.Struct):
    tail: str = ""


class _Found(msgspec.Struct):
    changes: dict[str, str] = {}
    player: _Output | None = None
    tests: _Output | None = None


class _Coach(msgspec.Struct):
    decision: str = ""
    issues: list[object] = []
    validation_results: _Found | None = None


def read_papers(root: str, task_id: str, turns: Iterable[int]) -> dict[int, Paper]:
    """Return what was left of some turns, by number; those of which nothing can be read are not.

    It is for use in a thread, as a disk may hang.
    """
    found: dict[int, Paper] = {}
    with suppress(OSError), open_builds(root) as builds, builds.folder(task_id) as folder:
        for turn in [*turns][-TURNS_MAX:]:
            if paper := _read(folder, turn):
                found[turn] = paper
    return found


def _read(folder: Folder, turn: int) -> Paper | None:
    try:
        text = folder.read(f"coach_turn_{turn}.json", SIZE_MAX + 1)
        coach = msgspec.json.decode(text, type=_Coach)
    except Exception:  # of msgspec, whatever the file holds; an OSError, as for what is no file
        return None
    found = coach.validation_results or _Found()
    files = [*found.changes.items()]
    return Paper(
        decision=_line(coach.decision),
        issues=tuple(_line(it) for it in coach.issues[:ITEMS_MAX] if isinstance(it, str)),
        files={_line(path): KINDS.get(kind, "changed") for path, kind in files[:ITEMS_MAX]},
        more=max(0, len(files) - ITEMS_MAX),
        player=_lines(found.player),
        tests=_lines(found.tests),
    )


def _line(text: str) -> str:
    return clip(clean(text), TEXT_MAX)


def _lines(output: _Output | None) -> str:
    """Return the last lines of an output, each of them plain."""
    lines = output.tail.splitlines()[-LINES_MAX:] if output else []
    plain = (line if line.isprintable() else clean(line) for line in lines)
    return "\n".join(clip(line, TEXT_MAX) for line in plain).strip("\n")

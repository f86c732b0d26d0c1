"""Turns that somebody else has recorded, as far as they can be replayed.

Read are `player_turn_N.json` and `coach_turn_N.json`, ours and those of GuardKit's AutoBuild alike.
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import cast

import msgspec

from guardkit.errors import MisuseError
from guardkit.orchestrator.agents.fields import count, items, parse, text
from guardkit.orchestrator.proof.outcomes import line_of
from guardkit.progress.folder import Folder, open_root
from guardkit.progress.paths import WORKTREES

TURNS_MAX = 100
FILES_MAX = 200  # of one turn
PASSED_MAX = 10_000  # tests
DOCUMENT_MAX = 2**26  # bytes
NOTES_MAX = 4000  # characters
PATH_MAX, NAME_MAX = 1000, 200  # characters
WHO = ("player", "coach")
# Of git, of guardkit, and what a replay has itself.
FORBIDDEN = {".git", ".guardkit", "replay.json", "replay.py", "turn.md"}


class Recorded(msgspec.Struct, frozen=True):
    """One turn.

    created, modified: files, as paths relative to the repository.
    notes: what the Player has said of its work.
    passed: how many tests have passed. failures: what the Coach objected to; none: it approved.
    """

    created: Sequence[str]
    modified: Sequence[str]
    notes: str
    passed: int
    failures: Sequence[str]


def read_recorded(folder: Path) -> tuple[str, list[Recorded]]:
    """Return the id of the task, "" where none is named, and its turns, one after the other.

    Raises MisuseError where the folder holds no turn that can be read.
    """
    turns, task_id = list[Recorded](), ""
    try:
        with open_root(folder) as opened:
            while len(turns) < TURNS_MAX:
                try:
                    player, coach = (_read(opened, who, len(turns) + 1) for who in WHO)
                except FileNotFoundError:
                    break
                task_id = text(coach, "task_id") or task_id
                turns.append(_turn(player, coach))
    except OSError as error:
        raise MisuseError(f"{folder}: {error.strerror}") from error
    if not turns:
        wanted = "player_turn_1.json and coach_turn_1.json"
        raise MisuseError(f"{folder} holds no recorded build: it would have {wanted}")
    return task_id, turns


def _read(folder: Folder, who: str, number: int) -> object:
    name = f"{who}_turn_{number}.json"
    document = parse(folder.read(name, DOCUMENT_MAX))
    if isinstance(document, dict):
        return cast("dict[str, object]", document)
    raise MisuseError(f"{folder.path}/{name} is no JSON object")


def _turn(player: object, coach: object) -> Recorded:
    """Return what two documents tell of a turn."""
    failures = list[str]()
    if text(coach, "decision") != "approve":
        issues = (_line(each) for each in items(coach, "issues"))
        failures = [each for each in issues if each] or [_line(text(coach, "rationale"))]
    passed = count(coach, "validation_results", "report", "passed")
    passed = passed or count(player, "tests_passed_count") or 1
    return Recorded(
        created=_paths(items(player, "files_created")),
        modified=_paths(items(player, "files_modified")),
        notes=text(player, "implementation_notes")[:NOTES_MAX],
        passed=min(passed, PASSED_MAX),
        failures=[each or "the Coach does not say why" for each in failures],
    )


def _line(issue: object) -> str:
    return line_of(issue if isinstance(issue, str) else text(issue, "description"))


def _paths(named: Sequence[object]) -> list[str]:
    """Return which of the named files can lie in a repository, each once."""
    found = (_inside(each) for each in named[:FILES_MAX] if isinstance(each, str))
    return list(dict.fromkeys(filter(None, found)))


def _inside(path: str) -> str:
    """Return a path relative to the repository, "" for one that cannot lie there.

    An absolute one is taken from its worktree on, or else as if the repository were the root.
    """
    parts = PurePosixPath(path).parts if path.isprintable() else ()
    if parts[:1] == ("/",):
        named = parts.index(WORKTREES) + 1 if WORKTREES in parts else 0
        parts = parts[named + 1 :]
    is_odd = ".." in parts or not FORBIDDEN.isdisjoint(part.casefold() for part in parts)
    is_long = len(path) > PATH_MAX or any(len(part) > NAME_MAX for part in parts)
    return "" if is_odd or is_long else "/".join(parts)

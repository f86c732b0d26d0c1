"""A recorded build that is built again: in a repository of its own, by a Player that knows it."""

import sys
from pathlib import Path
from shlex import quote

import msgspec

from guardkit.orchestrator import replayed
from guardkit.orchestrator.demo import make_repository
from guardkit.orchestrator.recorded import Recorded, read_recorded
from guardkit.progress.paths import is_task_id

PROGRAM = f"{quote(sys.executable)} -B replay.py"
TEST = f"{PROGRAM} tests {{junit}}"
TASK_ID = "TASK-REPLAY"  # of a record that names none which we could take
QUICK, SLOW = 0.5, 12.0  # seconds that the Player takes for a turn


class Replay(msgspec.Struct, frozen=True):
    """What there is to be built: where, and in how many turns."""

    root: Path
    task_id: str
    turns: int


def make_replay(recorded: Path, root: Path | None = None) -> Replay:
    """Make the repository of a recorded build.

    recorded: the folder of its documents.
    root: the folder of the repository, new or empty; None: a new temporary one.
    Raises MisuseError, and WorkspaceError without git.
    """
    task_id, turns = read_recorded(recorded)
    task_id = task_id if is_task_id(task_id) else TASK_ID
    task = f"---\nid: {task_id}\ntitle: A recorded build of {task_id}\n---\n"
    files = {
        **dict.fromkeys(_before(turns), "This was there before.\n"),
        f"tasks/{task_id}.md": f"{task}It does again what was recorded in {recorded.name}.\n",
        "replay.json": msgspec.json.encode(turns).decode(),
        "replay.py": Path(replayed.__file__).read_text(encoding="utf-8"),
    }
    return Replay(make_repository(files, root), task_id, len(turns))


def player(*, slow: bool = False) -> str:
    """Return the command of the Player."""
    return f"{PROGRAM} player {SLOW if slow else QUICK}"


def _before(turns: list[Recorded]) -> list[str]:
    """Return the files that must have been there, as they were modified before any was created."""
    found, known = list[str](), set[str]()
    for turn in turns:
        found += [each for each in turn.modified if each not in known]
        known.update(turn.created, turn.modified)
    folders = {str(parent) for each in known for parent in Path(each).parents}
    return [each for each in dict.fromkeys(found) if each not in folders]

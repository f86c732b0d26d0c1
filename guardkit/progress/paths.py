"""Where the files of a build are, and what may stand in their names."""

import os
import re

from guardkit.errors import InvalidTaskIdError

TASK_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
RUN_ID = re.compile(r"[0-9a-f]{16}")
HOME, BUILDS = ".guardkit", "autobuild"  # folders below a root, the second one in the first
WORKTREES = "worktrees"  # in the first of them: a folder for each task that was built
PROGRESS, JOURNAL, LOCK = "progress.json", "events.jsonl", ".lock"


def builds_dir(root: str | os.PathLike[str]) -> str:
    """Return the path of the folder that holds a folder for each build below `root`."""
    return os.path.join(root, HOME, BUILDS)


def build_dir(root: str | os.PathLike[str], task_id: str) -> str:
    """Return the path of the folder of a build's files; raises InvalidTaskIdError."""
    return os.path.join(root, HOME, BUILDS, check_task_id(task_id))


def check_task_id(task_id: object) -> str:
    """Return `task_id`; raise InvalidTaskIdError unless it is one, and so never a path."""
    if isinstance(task_id, str) and (match := TASK_ID.fullmatch(task_id)):
        return match[0]
    raise InvalidTaskIdError(
        f"{task_id!r:.40} is not a task id: use 1 to 128 letters, digits, '.', '_' and '-', "
        "beginning with a letter or a digit"
    )

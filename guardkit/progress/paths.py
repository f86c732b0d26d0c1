"""Where the files of a build are, and what may stand in their names."""

import os

from guardkit.errors import InvalidTaskIdError

LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
PUNCTUATION = {ord(each): None for each in "._-"}
LENGTH_MAX = 128  # characters of a task id
HEX = frozenset("0123456789abcdef")
RUN_LENGTH = 16  # characters of the name of a run
HOME, BUILDS = ".guardkit", "autobuild"  # folders below a root, the second one in the first
WORKTREES = "worktrees"  # in the first of them: a folder for each task that was built
PROGRESS, JOURNAL, LOCK = "progress.json", "events.jsonl", ".lock"


def builds_dir(root: str | os.PathLike[str]) -> str:
    """Return the path of the folder that holds a folder for each build below `root`."""
    return os.path.join(root, HOME, BUILDS)


def build_dir(root: str | os.PathLike[str], task_id: str) -> str:
    """Return the path of the folder of a build's files; raises InvalidTaskIdError."""
    return os.path.join(root, HOME, BUILDS, check_task_id(task_id))


def root_of(folder: str) -> str:
    """Return the root of the folder of a build's files."""
    return os.path.abspath(os.path.join(folder, *[os.pardir] * 3))


def is_task_id(name: str) -> bool:
    """Return whether a name may be that of a task; `re` takes long to import for a status line."""
    if not 0 < len(name) <= LENGTH_MAX or name[0] not in LETTERS:
        return False
    return LETTERS.issuperset(name.translate(PUNCTUATION))


def is_run_id(name: str) -> bool:
    """Return whether a name is that of a run of guardkit's."""
    return len(name) == RUN_LENGTH and HEX.issuperset(name)


def check_task_id(task_id: object) -> str:
    """Return `task_id`; raise InvalidTaskIdError unless it is one, and so never a path."""
    if isinstance(task_id, str) and is_task_id(task_id):
        return str.__str__(task_id)  # of a subclass, the text alone
    raise InvalidTaskIdError(
        f"{task_id!r:.40} is not a task id: use 1 to 128 letters, digits, '.', '_' and '-', "
        "beginning with a letter or a digit"
    )

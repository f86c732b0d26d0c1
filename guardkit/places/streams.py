"""What the agents of a build have told, as it was kept beside its documents."""

import re
from collections.abc import Iterator

from guardkit.errors import ProgressNotFoundError
from guardkit.progress.folder import Folder, open_builds
from guardkit.progress.paths import check_task_id

STREAM = re.compile(r"(coach_)?agent_turn_([1-9]\d{0,8})\.jsonl")
PIECE = 2**20  # characters that are held at once


def read_stream(task_id: str, root: str) -> Iterator[str]:
    """Yield the stream of the agent that was at work last, piece by piece.

    A judging Coach is at work after the Player of its turn. Raises InvalidTaskIdError,
    ProgressNotFoundError where no agent has left one, and OSError where it cannot be read.
    """
    check_task_id(task_id)
    missing = f"no agent has left a stream of {task_id} below {root}"
    try:
        with open_builds(root) as builds, builds.folder(task_id) as folder:
            name = _newest(folder)
            if not name:
                raise ProgressNotFoundError(missing)
            stream = folder.file(name)
    except FileNotFoundError as error:
        raise ProgressNotFoundError(missing) from error
    with open(stream, encoding="utf-8", errors="replace", newline="\n") as file:  # noqa: PTH123
        while piece := file.readline(PIECE):
            yield piece


def _newest(folder: Folder) -> str:
    """Return the name of the latest stream, "" where there is none."""
    found = filter(None, map(STREAM.fullmatch, folder.names()))
    newest = max(found, key=lambda each: (int(each[2]), bool(each[1])), default=None)
    return newest[0] if newest else ""

"""Reading progress from outside, once.

A status line starts with this module, so that it needs the standard library alone.
"""

from __future__ import annotations

import os

from guardkit.errors import InvalidProgressError, ProgressNotFoundError
from guardkit.progress.folder import Folder, open_builds
from guardkit.progress.paths import PROGRESS, build_dir

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from collections.abc import Callable

    from guardkit.progress.snapshot import Snapshot

SIZE_MAX = 2**16  # bytes; a document has 4 KiB at most


def read_progress(task_id: str, *, root: str | os.PathLike[str] = ".") -> Snapshot:
    """Return what the progress file of `task_id` below `root` says now.

    Raises ProgressNotFoundError where there is none, InvalidProgressError where it cannot be read
    as one of this task, and InvalidTaskIdError.
    """
    from guardkit.progress.snapshot import decode

    path = f"{build_dir(root, task_id)}/{PROGRESS}"
    try:
        with open_builds(root) as builds, builds.folder(task_id) as folder:
            return read_in(folder, decode)
    except FileNotFoundError:
        raise ProgressNotFoundError(f"no build of {task_id}: there is no {path}") from None
    except OSError as error:
        raise InvalidProgressError(explain(error)) from error


def read_in(folder: Folder, decode: Callable[[bytes], Snapshot]) -> Snapshot:
    """Return the document in a build's folder.

    decode: returns the document in bytes, or raises InvalidProgressError.
    Raises InvalidProgressError, which names the file and the remedy, and OSError.
    """
    document = folder.read(PROGRESS, SIZE_MAX)
    try:
        found = decode(document)
        if found.task_id != os.path.basename(folder.path):
            raise InvalidProgressError("it is the document of another task")
        return found
    except InvalidProgressError as error:
        what = f"{folder.path}/{PROGRESS}: {error}"
        raise InvalidProgressError(f"{what}; update guardkit, or remove the file") from error


def explain(error: OSError) -> str:
    """Return in a sentence what cannot be read, why, and what helps."""
    return f"{error.filename} cannot be read: {error.strerror}; make it readable, or remove it"

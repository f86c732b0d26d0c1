"""Reading progress from outside, once."""

import os

from guardkit.errors import InvalidProgressError, ProgressNotFoundError
from guardkit.progress.folder import Folder, open_builds
from guardkit.progress.lock import Hold, look
from guardkit.progress.paths import PROGRESS, TASK_ID, build_dir, check_task_id
from guardkit.progress.snapshot import Snapshot, decode

SIZE_MAX = 2**16  # bytes; a document has 4 KiB at most


def read_progress(task_id: str, *, root: str | os.PathLike[str] = ".") -> Snapshot:
    """Return what the progress file of `task_id` below `root` says now.

    Raises ProgressNotFoundError where there is none, InvalidProgressError where it cannot be read
    as one, and InvalidTaskIdError.
    """
    try:
        with open_builds(root) as builds, builds.folder(check_task_id(task_id)) as folder:
            return read_in(folder)
    except FileNotFoundError:
        path = f"{build_dir(root, task_id)}/{PROGRESS}"
        raise ProgressNotFoundError(f"no build of {task_id}: there is no {path}") from None
    except OSError as error:
        raise unreadable(error) from error


def read_in(folder: Folder) -> Snapshot:
    """Return what the progress file in a build's folder says now; raises as `read_progress`."""
    path = f"{folder.path}/{PROGRESS}"
    try:
        return decode(folder.read(PROGRESS, SIZE_MAX))
    except FileNotFoundError:
        raise ProgressNotFoundError(f"there is no {path}") from None
    except OSError as error:
        raise unreadable(error) from error
    except InvalidProgressError as error:
        remedy = "update guardkit, or remove the file"
        raise InvalidProgressError(f"{path}: {error}; {remedy}") from error


def list_builds(root: str | os.PathLike[str] = ".") -> list[str]:
    """Return the ids of the tasks below `root` that have been built or are being built, sorted.

    Raises InvalidProgressError where there are builds that cannot be listed.
    """
    try:
        with open_builds(root) as builds:
            return list_in(builds)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(error) from error


def list_in(builds: Folder) -> list[str]:
    """Return the ids of the tasks in the folder of all builds, sorted. Raises OSError.

    They are those with a progress file, whether or not it can be read, and those that a builder
    has taken which has not written yet.
    """
    names = sorted(filter(TASK_ID.fullmatch, builds.names()))
    built = {name for name in names if _is_built(builds, name)}
    rest = [name for name in names if name not in built]
    holds = look(builds, [(name, "", "", None) for name in rest])
    built.update(name for name, hold in zip(rest, holds, strict=True) if hold is Hold.TAKEN)
    return sorted(built)


def _is_built(builds: Folder, name: str) -> bool:
    try:
        with builds.folder(name) as folder:
            folder.status(PROGRESS)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # such as a link: what is wrong with it is told by who reads it
        return True
    return True


def unreadable(error: OSError) -> InvalidProgressError:
    """Return what to raise where a file or a folder is there and cannot be read."""
    remedy = "make it readable, or remove it"
    return InvalidProgressError(f"{error.filename} cannot be read: {error.strerror}; {remedy}")

"""The folder of all worktrees, in which no link is followed."""

from contextlib import suppress
from pathlib import Path

from guardkit.errors import WorkspaceError
from guardkit.orchestrator.repository import folders
from guardkit.progress.folder import Folder, open_builds, open_root
from guardkit.progress.lock import is_taken
from guardkit.progress.paths import HOME, WORKTREES


def open_worktrees(root: Path, *, make: bool = False) -> Folder:
    """Return the folder of all worktrees; `make`: make it first. Raises OSError."""
    with open_root(root) as top, top.folder(HOME, make=make) as home:
        return home.folder(WORKTREES, make=make)


def is_there(root: Path, task_id: str) -> bool:
    """Return whether something is where a worktree is to be; raises WorkspaceError."""
    try:
        with open_worktrees(root) as folder:
            folder.status(task_id)
    except FileNotFoundError:
        return False
    except OSError as error:  # such as a link: no command is to be given that follows it
        raise unusable(error) from error
    return True


def is_being_built(root: Path, task_id: str) -> bool:
    """Return whether a living builder, of whatever run, has taken a task."""
    with suppress(OSError), open_builds(root) as builds:
        return is_taken(builds, task_id)
    return False


def delete(root: Path, task_id: str) -> None:
    """Delete the folder of a worktree, whatever git knows of it; raises OSError."""
    with open_worktrees(root) as folder:
        folders.delete(task_id, folder.fd)


def make_home(root: Path) -> None:
    """Make the folder of all worktrees, of which git is to show nothing."""
    try:
        with open_worktrees(root, make=True) as folder:
            folder.ignore()
    except OSError as error:
        raise unusable(error) from error


def unusable(error: OSError) -> WorkspaceError:
    """Return what to raise where a folder of ours is none, is a link, or cannot be written."""
    what = f"{error.filename} cannot be used: {error.strerror}"
    return WorkspaceError(f"{what}: make it a folder that can be written, or remove it")

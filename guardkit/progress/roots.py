"""The root of a project: the folder below which its builds are."""

from __future__ import annotations

import os

from guardkit.progress.folder import read_file
from guardkit.progress.paths import HOME, WORKTREES

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MARKS = (HOME, ".git")  # what a root holds, one of them at least
GIT_WORKTREES = "/.git/worktrees/"  # in a checkout: a folder for each further worktree of its own
LINK_MAX = 2**13  # bytes of the file that stands for `.git` in a worktree


def find_root(start: str, tell: Callable[[str], object]) -> str:
    """Return the nearest folder upwards that holds `.guardkit` or `.git`, else `start`.

    Inside a worktree of ours it is the checkout that the worktree belongs to. Who makes a folder
    in `/tmp` must not choose what others see there: a mark of another owner is passed over, unless
    it belongs to root, or to the owner of `start`.

    start: an absolute path, without links.
    tell: is given a line for each mark that is passed over.
    """
    trusted = _trusted(start)
    for folder in _upwards(start):
        owners = {mark: _owner(os.path.join(folder, mark)) for mark in MARKS}
        if not trusted.isdisjoint(owners.values()):
            return folder
        for mark, owner in owners.items():
            if owner is not None:
                path = os.path.join(folder, mark)
                tell(f"{path} belongs to user {owner} and is passed over; --root {folder} takes it")
                break
    return start


def find_checkout(root: str) -> str:
    """Return the checkout that a git worktree belongs to; of any other root the root itself.

    root: as `find_root` returns it.
    """
    try:
        link = os.fsdecode(read_file(os.path.join(root, ".git"), LINK_MAX))
        path = link.removeprefix("gitdir:").strip()  # git 2.48 may write a relative one
        checkout, found, _ = os.path.realpath(os.path.join(root, path)).partition(GIT_WORKTREES)
        is_trusted = _owner(os.path.join(checkout, ".git")) in _trusted(root)
    except (OSError, ValueError):  # no file: a checkout has a folder; a null byte: no path
        return root
    return checkout if found and is_trusted else root


def _trusted(start: str) -> set[int]:
    """Return the ids of the users whose marks count for who stands in a folder; raises OSError."""
    return {0, os.geteuid(), os.stat(start).st_uid}


def _upwards(folder: str) -> Iterator[str]:
    """Return a folder and those above it; from within a worktree of ours what holds all of them."""
    within = folder.rpartition(f"/{HOME}/{WORKTREES}/")
    folder = (within[0] or "/") if within[1] and within[2] else folder
    while True:
        yield folder
        above = os.path.dirname(folder)
        if above == folder:
            return
        folder = above


def _owner(path: str) -> int | None:
    """Return the id of the user who owns a file or a folder, None where there is none."""
    try:
        return os.lstat(path).st_uid
    except OSError:
        return None

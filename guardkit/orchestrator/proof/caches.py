"""Caches of Python's: who writes one decides what runs in place of the code.

A cache may say that nobody is to compare it with its source, and the time and the size of a source
are easily given to it. So what is cached of a worktree is removed before its tests, which costs
little to write anew; what is cached of installed packages elsewhere stays.
"""

import os
import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from anyio import to_thread
from msgspec.structs import replace

from guardkit.orchestrator.processes.environment import Env, environment
from guardkit.orchestrator.repository.git import Git
from guardkit.orchestrator.repository.trees import CACHE, entries, shown

PREFIX = "PYTHONPYCACHEPREFIX"  # the folder in which all caches are, if not beside their sources
NAME = CACHE.rstrip("/")


async def clear_caches(git: Git, index: Path, env: Env) -> list[str]:
    """Remove what is cached of a worktree, but for what is committed; return what stays, sorted.

    git: for the worktree. index: that of the baseline. env: what tests have besides ours.
    Raises GitError.
    """
    listed = await entries(replace(git, index=index))
    kept = {path for _, _, path in listed if CACHE in path}
    prefix = environment(env).get(PREFIX, "")
    return await to_thread.run_sync(_clear, git.folder, kept, prefix)


def _clear(folder: Path, kept: Collection[str], prefix: str) -> list[str]:
    left = list[str]()
    try:
        for at, folders, names, fd in os.fwalk(folder, onerror=_fail):
            near = os.path.relpath(at, folder)
            if Path(at).name == NAME:  # some of it is committed
                for name in names:
                    if f"{near}/{name}" not in kept:
                        _remove(f"{near}/{name}", fd, left)
            path = os.path.normpath(f"{near}/{NAME}")
            if NAME in folders and not any(each.startswith(f"{path}/") for each in kept):
                _remove(path, fd, left)
                folders.remove(NAME)
            folders[:] = [name for name in folders if name != ".git"]
    except (OSError, RecursionError) as error:
        left.append(str(getattr(error, "filename", None) or folder))
    for real in {folder, folder.resolve()} if prefix else ():
        mirror = Path(folder, prefix, *real.parts[1:])
        _remove(str(mirror), None, left)
    return sorted(map(shown, left))


def _remove(path: str, fd: int | None, left: list[str]) -> None:
    """Remove a file, a link or a folder, by its name in the folder `fd`, or else by its path."""
    name = path if fd is None else Path(path).name
    try:
        with suppress(FileNotFoundError):
            try:
                os.unlink(name, dir_fd=fd)
            except (IsADirectoryError, PermissionError):  # Linux and macOS do not agree on which
                shutil.rmtree(name, dir_fd=fd)
    except (OSError, RecursionError):
        left.append(path)


def _fail(error: OSError) -> None:
    raise error

"""What lies in a worktree and is no part of its branch: ignored files, and inner repositories."""

import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from anyio import to_thread
from msgspec.structs import replace

from guardkit.orchestrator.phrases import some
from guardkit.orchestrator.repository import folders
from guardkit.orchestrator.repository.git import Git, GitError
from guardkit.orchestrator.repository.trees import GITLINK, OURS, entries, others, shown

MAX_FILES = 10_000  # that are looked at in inner repositories
CACHE = "__pycache__"

Inner = tuple[int, ...]  # what tells that a file has changed


async def walk(git: Git) -> dict[str, Inner]:
    """Return the files in submodules and other inner repositories, by path; raises GitError.

    git: for the worktree, with an index of our own. No git is run in what lies in it.
    """
    made = [path for path in await others(git) if path.endswith("/")]
    linked = [path for mode, _, path in await entries(git) if mode == GITLINK]
    return await to_thread.run_sync(_walk, git.folder, [*made, *linked])


def _walk(top: Path, inside: Iterable[str]) -> dict[str, Inner]:
    found = dict[str, Inner]()
    for path in inside:
        for file, state in _files(top, path.rstrip("/")):
            if len(found) == MAX_FILES:
                return found
            found[shown(file)] = state
    return found


def _files(top: Path, path: str) -> Iterator[tuple[str, Inner]]:
    """Yield the files in a folder; of one in it that cannot be looked into, that itself."""
    for at, found in folders.walk(f"{top}/{path}"):
        if isinstance(found, OSError):
            if at and not isinstance(found, FileNotFoundError):
                yield f"{path}/{at}", ()
            continue
        found[:] = [entry for entry in found if not _is_passed_over(entry)]
        for entry in found:
            if not entry.is_dir(follow_symlinks=False):
                yield f"{path}/{at}{entry.name}", state_of(entry)


def _is_passed_over(entry: folders.Entry) -> bool:
    is_cache = entry.name == CACHE and entry.is_dir(follow_symlinks=False)
    return entry.name == ".git" or is_cache


def state_of(entry: folders.Entry | Path) -> Inner:
    """Return what tells that a file has changed."""
    try:
        found = entry.stat(follow_symlinks=False)
    except OSError:
        return ()
    return stat.S_IFMT(found.st_mode), found.st_size, found.st_mtime_ns, found.st_ino


async def find_apart(git: Git, index: Path, inner: Mapping[str, Inner]) -> list[str]:
    """Return what is in a worktree, and will not be in its branch; raises GitError.

    index: that of the baseline. inner: the files of submodules as they were then.
    Whole folders that are ignored end with a slash. Caches of Python's are left out.
    """
    own, added = replace(git, index=index), set[str]()
    with suppress(GitError):  # the Player's index may be broken
        added = {path for _, _, path in await entries(git)}
    listing = ("ls-files", "-z", "-o", "-i", "--exclude-standard", "--directory", "--", OURS)
    ignored = [path for path in await own.names(*listing) if CACHE not in path.split("/")]
    ignored = [path for path in ignored if path not in added]
    now = await walk(own)
    changed = {path for path, state in now.items() if inner.get(path) != state}
    gone = inner.keys() - now.keys() if len(now) < MAX_FILES else set[str]()
    return sorted({*map(shown, ignored), *changed, *gone})


def named(paths: Sequence[str]) -> str:
    """Return what is to be told of files that are no part of a branch, "" where there are none."""
    whole = tuple(path for path in paths if path.endswith("/"))
    paths = [path for path in paths if not path.rstrip("/").startswith(whole)] if whole else paths
    return f"not in it: {some(paths)}" if paths else ""

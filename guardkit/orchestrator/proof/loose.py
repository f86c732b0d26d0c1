"""Code of a worktree that the tests have run, and that is no part of what is committed.

Such as what a Player has left in an ignored folder, in `.guardkit`, or behind a link that leads
out of the worktree: without it, what is committed may not pass. All right is what tests make
themselves, what submodules had from the beginning, and what belongs to installed packages.
"""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from anyio import to_thread
from msgspec.structs import replace

from guardkit.orchestrator.proof.imported import Imported, State, Told, inside
from guardkit.orchestrator.proof.installed import find_installed
from guardkit.orchestrator.repository.apart import Inner, state_of
from guardkit.orchestrator.repository.trees import objects, shown
from guardkit.orchestrator.repository.workspace import Worktree
from guardkit.progress.paths import HOME


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a worktree is known to have.

    top: its folder, without links.
    kept: the paths of the tree that was tested. same: those that are as they were first.
    inner: the files of submodules as they were first.
    made: what tests before have made. since: when the tests began, by the clock of the disk.
    begun: when the worktree was measured, by the same clock.
    """

    top: Path
    kept: Collection[str]
    same: Collection[str]
    inner: Mapping[str, Inner]
    made: Mapping[str, State]
    since: int
    begun: int


async def with_loose(
    found: Imported,
    told: Told,
    tree: Worktree,
    content: str,
    *,
    made: Mapping[str, State],
    since: int,
) -> Imported:
    """Return what was imported, with what of it is loose, and what the tests have made.

    content: the tree that was tested. made: what tests before have made.
    since: when the tests began, in nanoseconds of the disk.
    Raises GitError.
    """
    first, kept = [dict(await objects(tree.git, each)) for each in (tree.baseline, content)]
    git = replace(tree.git, index=tree.index)  # what has changed in .guardkit is not in a tree
    for path in await git.names("ls-files", "-z", "-m", "-d", "--", HOME):
        kept.pop(shown(path), None)
    ground = Ground(
        top=tree.path.resolve(),
        kept=kept.keys(),
        same={path for path, name in kept.items() if first.get(path) == name},
        inner=tree.inner,
        made=made,
        since=since,
        begun=tree.index.stat().st_mtime_ns,
    )
    near = {path for top in {tree.path, ground.top} for path in inside(told.ran, top)}
    return await to_thread.run_sync(_look, found, ground, near)


def _look(found: Imported, ground: Ground, paths: Collection[str]) -> Imported:
    files = {_file(ground.top, path) for path in paths}
    open_ = {path for path in files if shown(path) not in ground.kept or _link(ground.top, path)}
    loose, made = set[str](), dict[str, State]()
    for path in open_ - find_installed(ground.top, open_):
        file, why = _resolve(ground, path)
        if file and not _is_known(ground, file):
            state = _state(ground.top / file)
            if state and (state[0] > ground.since or ground.made.get(shown(file)) == state):
                made[shown(file)] = state
            elif state:
                why = file
        if why:
            loose.add(shown(why))
    return replace(found, loose=sorted(loose), made=made)


def _file(top: Path, path: str) -> str:
    """Return the archive that a path leads into, or else the path."""
    found = path
    while "/" in found and not os.path.lexists(top / found):
        found = found.rpartition("/")[0]
    return path if (top / found).is_dir() else found


def _link(top: Path, path: str) -> str:
    """Return the first part of a path that is a link, "" where none is."""
    parts = path.split("/")
    parents = ("/".join(parts[: end + 1]) for end in range(len(parts)))
    return next((each for each in parents if (top / each).is_symlink()), "")


def _resolve(ground: Ground, path: str) -> tuple[str, str]:
    """Return the file of the worktree that a path leads to; or none, and what of it is loose."""
    link, real = _link(ground.top, path), os.path.realpath(ground.top / path)
    if not link:
        return path, ""
    if within := inside([real], ground.top):
        return within[0], ""
    state = _state(Path(real))
    is_old = shown(link) in ground.same and bool(state) and state[0] < ground.begun
    return "", "" if is_old else link


def _is_known(ground: Ground, file: str) -> bool:
    """Return whether a file is committed, or is that of a submodule as it was first."""
    known = shown(file)
    is_inner = known in ground.inner and ground.inner[known] == state_of(ground.top / file)
    return known in ground.kept or is_inner


def _state(file: Path) -> State:
    """Return when a file was changed last, and what else tells that; () where there is none."""
    try:
        found = file.stat()
    except OSError:
        return ()
    return found.st_ctime_ns, found.st_size, found.st_ino

"""The worktree of an earlier run, in which a build goes on."""

from pathlib import Path

import anyio
from msgspec.structs import replace

from guardkit.errors import WorkspaceError
from guardkit.orchestrator.apart import walk
from guardkit.orchestrator.git import Git, GitError, pin
from guardkit.orchestrator.kept import KEPT, REFS, find_kept
from guardkit.orchestrator.leftovers import known, set_aside
from guardkit.orchestrator.workspace import Workspace, Worktree


async def find_base(git: Git, path: Path, branch: str) -> str:
    """Return the commit from which an earlier run began; raise WorkspaceError where none is kept.

    git: for the checkout. path, branch: the worktree's.
    """
    name = path.name
    there = await known(git, path.parent)
    wanted = {
        f"the worktree {path}": name in there and await anyio.Path(path).is_dir(),
        f"the branch {branch}": await git.shared.asks("rev-parse", "-q", "--verify", branch),
    }
    kept = await find_kept(git, name)
    wanted |= {f"{REFS}/{name}/{each}": each in kept for each in KEPT}
    missing = next((what for what, is_there in wanted.items() if not is_there), None)
    if missing:
        raise WorkspaceError(f"{name} cannot be resumed: {missing} is gone; start without --resume")
    return kept["base"]


async def go_on(place: Workspace) -> Workspace | None:
    """Return where an earlier run can be gone on with.

    None: it was ended before anybody could work there, and what it has left is moved aside.
    Raises GitError and OSError.
    """
    try:
        base = await find_base(place.git, place.path, place.branch)
    except GitError:
        raise
    except WorkspaceError:
        await set_aside(place.git, place.path, place.branch)
        return None
    return replace(place, base=base)


async def reopen(place: Workspace, index: Path) -> Worktree:
    """Return the worktree that an earlier run has made, measured against what it was then.

    index: where our own index is to be.
    Raises GitError.
    """
    git = await pin(Git(folder=place.path, clock=place.git.clock, git_dir=place.path / ".git"))
    if (git.common or git.git_dir) != (place.git.common or place.git.git_dir):
        raise WorkspaceError(f"the .git of {place.path} leads to another repository: drop it")
    own = replace(git, index=index)
    baseline = (await find_kept(git, place.path.name))["baseline"]
    await own.run("read-tree", baseline)
    return Worktree(place=place, git=git, baseline=baseline, index=index, inner=await walk(own))

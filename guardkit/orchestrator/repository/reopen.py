"""The worktree of an earlier run, in which a build goes on."""

from pathlib import Path

import anyio
from msgspec.structs import replace

from guardkit.errors import WorkspaceError
from guardkit.orchestrator.repository.apart import walk
from guardkit.orchestrator.repository.git import Git, pin
from guardkit.orchestrator.repository.kept import KEPT, REFS, find_kept
from guardkit.orchestrator.repository.leftovers import known, set_aside
from guardkit.orchestrator.repository.measured import NOTE, find_measured
from guardkit.orchestrator.repository.workspace import Workspace, Worktree


async def find_base(git: Git, path: Path, branch: str) -> str:
    """Return the commit from which an earlier run began; raise WorkspaceError where none is kept.

    It is raised too where somebody has changed what the run was measured against.
    git: for the checkout. path, branch: the worktree's.
    """
    measured = await find_measured(git, path.name)
    missing = await _find_missing(git, path, branch)
    if not measured and not missing:
        missing = f"{NOTE} beside its journal"
    if missing or not measured:
        what = f"{path.name} cannot be resumed: {missing} is gone"
        raise WorkspaceError(f"{what}; start without --resume")
    return measured.base


async def _find_missing(git: Git, path: Path, branch: str) -> str:
    """Return what is not there of what an earlier run has made, "" where all of it is."""
    there, kept = await known(git, path.parent), await find_kept(git, path.name)
    has_branch = await git.shared.asks("rev-parse", "-q", "--verify", branch)
    wanted = {
        f"the worktree {path}": path.name in there and await anyio.Path(path).is_dir(),
        f"the branch {branch}": has_branch,
        **{f"{REFS}/{path.name}/{name}": name in kept for name in KEPT},
    }
    return next((what for what, is_there in wanted.items() if not is_there), "")


async def go_on(place: Workspace) -> Workspace | None:
    """Return where an earlier run can be gone on with.

    None: it was ended before anybody could work there, and what it has left is moved aside.
    Raises GitError and OSError, and WorkspaceError where somebody has changed what it was measured
    against.
    """
    measured = await find_measured(place.git, place.path.name)
    if measured and not await _find_missing(place.git, place.path, place.branch):
        return replace(place, base=measured.base)
    await set_aside(place.git, place.path, place.branch)
    return None


async def reopen(place: Workspace, index: Path) -> Worktree:
    """Return the worktree that an earlier run has made, measured against what it was then.

    index: where our own index is to be.
    Raises WorkspaceError.
    """
    git = await pin(Git(folder=place.path, clock=place.git.clock, git_dir=place.path / ".git"))
    if (git.common or git.git_dir) != (place.git.common or place.git.git_dir):
        raise WorkspaceError(f"the .git of {place.path} leads to another repository: drop it")
    own = replace(git, index=index)
    measured = await find_measured(place.git, place.path.name)
    if not measured or measured.base != place.base:
        raise WorkspaceError(f"{place.path} was changed by somebody just now: try again")
    baseline = measured.baseline
    await own.run("read-tree", baseline)
    return Worktree(place=place, git=git, baseline=baseline, index=index, inner=await walk(own))

"""Removes what a build has left, unless there is work in it that is nowhere else."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import msgspec
from anyio import to_thread
from msgspec.structs import replace

from guardkit.clock import Clock
from guardkit.errors import BuildAlreadyRunningError, WorkspaceError
from guardkit.orchestrator.phrases import many, some
from guardkit.orchestrator.processes.lease import wait_for_agents
from guardkit.orchestrator.repository import folders
from guardkit.orchestrator.repository.git import Git, GitError, pin
from guardkit.orchestrator.repository.home import delete, is_being_built
from guardkit.orchestrator.repository.kept import REFS, find_kept, find_tasks, forget
from guardkit.orchestrator.repository.leftovers import known
from guardkit.orchestrator.repository.trees import compare, make_tree, shown
from guardkit.orchestrator.repository.workspace import open_git
from guardkit.progress.paths import HOME, WORKTREES

PREFIX = "refs/heads/autobuild/"
MAX_INNER = 1000  # repositories inside that are looked for
MAX_SUBJECTS = 3  # commits that are named in a line


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """What a build has left.

    name: of its worktree and its branch; the task's id, or what an earlier one was renamed to.
    path: of the worktree.
    is_there: whether there is a folder. has_branch: whether there is a branch.
    kept: the names of what is kept of it in refs, also of earlier runs.
    work: what is nowhere else, a line each.
    """

    name: str
    path: Path
    git: Git
    is_there: bool
    has_branch: bool
    kept: Collection[str]
    work: Sequence[str]

    def __str__(self) -> str:
        what = "worktree" * self.is_there, f"branch autobuild/{self.name}" * self.has_branch
        return " and ".join(filter(None, what)) or "the trees that were kept"


async def find_left(root: Path, name: str, clock: Clock) -> Left:
    """Return what a build has left below a root.

    Raises WorkspaceError where it has left nothing, or its agents are still at work, and
    BuildAlreadyRunningError where it is not over.
    """
    git = await open_git(root, clock)
    path, branch = root / HOME / WORKTREES / name, f"{PREFIX}{name}"
    if await to_thread.run_sync(is_being_built, root, name):
        raise BuildAlreadyRunningError(f"{name} is being built: end it first, as guardkit cancel")
    await wait_for_agents(root, name, clock)
    is_there = await to_thread.run_sync(os.path.lexists, path)
    has_branch = await git.shared.asks("rev-parse", "-q", "--verify", branch)
    kept = await find_kept(git, name)
    if not (is_there or has_branch or kept):
        raise WorkspaceError(f"{name} has left neither a worktree nor a branch below {root}")
    work = [
        *(await _find_commits(git.shared, branch, but=branch) if has_branch else ()),
        *(await _find_changes(git, path, branch if has_branch else "HEAD") if is_there else ()),
    ]
    return Left(
        name=name,
        path=path,
        git=git,
        is_there=is_there,
        has_branch=has_branch,
        kept=kept.keys(),
        work=work,
    )


async def drop(left: Left) -> None:
    """Remove a worktree, its branch, and the trees that were kept of it; raise WorkspaceError."""
    git, name = left.git, left.name
    if await to_thread.run_sync(os.path.lexists, left.path):
        try:
            await to_thread.run_sync(delete, left.git.folder, name)
        except OSError as error:
            raise WorkspaceError(f"{left.path} cannot be removed: {error.strerror}") from error
    if name in await known(git, left.path.parent):
        await git.asks("worktree", "remove", "--force", "--force", str(left.path))
    if left.has_branch:
        await git.run("branch", "-q", "-D", f"autobuild/{name}")
    await forget(git, name, left.kept)


async def names(root: Path, clock: Clock) -> list[str]:
    """Return the names of all that builds have left below a root; raises WorkspaceError."""
    git = await open_git(root, clock)
    refs = await git.shared.run("for-each-ref", "--format=%(refname)", PREFIX)
    folder = anyio.Path(root, HOME, WORKTREES)
    found = {ref.removeprefix(PREFIX) for ref in refs.splitlines()} | await find_tasks(git)
    if await folder.is_dir():
        found |= {path.name async for path in folder.iterdir() if await path.is_dir()}
    return sorted(found)


async def _find_commits(git: Git, commit: str, *, but: str = "") -> list[str]:
    """Return the commits that lead to one and are on no branch or tag, less that of `but`."""
    less = [f"--exclude={but}"] if but else []
    rest = (*less, f"--exclude={REFS}/*", "--single-worktree", "--all")
    found = (await git.run("log", "--format=%h %s", commit, "--not", *rest)).splitlines()
    if not found:
        return []
    more = f" and {len(found) - MAX_SUBJECTS} more" if len(found) > MAX_SUBJECTS else ""
    text = ", ".join(shown(line) for line in found[:MAX_SUBJECTS])
    return [f"{many(len(found), 'commit')} that no other branch has: {text}{more}"]


async def _find_changes(git: Git, path: Path, branch: str) -> list[str]:
    """Return what is in a worktree, and not in the commit of its branch."""
    try:
        with TemporaryDirectory(prefix="guardkit-") as scratch:
            own = await pin(Git(folder=path, clock=git.clock, git_dir=path / ".git"))
            commits = await _find_commits(own.shared, await own.line("rev-parse", "HEAD"))
            own = replace(own, index=Path(scratch, "index"))
            await own.run("read-tree", branch)
            files = sorted(await compare(own, branch, await make_tree(own)))
    except GitError as error:
        return [f"it cannot be seen what is in the worktree: {error}"]
    inner = await to_thread.run_sync(_find_inner, path)
    return [
        *commits,
        *([f"{many(len(files), 'file')} not committed: {some(files)}"] if files else ()),
        *([f"repositories of their own: {some(inner)}"] if inner else ()),
    ]


def _find_inner(top: Path) -> list[str]:
    """Return the repositories in a worktree, also in what git ignores, and its submodules."""
    found = list[str]()
    for at, inside in folders.walk(str(top)):
        if len(found) == MAX_INNER:
            break
        if at and not isinstance(inside, OSError) and any(each.name == ".git" for each in inside):
            found.append(shown(at.rstrip("/")))
    return sorted(found)

"""Where a build works: a git worktree, and the branch and the refs that belong to it."""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from shlex import quote

import anyio
import msgspec
from anyio import CancelScope, to_thread
from msgspec.structs import replace

from guardkit.clock import Clock
from guardkit.errors import WorkspaceError
from guardkit.orchestrator.repository.apart import Inner, walk
from guardkit.orchestrator.repository.git import LIMIT_CHECKOUT, Git, GitError, pin
from guardkit.orchestrator.repository.home import (
    delete,
    is_being_built,
    is_there,
    make_home,
    unusable,
)
from guardkit.orchestrator.repository.kept import KEPT, forget, is_kept, keep, shelve
from guardkit.orchestrator.repository.leftovers import remedy, worktrees
from guardkit.orchestrator.repository.measured import Measured, note
from guardkit.orchestrator.repository.submodules import fill
from guardkit.orchestrator.repository.trees import copy_index, first_tree
from guardkit.progress.paths import HOME, WORKTREES

FindBase = Callable[[Git, Path, str], Awaitable[str]]


class Workspace(msgspec.Struct, frozen=True, kw_only=True):
    """A worktree at `path`, on a `branch` from commit `base` of the checkout `root`.

    git: for the checkout.
    """

    root: Path
    path: Path
    branch: str
    base: str
    git: Git

    @property
    def near(self) -> Path:
        """The worktree as seen from the checkout."""
        return self.path.relative_to(self.root)


class Worktree(msgspec.Struct, frozen=True, kw_only=True):
    """A worktree that was made.

    place: where it was planned.
    git: for the worktree, whatever becomes of its `.git`.
    baseline: the tree that it was right after it was made. A fresh worktree may differ from its
        commit already, by filters and attributes: that is nobody's work.
    index: our own index of the baseline, which knows no flag that hides a file.
    missing: submodules that are not in it.
    inner: the files of those that are.
    """

    place: Workspace
    git: Git
    baseline: str
    index: Path
    missing: Sequence[str] = ()
    inner: Mapping[str, Inner] = {}

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.place.path


async def plan_workspace(
    root: Path, task_id: str, clock: Clock, *, base: FindBase | None = None
) -> Workspace:
    """Return where `root`/.guardkit/worktrees/`task_id` can be made, from HEAD; write nothing.

    base: finds the commit from which an earlier run began, whose worktree is gone on with.
    A task that is being built has its worktree: `track_build` refuses it, and names the builder.
    Raises WorkspaceError, in one line that names the remedy.
    """
    git = await open_git(root, clock)
    place = place_of(git, root, task_id, await find_head(git))
    if base:
        await to_thread.run_sync(is_there, root, task_id)
        return replace(place, base=await base(git, place.path, place.branch))
    if not await to_thread.run_sync(is_being_built, root, task_id):
        await check_free(place)
    return place


async def find_head(git: Git) -> str:
    """Return the commit that is checked out; raise WorkspaceError where there is none yet."""
    if not await git.asks("rev-parse", "-q", "--verify", "HEAD"):
        raise WorkspaceError(f"{git.folder} has no commit yet: commit something to build from")
    return (await git.run("log", "-1", "--format=%H", "--no-show-signature")).strip()


def place_of(git: Git, root: Path, task_id: str, base: str) -> Workspace:
    """Return where a task is built, whatever is there; git: for the checkout `root`."""
    path = root / HOME / WORKTREES / task_id
    return Workspace(root=root, path=path, branch=f"autobuild/{task_id}", base=base, git=git)


async def check_free(place: Workspace) -> None:
    """See that nothing is where a worktree is to be; raise WorkspaceError with the remedy."""
    git, root, name = place.git.shared, place.root, place.path.name
    if await git.asks("rev-parse", "-q", "--verify", "refs/heads/autobuild"):
        words = f"git -C {quote(str(root))} branch -m autobuild autobuild-1"
        raise WorkspaceError(f"a branch is called autobuild, where ours are: rename it: {words}")
    await git.run("check-ref-format", "--branch", place.branch)
    await to_thread.run_sync(is_there, root, name)
    if aside := await remedy(place.git, place.path, place.branch):
        go_on = "go on with it by --resume, " * await is_kept(git, name, "baseline")
        what = f"{place.branch} is of an earlier run: {go_on}remove it by guardkit autobuild drop"
        raise WorkspaceError(f"{what} {name}, or move it aside: {aside}")


async def check_committed(place: Workspace, option: str, path: str) -> None:
    """See that a script of the checkout's is in the worktree, too; raise WorkspaceError.

    option: the one that names it. path: relative to the checkout.
    """
    there = await to_thread.run_sync(os.path.lexists, place.path / path)
    if there or await place.git.asks("cat-file", "-e", f"{place.base}:{path}"):
        return
    if await place.git.names("ls-files", "-z", "--cached", "--others", "--", f":(literal){path}"):
        what = f"{option}: {path} is not committed, and so in no worktree"
        raise WorkspaceError(f"{what}: commit it, or give its whole path")


async def open_git(root: Path, clock: Clock) -> Git:
    """Return git pinned to the repository whose top folder is `root`; raise WorkspaceError."""
    git, bare = Git(folder=root, clock=clock), False
    try:
        bare = await git.line("rev-parse", "--is-inside-work-tree") != "true"
    except GitError as error:
        if "safe.bareRepository" not in str(error):
            raise
        bare, git = True, replace(git, git_dir=git.folder)
    if bare:
        paths = await worktrees(git)
        use = f"use --root {quote(paths[0])}" if paths else "make a worktree of it first"
        raise WorkspaceError(f"{git.folder} is a bare repository, without files: {use}")
    top = await git.line("rev-parse", "--show-toplevel")
    if not await anyio.Path(top).samefile(git.folder):
        use = f"use --root {quote(top)}"
        raise WorkspaceError(f"{git.folder} is not the top folder of its git repository: {use}")
    return await pin(git)


async def open_workspace(place: Workspace, index: Path) -> Worktree:
    """Make the worktree that was planned; nothing is left of one that cannot be made.

    index: where our own index is to be.
    Raises WorkspaceError.
    """
    await to_thread.run_sync(make_home, place.root)
    if await to_thread.run_sync(is_there, place.root, place.path.name):
        raise WorkspaceError(f"{place.path} was made by somebody else just now: try again")
    await shelve(
        place.git, place.path.name
    )  # first: what was half made must not be taken for an earlier run's
    # In two steps: only a branch that we have made ourselves is ever taken back.
    branch = f"refs/heads/{place.branch}"
    await place.git.shared.run("update-ref", "--no-deref", branch, place.base, "")
    try:
        add = ("worktree", "add", str(place.path), place.branch)
        await place.git.run(*add, limit=LIMIT_CHECKOUT)
        return await _measure(place, index)
    except BaseException as error:  # also when the build is cancelled
        with CancelScope(shield=True):
            await _undo(place)
        if isinstance(error, OSError):
            raise unusable(error) from error
        raise


async def _measure(place: Workspace, index: Path) -> Worktree:
    """Return a worktree that was just made, and what it is."""
    found = Git(folder=place.path, clock=place.git.clock, git_dir=place.path / ".git")
    git = await pin(found)
    await copy_index((git.git_dir or place.path) / "index", index)
    own = replace(git, index=index)
    checkout = place.git.git_dir or place.root
    missing = await fill(own, checkout, (place.git.common or checkout) / "config")
    tree = Worktree(
        place=place,
        git=git,
        baseline=await first_tree(git, index),
        index=index,
        missing=missing,
        inner=await walk(own),
    )
    await keep(git, place.path.name, "base", place.base)
    await keep(git, place.path.name, "baseline", tree.baseline)
    measured = Measured(base=place.base, baseline=tree.baseline)
    await note(place.root, place.path.name, measured)
    return tree


async def _undo(place: Workspace) -> None:
    """Take back what was made of a worktree; nobody but git has written in it yet."""
    with suppress(OSError):
        await to_thread.run_sync(delete, place.root, place.path.name)
    await place.git.asks("worktree", "remove", "--force", "--force", str(place.path))
    git = place.git.shared
    await git.asks("update-ref", "--no-deref", "-d", f"refs/heads/{place.branch}", place.base)
    with suppress(GitError):
        await forget(git, place.path.name, KEPT)


async def current_branch(git: Git) -> str:
    """Return the branch that is checked out, "" where it is none."""
    return (await git.run("branch", "--show-current")).strip()

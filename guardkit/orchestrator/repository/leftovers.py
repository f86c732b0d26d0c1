"""What an earlier run of a task has left, and how it is moved aside: nothing of it is deleted."""

from itertools import count
from pathlib import Path
from shlex import quote

import anyio

from guardkit.orchestrator.repository.git import Git, GitError


async def remedy(git: Git, path: Path, branch: str) -> str:
    """Return the commands that move aside what an earlier run has left, "" where it left nothing.

    git: for the checkout. path, branch: the worktree's.
    Raises GitError.
    """
    folder = anyio.Path(path)
    is_there = await folder.is_symlink() or await folder.exists()
    is_known = path.name in await known(git, path.parent)
    has_branch = await git.asks("rev-parse", "-q", "--verify", f"refs/heads/{branch}")
    aside, aside_branch = await _free(git, path, branch)
    words, commands = f"git -C {quote(str(git.folder))}", list[str]()
    if is_there:
        commands.append(f"mv {quote(str(path))} {quote(str(aside))}")
    if is_there and is_known:
        commands.append(f"{words} worktree repair {quote(str(aside))}")
    if is_known and not is_there:  # all that there is of it is git's note of where it was
        commands.append(f"{words} worktree remove {quote(str(path))}")
    if has_branch:
        commands.append(f"{words} branch -m {branch} {aside_branch}")
    return "; ".join(commands)


async def set_aside(git: Git, path: Path, branch: str) -> None:
    """Move aside what an earlier run has left, as `remedy` says; raises GitError and OSError."""
    aside, aside_branch = await _free(git, path, branch)
    folder = anyio.Path(path)
    if await folder.is_symlink() or await folder.exists():
        await folder.rename(aside)
        await git.asks("worktree", "repair", str(aside))
    if path.name in await known(git, path.parent):  # it was half made: git knows where it was
        await git.asks("worktree", "remove", "--force", "--force", str(path))
    if await git.asks("rev-parse", "-q", "--verify", f"refs/heads/{branch}"):
        await git.run("branch", "-m", branch, aside_branch)


async def _free(git: Git, path: Path, branch: str) -> tuple[Path, str]:
    """Return where a worktree and its branch can be moved to."""
    names = await git.run("for-each-ref", "--format=%(refname)", f"refs/heads/{branch}.kept-*")
    taken = names.splitlines()
    for number in count(1):
        aside = path.with_name(f"{path.name}.kept-{number}")
        to = f"{branch}.kept-{number}"
        if f"refs/heads/{to}" not in taken and not await anyio.Path(aside).exists():
            return aside, to
    raise AssertionError  # numbers do not end


async def known(git: Git, folder: Path) -> list[str]:
    """Return the names of the worktrees in a folder that git knows of; raises GitError."""
    real = Path(await anyio.Path(folder).resolve())
    paths = [Path(path) for path in await worktrees(git, prunable=True)]
    return [path.name for path in paths if path.parent == real]


async def worktrees(git: Git, *, prunable: bool = False) -> list[str]:
    """Return where a repository has its working trees, less the bare ones; raises GitError.

    prunable: also those whose folder is gone.
    """
    how = ("worktree", "list", "--porcelain")
    try:
        listed = await git.run(*how, "-z")
    except GitError as error:
        if "unknown switch" not in str(error):
            raise
        listed = (await git.run(*how)).replace("\n", "\0")  # git before 2.36
    blocks = [block.split("\0") for block in listed.split("\0\0") if block]
    return [
        block[0].removeprefix("worktree ")
        for block in blocks
        if "bare" not in block
        and (prunable or not any(line.startswith("prunable") for line in block))
    ]

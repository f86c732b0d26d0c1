"""What a build ends as: the tree that was tested, as a commit on the task's branch."""

from collections.abc import Sequence
from contextlib import suppress

import msgspec
from msgspec.structs import replace

from guardkit.errors import WorkspaceError
from guardkit.orchestrator.repository.git import Git, GitError
from guardkit.orchestrator.repository.trees import without
from guardkit.orchestrator.repository.workspace import Worktree

LIMIT_SIGNING = 30.0  # seconds
NOBODY = ("user.useConfigOnly=false", "user.name=guardkit", "user.email=guardkit@localhost")


class Commit(msgspec.Struct, frozen=True):
    """What a build ends as.

    name: of the commit.
    remarks: what is to be told of it, such as that it is not signed though it was to be.
    """

    name: str
    remarks: tuple[str, ...] = ()


async def unfit(tree: Worktree) -> str:
    """Return why nothing can be put on top of the task's branch, as the Player left it, or ""."""
    git, branch = tree.git.shared, tree.place.branch
    ref = f"refs/heads/{branch}"
    if await git.asks("symbolic-ref", "-q", ref):
        return f"the branch {branch} was made to stand for another one"
    if not await git.asks("rev-parse", "-q", "--verify", f"{ref}^{{commit}}"):
        return f"the branch {branch} was deleted"
    if not await git.asks("merge-base", "--is-ancestor", tree.place.base, ref):
        return f"the branch {branch} no longer descends from {tree.place.base[:12]}, its base"
    return ""


async def commit(tree: Worktree, content: str, message: str) -> Commit:
    """Make the tree that was tested the newest commit of the branch.

    What only the way to a fresh worktree has changed, as filters do, is not committed. No hook
    runs, as it may be the Player's. Raises WorkspaceError, also where the branch is unfit for it.
    """
    if why := await unfit(tree):
        raise WorkspaceError(f"{why}: nothing was committed, the work is in {tree.place.path}")
    git, ref = tree.git.shared, f"refs/heads/{tree.place.branch}"
    old = await git.line("rev-parse", "--verify", f"{ref}^{{commit}}")
    made, trees = Commit(old), {content}
    before = await git.line("rev-parse", f"{tree.place.base}^{{tree}}")
    index = tree.index.with_name(f"{tree.index.name}.commit")
    wanted = await without(git, index, before, tree.baseline, content)
    if await git.line("rev-parse", f"{old}^{{tree}}") not in trees | {wanted}:
        made = await make_commit(git, wanted, (old,), message)
        log = ("-m", "guardkit: approved")
        await git.run("update-ref", "--no-deref", *log, ref, made.name, old)
    with suppress(GitError):  # the work is safe: what is left concerns what git shows of it
        own = tree.git
        if await own.line("symbolic-ref", "-q", "HEAD") == ref:
            # Else git would show what was committed as deleted.
            await own.run("read-tree", "--reset", made.name)
            await own.run("update-index", "-q", "--refresh")
    return made


async def make_commit(git: Git, tree: str, parents: Sequence[str], message: str) -> Commit:
    """Make a commit of a tree, which no branch has yet; raises GitError."""
    remarks = list[str]()
    if not await git.asks("var", "GIT_COMMITTER_IDENT"):
        remarks.append("by guardkit, as git knows no user.name and user.email")
        git = replace(git, config=NOBODY)
    after = (word for parent in parents for word in ("-p", parent))
    how = ("commit-tree", tree, *after, "-F", "-")
    text = message.encode(errors="replace")
    if await _is_to_be_signed(git):
        try:
            name = await git.run(*how, "-S", stdin=text, limit=LIMIT_SIGNING)
            return Commit(name.strip(), tuple(remarks))
        except GitError as error:
            remarks.append(f"unsigned, as signing failed: {error}")
    return Commit((await git.run(*how, stdin=text)).strip(), tuple(remarks))


async def _is_to_be_signed(git: Git) -> bool:
    with suppress(GitError):  # nobody has said
        return await git.line("config", "--type=bool", "commit.gpgsign") == "true"
    return False

"""Merges what tasks have come to, in git's objects alone: no worktree and no branch is touched."""

from collections.abc import Mapping, Sequence

import msgspec

from guardkit.errors import WorkspaceError
from guardkit.orchestrator.phrases import some
from guardkit.orchestrator.repository.commits import make_commit
from guardkit.orchestrator.repository.git import LIMIT_CHECKOUT, Git
from guardkit.orchestrator.repository.trees import shown

OLDEST = (2, 38)  # the first git that merges without a worktree
CONFLICTS = 1  # the exit code that tells of some


class ConflictError(WorkspaceError):
    """Two tasks have changed the same lines; the text names the files."""


class Merged(msgspec.Struct, frozen=True):
    """What a merge has come to: a commit, or the paths in which there are conflicts."""

    commit: str = ""
    conflicts: Sequence[str] = ()


async def check_version(git: Git) -> None:
    """Raise WorkspaceError where git is too old to merge as is done here."""
    words = (await git.line("version")).split()
    numbers = [int(each) for each in words[2].split(".")[:2] if each.isdigit()]
    if len(numbers) == len(OLDEST) and tuple(numbers) < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise WorkspaceError(f"git {words[2]} is too old for a feature, which needs {wanted}")


async def merge(git: Git, ours: str, theirs: str, title: str) -> Merged:
    """Return a commit that holds what two commits hold, one of them where it holds the other.

    git: for the checkout. title: the first line of the message, where a commit is made.
    Raises GitError.
    """
    git = git.shared
    if await git.asks("merge-base", "--is-ancestor", theirs, ours):
        return Merged(ours)
    if await git.asks("merge-base", "--is-ancestor", ours, theirs):
        return Merged(theirs)
    how = ("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", ours, theirs)
    text = await git.run(*how, limit=LIMIT_CHECKOUT, fine=(0, CONFLICTS))
    tree, *paths = text.split("\0")[:-1]
    if paths:
        return Merged(conflicts=[shown(path) for path in dict.fromkeys(paths)])
    return Merged((await make_commit(git, tree, (ours, theirs), f"{title}\n")).name)


async def gather(git: Git, base: str, tips: Mapping[str, str]) -> str:
    """Return a commit on which a task begins: `base`, and what the tasks before it have come to.

    git: for the checkout. tips: a commit by the id of its task.
    Raises ConflictError, and GitError.
    """
    commit = base
    for number, (task_id, tip) in enumerate(tips.items()):
        with_ = ", ".join([*tips][:number])
        merged = await merge(git, commit, tip, f"Merge {task_id} with {with_}")
        if merged.conflicts:
            what = f"{task_id} conflicts with {with_ or 'the checkout'} in {some(merged.conflicts)}"
            raise ConflictError(what)
        commit = merged.commit
    return commit

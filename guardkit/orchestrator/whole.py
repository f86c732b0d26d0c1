"""All that was approved of a feature, in one branch and one worktree of its own."""

from collections.abc import Iterable
from pathlib import Path

from guardkit.orchestrator.feature_file import FeatureTask
from guardkit.orchestrator.gathering import merge
from guardkit.orchestrator.git import LIMIT_CHECKOUT
from guardkit.orchestrator.phrases import some
from guardkit.orchestrator.reopen import go_on, reopen
from guardkit.orchestrator.results import Results
from guardkit.orchestrator.workspace import Workspace, Worktree, open_workspace


class Whole:
    """What a feature has come to so far.

    tree: its worktree. tip: the commit that the branch has.
    left_out: why a task that was approved is not in it, by its id.
    """

    def __init__(self, tree: Worktree, tip: str) -> None:
        self.tree, self.tip = tree, tip
        self.left_out: dict[str, str] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nothing is in it but what the checkout had."""
        return self.tip == self.tree.place.base

    async def add(self, tasks: Iterable[FeatureTask], results: Results) -> None:
        """Merge what tasks have come to, in their order; leave out what cannot be merged.

        Raises GitError, such as where the user has changed in the worktree what is to be replaced.
        """
        new, place = self.tip, self.tree.place
        for task in tasks:
            tips = results.tips([task.id])
            before = next((each for each in task.dependencies if each in self.left_out), "")
            if tips and before:
                self.left_out[task.id] = f"it depends on {before}"
            elif tips:
                title = f"Merge {task.id} into {place.path.name}"
                merged = await merge(place.git, new, tips[task.id], title)
                new = merged.commit or new
                if merged.conflicts:
                    why = f"it conflicts with those before it in {some(merged.conflicts)}"
                    self.left_out[task.id] = why
        if new != self.tip:
            await self._advance(new)

    async def _advance(self, new: str) -> None:
        """Bring the worktree to a commit, and then the branch: in this order it can be repeated."""
        git, ref = self.tree.git, f"refs/heads/{self.tree.place.branch}"
        await git.asks("update-index", "-q", "--refresh")
        await git.run("read-tree", "-m", "-u", self.tip, new, limit=LIMIT_CHECKOUT)
        log = ("-m", "guardkit: gathered")
        await git.shared.run("update-ref", "--no-deref", *log, ref, new, self.tip)
        self.tip = new


async def open_whole(place: Workspace, index: Path, *, is_left: bool) -> Whole:
    """Make the worktree of a feature, or go on in that of an earlier run.

    index: where our own index is to be. is_left: whether an earlier run has left something.
    Raises WorkspaceError.
    """
    if is_left and (found := await go_on(place)):
        tree = await reopen(found, index)
        tip = await tree.git.shared.line("rev-parse", f"refs/heads/{place.branch}")
        return Whole(tree, tip)
    return Whole(await open_workspace(place, index), place.base)

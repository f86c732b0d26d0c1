"""All that was approved of a feature, in one branch and one worktree of its own."""

from collections.abc import Iterable
from pathlib import Path

from guardkit.orchestrator.features.file import FeatureTask
from guardkit.orchestrator.features.gathering import merge
from guardkit.orchestrator.features.results import Results
from guardkit.orchestrator.phrases import some
from guardkit.orchestrator.repository.git import LIMIT_CHECKOUT, GitError
from guardkit.orchestrator.repository.reopen import go_on, reopen
from guardkit.orchestrator.repository.workspace import Workspace, Worktree, open_workspace


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
        """Merge what tasks have come to, in their order; leave out what cannot be merged."""
        new, added = self.tip, list[str]()
        try:
            for task in tasks:
                for task_id, tip in results.tips([task.id]).items():
                    before = next((each for each in task.dependencies if each in self.left_out), "")
                    if before:
                        self.left_out[task_id] = f"it depends on {before}"
                        continue
                    added.append(task_id)
                    new = await self._merge(new, task_id, tip)
            if new != self.tip:
                await self._advance(new)
        except GitError as error:  # as where the user has changed what is to be replaced
            self.left_out |= {each: str(error) for each in added if each not in self.left_out}

    async def _merge(self, ours: str, task_id: str, tip: str) -> str:
        place = self.tree.place
        merged = await merge(place.git, ours, tip, f"Merge {task_id} into {place.path.name}")
        if merged.conflicts:
            paths = some(merged.conflicts)
            self.left_out[task_id] = f"it conflicts with those before it in {paths}"
        return merged.commit or ours

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

"""The Player's work: what it has changed, less what tests have left or changed."""

from collections.abc import Sequence

from guardkit.orchestrator.findings import CoachTurn, Findings
from guardkit.orchestrator.processes.commands import CommandResult
from guardkit.orchestrator.repository.kept import keep
from guardkit.orchestrator.repository.trees import compare, find_litter, write_tree
from guardkit.orchestrator.repository.workspace import Worktree


async def measure(
    tree: Worktree, number: int, player: CommandResult, taken: Sequence[CoachTurn]
) -> Findings:
    """Return what the Player has changed by the end of its part of a turn; raises GitError.

    player: how it has ended. taken: the turns before this one.
    """
    litter = await _litter(tree, taken)
    content = await write_tree(tree.git, tree.index, litter)
    whole = await write_tree(tree.git, tree.index, {})
    await keep(tree.git, tree.path.name, f"turn-{number}", content)
    since = taken[-1].validation_results.after if taken else tree.baseline
    own = sorted(await compare(tree.git, since, whole))
    theirs = {*own, *(path for each in taken for path in each.validation_results.own)}
    changes = await compare(tree.git, tree.baseline, content)
    changes = {path: kind for path, kind in changes.items() if path in theirs}
    return Findings(changes, (), player, tree=content, own=own, after=whole)


async def _litter(tree: Worktree, taken: Sequence[CoachTurn]) -> dict[str, str]:
    """Return the objects that tests have left at new paths."""
    litter = dict[str, str]()
    for each in taken:
        found = each.validation_results
        if found.tests:
            litter |= await find_litter(tree.git, found.tree, found.after)
    return litter

"""The tests of a whole feature, run once more where all of it is together."""

from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from guardkit import Build
from guardkit.orchestrator.budgets import Ledger, begin
from guardkit.orchestrator.coach import without_secrets
from guardkit.orchestrator.documents import Documents
from guardkit.orchestrator.features.whole import Whole
from guardkit.orchestrator.findings import CoachTurn, Findings
from guardkit.orchestrator.processes.commands import CommandResult
from guardkit.orchestrator.prompts import Prompts
from guardkit.orchestrator.repository.outside import observe
from guardkit.orchestrator.repository.trees import compare, write_tree
from guardkit.orchestrator.tasks import Task
from guardkit.orchestrator.telling import Telling
from guardkit.orchestrator.turns import Turns
from guardkit.progress.snapshot import Usage

if TYPE_CHECKING:
    from guardkit.orchestrator.autobuild import AutoBuildOrchestrator

MERGED = CommandResult(exit_code=0, ending="was merged", tail="")  # in the place of a Player


async def prove(
    whole: Whole,
    *,
    build: Build,
    settings: "AutoBuildOrchestrator",
    documents: Documents,
    scratch: Path,
    lease: int | None,
) -> CoachTurn:
    """Return what the Coach makes of all that was merged, by the tests alone.

    build: the feature's. Other parameters are as for a task's loop. Raises GitError.
    """
    tree = whole.tree
    player, _ = settings.agents()
    task = Task(id=build.task_id, title=build.task_id, path=tree.path)
    turns = Turns(
        telling=Telling(task=task, prompts=Prompts(None), test=settings.test, turn_max=1),
        tree=tree,
        player=player,
        coach=None,
        test=settings.test,
        documents=documents,
        clock=settings.clock,
        ledger=Ledger(build, Usage(), inf),
        begun=await observe(tree),
        scratch=scratch,
        lease=lease,
        handed_on=lambda: settings.handed_on(build.snapshot),
    )
    until = begin(settings.budgets, settings.clock).begin_turn()
    budget, limit = until.left(settings.budgets.tests, "--test-timeout")
    async with build.turn() as turn:
        async with turn.phase("Coach Validation", budget=budget) as phase:
            before = await observe(tree)
            content = await write_tree(tree.git, tree.index, {})
            changes = await compare(tree.git, tree.baseline, content)
            found = Findings(changes, (), MERGED, tree=content, after=content)
            found = await turns.run_tests(turn, found, budget, limit, ())
            judged = turns.judge(turn, found, before, await observe(tree))
            judged = without_secrets(judged)
            if judged.decision != "approve":
                phase.fail(judged.rationale)
        await documents.save(judged)
        turn.decide(judged.decision, judged.rationale)
    return judged

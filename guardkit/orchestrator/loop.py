"""The Player and Coach loop of one build, from its worktree to its commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from guardkit import Build
from guardkit.orchestrator.agents.agent import Agent
from guardkit.orchestrator.budgets import Deadlines, Ledger, begin
from guardkit.orchestrator.conclusion import conclude
from guardkit.orchestrator.documents import Documents
from guardkit.orchestrator.findings import CoachTurn
from guardkit.orchestrator.phrases import many, some
from guardkit.orchestrator.prompts import Prompts
from guardkit.orchestrator.proof.runners import recipe
from guardkit.orchestrator.repository import commits, workspace
from guardkit.orchestrator.repository.apart import find_apart, named
from guardkit.orchestrator.repository.outside import observe
from guardkit.orchestrator.repository.reopen import reopen
from guardkit.orchestrator.repository.submodules import told
from guardkit.orchestrator.repository.trees import compare, shown, write_tree
from guardkit.orchestrator.repository.workspace import Workspace, Worktree
from guardkit.orchestrator.tasks import Task
from guardkit.orchestrator.telling import Telling
from guardkit.orchestrator.turns import Turns
from guardkit.progress.snapshot import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from guardkit.orchestrator.autobuild import AutoBuildOrchestrator


class BuildResult(msgspec.Struct, frozen=True):
    """How a build ended.

    status: completed or failed. decision: which one has ended it.
    summary: why, in one line.
    place: the worktree and its branch.
    commit: what was committed, in words; empty where nothing was.
    tip: the commit that holds what was approved; empty where nothing was.
    turns: what the Coach has written.
    """

    status: str
    decision: str
    summary: str
    place: Workspace
    commit: str
    tip: str
    turns: Sequence[CoachTurn]

    @property
    def worktree(self) -> Path:
        """Where the work is."""
        return self.place.path


class Plan(msgspec.Struct, frozen=True):
    """What a build would do, against which nothing speaks.

    dirty: files of the checkout that are not committed, and so not in the worktree.
    """

    task: Task
    place: Workspace
    dirty: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """One build.

    settings: how it is built. plan: what, and where.
    player, judging: the agents; no judging Coach: the tests alone judge.
    used: what earlier runs of the task have used.
    scratch: a folder of our own, outside of the repository.
    lease: what the agents hold as long as they live.
    """

    settings: "AutoBuildOrchestrator"
    plan: Plan
    build: Build
    documents: Documents
    player: Agent
    judging: Agent | None
    used: Usage
    scratch: Path
    lease: int | None

    async def run(self) -> BuildResult:
        """Take turns until one is approved, or another one is of no use."""
        place = self.plan.place
        until = begin(self.settings.budgets, self.settings.clock)
        tree, taken, note = await self._set_up()
        turns = await self._turns(tree, taken)
        end = self._conclude(taken, until, turns.ledger) if self._is_over(taken, turns) else None
        while end is None:
            async with self.build.turn(len(taken) + 1) as turn:
                taken.append(await turns.take(turn, taken, until.begin_turn()))
                turn.decide(taken[-1].decision, taken[-1].rationale)
            end = self._conclude(taken, until, turns.ledger)
        decision, summary = end
        made, tip = "", ""
        async with self.build.phase("Finalize") as phase:
            if decision == "approved":
                made, tip = await _commit(self.plan.task, tree, taken[-1])
            branch = await workspace.current_branch(tree.git)
            phase.update(message=f"worktree kept: {shown(str(place.near))}")
        if branch != place.branch:
            summary += f"; the worktree is now on {branch or 'no branch'}"
        self.build.decide(decision, summary + note)
        if decision != "approved":
            self.build.fail(summary)
        status = "completed" if decision == "approved" else "failed"
        return BuildResult(status, decision, summary, place, made, tip, taken)

    async def _set_up(self) -> tuple[Worktree, list[CoachTurn], str]:
        """Make the worktree, or go on in it.

        Returns it, the turns that were completed before, and what is to be told in the end.
        """
        place, dirty, index = self.plan.place, self.plan.dirty, self.scratch / "index"
        words = f"worktree {shown(str(place.near))}"
        async with self.build.phase("Setup") as phase:
            if self.settings.resume:
                tree, taken = await reopen(place, index), await self.documents.taken()
                while taken and taken[-1].decision == "approve":  # nothing but tests proves that
                    taken.pop()
                phase.update(message=f"{words} of an earlier run, after {many(len(taken), 'turn')}")
                return tree, taken, ""
            tree = await workspace.open_workspace(place, index)
            in_the_way = await self.documents.begin()
            without = f", without {many(len(dirty), 'uncommitted change')}" if dirty else ""
            phase.update(message=f"{words}{told(tree.missing)}{without}")
        return tree, [], f"; not cleared: {in_the_way}" if in_the_way else ""

    async def _turns(self, tree: Worktree, taken: Sequence[CoachTurn]) -> Turns:
        """Return what all turns have in common."""
        settings, used, found = self.settings, self.used, ""
        if session := taken[-1].validation_results.player.session if taken else "":
            self.player.resume(session, used)
            used = Usage()  # it is told with that of the session
        if settings.resume:
            now = await write_tree(tree.git, tree.index, {})
            changes = sorted(await compare(tree.git, tree.baseline, now))
            found = f"An earlier run has changed: {some(changes)}" if changes else ""
        return Turns(
            telling=Telling(
                task=self.plan.task,
                prompts=Prompts(settings.prompts),
                test=settings.test,
                turn_max=settings.max_turns,
                found=found,
            ),
            tree=tree,
            player=self.player,
            coach=self.judging,
            test=settings.test,
            documents=self.documents,
            clock=settings.clock,
            ledger=Ledger(self.build, used, settings.budgets.cost),
            begun=await observe(tree),
            scratch=self.scratch,
            lease=self.lease,
            handed_on=lambda: settings.handed_on(self.build.snapshot),
        )

    def _is_over(self, taken: Sequence[CoachTurn], turns: Turns) -> bool:
        """Return whether an earlier run has left nothing to go on with.

        What else has ended it, such as its time, or a login, is taken for mended.
        """
        is_out = len(taken) >= self.settings.max_turns or turns.ledger.enough.is_set()
        return bool(taken) and is_out

    def _conclude(
        self, taken: Sequence[CoachTurn], until: Deadlines, ledger: Ledger
    ) -> tuple[str, str] | None:
        over = "--build-budget is used up" if until.is_over else ""
        over = "--max-cost is used up" if ledger.enough.is_set() else over
        how = recipe(self.plan.place.root)
        return conclude(taken, self.settings.max_turns, how, over=over)


async def _commit(task: Task, tree: Worktree, turn: CoachTurn) -> tuple[str, str]:
    """Commit what was tested; return how that went, in a line, and the commit."""
    title = f"{task.id}: {task.title}" if task.title != task.id else task.id
    tests = turn.rationale.partition(";")[0]
    message = f"{title}\n\nApproved in turn {turn.turn}: {tests}.\n"
    found = await commits.commit(tree, turn.validation_results.tree, message)
    left = named(await find_apart(tree.git, tree.index, tree.inner))
    words = (f"{found.name[:12]} on {tree.place.branch}", *found.remarks, left)
    return ", ".join(filter(None, words)), found.name

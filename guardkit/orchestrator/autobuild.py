"""The Player and Coach loop: a command writes, its tests are run, what they report decides."""

import asyncio
from collections.abc import Sequence
from contextlib import closing
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from anyio import CancelScope, to_thread

from guardkit import Build, Clock, Sink, SystemClock, track_build
from guardkit.errors import BuildAlreadyRunningError
from guardkit.orchestrator import coach, commits, workspace
from guardkit.orchestrator.apart import find_apart, named
from guardkit.orchestrator.coach import CoachTurn
from guardkit.orchestrator.documents import Documents
from guardkit.orchestrator.lease import hold, wait_for_agents
from guardkit.orchestrator.outside import observe, uncommitted
from guardkit.orchestrator.phrases import many
from guardkit.orchestrator.runners import DEFAULT_TEST, check_player, check_test, recipe
from guardkit.orchestrator.submodules import told
from guardkit.orchestrator.tasks import Task, find_task
from guardkit.orchestrator.trees import shown
from guardkit.orchestrator.turns import Commands, Turns
from guardkit.orchestrator.workspace import Workspace, Worktree


class BuildResult(msgspec.Struct, frozen=True):
    """How a build ended.

    status: completed or failed. decision: which one has ended it.
    summary: why, in one line.
    place: the worktree and its branch.
    commit: what was committed, in words; empty where nothing was.
    turns: what the Coach has written.
    """

    status: str
    decision: str
    summary: str
    place: Workspace
    commit: str
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


@dataclass(frozen=True, slots=True)
class AutoBuildOrchestrator:
    """Builds tasks of the repository `root` with two shell commands, run in the task's worktree.

    `player` writes and `test` tests; `{junit}` in it stands for the path of the report. Time-outs
    are seconds for each run. Nothing is ever merged, and no worktree deleted.
    """

    root: Path | str = "."
    _: KW_ONLY
    player: str
    test: str = DEFAULT_TEST
    max_turns: int = 5
    player_timeout: float = 3600.0
    test_timeout: float = 600.0
    sinks: Sequence[Sink] = ()
    clock: Clock = field(default_factory=SystemClock)

    async def plan(self, task_id: str, *, alone: bool = False) -> Plan:
        """Return what a build of the task would do; write nothing.

        alone: whether it is refused that somebody else builds it now.
        Raises what find_task, check_test and plan_workspace raise, and BuildAlreadyRunningError.
        """
        root = Path(self.root).absolute()  # noqa: ASYNC240
        task = await to_thread.run_sync(find_task, task_id, root, abandon_on_cancel=True)
        await to_thread.run_sync(check_player, self.player, abandon_on_cancel=True)
        await to_thread.run_sync(check_test, self.test, root, abandon_on_cancel=True)
        await wait_for_agents(root, task.id, self.clock)
        place = await workspace.plan_workspace(root, task.id, self.clock)
        if alone and await to_thread.run_sync(workspace.is_being_built, root, task.id):
            raise BuildAlreadyRunningError(
                f"{task.id} is being built: see guardkit status {task.id}"
            )
        return Plan(task, place, await uncommitted(place.git))

    async def run(self, task_id: str) -> BuildResult:
        """Build the task until it is approved or another turn is of no use.

        Raises what `plan` raises, before anything is written.
        """
        plan = await self.plan(task_id)
        root, task = plan.place.root, plan.task
        build = track_build(
            task.id,
            task_name=task.title,
            turn_max=self.max_turns,
            root=root,
            sinks=self.sinks,
            clock=self.clock,
        )
        with TemporaryDirectory(prefix="guardkit-") as scratch:
            documents = Documents(root, task.id, self.clock)
            async with build:
                with closing(documents), hold(root, task.id) as lease:
                    try:
                        return await self._build(build, plan, documents, Path(scratch), lease)
                    except asyncio.CancelledError:
                        with CancelScope(shield=True):
                            build.decide("cancelled", await documents.cancelled_by())
                        raise

    async def _build(
        self,
        build: Build,
        plan: Plan,
        documents: Documents,
        scratch: Path,
        lease: int | None,
    ) -> BuildResult:
        task, place = plan.task, plan.place
        tree, note = await self._set_up(build, plan, documents, scratch)
        turns = Turns(
            task=task,
            tree=tree,
            commands=Commands(
                player=self.player,
                test=self.test,
                player_timeout=self.player_timeout,
                test_timeout=self.test_timeout,
            ),
            turn_max=self.max_turns,
            documents=documents,
            clock=self.clock,
            begun=await observe(tree),
            scratch=scratch,
            lease=lease,
        )
        taken, end = list[CoachTurn](), None
        while end is None:
            async with build.turn() as turn:
                taken.append(await turns.take(turn))
                turn.decide(taken[-1].decision, taken[-1].rationale)
            end = coach.conclude(taken, self.max_turns, recipe(place.root))
        decision, summary = end
        made = ""
        async with build.phase("Finalize") as phase:
            if decision == "approved":
                made = await _commit(task, tree, taken[-1])
            branch = await workspace.current_branch(tree.git)
            phase.update(message=f"worktree kept: {shown(str(place.near))}")
        if branch != place.branch:
            summary += f"; the worktree is now on {branch or 'no branch'}"
        build.decide(decision, summary + note)
        if decision != "approved":
            build.fail(summary)
        status = "completed" if decision == "approved" else "failed"
        return BuildResult(status, decision, summary, place, made, taken)

    async def _set_up(
        self, build: Build, plan: Plan, documents: Documents, scratch: Path
    ) -> tuple[Worktree, str]:
        """Make the worktree; return it, and what is to be told in the end."""
        async with build.phase("Setup") as phase:
            tree = await workspace.open_workspace(plan.place, scratch / "index")
            in_the_way = await documents.begin()
            words = f"worktree {shown(str(plan.place.near))}{told(tree.missing)}"
            if plan.dirty:
                words += f", without {many(len(plan.dirty), 'uncommitted change')}"
            phase.update(message=words)
        return tree, f"; not cleared: {in_the_way}" if in_the_way else ""


async def _commit(task: Task, tree: Worktree, turn: CoachTurn) -> str:
    """Commit what was tested; return how that went, in a line."""
    title = f"{task.id}: {task.title}" if task.title != task.id else task.id
    tests = turn.rationale.partition(";")[0]
    message = f"{title}\n\nApproved in turn {turn.turn}: {tests}.\n"
    found = await commits.commit(tree, turn.validation_results.tree, message)
    left = named(await find_apart(tree.git, tree.index, tree.inner))
    words = (f"{found.name[:12]} on {tree.place.branch}", *found.remarks, left)
    return ", ".join(filter(None, words))

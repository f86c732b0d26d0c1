"""Builds of tasks: who writes, who judges, and what they may take."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from anyio import CancelScope, to_thread

from guardkit import Build, Clock, Sink, Snapshot, SystemClock, read_progress, track_build
from guardkit.errors import BuildAlreadyRunningError, GuardKitError
from guardkit.orchestrator import judge
from guardkit.orchestrator.agents.agent import Agent
from guardkit.orchestrator.agents.choice import choose, program
from guardkit.orchestrator.agents.command_lines import Permissions
from guardkit.orchestrator.budgets import Budgets
from guardkit.orchestrator.documents import Documents
from guardkit.orchestrator.loop import BuildResult, Loop, Plan
from guardkit.orchestrator.processes.environment import Env
from guardkit.orchestrator.processes.lease import hold, wait_for_agents
from guardkit.orchestrator.prompts import Prompts
from guardkit.orchestrator.proof.runners import DEFAULT_TEST, check_agent, check_test, script
from guardkit.orchestrator.repository import workspace
from guardkit.orchestrator.repository.home import is_being_built
from guardkit.orchestrator.repository.outside import uncommitted
from guardkit.orchestrator.repository.reopen import find_base
from guardkit.orchestrator.tasks import find_task
from guardkit.progress.snapshot import Usage


@dataclass(frozen=True, slots=True)
class AutoBuildOrchestrator:
    """Builds tasks of the repository `root`, each in a worktree of its own.

    player: what writes, as `agents.choice.choose` takes it.
    coach: what judges on top of the tests, "" for the tests alone.
    test: the command that tests; `{junit}` stands for the path of its report.
    max_turns: how many turns there may be.
    budgets: how long things may take, and what they may cost.
    permissions: what agents may do. prompts: a folder of texts that replace what they are told.
    resume: whether a build goes on in the worktree of an earlier run.
    handed_on: returns, by a snapshot of the phase that they run in, what agents and tests have in
        their environment besides.
    Nothing is ever merged, and no worktree deleted.
    """

    root: Path | str = "."
    _: KW_ONLY
    player: str
    coach: str = ""
    test: str = DEFAULT_TEST
    max_turns: int = 5
    budgets: Budgets = Budgets()  # noqa: RUF009 - frozen
    permissions: Permissions = "worktree"
    prompts: Path | None = None
    resume: bool = False
    sinks: Sequence[Sink] = ()
    handed_on: Callable[[Snapshot], Env] = lambda _: {}
    clock: Clock = field(default_factory=SystemClock)

    async def plan(self, task_id: str, *, alone: bool = False) -> Plan:
        """Return what a build of the task would do; write nothing.

        alone: whether it is refused that somebody else builds it now.
        Raises what find_task, check_test and plan_workspace raise, and BuildAlreadyRunningError.
        """
        root = Path(self.root).absolute()  # noqa: ASYNC240
        task = await to_thread.run_sync(find_task, task_id, root, abandon_on_cancel=True)
        await self.check(root)
        await wait_for_agents(root, task.id, self.clock)
        base = find_base if self.resume else None
        place = await workspace.plan_workspace(root, task.id, self.clock, base=base)
        if alone and await to_thread.run_sync(is_being_built, root, task.id):
            what = f"{task.id} is being built: see guardkit status {task.id}"
            raise BuildAlreadyRunningError(what)
        await self.check_scripts(place)
        return Plan(task, place, await uncommitted(place.git))

    async def check(self, root: Path) -> None:
        """See that agents and tests can be run, as far as that can be seen before.

        Raises MisuseError for what can be none, and WorkspaceError for what is not there.
        """
        self.agents()
        Prompts(self.prompts)
        for option, text in self.named():
            await to_thread.run_sync(check_agent, option, text, abandon_on_cancel=True)
        await to_thread.run_sync(check_test, self.test, root, abandon_on_cancel=True)

    async def check_scripts(self, place: workspace.Workspace) -> None:
        """See that the user's own scripts are in the worktree, too; raise WorkspaceError."""
        for option, text in (*self.named(), ("--test", self.test)):
            if path := script(text):
                await workspace.check_committed(place, option, path)

    def named(self) -> Sequence[tuple[str, str]]:
        """Return the commands of the agents, with the options that name them."""
        return ("--player", program(self.player)), ("--coach", program(self.coach))

    async def run(self, task_id: str) -> BuildResult:
        """Build the task until it is approved or another turn is of no use.

        Raises what `plan` raises, before anything is written.
        """
        plan = await self.plan(task_id)
        root, task = plan.place.root, plan.task
        used = await to_thread.run_sync(_used, root, task.id) if self.resume else Usage()
        build = track_build(
            task.id,
            task_name=task.title,
            turn_max=self.max_turns,
            root=root,
            sinks=self.sinks,
            clock=self.clock,
        )
        async with build:
            return await self.build(plan, build, used)

    async def build(self, plan: Plan, build: Build, used: Usage) -> BuildResult:
        """Build what was planned.

        build: is open, as nobody else may build the task meanwhile.
        used: what earlier runs of the task have used.
        Raises WorkspaceError.
        """
        root, task_id = plan.place.root, plan.task.id
        player, judging = self.agents()
        documents = Documents(root, task_id, self.clock)
        with (
            TemporaryDirectory(prefix="guardkit-") as scratch,
            closing(documents),
            hold(root, task_id) as lease,
        ):
            loop = Loop(
                settings=self,
                plan=plan,
                build=build,
                documents=documents,
                player=player,
                judging=judging,
                used=used,
                scratch=Path(scratch),
                lease=lease,
            )
            try:
                return await loop.run()
            except asyncio.CancelledError:
                with CancelScope(shield=True):
                    build.decide("cancelled", await documents.cancelled_by())
                raise

    def agents(self) -> tuple[Agent, Agent | None]:
        """Return the Player, and the judging Coach; raise MisuseError for what is none."""
        player = choose(self.player, permissions=self.permissions)
        if not self.coach:
            return player, None
        return player, choose(self.coach, permissions="read-only", schema=judge.SCHEMA)


def _used(root: Path, task_id: str) -> Usage:
    """Return what earlier runs of a task have used, as far as its file tells."""
    with suppress(GuardKitError):
        return read_progress(task_id, root=root).usage or Usage()
    return Usage()

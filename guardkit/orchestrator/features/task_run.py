"""One task of a feature, built in its wave as any other task is built."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from guardkit import Wave
from guardkit.errors import BuildAlreadyRunningError, GuardKitError
from guardkit.orchestrator.features.file import FeatureTask
from guardkit.orchestrator.features.gathering import gather
from guardkit.orchestrator.features.results import Result, Results
from guardkit.orchestrator.features.standing import Standing, find_facts, stand
from guardkit.orchestrator.loop import Plan
from guardkit.orchestrator.processes.lease import wait_for_agents
from guardkit.orchestrator.repository.home import is_being_built
from guardkit.orchestrator.repository.leftovers import set_aside
from guardkit.orchestrator.repository.reopen import go_on
from guardkit.orchestrator.repository.workspace import Workspace, check_free, place_of
from guardkit.progress.snapshot import Usage

if TYPE_CHECKING:
    from guardkit.orchestrator.features.feature import FeatureOrchestrator, FeaturePlan

POLL = 1.0  # seconds between two looks at a task that somebody else builds


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRun:
    """What the tasks of a wave have in common.

    base: the commit that the feature has begun from. results: of the tasks before.
    """

    settings: "FeatureOrchestrator"
    plan: "FeaturePlan"
    wave: Wave
    base: str
    results: Results

    async def run(self, task: FeatureTask) -> tuple[Result, Standing]:
        """Build a task, or wait for who does; return how it has ended, and how it was before.

        One that was found ended has a standing by which nothing runs.
        """
        standing = self.plan.standings[task.id]
        while True:
            try:
                return await self._build(task, standing), standing
            except BuildAlreadyRunningError as error:
                if not self.settings.wait:
                    why = str(error)
                    return Result(task_id=task.id, ending="refused", why=why), standing
            except (GuardKitError, OSError) as error:
                return Result(task_id=task.id, ending="failed", why=str(error)), standing
            standing = await self._wait(task)
            if not standing.runs:
                return ended(task.id, standing), standing

    async def _wait(self, task: FeatureTask) -> Standing:
        """Return how a task is when nobody builds it any more."""
        place, clock = self.plan.place, self.settings.builder.clock
        while is_being_built(place.root, task.id):
            await clock.sleep(POLL)
        facts = await find_facts(place.git, place.root, [task.id])
        return stand(task, facts[task.id], resume=True, retry=False)

    async def _build(self, task: FeatureTask, standing: Standing) -> Result:
        builder, file = self.settings.builder, self.plan.files[task.id]
        last = standing.facts.last if standing.kind == "interrupted" else None
        await wait_for_agents(self.plan.place.root, task.id, builder.clock)
        build = self.wave.task(task.id, task_name=file.title, turn_max=builder.max_turns)
        async with build:
            try:
                place, resume = await self._place(task, standing)
            except GuardKitError as error:
                build.decide("error", str(error))
                build.fail(str(error))
                return Result(task_id=task.id, ending="failed", why=str(error))
            plan, used = Plan(file, place, self.plan.dirty), last and last.usage
            result = await replace(builder, resume=resume).build(plan, build, used or Usage())
        if result.status != "completed":
            return Result(task_id=task.id, ending="failed", why=result.summary)
        return Result(task_id=task.id, ending="completed", why=result.summary, tip=result.tip)

    async def _place(self, task: FeatureTask, standing: Standing) -> tuple[Workspace, bool]:
        """Return where a task is built, and whether an earlier run is gone on with there.

        Raises ConflictError where what it depends on cannot be merged, and WorkspaceError.
        """
        root, git = self.plan.place.root, self.plan.place.git
        place = place_of(git, root, task.id, self.base)
        if standing.kind == "interrupted" and (found := await go_on(place)):
            return found, True
        if standing.kind == "again":
            await set_aside(git, place.path, place.branch)
        await check_free(place)
        base = await gather(git, self.base, self.results.tips(task.dependencies))
        return msgspec.structs.replace(place, base=base), False


def ended(task_id: str, standing: Standing) -> Result:
    """Return what a task has come to that is not to be built."""
    if standing.kind == "completed":
        return Result(task_id=task_id, ending="completed", tip=standing.tip)
    last = standing.facts.last
    why = (last and last.error) or "in an earlier run; --retry-failed builds it again"
    return Result(task_id=task_id, ending="failed", why=why)

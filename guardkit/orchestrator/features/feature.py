"""Builds of features: their tasks, wave by wave, and what they have come to in one branch."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from anyio import CancelScope, to_thread

from guardkit import track_build
from guardkit.errors import (
    BuildAlreadyRunningError,
    InvalidTaskError,
    MisuseError,
    TaskNotFoundError,
    WorkspaceError,
)
from guardkit.orchestrator.autobuild import AutoBuildOrchestrator
from guardkit.orchestrator.documents import Documents
from guardkit.orchestrator.features.course import Course, FeatureResult
from guardkit.orchestrator.features.file import Feature, FeatureTask, load_feature
from guardkit.orchestrator.features.gathering import check_version
from guardkit.orchestrator.features.results import Results
from guardkit.orchestrator.features.standing import Facts, Standing, find_facts, stand
from guardkit.orchestrator.features.status_file import StatusFile
from guardkit.orchestrator.features.waves import Wave, make_waves
from guardkit.orchestrator.processes.lease import hold, wait_for_agents
from guardkit.orchestrator.repository.outside import uncommitted
from guardkit.orchestrator.repository.workspace import (
    Workspace,
    check_free,
    find_head,
    open_git,
    place_of,
)
from guardkit.orchestrator.tasks import Task, TaskFiles


class FeaturePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a build of a feature would do, against which nothing speaks.

    waves: its tasks, in the order in which they are built.
    standings: how each task is, and so what is done with it.
    passed_over: the tasks of the waves that are left out, by the user's word.
    files: the task files of those that are built.
    place: where the feature's own worktree is, or is to be. facts: what is found of it.
    dirty: files of the checkout that are not committed, and so in no worktree.
    """

    feature: Feature
    waves: Sequence[Wave]
    standings: Mapping[str, Standing]
    passed_over: frozenset[str]
    files: Mapping[str, Task]
    place: Workspace
    facts: Facts
    dirty: Sequence[str]

    def runs(self, task_id: str) -> bool:
        """Return whether a task is to be built."""
        return task_id not in self.passed_over and self.standings[task_id].runs


@dataclass(frozen=True, slots=True)
class FeatureOrchestrator:
    """Builds the tasks of a feature.

    builder: builds each task, and says where; with `resume`, earlier runs are gone on with.
    max_parallel: how many tasks are built at once.
    stop_on_failure: whether no task starts after one has failed; else those that do not depend on
        it do.
    from_wave: the first wave that is built, from 1; those before it are taken as they are.
    retry_failed: whether what an earlier run has failed at is built again.
    wait: whether a task that somebody else builds is waited for.
    """

    builder: AutoBuildOrchestrator
    _: KW_ONLY
    max_parallel: int = 2
    stop_on_failure: bool = False
    from_wave: int = 1
    retry_failed: bool = False
    wait: bool = False

    async def plan(self, feature_id: str, *, alone: bool = False) -> FeaturePlan:
        """Return what a build of the feature would do; write nothing.

        alone: whether it is refused that somebody else builds it now.
        Raises InvalidFeatureError, TaskNotFoundError, InvalidTaskError, MisuseError,
        WorkspaceError, and BuildAlreadyRunningError.
        """
        builder = self.builder
        root = Path(builder.root).absolute()  # noqa: ASYNC240
        feature = await to_thread.run_sync(load_feature, root, feature_id, abandon_on_cancel=True)
        waves = make_waves(feature)
        if self.from_wave > len(waves):
            raise MisuseError(f"--from-wave {self.from_wave}: {feature.id} has {len(waves)} waves")
        if self.retry_failed and not builder.resume:
            raise MisuseError("--retry-failed is of a feature that goes on: add --resume")
        await builder.check(root)
        git = await open_git(root, builder.clock)
        await check_version(git)
        ordered = [task for wave in waves for task in wave]
        facts = await find_facts(git, root, (feature.id, *(task.id for task in ordered)))
        if alone and facts[feature.id].is_taken:
            what = f"{feature.id} is being built: see guardkit status {feature.id}"
            raise BuildAlreadyRunningError(what)
        plan = FeaturePlan(
            feature=feature,
            waves=waves,
            standings={task.id: self.stand(task, facts[task.id]) for task in ordered},
            passed_over=frozenset(t.id for wave in waves[: self.from_wave - 1] for t in wave),
            files={},
            place=place_of(git, root, feature.id, await find_head(git)),
            facts=facts[feature.id],
            dirty=await uncommitted(git),
        )
        await self._check_free(plan)
        await builder.check_scripts(plan.place)
        wanted = [task for task in ordered if plan.runs(task.id)]
        files = await to_thread.run_sync(_find_files, root, wanted, abandon_on_cancel=True)
        return msgspec.structs.replace(plan, files=files)

    def stand(self, task: FeatureTask, facts: Facts) -> Standing:
        """Return how a task is, by what is found of it."""
        return stand(task, facts, resume=self.builder.resume, retry=self.retry_failed)

    async def _check_free(self, plan: FeaturePlan) -> None:
        """Raise WorkspaceError where an earlier run has left something that is not gone on with.

        What is built now is nobody's leftover: `track_build` refuses it, and names the builder.
        """
        if plan.facts.is_taken:
            return
        if not self.builder.resume:
            await check_free(plan.place)
        left = [
            each
            for each, standing in plan.standings.items()
            if standing.kind == "left over" and each not in plan.passed_over
        ]
        if left:
            more = f", and {len(left) - 1} more" if len(left) > 1 else ""
            what = f"autobuild/{left[0]}{more} of an earlier run are there: go on with them by "
            drop = f"--resume, or remove them by guardkit autobuild drop {' '.join(left)}"
            raise WorkspaceError(what + drop)

    async def run(self, feature_id: str) -> FeatureResult:
        """Build the feature until each task is completed, has failed or cannot start.

        Raises what `plan` raises, before anything is written.
        """
        plan = await self.plan(feature_id)
        builder, place, feature = self.builder, plan.place, plan.feature
        await wait_for_agents(place.root, feature.id, builder.clock)
        total = sum(
            plan.runs(each) or standing.document is not None
            for each, standing in plan.standings.items()
        )
        build = track_build(
            feature.id,
            task_name=feature.name,
            build_type="feature",
            wave_total=len(plan.waves),
            turn_max=1,
            task_total=total,
            root=place.root,
            sinks=builder.sinks,
            clock=builder.clock,
        )
        documents = Documents(place.root, feature.id, builder.clock)
        async with build:
            with (
                TemporaryDirectory(prefix="guardkit-") as scratch,
                closing(documents),
                hold(place.root, feature.id) as lease,
            ):
                course = Course(
                    settings=self,
                    plan=plan,
                    build=build,
                    documents=documents,
                    results=Results(total, stop=self.stop_on_failure, waves=plan.waves),
                    scratch=Path(scratch),
                    lease=lease,
                    file=StatusFile(place.root, feature.id),
                )
                try:
                    return await course.run()
                except asyncio.CancelledError:
                    with CancelScope(shield=True):
                        by = await documents.cancelled_by()
                        build.decide("cancelled", by or course.results.completed)
                    raise


def _find_files(root: Path, tasks: Sequence[FeatureTask]) -> dict[str, Task]:
    """Return the files of some tasks; one without an id of its own is found by its path."""
    known, found = TaskFiles(root / "tasks"), dict[str, Task]()
    for task in tasks:
        path = root / task.path
        try:
            found[task.id] = known.find(task.id)
        except (TaskNotFoundError, InvalidTaskError):
            if not (task.path and path.resolve().is_relative_to(root.resolve()) and path.is_file()):
                raise
            found[task.id] = Task(id=task.id, title=task.name, path=path)
    return found

"""The course of one feature: wave after wave, from its worktree to its branch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import msgspec
from anyio import to_thread

from guardkit import Build
from guardkit import Wave as WaveScope
from guardkit.orchestrator.documents import Documents
from guardkit.orchestrator.features.file import FeatureTask
from guardkit.orchestrator.features.proving import prove
from guardkit.orchestrator.features.results import WORDS, Result, Results
from guardkit.orchestrator.features.standing import Standing
from guardkit.orchestrator.features.status_file import StatusFile
from guardkit.orchestrator.features.task_run import TaskRun, ended
from guardkit.orchestrator.features.waves import Wave
from guardkit.orchestrator.features.whole import Whole, open_whole
from guardkit.orchestrator.findings import CoachTurn
from guardkit.orchestrator.repository.trees import shown
from guardkit.orchestrator.repository.workspace import Workspace

if TYPE_CHECKING:
    from guardkit.orchestrator.features.feature import FeatureOrchestrator, FeaturePlan


class FeatureResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a feature has ended.

    status: completed or failed. summary: how it is, in one line.
    why: what has failed, a line each; empty where all is completed.
    results: what each task has come to, in the order of the waves.
    left_out: why a task that was approved is not in the branch, by its id.
    place: its worktree. tip: the commit of its branch.
    proof: what the tests of all of it have come to, None where nothing was approved.
    """

    status: str
    summary: str
    why: Sequence[str]
    results: Sequence[Result]
    left_out: Mapping[str, str]
    place: Workspace
    tip: str
    proof: CoachTurn | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One build of a feature.

    settings: how it is built. plan: what, and where.
    scratch: a folder of our own, outside of the repository.
    lease: what the tests hold as long as they live.
    file: of the feature, in which the words of status follow.
    troubles: what went wrong besides, as far as it was told.
    """

    settings: "FeatureOrchestrator"
    plan: "FeaturePlan"
    build: Build
    documents: Documents
    results: Results
    scratch: Path
    lease: int | None
    file: StatusFile
    troubles: list[str] = field(default_factory=list[str])
    writing: anyio.Lock = field(default_factory=anyio.Lock)

    async def run(self) -> FeatureResult:
        """Build wave after wave; bring what was approved together, and try it once more."""
        whole = await self._set_up()
        for number, tasks in enumerate(self.plan.waves, 1):
            runs = [task for task in tasks if self.plan.runs(task.id)]
            wanted = [task for task in runs if not self._forbid(task)]
            if wanted:
                async with self.build.wave(number) as wave:
                    await self._run_wave(wave, wanted, whole.tree.place.base)
            await whole.add(tasks, self.results)
        return await self._conclude(whole)

    async def _set_up(self) -> Whole:
        """Make the feature's worktree; take it what earlier runs have come to."""
        plan = self.plan
        async with self.build.phase("Setup") as phase:
            is_left = plan.facts.is_there or plan.facts.tip != ""
            whole = await open_whole(plan.place, self.scratch / "index", is_left=is_left)
            if in_the_way := await self.documents.begin():
                self.troubles.append(f"not cleared: {in_the_way}")
            phase.update(message=f"worktree {shown(str(plan.place.near))}")
        words = dict[str, str]()
        for task in (task for wave in plan.waves for task in wave):
            if not plan.runs(task.id):
                result = self._take(task.id, plan.standings[task.id])
                if result.ending != task.status and task.id not in plan.passed_over:
                    words[task.id] = result.ending
        await self._note(words)
        return whole

    def _take(self, task_id: str, standing: Standing) -> Result:
        """Take it that a task has ended before, or is passed over by the user's word."""
        if task_id in self.plan.passed_over and standing.kind != "completed":
            result = Result(task_id=task_id, ending="passed over", why="by --from-wave")
        else:
            result = ended(task_id, standing)
        if standing.document:
            self.build.adopt(standing.document)
        self.results.end(result, counts=standing.document is not None)
        return result

    async def _run_wave(self, wave: WaveScope, tasks: Wave | list[FeatureTask], base: str) -> None:
        """Build the tasks of a wave side by side; return when all have ended."""
        run = TaskRun(
            settings=self.settings, plan=self.plan, wave=wave, base=base, results=self.results
        )
        seats = anyio.Semaphore(self.settings.max_parallel)

        async def take(task: FeatureTask) -> None:
            async with seats:
                await self._run_task(run, task)

        async with anyio.create_task_group() as group:
            for task in tasks:
                group.start_soon(take, task)

    async def _run_task(self, run: TaskRun, task: FeatureTask) -> None:
        if self._forbid(task):  # one beside it has failed just now
            return
        self.results.begin(task.id)
        self.build.update(message=self.results.message)
        result, standing = await run.run(task)
        if not standing.runs and standing.document:  # who else has built it has ended it
            self.build.adopt(standing.document)
        self.results.end(result)
        self.build.update(message=self.results.message)
        if result.ending in {"completed", "failed"}:
            await self._note({task.id: result.ending})

    def _forbid(self, task: FeatureTask) -> bool:
        """Return whether a task cannot start; then that is how it has ended."""
        if why := self.results.forbids(task):
            self.results.end(Result(task_id=task.id, ending="not started", why=why))
        return why != ""

    async def _note(self, words: Mapping[str, str]) -> None:
        """Put words of status into the feature's file."""
        async with self.writing:
            trouble = await to_thread.run_sync(self.file.update, words) if words else ""
        if trouble and trouble not in self.troubles:
            self.troubles.append(trouble)

    async def _conclude(self, whole: Whole) -> FeatureResult:
        proof = None
        if not whole.is_empty:
            proof = await prove(
                whole,
                build=self.build,
                settings=self.settings.builder,
                documents=self.documents,
                scratch=self.scratch,
                lease=self.lease,
            )
        why = [f"{each.task_id} {WORDS[each.ending]}: {each.why}" for each in self.results.bad]
        why += [f"{each} is left out: {reason}" for each, reason in whole.left_out.items()]
        if proof and proof.decision != "approve":
            why.append(f"the tests of all of it: {proof.rationale}")
        status = "failed" if why else "completed"
        async with self.build.phase("Finalize") as phase:
            await self._note({self.plan.feature.id: status})
            phase.update(message=self.results.message)
        tests = f", {proof.rationale}" if proof else ""
        summary = "; ".join([*(why or [f"{self.results.good}{tests}"]), *self.troubles])
        self.build.decide("approved" if status == "completed" else "not_approved", summary)
        if why:
            self.build.fail(summary)
        ordered = [self.results.ended[task.id] for wave in self.plan.waves for task in wave]
        return FeatureResult(
            status=status,
            summary=summary,
            why=why,
            results=ordered,
            left_out=whole.left_out,
            place=whole.tree.place,
            tip=whole.tip,
            proof=proof,
        )

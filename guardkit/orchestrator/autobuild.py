"""The Player and Coach loop: a command writes, its tests are run, what they report decides."""

from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from pathlib import Path
from shlex import quote
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
from anyio import sleep_forever, to_thread
from msgspec.structs import replace

from guardkit import Build, Clock, Sink, SystemClock, Turn, track_build
from guardkit.errors import WorkspaceError
from guardkit.orchestrator import coach, commits, workspace
from guardkit.orchestrator.agents import CommandResult, OnLine, run_command
from guardkit.orchestrator.apart import find_apart, named
from guardkit.orchestrator.coach import CoachTurn, Findings, many
from guardkit.orchestrator.outside import Observation, changed, observe, uncommitted
from guardkit.orchestrator.runners import DEFAULT_TEST, check_test, recipe
from guardkit.orchestrator.submodules import told
from guardkit.orchestrator.tasks import Task, find_task
from guardkit.orchestrator.trees import (
    Changes,
    compare,
    find_litter,
    look,
    of_kind,
    shown,
    write_tree,
)
from guardkit.orchestrator.workspace import Workspace, Worktree
from guardkit.progress.paths import build_dir

POLL = 2.0  # seconds between two looks at what the Player has changed so far

Run = Callable[..., Coroutine[Any, Any, CommandResult]]


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

    async def run(self, task_id: str) -> BuildResult:
        """Build the task until it is approved or another turn is of no use.

        Raises what find_task and plan_workspace raise, before anything is written.
        """
        root = Path(self.root).absolute()  # noqa: ASYNC240
        task = await to_thread.run_sync(find_task, task_id, root, abandon_on_cancel=True)
        await to_thread.run_sync(check_test, self.test, root, abandon_on_cancel=True)
        place = await workspace.plan_workspace(root, task.id, self.clock)
        with TemporaryDirectory(prefix="guardkit-") as own:
            build = track_build(
                task.id,
                task_name=task.title,
                turn_max=self.max_turns,
                root=root,
                sinks=self.sinks,
                clock=self.clock,
            )
            async with build:
                return await self._build(build, task, place, Path(own, "index"))

    async def _build(self, build: Build, task: Task, place: Workspace, index: Path) -> BuildResult:
        turns, litter, end = list[CoachTurn](), dict[str, str](), None
        async with build.phase("Setup") as phase:
            dirty = await uncommitted(place.git)
            note = f", without {many(dirty, 'uncommitted change')}" if dirty else ""
            tree = await workspace.open_workspace(place, index)
            with workspace.open_build(place.root, task.id) as folder:
                coach.clear(folder)
            note = told(tree.missing) + note
            phase.update(message=f"worktree {shown(str(place.path))}{note}")
            begun = await observe(tree)
        while end is None:
            async with build.turn() as turn:
                turns.append(await self._turn(turn, task, tree, litter, begun))
                turn.decide(turns[-1].decision, turns[-1].rationale)
            end = coach.conclude(turns, self.max_turns, recipe(place.root))
        decision, summary = end
        async with build.phase("Finalize") as phase:
            made = ""
            if decision == "approved":
                made = await self._commit(task, tree, turns[-1])
            branch = await workspace.current_branch(tree.git)
            phase.update(message=f"worktree kept: {shown(str(place.path))}")
        if branch != place.branch:
            summary += f"; the worktree is now on {branch or 'no branch'}"
        build.decide(decision, summary)
        if decision != "approved":
            build.fail(summary)
        status = "completed" if decision == "approved" else "failed"
        return BuildResult(status, decision, summary, place, made, turns)

    async def _commit(self, task: Task, tree: Worktree, turn: CoachTurn) -> str:
        """Commit what was tested; return how that went, in a line."""
        title = f"{task.id}: {task.title}" if task.title != task.id else task.id
        tests = turn.rationale.partition(";")[0]
        message = f"{title}\n\nApproved in turn {turn.turn}: {tests}.\n"
        found = await commits.commit(tree, turn.validation_results.tree, message)
        left = named(await find_apart(tree.git, tree.index, tree.inner))
        words = (f"{found.name[:12]} on {tree.place.branch}", *found.remarks, left)
        return ", ".join(filter(None, words))

    async def _turn(
        self, turn: Turn, task: Task, tree: Worktree, litter: dict[str, str], begun: Observation
    ) -> CoachTurn:
        """Run the Player, and the tests unless it has failed; leave the files of the turn."""
        place, number = tree.place, turn.number
        folder = Path(build_dir(place.root, task.id))
        tell: OnLine = lambda line: turn.update(message=line)  # noqa: E731
        run = partial(run_command, cwd=place.path, clock=self.clock, on_line=tell)
        before = await observe(tree)
        async with turn.phase("Player Implementation", budget=self.player_timeout) as phase:
            env = self._env(task, number, folder)
            live = partial(_look, turn, tree, self.clock)
            player = await run(self.player, budget=self.player_timeout, env=env, poll=live)
            content = await write_tree(tree.git, tree.index, litter)
            await workspace.keep(tree, f"turn-{number}", content)
            changes = await compare(tree.git, tree.baseline, content)
            _show(turn, changes)
            if player.exit_code != 0:
                phase.fail(f"the Player {player.ending}")
        found = Findings(changes, (), player, tree=content)
        if player.exit_code == 0:
            found = await self._test(turn, task, tree, run, found)
            litter |= await find_litter(tree.git, tree.index, content)
        after = await observe(tree)
        outside, refused = changed(before.named, after.named), changed(begun.guarded, after.guarded)
        found = replace(found, outside=outside, refused=refused)
        judged = coach.judge(task.id, number, found)
        with workspace.open_build(place.root, task.id) as files:
            coach.save(files, judged)
        return judged

    async def _test(
        self, turn: Turn, task: Task, tree: Worktree, run: Run, found: Findings
    ) -> Findings:
        """Run the tests, and read their report, whatever their exit code."""
        root = tree.place.root
        async with turn.phase("Coach Validation", budget=self.test_timeout) as phase:
            phase.update(tests_passed=0, tests_total=0)
            junit, report, trouble = f"coach_turn_{turn.number}.xml", None, ""
            with workspace.open_build(root, task.id) as files:
                coach.remove(files, junit)
            path = Path(build_dir(root, task.id), junit)
            command = self.test.replace("{junit}", quote(str(path)))
            tests = await run(command, budget=self.test_timeout, env={}, poll=sleep_forever)
            with workspace.open_build(root, task.id) as files:
                report, trouble = await to_thread.run_sync(coach.read_report, files, junit)
            if report:
                total = report.passed + len(report.failures)
                phase.update(tests_passed=report.passed, tests_total=total)
            else:
                phase.fail(coach.unproven(tests, trouble))
        return replace(found, tests=tests, report=report, trouble=trouble)

    def _env(self, task: Task, turn: int, folder: Path) -> dict[str, str]:
        said, told = folder / f"player_turn_{turn}.json", folder / coach.FEEDBACK
        env = {"TASK_ID": task.id, "TASK_FILE": task.path, "TURN": turn, "TURN_MAX": self.max_turns}
        env |= {"FEEDBACK_FILE": told, "REPORT_FILE": said}
        return {f"GUARDKIT_{name}": str(value) for name, value in env.items()}


async def _look(turn: Turn, tree: Worktree, clock: Clock) -> None:
    seen: Changes = {}
    while True:
        await clock.sleep(POLL)
        with suppress(WorkspaceError):  # the Player may be in the midst of something
            changes = await look(tree.git, index=tree.index)
            if changes != seen:  # else there is nothing new: looking is no activity
                _show(turn, changes)
            seen = changes


def _show(turn: Turn, changes: Changes) -> None:
    turn.update(files_created=len(of_kind("A", changes)), files_modified=len(of_kind("M", changes)))

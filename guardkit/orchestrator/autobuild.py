"""The Player and Coach loop: a command writes, its tests are run, what they report decides."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from pathlib import Path
from shlex import quote

import msgspec
from anyio import sleep_forever, to_thread

from guardkit import Clock, Sink, SystemClock, Turn, track_build
from guardkit.errors import WorkspaceError
from guardkit.orchestrator import coach, workspace
from guardkit.orchestrator.agents import OnLine, run_command
from guardkit.orchestrator.coach import CoachTurn, Findings, many
from guardkit.orchestrator.tasks import Task, find_task
from guardkit.orchestrator.workspace import Changes, Workspace, changed_files, of_kind
from guardkit.progress.paths import build_dir

DEFAULT_TEST = "python -m pytest -q --junitxml={junit}"
POLL = 2.0  # seconds between two looks at what the Player has changed so far
WHOLE = {0, 1, 5}  # the exit codes with which pytest's report says all


class BuildResult(msgspec.Struct, frozen=True):
    """How a build ended: `status` is completed or failed, `summary` says in one line why."""

    status: str
    decision: str
    summary: str
    worktree: Path
    turns: Sequence[CoachTurn]


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
        place = await workspace.plan_workspace(root, task.id)
        turns, litter, end = list[CoachTurn](), set[str](), None
        async with track_build(
            task.id,
            task_name=task.title,
            turn_max=self.max_turns,
            root=root,
            sinks=self.sinks,
            clock=self.clock,
        ) as build:
            async with build.phase("Setup") as phase:
                dirty = len(await changed_files(root, place.base))
                note = f", without {many(dirty, 'uncommitted change')}" if dirty else ""
                await workspace.open_workspace(place)
                with workspace.open_build(root, task.id) as folder:
                    coach.clear(folder)
                phase.update(message=f"worktree {place.path}{note}")
            while end is None:
                async with build.turn() as turn:
                    turns.append(await self._turn(turn, task, place, litter))
                    turn.decide(turns[-1].decision, turns[-1].rationale)
                end = coach.conclude(turns, self.max_turns)
            async with build.phase("Finalize") as phase:
                branch = await workspace.current_branch(place.path)
                phase.update(message=f"worktree kept: {place.path}")
            decision, summary = end
            if branch != place.branch:
                summary += f"; the worktree is now on {branch or 'no branch'}"
            build.decide(decision, summary)
            if decision != "approved":
                build.fail(summary)
        return BuildResult(build.snapshot.status, decision, summary, place.path, turns)

    async def _turn(self, turn: Turn, task: Task, place: Workspace, litter: set[str]) -> CoachTurn:
        """Run the Player, and the tests unless it has failed; leave the files of the turn."""
        folder, number = Path(build_dir(place.root, task.id)), turn.number
        tests = report = None
        tell: OnLine = lambda line: turn.update(message=line)  # noqa: E731
        run = partial(run_command, cwd=place.path, clock=self.clock, on_line=tell)
        before = await changed_files(place.root, place.base, live=True)
        async with turn.phase("Player Implementation", budget=self.player_timeout) as phase:
            env = self._env(task, number, folder)
            look = partial(_look, turn, place, litter, self.clock)
            player = await run(self.player, budget=self.player_timeout, env=env, poll=look)
            changes = await changed_files(place.path, place.base, litter)
            _show(turn, changes)
            if player.exit_code != 0:
                phase.fail(f"the Player {player.ending}")
        after = await changed_files(place.root, place.base, live=True)
        outside = sorted({path for path, _ in before.items() ^ after.items()})
        if player.exit_code == 0:
            async with turn.phase("Coach Validation", budget=self.test_timeout) as phase:
                phase.update(tests_passed=0, tests_total=0)
                junit = f"coach_turn_{number}.xml"
                with workspace.open_build(place.root, task.id) as files:
                    coach.remove(files, junit)
                command = self.test.replace("{junit}", quote(str(folder / junit)))
                tests = await run(command, budget=self.test_timeout, env={}, poll=sleep_forever)
                if tests.exit_code in WHOLE:
                    with workspace.open_build(place.root, task.id) as files:
                        report = await to_thread.run_sync(workspace.read_report, files, junit)
                if report:
                    total = report.passed + len(report.failures)
                    phase.update(tests_passed=report.passed, tests_total=total)
                else:
                    phase.fail(coach.unproven(tests))
            # What tests leave is nobody's work: no turn is to be credited with it.
            litter |= (await changed_files(place.path, place.base)).keys() - changes.keys()
        judged = coach.judge(task.id, number, Findings(changes, outside, player, tests, report))
        with workspace.open_build(place.root, task.id) as files:
            coach.save(files, judged)
        return judged

    def _env(self, task: Task, turn: int, folder: Path) -> dict[str, str]:
        said, told = folder / f"player_turn_{turn}.json", folder / coach.FEEDBACK
        env = {"TASK_ID": task.id, "TASK_FILE": task.path, "TURN": turn, "TURN_MAX": self.max_turns}
        env |= {"FEEDBACK_FILE": told, "REPORT_FILE": said}
        return {f"GUARDKIT_{name}": str(value) for name, value in env.items()}


async def _look(turn: Turn, place: Workspace, litter: set[str], clock: Clock) -> None:
    seen: Changes = {}
    while True:
        await clock.sleep(POLL)
        with suppress(WorkspaceError):  # the Player may be in the midst of something
            changes = await changed_files(place.path, place.base, litter, live=True)
            if changes != seen:  # else there is nothing new: looking is no activity
                _show(turn, changes)
            seen = changes


def _show(turn: Turn, changes: Changes) -> None:
    turn.update(files_created=len(of_kind("A", changes)), files_modified=len(of_kind("M", changes)))

"""The Player and Coach loop: a command writes, its tests are run, what they report decides."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, asdict, dataclass
from functools import partial
from pathlib import Path
from shlex import quote
from shutil import rmtree

from anyio import Path as AsyncPath
from anyio import sleep_forever, to_thread

from guardkit import Clock, Sink, SystemClock, Turn, track_build
from guardkit.errors import BuildAlreadyRunningError, WorkspaceError
from guardkit.orchestrator import workspace
from guardkit.orchestrator.agents import CommandResult, OnLine, run_command
from guardkit.orchestrator.tasks import Task, find_task
from guardkit.orchestrator.workspace import Changes, TestReport, Workspace, changed_files
from guardkit.progress.ownership import is_held
from guardkit.progress.paths import build_dir, lock_path

DEFAULT_TEST = "python -m pytest -q --junitxml={junit}"
POLL = 2.0  # seconds between two looks at what the Player has changed so far
REPORT_MAX = 2**20  # bytes
LISTED = 20  # how many failures, files or lines are shown of many
WHOLE = {0, 1, 5}  # the exit codes with which pytest's report says all


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRecord:
    """One turn: `issues` stand against approval, `outside` are changes outside the worktree.

    `tests` is None where the Player failed, `report` where nothing is known of the tests.
    """

    issues: tuple[str, ...]
    outside: tuple[str, ...]
    changes: Changes
    player: CommandResult
    tests: CommandResult | None
    report: TestReport | None

    @property
    def decision(self) -> str:
        """The Coach's: approve or feedback."""
        return "feedback" if self.issues else "approve"

    @property
    def message(self) -> str:
        """What was decided and why, in one line."""
        more = f" (and {len(self.issues) - 1} more)" if self.issues[1:] else ""
        why = f"{self.issues[0]}{more}" if self.issues else tell(self.changes, self.report)
        outside = f"; changed outside the worktree: {', '.join(self.outside[:LISTED])}"
        return f"{'' if self.issues else 'Coach approved: '}{why}{outside if self.outside else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """How a build ended: `status` is completed or failed, `summary` says in one line why."""

    task_id: str
    status: str
    decision: str
    summary: str
    worktree: Path
    turns: tuple[TurnRecord, ...]


def judge(
    tests: CommandResult, report: TestReport | None, *, changed: bool, report_path: Path
) -> tuple[str, ...]:
    """Return what stands against approval; `report` is None where nothing is known of the tests.

    Nothing does only if something changed, and the tests exited with 0, one passed, none failed.
    """
    issues = [] if changed else ["the Player changed nothing in its worktree"]
    if tests.exit_code not in WHOLE:
        issues.append(f"the test command {tests.describe()}")
    elif report is None:
        said = (
            f"; they said last: {tests.tail.strip().rpartition(chr(10))[2]}" if tests.tail else ""
        )
        missing = f"the tests wrote no report to {report_path}: use {{junit}} in --test{said}"
        issues.append(missing)
    elif report.failed:
        issues += [f"failed: {failure}" for failure in report.failures[:LISTED]]
        issues += [f"and {report.failed - LISTED} tests more failed"] * (report.failed > LISTED)
    elif not report.passed:
        issues.append("no test passed: write some that the test command finds")
    elif tests.exit_code:
        issues.append(f"no test failed, but the test command {tests.describe()}")
    return tuple(issues)


def conclude(turns: Sequence[TurnRecord], turn_max: int) -> tuple[str, str] | None:
    """Return the decision that ends the build, and why; None where another turn is due."""
    if not turns:
        return None
    last = turns[-1]
    if last.decision == "approve":
        return "approved", last.message
    if (last.tests or last.player).not_runnable:
        return "configuration_error", f"mend --{'test' if last.tests else 'player'}: {last.message}"
    if last.player.timed_out:
        return "timeout_budget_exhausted", last.message
    if last.player.exit_code and turns[:-1] and turns[-2].player.exit_code:
        return "player_invocation_stall", f"twice in a row: {last.message}"
    used_up = "max_turns_exceeded", f"not approved in {turn_max} turns: {last.message}"
    return used_up if len(turns) >= turn_max else None


def tell(changes: Changes, report: TestReport | None) -> str:
    """Return a line such as "3 files created, 1 modified, 5 of 5 tests passing"."""
    created = len(changes.created)
    counts = f"{created} file{'s' * (created != 1)} created, {len(changes.modified)} modified"
    return f"{counts}, {report.passed} of {report.total} tests passing" if report else counts


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
    clock: Clock | None = None

    async def run(self, task_id: str) -> BuildResult:
        """Build the task until it is approved or another turn is of no use.

        Raises what find_task raises, before anything is written; BuildAlreadyRunningError;
        WorkspaceError where git fails.
        """
        task = await to_thread.run_sync(partial(find_task, task_id, root=self.root))
        track = partial(track_build, task_name=task.title, turn_max=self.max_turns)
        turns, litter = list[TurnRecord](), set[str]()
        place = await self._plan(task)
        async with track(task.id, root=self.root, sinks=self.sinks, clock=self.clock) as build:
            async with build.phase("Setup") as phase:
                await workspace.open_workspace(place)
                _clear(folder := build_dir(place.root, task.id))
                phase.update(message=place.note or f"worktree {place.path}")
            while (end := conclude(turns, self.max_turns)) is None:
                async with build.turn() as turn:
                    turns.append(record := await self._turn(turn, task, place, litter))
                    turn.decide(record.decision, record.message)
                    _keep(folder, {"task_id": task.id, "turn": turn.number}, record)
            async with build.phase("Finalize") as phase:
                phase.update(message=f"worktree kept: {place.path}")
            decision, summary = end
            build.decide(decision, summary)
            if decision != "approved":
                build.fail(summary)
        result = partial(BuildResult, task_id=task.id, status=build.snapshot.status)
        return result(decision=decision, summary=summary, worktree=place.path, turns=tuple(turns))

    async def _plan(self, task: Task) -> Workspace:
        """Plan the worktree, while what an earlier build of the task has left is untouched."""
        try:
            return await workspace.plan_workspace(self.root, task.id)
        except WorkspaceError as error:
            if is_held(lock_path(self.root), task.id):  # it is no earlier build
                see = f"{task.id} is being built: see `guardkit status {task.id}`"
                raise BuildAlreadyRunningError(see) from error
            raise

    async def _turn(self, turn: Turn, task: Task, place: Workspace, litter: set[str]) -> TurnRecord:
        folder, n, clock = build_dir(place.root, task.id), turn.number, self.clock or SystemClock()
        say: OnLine = lambda line: turn.update(message=line)  # noqa: E731
        run = partial(run_command, cwd=place.path, clock=clock, on_line=say)
        before = await workspace.checkout_state(place.root)
        async with turn.phase("Player Implementation", budget=self.player_timeout) as phase:
            env, poll = self._env(task, n, folder), partial(_poll, turn, place, litter, clock)
            player = await run(self.player, budget=self.player_timeout, env=env, poll=poll)
            changes = await changed_files(place, litter)
            _show(turn, changes, tell(changes, None))
            if player.exit_code != 0:
                phase.fail(f"the Player {player.describe()}")
        outside = before ^ await workspace.checkout_state(place.root)
        paths = tuple(sorted({entry[3:].partition("\0")[0] for entry in outside}))
        record = partial(TurnRecord, changes=changes, outside=paths, player=player)
        if player.exit_code != 0:
            return record(issues=(f"the Player {player.describe()}",), tests=None, report=None)
        async with turn.phase("Coach Validation", budget=self.test_timeout) as phase:
            phase.update(tests_passed=0, tests_total=0)
            await AsyncPath(junit := folder / f"coach_turn_{n}.xml").unlink(missing_ok=True)
            command, limit = self.test.replace("{junit}", quote(str(junit))), self.test_timeout
            tests = await run(command, budget=limit, env={}, poll=sleep_forever)
            read = await to_thread.run_sync(workspace.read_report, junit)
            report = read if tests.exit_code in WHOLE else None
            issues = judge(tests, report, changed=changes != Changes(), report_path=junit)
            if report:
                phase.update(tests_passed=report.passed, tests_total=report.total)
            phase.update(message=issues[0] if issues else tell(changes, report))
            if tests.not_runnable:
                phase.fail(issues[-1])
        # What test runs leave is nobody's work: the next turn must not be credited with it.
        litter |= (await changed_files(place)).created - changes.created
        return record(issues=issues, tests=tests, report=report)

    def _env(self, task: Task, n: int, folder: Path) -> dict[str, str]:
        told, said = folder / f"coach_turn_{n - 1}.md", folder / f"player_turn_{n}.json"
        about = {"TASK_ID": task.id, "TASK_FILE": task.path, "TURN": n, "TURN_MAX": self.max_turns}
        about |= {"FEEDBACK_FILE": told, "REPORT_FILE": said}
        return {f"GUARDKIT_{name}": str(value) for name, value in about.items()}


async def _poll(turn: Turn, place: Workspace, litter: set[str], clock: Clock) -> None:
    seen = Changes()
    while True:
        await clock.sleep(POLL)
        with suppress(WorkspaceError):  # the Player may be in the midst of something
            changes = await changed_files(place, litter, live=True)
            if changes != seen:  # else there is nothing new: looking is no activity
                _show(turn, changes)
            seen = changes


def _show(turn: Turn, changes: Changes, message: str | None = None) -> None:
    created, modified = len(changes.created), len(changes.modified)
    turn.update(files_created=created, files_modified=modified, message=message)


def _clear(folder: Path) -> None:
    """Remove what the turns of an earlier run have left; before turn 1 there is no feedback."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in (*folder.glob("player_turn_*"), *folder.glob("coach_turn_*")):
        _remove(path)
    folder.joinpath("coach_turn_0.md").touch()


def _keep(folder: Path, of: dict[str, object], record: TurnRecord) -> None:
    """Leave player_turn_N.json and .log, coach_turn_N.json, and .md: the next turn's feedback."""
    lists = ("tests_written", "concerns", "requirements_addressed", "requirements_remaining")
    player: dict[str, object] = {**dict.fromkeys(lists, ()), "implementation_notes": ""}
    player |= {"tests_run": False, "tests_passed": None}
    path = folder / f"player_turn_{of['turn']}.json"
    if path.is_file():  # whatever the Player has made of it: a fifo, say, would be waited for
        with suppress(OSError, TypeError, ValueError, RecursionError), path.open("rb") as file:
            read = json.loads(file.read(REPORT_MAX), parse_constant=lambda _: None)
            player |= dict(read)
    created, modified = sorted(record.changes.created), sorted(record.changes.modified)
    player |= {**of, "files_modified": modified, "files_created": created}
    must = [{"severity": "must_fix", "description": issue} for issue in record.issues]
    may = [{"severity": "warning", "description": f"changed outside: {p}"} for p in record.outside]
    verdict = {"decision": record.decision, "rationale": record.message, "issues": must + may}
    results = {"tests": record.tests and record.tests.describe(), "report": record.report}
    coach = {**of, **verdict, "criteria_verification": [], "validation_results": results}
    title, heading = f"# Feedback on turn {of['turn']}\n", "\n## Last lines of the output\n"
    issues = [f"{number}. {issue}" for number, issue in enumerate(record.issues, 1)]
    tail = [f"    {line}" for line in (record.tests or record.player).tail.splitlines()[-LISTED:]]
    texts = {
        "player_turn_{}.json": json.dumps(player, indent=2),
        "player_turn_{}.log": record.player.tail,
        "coach_turn_{}.json": json.dumps(coach, indent=2, default=asdict),
        "coach_turn_{}.md": "\n".join([title, *issues, heading, *tail]),
    }
    for name, text in texts.items():
        path = folder / name.format(of["turn"])
        if not path.is_file():
            _remove(path)
        path.write_text(text + "\n", errors="replace")


def _remove(path: Path) -> None:
    """Remove whatever is there."""
    if path.is_dir() and not path.is_symlink():
        rmtree(path)
    else:
        path.unlink(missing_ok=True)

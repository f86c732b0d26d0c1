"""One turn: the Player writes, its tests are run, and what both have come to is found out."""

from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any

from anyio import sleep_forever
from msgspec.structs import replace

from guardkit import Clock, Turn
from guardkit.errors import WorkspaceError
from guardkit.orchestrator import coach, workspace
from guardkit.orchestrator.apart import find_apart
from guardkit.orchestrator.coach import CoachTurn, Findings
from guardkit.orchestrator.commands import CommandResult, run_command
from guardkit.orchestrator.documents import Documents
from guardkit.orchestrator.imported import read_imported, search_path
from guardkit.orchestrator.outside import Observation, changed, observe
from guardkit.orchestrator.runners import JUNIT
from guardkit.orchestrator.tasks import Task
from guardkit.orchestrator.trees import Changes, compare, find_litter, look, of_kind, write_tree
from guardkit.orchestrator.weaker import find_weaker
from guardkit.orchestrator.workspace import Worktree

POLL = 2.0  # seconds between two looks at what the Player has changed so far

Run = partial[Coroutine[Any, Any, CommandResult]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """What is run in each turn, as `AutoBuildOrchestrator` is given it."""

    player: str
    test: str
    player_timeout: float
    test_timeout: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """What all turns of a build have in common.

    begun: what was outside of the worktree at the beginning.
    scratch: a folder of our own, outside of the repository.
    lease: what the agents hold as long as they live.
    litter: the object that tests have left at a path.
    """

    task: Task
    tree: Worktree
    commands: Commands
    turn_max: int
    documents: Documents
    clock: Clock
    begun: Observation
    scratch: Path
    lease: int | None
    litter: dict[str, str] = field(default_factory=dict[str, str])

    async def take(self, turn: Turn) -> CoachTurn:
        """Run the Player, and the tests unless it has failed; leave the documents of the turn."""
        tree = self.tree
        before = await observe(tree)
        found = await self._play(turn)
        if found.player.exit_code == 0:
            found = await self._test(turn, found)
        after = await observe(tree)
        judged = coach.judge(
            self.task.id,
            turn.number,
            replace(
                found,
                outside=changed(before.named, after.named),
                refused=changed(self.begun.guarded, after.guarded),
            ),
        )
        remark = await self.documents.save(judged)
        return replace(judged, rationale="; ".join(filter(None, (judged.rationale, remark))))

    async def _play(self, turn: Turn) -> Findings:
        """Run the Player; return what has come of it."""
        tree, budget = self.tree, self.commands.player_timeout
        async with turn.phase("Player Implementation", budget=budget) as phase:
            env = self._env(turn) | search_path(tree.path)
            run, live = self._run(turn), partial(_look, turn, tree, self.clock)
            player = await run(self.commands.player, budget=budget, env=env, poll=live)
            content = await write_tree(tree.git, tree.index, self.litter)
            await workspace.keep(tree, f"turn-{turn.number}", content)
            changes = await compare(tree.git, tree.baseline, content)
            _show(turn, changes)
            if player.exit_code != 0:
                phase.fail(f"the Player {player.ending}")
        return Findings(changes, (), player, tree=content)

    async def _test(self, turn: Turn, found: Findings) -> Findings:
        """Run the tests, and read their report, whatever their exit code."""
        tree, budget = self.tree, self.commands.test_timeout
        turn.update(tests_passed=0, tests_total=0)  # else those of the turn before are shown
        async with turn.phase("Coach Validation", budget=budget) as phase:
            in_the_way = await self.documents.make_room(turn.number)
            told = self.scratch / f"imported-{turn.number}"
            told.touch(mode=0o600)
            path = self.scratch / "nowhere" if in_the_way else self.documents.report(turn.number)
            command = self.commands.test.replace(JUNIT, quote(str(path)))
            env = search_path(tree.path, told=told)
            tests = await self._run(turn)(command, budget=budget, env=env, poll=sleep_forever)
            read, trouble = await self.documents.read(turn.number)
            if in_the_way:
                read, trouble = None, f"an old report cannot be removed: {in_the_way}"
            if read:
                total = read.passed + len(read.failures)
                phase.update(tests_passed=read.passed, tests_total=total)
            else:
                phase.fail(coach.unproven(tests, trouble))
        weaker = await find_weaker(
            tree.git, tree.baseline, found.tree, found.changes, skipped=read.skipped if read else 0
        )
        self.litter.update(await find_litter(tree.git, tree.index, found.tree))
        return replace(
            found,
            tests=tests,
            report=read,
            trouble=trouble,
            imported=read_imported(told, tree.path, tree.place.root),
            apart=await find_apart(tree.git, tree.index, tree.inner),
            weaker=weaker,
        )

    def _run(self, turn: Turn) -> Run:
        return partial(
            run_command,
            cwd=self.tree.path,
            clock=self.clock,
            on_line=partial(_hear, turn),
            lock=self.lease,
        )

    def _env(self, turn: Turn) -> dict[str, str]:
        env: dict[str, object] = {
            "TASK_ID": self.task.id,
            "TASK_FILE": self.task.path,
            "TURN": turn.number,
            "TURN_MAX": self.turn_max,
            "FEEDBACK_FILE": self.documents.feedback,
            "REPORT_FILE": self.documents.said(turn.number),
        }
        return {f"GUARDKIT_{name}": str(value) for name, value in env.items()}


def _hear(turn: Turn, line: str) -> None:
    """Show what a command has written last; whatever it writes is activity."""
    turn.touch()
    if line:
        turn.update(message=line)


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

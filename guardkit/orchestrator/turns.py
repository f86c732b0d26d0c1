"""One turn: the Player writes, its tests are run, and what both have come to is found out."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shlex import quote

from anyio import sleep_forever
from msgspec.structs import replace

from guardkit import Clock, Turn
from guardkit.errors import WorkspaceError
from guardkit.orchestrator import coach, judge
from guardkit.orchestrator.agents.agent import Agent
from guardkit.orchestrator.apart import find_apart
from guardkit.orchestrator.budgets import Deadlines, Ledger
from guardkit.orchestrator.coach import CoachTurn, Findings
from guardkit.orchestrator.commands import CommandResult, Seat, run_command
from guardkit.orchestrator.documents import Documents
from guardkit.orchestrator.environment import Env
from guardkit.orchestrator.imported import read_imported, search_path
from guardkit.orchestrator.kept import keep
from guardkit.orchestrator.outside import Observation, changed, observe
from guardkit.orchestrator.runners import JUNIT
from guardkit.orchestrator.telling import Telling
from guardkit.orchestrator.trees import (
    Changes,
    compare,
    find_litter,
    look,
    of_kind,
    read_patch,
    write_tree,
)
from guardkit.orchestrator.weaker import find_weaker
from guardkit.orchestrator.workspace import Worktree

POLL = 2.0  # seconds between two looks at what the Player has changed so far


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """What all turns of a build have in common.

    player, coach: the agents; no coach: the tests alone judge. test: the command that tests.
    telling: what they are told.
    begun: what was outside of the worktree at the beginning.
    scratch: a folder of our own, outside of the repository.
    lease: what the agents hold as long as they live.
    handed_on: returns what the commands of the phase that is open have in their environment, too.
    """

    telling: Telling
    tree: Worktree
    player: Agent
    coach: Agent | None
    test: str
    documents: Documents
    clock: Clock
    ledger: Ledger
    begun: Observation
    scratch: Path
    lease: int | None
    handed_on: Callable[[], Env]

    async def take(self, turn: Turn, taken: Sequence[CoachTurn], until: Deadlines) -> CoachTurn:
        """Run the Player, and the tests unless it has failed; leave the documents of the turn.

        taken: the turns before this one. until: when it has to be over.
        """
        tree = self.tree
        before = await observe(tree)
        found = await self._play(turn, taken, until)
        if found.player.exit_code == 0:
            judged = await self._validate(turn, found, before, until)
        else:
            judged = self.judge(turn, found, before, await observe(tree))
        judged = coach.without_secrets(judged)
        remark = await self.documents.save(judged)
        return replace(judged, rationale="; ".join(filter(None, (judged.rationale, remark))))

    async def _play(self, turn: Turn, taken: Sequence[CoachTurn], until: Deadlines) -> Findings:
        """Run the Player; return what has come of it."""
        tree = self.tree
        budget, limit = until.left(until.budgets.player, "--player-timeout")
        async with turn.phase("Player Implementation", budget=budget) as phase:
            log = self.documents.log(turn.number, "agent")
            seat = self._seat(turn, budget, limit, self._env(turn) | search_path(tree.path))
            player = await self.player.work(
                self.telling.player(turn.number, taken),
                dataclasses.replace(seat, poll=partial(_look, turn, tree, self.clock)),
                log=log.write,
                spend=self.ledger.of("player"),
            )
            log.close()
            found = await self._measure(turn, player, taken)
            _show(turn, found.changes)
            if player.exit_code != 0:
                phase.fail(f"the Player {player.ending}")
        return found

    async def _measure(
        self, turn: Turn, player: CommandResult, taken: Sequence[CoachTurn]
    ) -> Findings:
        """Return what the Player has changed: what tests have left or changed is not its work."""
        tree = self.tree
        litter = await self._litter(taken)
        content = await write_tree(tree.git, tree.index, litter)
        whole = await write_tree(tree.git, tree.index, {})
        await keep(tree.git, tree.path.name, f"turn-{turn.number}", content)
        since = taken[-1].validation_results.after if taken else tree.baseline
        own = sorted(await compare(tree.git, since, whole))
        theirs = {*own, *(path for each in taken for path in each.validation_results.own)}
        changes = await compare(tree.git, tree.baseline, content)
        changes = {path: kind for path, kind in changes.items() if path in theirs}
        return Findings(changes, (), player, tree=content, own=own, after=whole)

    async def _litter(self, taken: Sequence[CoachTurn]) -> dict[str, str]:
        """Return the objects that tests have left at new paths."""
        litter = dict[str, str]()
        for each in taken:
            found = each.validation_results
            if found.tests:
                litter |= await find_litter(self.tree.git, found.tree, found.after)
        return litter

    async def _validate(
        self, turn: Turn, found: Findings, before: Observation, until: Deadlines
    ) -> CoachTurn:
        """Run the tests, and the judging Coach where they approve."""
        budget, limit = until.left(until.budgets.tests, "--test-timeout")
        turn.update(tests_passed=0, tests_total=0)  # else those of the turn before are shown
        async with turn.phase("Coach Validation", budget=budget) as phase:
            found = await self.run_tests(turn, found, budget, limit)
            if report := found.report:
                total = report.passed + len(report.failures)
                phase.update(tests_passed=report.passed, tests_total=total)
            elif found.tests:
                phase.fail(coach.unproven(found.tests, found.trouble))
            judged = self.judge(turn, found, before, await observe(self.tree))
            if self.coach and judged.decision == "approve":
                judged = await self._review(turn, self.coach, judged, until)
        return judged

    async def run_tests(self, turn: Turn, found: Findings, budget: float, limit: str) -> Findings:
        """Run the tests, and read their report, whatever their exit code."""
        tree, number = self.tree, turn.number
        since, in_the_way = await self.documents.make_room(number)
        told = self.scratch / f"imported-{number}"
        told.touch(mode=0o600)
        path = self.scratch / "nowhere" if in_the_way else self.documents.report(number)
        seat = self._seat(turn, budget, limit, search_path(tree.path, told=told))
        tests = await run_command(self.test.replace(JUNIT, quote(str(path))), seat)
        report, trouble = await self.documents.read(number, since)
        if in_the_way:
            report, trouble = None, f"an old report cannot be removed: {in_the_way}"
        skipped = report.skipped if report else 0
        weaker = await find_weaker(
            tree.git, tree.baseline, found.tree, found.changes, skipped=skipped
        )
        after = await write_tree(tree.git, tree.index, {})
        await keep(tree.git, tree.path.name, f"after-{number}", after)
        touched = await compare(tree.git, found.after, after)
        return replace(
            found,
            tests=tests,
            report=report,
            trouble=trouble,
            imported=read_imported(told, tree.path, tree.place.root),
            apart=await find_apart(tree.git, tree.index, tree.inner),
            weaker=weaker,
            after=after,
            spoiled=sorted(path for path, kind in touched.items() if kind != "A"),
        )

    def judge(
        self, turn: Turn, found: Findings, before: Observation, after: Observation
    ) -> CoachTurn:
        """Return what the Coach makes of a turn, by what was outside before it and after it."""
        outside = changed(before.named, after.named)
        refused = changed(self.begun.guarded, after.guarded)
        found = replace(found, outside=outside, refused=refused)
        return coach.judge(self.telling.task.id, turn.number, found)

    async def _review(
        self, turn: Turn, agent: Agent, judged: CoachTurn, until: Deadlines
    ) -> CoachTurn:
        """Return what the judging Coach makes of a turn that the tests have approved."""
        tree, found = self.tree, judged.validation_results
        budget, limit = until.left(until.budgets.player, "--player-timeout")
        patch = await read_patch(tree.git, tree.baseline, found.tree)
        prompt = self.telling.coach(judged, patch)
        (self.scratch / "prompt.md").write_text(prompt, encoding="utf-8")
        env = {"GUARDKIT_PROMPT_FILE": str(self.scratch / "prompt.md")}
        log = self.documents.log(turn.number, "coach_agent")
        opinion, why = await judge.ask(
            agent,
            prompt,
            self._seat(turn, budget, limit, self._env(turn) | env),
            log=log.write,
            spend=self.ledger.of("coach"),
        )
        log.close()
        return coach.review(judged, opinion, why)

    def _seat(self, turn: Turn, budget: float, limit: str, env: Env) -> Seat:
        return Seat(
            cwd=self.tree.path,
            env={**self.handed_on(), **env},
            budget=budget,
            limit=limit,
            clock=self.clock,
            hear=partial(_hear, turn),
            poll=sleep_forever,
            lock=self.lease,
            enough=self.ledger.enough,
        )

    def _env(self, turn: Turn) -> dict[str, str]:
        env: Mapping[str, object] = {
            "TASK_ID": self.telling.task.id,
            "TASK_FILE": self.telling.task.path,
            "TURN": turn.number,
            "TURN_MAX": self.telling.turn_max,
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

"""One turn: the Player writes, its tests are run, and what both have come to is found out."""

import dataclasses
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from anyio import sleep_forever
from msgspec.structs import replace

from guardkit import Clock, Turn
from guardkit.errors import WorkspaceError
from guardkit.orchestrator import coach, judge
from guardkit.orchestrator.agents.agent import Agent
from guardkit.orchestrator.budgets import LEAST, Deadlines, Ledger
from guardkit.orchestrator.documents import Documents
from guardkit.orchestrator.findings import CoachTurn, Findings
from guardkit.orchestrator.processes.commands import Seat
from guardkit.orchestrator.processes.environment import Env
from guardkit.orchestrator.proof.imported import search_path
from guardkit.orchestrator.proof.trial import Trial
from guardkit.orchestrator.proof.unchanged import can_start, is_in_doubt
from guardkit.orchestrator.repository.outside import Observation, changed, observe
from guardkit.orchestrator.repository.trees import Changes, look, of_kind, read_patch
from guardkit.orchestrator.repository.workspace import Worktree
from guardkit.orchestrator.telling import Telling
from guardkit.orchestrator.work import measure

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
            judged = await self._validate(turn, found, before, until, taken=taken)
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
            found = await measure(tree, turn.number, player, taken)
            _show(turn, found.changes)
            if player.exit_code != 0:
                phase.fail(f"the Player {player.ending}")
        return found

    async def _validate(
        self,
        turn: Turn,
        found: Findings,
        before: Observation,
        until: Deadlines,
        *,
        taken: Sequence[CoachTurn],
    ) -> CoachTurn:
        """Run the tests, and the judging Coach where they approve."""
        budget, limit = until.left(until.budgets.tests, "--test-timeout")
        turn.update(tests_passed=0, tests_total=0)  # else those of the turn before are shown
        async with turn.phase("Coach Validation", budget=budget) as phase:
            found = await self.run_tests(turn, found, budget, limit, taken)
            if report := found.report:
                total = report.passed + len(report.failures)
                phase.update(tests_passed=report.passed, tests_total=total)
            elif found.tests:
                phase.fail(coach.unproven(found.tests, found.trouble))
            judged = self.judge(turn, found, before, await observe(self.tree))
            if self.coach and judged.decision == "approve":
                judged = await self._review(turn, self.coach, judged, until)
        return judged

    async def run_tests(
        self,
        turn: Turn,
        found: Findings,
        budget: float,
        limit: str,
        taken: Sequence[CoachTurn],
    ) -> Findings:
        """Run the tests, and read their report, whatever their exit code.

        taken: the turns before this one.
        """
        tree, seat = self.tree, self._seat(turn, budget, limit, {})
        until = self.clock.monotonic() + budget
        trial = Trial(tree=tree, test=self.test, documents=self.documents, scratch=self.scratch)
        before = [each.validation_results for each in taken]
        made = ChainMap(*(dict(each.imported.made) for each in before[::-1] if each.imported))
        found = await trial.run(turn.number, found, seat, made)
        if any(each.tests for each in before) or not is_in_doubt(found):
            return found
        rest = dataclasses.replace(seat, budget=max(until - self.clock.monotonic(), LEAST))
        return replace(found, startable=await can_start(tree, self.test, found, self.scratch, rest))

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

"""What the Coach makes of a turn, and the two documents that tell of it."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from guardkit.orchestrator.agents import CommandResult
from guardkit.orchestrator.workspace import Changes, Report, of_kind

FEEDBACK = "feedback.json"  # the last coach_turn_N.json; empty before the first
UNSAID = {"tests_run": False, "tests_passed": None, "implementation_notes": ""}
LISTS = ("tests_written", "concerns", "requirements_addressed", "requirements_remaining")


class Findings(msgspec.Struct, frozen=True):
    """What a turn has come to."""

    changes: Changes
    outside: Sequence[str]  # paths that have changed outside the worktree
    player: CommandResult
    tests: CommandResult | None = None  # where the Player has failed
    report: Report | None = None  # where it is not known how the tests went


class CoachTurn(msgspec.Struct, frozen=True):
    """What the Coach writes: approve or feedback, why in one line, and all that is amiss."""

    task_id: str
    turn: int
    decision: str
    rationale: str
    issues: Sequence[str]
    validation_results: Findings
    criteria_verification: Sequence[str] = ()


def judge(task_id: str, turn: int, found: Findings) -> CoachTurn:
    """Approve a turn only where something has changed and passing tests prove it."""
    tests, report = found.tests, found.report
    issues = [] if found.changes else ["the Player changed nothing in its worktree"]
    if tests is None:
        issues = [f"the Player {found.player.ending}"]
    elif report is None:
        issues.append(f"the test command {tests.ending}, and no report at {{junit}} tells of it")
    elif report.failures:
        issues += [f"failed: {failure}" for failure in report.failures]
    elif tests.exit_code != 0 or not report.passed:
        issues.append(f"the test command {tests.ending}, {report.passed} tests passed, none failed")
    rationale = issues[0] if issues else f"{report.passed if report else 0} tests passing"
    if found.outside:
        rationale += f"; changed outside the worktree: {', '.join(found.outside)}"
    decision = "feedback" if issues else "approve"
    return CoachTurn(task_id, turn, decision, rationale, issues, found)


def conclude(turns: Sequence[CoachTurn], turn_max: int) -> tuple[str, str] | None:
    """Return the decision that ends the build, and why; None where another turn is due."""
    last = turns[-1]
    player, tests = last.validation_results.player, last.validation_results.tests
    if last.decision == "approve":
        return "approved", last.rationale
    if (tests or player).exit_code in {126, 127}:  # not found, or not executable
        return "configuration_error", f"mend --{'test' if tests else 'player'}: {last.rationale}"
    if player.exit_code is None:
        return "timeout_budget_exhausted", last.rationale
    if [turn.validation_results.tests for turn in turns[-2:]] == [None, None]:
        return "player_invocation_stall", f"twice in a row: {last.rationale}"
    used_up = "max_turns_exceeded", f"not approved in {turn_max} turns: {last.rationale}"
    return used_up if len(turns) >= turn_max else None


def clear(folder: Path) -> None:
    """Remove what the turns of an earlier run have left; before turn 1 there is no feedback."""
    for path in (*folder.glob("player_turn_*"), *folder.glob("coach_turn_*"), folder / FEEDBACK):
        path.unlink(missing_ok=True)
    folder.joinpath(FEEDBACK).touch()


def save(folder: Path, coach: CoachTurn) -> None:
    """Leave both documents, and the Coach's as feedback; the Player's keeps its own report."""
    path, changes = folder / f"player_turn_{coach.turn}.json", coach.validation_results.changes
    player: dict[str, object] = {**dict.fromkeys(LISTS, ()), **UNSAID}
    with suppress(OSError, msgspec.MsgspecError, RecursionError):
        if path.is_file():  # a fifo would be waited for
            player |= msgspec.json.decode(path.read_bytes(), type=dict[str, object])
    files = {"files_created": of_kind("A", changes), "files_modified": of_kind("M", changes)}
    _write(path, {**player, **files, "task_id": coach.task_id, "turn": coach.turn})
    _write(folder / f"coach_turn_{coach.turn}.json", coach)
    _write(folder / FEEDBACK, coach)


def _write(path: Path, document: object) -> None:
    path.unlink(missing_ok=True)  # whatever the Player has made of it: a fifo, a link
    path.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2))

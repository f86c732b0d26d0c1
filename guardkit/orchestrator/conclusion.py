"""Whether a build ends with its last turn, and as what."""

from collections.abc import Sequence

from guardkit.orchestrator.coach import reason
from guardkit.orchestrator.findings import NO_REPORT, CoachTurn
from guardkit.orchestrator.phrases import many
from guardkit.orchestrator.processes.commands import BY_SHELL, CommandResult

SAME, IDLE = 3, 2  # turns with the same feedback, and without a change, that end a build


def conclude(
    turns: Sequence[CoachTurn], turn_max: int, recipe: str = "", *, over: str = ""
) -> tuple[str, str] | None:
    """Return the decision that ends the build, and why; None where another turn is due.

    recipe: a test command that would leave a report.
    over: why no other turn may begin, "" if one may.
    """
    last, found = turns[-1], [turn.validation_results for turn in turns]
    player, tests = found[-1].player, found[-1].tests
    why = reason(last.issues, found[-1], {path for each in found for path in each.outside})
    if last.decision == "approve":
        return "approved", why
    # The shell's codes for what it cannot run, unless it could before: then they are its own.
    ran_before = any(each.tests for each in found[:-1]) if tests else len(turns) > 1
    ran_before = ran_before or found[-1].startable
    has_run = ran_before or (tests and found[-1].report)
    if (tests or player).exit_code in BY_SHELL and not has_run:
        return "configuration_error", f"mend --{'test' if tests else 'player'}: {why}"
    if found[-1].trouble == NO_REPORT and not ran_before and _exited(tests):
        return "configuration_error", f"mend --test, as {recipe}: {why}"
    if decision := player.decision or (tests.decision if tests else ""):
        return decision, why
    if player.exit_code is None or over:
        return "timeout_budget_exhausted", f"{over}: {why}" if over else why
    if [each.tests for each in found[-2:]] == [None, None]:
        return "player_invocation_stall", f"twice in a row: {why}"
    if len(turns) >= turn_max:
        return "max_turns_exceeded", f"not approved in {many(turn_max, 'turn')}: {why}"
    stalled = _stalls(turns)
    return ("unrecoverable_stall", f"{stalled}: {why}") if stalled else None


def _stalls(turns: Sequence[CoachTurn]) -> str:
    """Return why another turn would come to nothing, "" if it may not."""
    if len(turns) >= SAME and len({tuple(each.issues) for each in turns[-SAME:]}) == 1:
        return f"the same feedback in {SAME} turns running"
    trees = [each.validation_results.tree for each in turns[-IDLE - 1 :]]
    if len(trees) > IDLE and len({*trees}) == 1:
        return f"no file has changed in {IDLE} turns running"
    return ""


def _exited(command: CommandResult | None) -> bool:
    """Return whether a command has come to an end of its own."""
    return bool(command and command.exit_code is not None and command.exit_code >= 0)

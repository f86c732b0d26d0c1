"""What the Coach makes of a turn, and what it writes of that."""

import re
from collections.abc import Sequence
from contextlib import suppress

import msgspec
from msgspec.structs import replace

from guardkit.orchestrator.commands import BY_SHELL, CommandResult
from guardkit.orchestrator.environment import Secrets
from guardkit.orchestrator.imported import Imported, not_tested
from guardkit.orchestrator.judge import Opinion
from guardkit.orchestrator.junit import Report
from guardkit.orchestrator.phrases import many, some
from guardkit.orchestrator.trees import Changes, of_kind

MAX_ISSUES, MAX_TEXT, MAX_OUTPUT = 20, 500, 4096  # it may be handed on as an argument
SAME, IDLE = 3, 2  # turns with the same feedback, and without a change, that end a build
MAX_DEPTH = 100  # of lists and objects in the Player's report
BRACKETS = re.compile(rb'"(?:\\.|[^"\\])*"|[][{}]', re.DOTALL)
NO_REPORT = "left no report"
UNSAID = {"tests_run": False, "tests_passed": None, "implementation_notes": ""}
LISTS = ("tests_written", "concerns", "requirements_addressed", "requirements_remaining")


class Findings(msgspec.Struct, frozen=True):
    """What a turn has come to.

    changes: by path, of the tree `tree` against what the worktree was right after it was made.
    outside: what has changed outside the worktree meanwhile, by whomever.
    player, tests: how the commands ended; `tests` is None where the Player has failed.
    report: what the tests' report says, None where there is none that can be read;
    trouble: then why.
    tree: what was tested, as git names it.
    refused: what of the repository has changed that would change what git says of this task.
    imported: which code the tests have run, None where nothing tells.
    apart: what is in the worktree, and is no part of the tree that was tested.
    weaker: why passing tests prove nothing of these changes, "" where they may.
    own: what the Player itself has changed in this turn.
    after: all that was in the worktree in the end, as git names it.
    spoiled: what the tests have changed or deleted of it.
    """

    changes: Changes
    outside: Sequence[str]
    player: CommandResult
    tests: CommandResult | None = None
    report: Report | None = None
    trouble: str = ""
    tree: str = ""
    refused: Sequence[str] = ()
    imported: Imported | None = None
    apart: Sequence[str] = ()
    weaker: str = ""
    own: Sequence[str] = ()
    after: str = ""
    spoiled: Sequence[str] = ()


class CoachTurn(msgspec.Struct, frozen=True):
    """What the Coach writes: approve, feedback or error, why in one line, and all that is amiss."""

    task_id: str
    turn: int
    decision: str
    rationale: str
    issues: Sequence[str]
    validation_results: Findings
    criteria_verification: Sequence[str] = ()


class Feedback(msgspec.Struct, frozen=True):
    """What the Player is told of its last turn: short, whatever has happened."""

    turn: int
    decision: str
    rationale: str
    issues: Sequence[str]  # the last one may tell how many more there are
    output: str  # the end of what the tests have written; of the Player's, where it has failed


def judge(task_id: str, turn: int, found: Findings) -> CoachTurn:
    """Approve a turn only where something has changed and passing tests prove it."""
    issues = [] if found.changes else ["the Player changed nothing in its worktree"]
    if found.tests is None:
        issues = [f"the Player {found.player.ending}"]
    else:
        issues += _doubt(found.tests, found.report, found.trouble)
    ran = (("the Player", found.player), ("the test command", found.tests))
    issues += [f"{who} {it.ending}" for who, it in ran if it and it.decision and not it.exit_code]
    issues += [found.weaker] if found.weaker else []
    if found.spoiled:
        what = "the tests have changed files, so what was tested is not what is there"
        issues.append(f"{what}: {some(found.spoiled)}")
    issues += [f"changed outside the worktree, put it back: {each}" for each in found.refused]
    if other := not_tested(found.changes, found.imported):
        issues.append(f"the tests ran the checkout's code, not the worktree's: {some(other)}")
    if used := not_tested(found.outside, found.imported):
        issues.append(f"changed outside the worktree, and run by the tests: {some(used)}")
    decision = "feedback" if issues else "approve"
    rationale = _reason(issues, found) + _outside(found.outside) + _remark(found)
    return CoachTurn(task_id, turn, decision, rationale, issues, found)


def review(judged: CoachTurn, opinion: Opinion | None, why: str) -> CoachTurn:
    """Return what a judging Coach makes of a turn that the tests have approved.

    opinion: None where it has given none; why: then the reason.
    """
    if opinion is None:
        said = f"the judging Coach gave no answer that can be read: {why}"
        return replace(judged, decision="error", rationale=said, issues=[said])
    criteria = opinion.criteria_verification
    if opinion.decision == "approve":
        return replace(judged, criteria_verification=criteria)
    issues = [*opinion.issues] or [opinion.rationale or "the judging Coach does not say why"]
    rationale = opinion.rationale or issues[0]
    return replace(
        judged,
        decision="feedback",
        rationale=rationale,
        issues=issues,
        criteria_verification=criteria,
    )


def without_secrets(judged: CoachTurn) -> CoachTurn:
    """Return the same without secrets of the environment in what is told of it."""
    hide = Secrets().hide
    return replace(
        judged,
        rationale=hide(judged.rationale),
        issues=[hide(each) for each in judged.issues],
    )


def _doubt(tests: CommandResult, report: Report | None, trouble: str) -> list[str]:
    """Return what speaks against it that tests ran and passed: what is not understood does."""
    if report is None:
        return [unproven(tests, trouble)]
    issues = [f"failed: {failure}" for failure in report.failures]
    ended = tests.ending
    if tests.exit_code in BY_SHELL:  # it was found, as it has left a report
        ended = f"exited with {tests.exit_code}"
    counts = f"{many(report.passed, 'test')} passed"
    if report.failures and tests.exit_code == 0:
        issues.append(f"the test command {ended}, though its report lists failed tests")
    elif not report.failures and tests.exit_code != 0:
        issues.append(f"the test command {ended}, {counts}, none failed")
    elif not report.failures and not report.passed:
        skipped = f", {report.skipped} skipped" if report.skipped else ""
        issues.append(f"the test command {ended}, {counts}, none failed{skipped}")
    return issues + [f"the report contradicts itself: {doubt}" for doubt in report.doubts]


def unproven(tests: CommandResult, trouble: str) -> str:
    """Return what is wrong with a test command that has left no report to be read."""
    return f"the test command {tests.ending}, and {trouble or NO_REPORT}"


def _reason(issues: Sequence[str], found: Findings) -> str:
    passed = found.report.passed if found.report else 0
    return issues[0] if issues else f"{many(passed, 'test')} passing"


def _outside(paths: Sequence[str]) -> str:
    return f"; changed outside the worktree: {some(paths)}" if paths else ""


def _remark(found: Findings) -> str:
    return f"; {found.player.remark}" if found.player.remark else ""


def conclude(
    turns: Sequence[CoachTurn], turn_max: int, recipe: str = "", *, over: str = ""
) -> tuple[str, str] | None:
    """Return the decision that ends the build, and why; None where another turn is due.

    recipe: a test command that would leave a report.
    over: why no other turn may begin, "" if one may.
    """
    last, found = turns[-1], [turn.validation_results for turn in turns]
    player, tests = found[-1].player, found[-1].tests
    why = _reason(last.issues, found[-1])
    why += _outside(sorted({path for each in found for path in each.outside})) + _remark(found[-1])
    if last.decision == "approve":
        return "approved", why
    # The shell's codes for what it cannot run, unless it could before: then they are its own.
    ran_before = any(each.tests for each in found[:-1]) if tests else len(turns) > 1
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


def player_turn(said: bytes, judged: CoachTurn) -> tuple[dict[str, object], str]:
    """Return the Player's document of a turn, with what it has said; and what is wrong with that.

    said: its report, empty where it has left none.
    """
    changes = judged.validation_results.changes
    files = {"files_created": of_kind("A", changes), "files_modified": of_kind("M", changes)}
    known = {**files, "task_id": judged.task_id, "turn": judged.turn}
    player: dict[str, object] = {**dict.fromkeys(LISTS, ()), **UNSAID}
    if not said.strip():
        return player | known, ""
    with suppress(Exception):  # msgspec's: also UnicodeDecodeError
        if _depth(said) <= MAX_DEPTH:  # what can be read may be too deep to be written
            return player | msgspec.json.decode(said, type=dict[str, object]) | known, ""
    return player | known, f"the Player's report of turn {judged.turn} is no JSON object"


def _depth(text: bytes) -> int:
    """Return how deep JSON is nested, at its deepest."""
    depth = deepest = 0
    for token in BRACKETS.findall(text):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(token, 0)
        deepest = max(deepest, depth)
    return deepest


def feedback(judged: CoachTurn) -> Feedback:
    """Return what the Player is told of a turn."""
    issues, more = [issue[:MAX_TEXT] for issue in judged.issues], len(judged.issues) - MAX_ISSUES
    if more > 0:
        issues[MAX_ISSUES:] = [f"and {more} more"]
    found = judged.validation_results
    output = (found.tests or found.player).tail.encode()
    if len(output) > MAX_OUTPUT:  # whole lines, if there are any
        output = output[-MAX_OUTPUT:]
        output = output.partition(b"\n")[2] or output
    text = output.decode(errors="ignore")
    return Feedback(judged.turn, judged.decision, judged.rationale[:MAX_TEXT], issues, text)

"""What the Coach makes of a turn."""

from collections.abc import Collection, Sequence

from msgspec.structs import replace

from guardkit.orchestrator.findings import NO_REPORT, CoachTurn, Findings
from guardkit.orchestrator.judge import Opinion
from guardkit.orchestrator.phrases import many, some
from guardkit.orchestrator.processes.commands import BY_SHELL, CommandResult
from guardkit.orchestrator.processes.environment import Secrets
from guardkit.orchestrator.proof.imported import Imported, not_tested
from guardkit.orchestrator.proof.junit import Report

STARTABLE = "the tests can be started without what the Player has changed"


def judge(task_id: str, turn: int, found: Findings) -> CoachTurn:
    """Approve a turn only where something has changed and passing tests prove it."""
    issues = [] if found.changes else ["the Player changed nothing in its worktree"]
    if found.tests is None:
        issues = [f"the Player {found.player.ending}"]
    else:
        issues += _doubt(found.tests, found.report, found.trouble)
        issues += [STARTABLE] if found.startable else []
    ran = (("the Player", found.player), ("the test command", found.tests))
    issues += [f"{who} {it.ending}" for who, it in ran if it and it.decision and not it.exit_code]
    issues += [found.weaker] if found.weaker else []
    if found.spoiled:
        what = "the tests have changed files, so what was tested is not what is there"
        issues.append(f"{what}: {some(found.spoiled)}")
    if found.cached:
        issues.append(f"Python may have run a cache that cannot be removed: {some(found.cached)}")
    issues += [f"changed outside the worktree, put it back: {each}" for each in found.refused]
    issues += _untested(found, found.imported) if found.imported else []
    decision = "feedback" if issues else "approve"
    rationale = reason(issues, found, found.outside)
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


def _untested(found: Findings, imported: Imported) -> list[str]:
    """Return what the tests have used that is not what will be committed."""
    used = {
        "the tests ran the checkout's code, not the worktree's": (found.changes, imported.checkout),
        "the tests read the checkout's files, not the worktree's": (found.changes, imported.read),
        "changed outside the worktree, and run by the tests": (found.outside, imported.checkout),
        "changed outside the worktree, and read by the tests": (found.outside, imported.read),
    }
    named = {what: not_tested(*which) for what, which in used.items()}
    named["the tests ran code that will not be committed, add it or remove it"] = [*imported.loose]
    return [f"{what}: {some(paths)}" for what, paths in named.items() if paths]


def unproven(tests: CommandResult, trouble: str) -> str:
    """Return what is wrong with a test command that has left no report to be read."""
    return f"the test command {tests.ending}, and {trouble or NO_REPORT}"


def reason(issues: Sequence[str], found: Findings, outside: Collection[str]) -> str:
    """Return in one line why a turn is what it is: what comes first, and the rest.

    outside: what has changed outside the worktree.
    """
    passed = found.report.passed if found.report else 0
    first = issues[0] if issues else f"{many(passed, 'test')} passing"
    beside = f"changed outside the worktree: {some(sorted(outside))}" if outside else ""
    return "; ".join(filter(None, (first, beside, found.player.remark)))

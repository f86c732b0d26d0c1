"""What the Coach decides, and when a build ends."""

from typing import Any

import pytest
from msgspec.structs import replace

from guardkit.orchestrator.coach import judge
from guardkit.orchestrator.conclusion import conclude
from guardkit.orchestrator.findings import CoachTurn, Findings
from guardkit.orchestrator.processes.commands import CommandResult
from guardkit.orchestrator.proof.imported import Imported
from guardkit.orchestrator.proof.junit import Report
from guardkit.orchestrator.repository.trees import Changes

CHANGES = {"a.py": "A"}
GREEN = Report(passed=5, skipped=0, failures=[], doubts=[])
RED = Report(passed=1, skipped=0, failures=["a::b: 1 == 2", "c::d: no"], doubts=[])
EMPTY = Report(passed=0, skipped=0, failures=[], doubts=[])


def ended(exit_code: int | None) -> CommandResult:
    return CommandResult(exit_code=exit_code, ending=f"ended {exit_code}", tail="")


def judged(
    *,
    player: int | None = 0,
    tests: int | None = 0,
    report: Report | None = GREEN,
    changes: Changes = CHANGES,
    outside: tuple[str, ...] = (),
) -> CoachTurn:
    result = ended(tests) if player == 0 else None
    return judge("T1", 1, Findings(changes, outside, ended(player), result, report))


APPROVED, FEEDBACK, FAILED = judged(), judged(tests=1, report=RED), judged(player=1)


def test_a_change_that_all_tests_prove_is_approved() -> None:
    assert (APPROVED.decision, APPROVED.issues) == ("approve", [])
    assert APPROVED.rationale == "5 tests passing"
    assert (
        judged(report=Report(passed=1, skipped=0, failures=[], doubts=[])).rationale
        == "1 test passing"
    )


@pytest.mark.parametrize(
    ("tests", "report", "changes", "issue"),
    [
        pytest.param(0, GREEN, {}, "changed nothing", id="nothing changed"),
        pytest.param(1, RED, CHANGES, "failed: a::b: 1 == 2", id="tests failed"),
        pytest.param(0, RED, CHANGES, "failed: a::b: 1 == 2", id="a pipe hid the exit code"),
        pytest.param(0, None, CHANGES, "ended 0, and left no report", id="no report"),
        pytest.param(5, EMPTY, CHANGES, "0 tests passed", id="no tests collected"),
        pytest.param(0, EMPTY, CHANGES, "0 tests passed", id="all skipped"),
        pytest.param(1, GREEN, CHANGES, "ended 1, 5 tests passed, none", id="exit code only"),
        pytest.param(None, None, CHANGES, "ended None, and left no report", id="timed out"),
    ],
)
def test_anything_less_is_feedback(
    tests: int | None, report: Report | None, changes: Changes, issue: str
) -> None:
    turn = judged(tests=tests, report=report, changes=changes)
    assert turn.decision == "feedback"
    assert issue in turn.issues[0]
    assert turn.rationale == turn.issues[0]


def test_every_failing_test_is_an_issue() -> None:
    assert FEEDBACK.issues == ["failed: a::b: 1 == 2", "failed: c::d: no"]


def test_what_changed_nothing_and_fails_has_both_issues() -> None:
    assert len(judged(tests=1, report=RED, changes={}).issues) == 3


def test_a_player_that_failed_is_the_only_issue() -> None:
    assert judged(player=1, changes={}).issues == ["the Player ended 1"]


def test_changes_outside_the_worktree_are_named_and_do_not_block() -> None:
    turn = judged(outside=("x.py", "y.py"))
    assert turn.decision == "approve"
    assert turn.rationale.endswith("; changed outside the worktree: x.py, y.py")


def test_of_many_changes_outside_the_worktree_the_first_are_named() -> None:
    turn = judged(outside=tuple("abcdefg"))
    assert turn.rationale.endswith("worktree: a, b, c, d, e and 2 more")


def test_what_any_turn_has_changed_outside_the_worktree_is_told_at_the_end() -> None:
    turns = [judged(tests=1, report=RED, outside=("x.py",)), judged(outside=("y.py",))]
    told = "5 tests passing; changed outside the worktree: x.py, y.py"
    assert conclude(turns, 3) == ("approved", told)


@pytest.mark.parametrize(
    ("turns", "decision"),
    [
        pytest.param([APPROVED], "approved", id="approved"),
        pytest.param([FEEDBACK], None, id="feedback"),
        pytest.param([FEEDBACK] * 3, "max_turns_exceeded", id="the last turn"),
        pytest.param([FEEDBACK, FEEDBACK, APPROVED], "approved", id="just in time"),
        pytest.param([FAILED], None, id="Player failed once"),
        pytest.param([FAILED] * 2, "player_invocation_stall", id="and again"),
        pytest.param([FAILED, FEEDBACK, FAILED], "max_turns_exceeded", id="not in a row"),
        pytest.param([judged(player=None)], "timeout_budget_exhausted", id="Player hung"),
        pytest.param([judged(player=127)], "configuration_error", id="no Player"),
        pytest.param([judged(player=126)], "configuration_error", id="Player not executable"),
        pytest.param([FEEDBACK, judged(player=127)], None, id="Player's own exit code"),
        pytest.param([judged(tests=127, report=None)], "configuration_error", id="no tests"),
        pytest.param(
            [FAILED, judged(tests=127, report=None)], "configuration_error", id="no tests later"
        ),
        pytest.param([FEEDBACK, judged(tests=127, report=None)], None, id="tests' own exit code"),
        pytest.param([judged(tests=None, report=None)], None, id="tests hung"),
    ],
)
def test_a_build_ends_when_another_turn_is_of_no_use(
    turns: list[CoachTurn], decision: str | None
) -> None:
    end = conclude(turns, 3)
    assert (end[0] if end else None) == decision


def test_one_turn_is_not_called_turns() -> None:
    assert "not approved in 1 turn: " in str(conclude([FEEDBACK], 1))
    assert "not approved in 2 turns: " in str(conclude([FEEDBACK] * 2, 2))


@pytest.mark.parametrize(
    ("turn", "option"),
    [(judged(player=127), "mend --player: "), (judged(tests=127, report=None), "mend --test: ")],
)
def test_the_reason_names_the_option_to_mend(turn: CoachTurn, option: str) -> None:
    assert str(conclude([turn], 3)).count(option) == 1


@pytest.mark.parametrize(
    ("more", "issue"),
    [
        ({"weaker": "nothing but tests has changed"}, "nothing but tests has changed"),
        (
            {"imported": Imported(3, ["a.py", "b.py"])},
            "the tests ran the checkout's code, not the worktree's: a.py",
        ),
        (
            {"imported": Imported(3, ["b.py"]), "outside": ["b.py", "c.py"]},
            "changed outside the worktree, and run by the tests: b.py",
        ),
        ({"refused": ["hook x"]}, "changed outside the worktree, put it back: hook x"),
    ],
)
def test_passing_tests_are_no_proof_of_other_code(more: dict[str, Any], issue: str) -> None:
    found = replace(Findings(CHANGES, (), ended(0), ended(0), GREEN), **more)
    turn = judge("T1", 1, found)
    assert (turn.decision, turn.issues) == ("feedback", [issue])


@pytest.mark.parametrize("imported", [None, Imported(0, []), Imported(1, ["b.py"])])
def test_code_of_the_checkout_that_was_not_changed_is_no_trouble(imported: Imported | None) -> None:
    found = Findings(CHANGES, ["x.py"], ended(0), ended(0), GREEN, imported=imported)
    assert judge("T1", 1, found).decision == "approve"

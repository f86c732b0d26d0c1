"""What the Coach decides, and when a build ends: pure functions."""

from dataclasses import replace
from pathlib import Path

import pytest

from guardkit.orchestrator.agents import CommandResult
from guardkit.orchestrator.autobuild import TurnRecord, conclude, judge, tell
from guardkit.orchestrator.workspace import Changes, TestReport

PATH = Path("/build/coach_turn_1.xml")
GREEN = TestReport(passed=5, failed=0, skipped=0, total=5, failures=())
RED = TestReport(passed=1, failed=2, skipped=0, total=3, failures=("a::b: 1 == 2", "c::d: no"))
EMPTY = TestReport(passed=0, failed=0, skipped=3, total=0, failures=())


def ended(exit_code: int | None = 0) -> CommandResult:
    return CommandResult(exit_code=exit_code, tail="", budget=900)


def record(
    *issues: str,
    player: int | None = 0,
    tests: int | None = 0,
    report: TestReport | None = GREEN,
    outside: tuple[str, ...] = (),
) -> TurnRecord:
    return TurnRecord(
        issues=issues,
        outside=outside,
        changes=Changes(created=frozenset({"a.py"})),
        player=ended(player),
        tests=ended(tests) if player == 0 else None,
        report=report,
    )


def test_a_change_that_all_tests_prove_is_approved() -> None:
    assert judge(ended(), GREEN, changed=True, report_path=PATH) == ()


@pytest.mark.parametrize(
    ("tests", "report", "changed", "issue"),
    [
        pytest.param(0, GREEN, False, "changed nothing", id="nothing changed"),
        pytest.param(1, RED, True, "failed: a::b: 1 == 2", id="tests failed"),
        pytest.param(0, RED, True, "failed: a::b: 1 == 2", id="a pipe hid the exit code"),
        pytest.param(0, None, True, f"wrote no report to {PATH}: use {{junit}}", id="no report"),
        pytest.param(5, EMPTY, True, "no test passed", id="no tests collected"),
        pytest.param(0, EMPTY, True, "no test passed", id="all skipped"),
        pytest.param(1, GREEN, True, "no test failed, but", id="exit code only"),
        pytest.param(2, None, True, "exited with 2", id="interrupted"),
        pytest.param(-9, None, True, "was ended by SIGKILL", id="killed"),
        pytest.param(None, None, True, "did not finish within 900 s", id="timed out"),
        pytest.param(127, None, True, "was not found", id="not found"),
        pytest.param(126, None, True, "is not executable", id="not executable"),
    ],
)
def test_anything_less_is_feedback_that_says_what_to_do(
    tests: int | None, report: TestReport | None, changed: bool, issue: str
) -> None:
    issues = judge(ended(tests), report, changed=changed, report_path=PATH)
    assert issue in issues[0]


def test_every_failing_test_is_an_issue() -> None:
    assert judge(ended(1), RED, changed=True, report_path=PATH) == (
        "failed: a::b: 1 == 2",
        "failed: c::d: no",
    )


def test_what_changed_nothing_and_fails_has_both_issues() -> None:
    issues = judge(ended(1), RED, changed=False, report_path=PATH)
    assert len(issues) == 3


def test_of_many_failures_only_the_first_are_listed() -> None:
    failures = tuple(f"t::{n}: no" for n in range(30))
    report = TestReport(passed=0, failed=30, skipped=0, total=30, failures=failures)
    issues = judge(ended(1), report, changed=True, report_path=PATH)
    assert len(issues) == 21
    assert issues[-1] == "and 10 tests more failed"


@pytest.mark.parametrize(
    ("turns", "decision"),
    [
        pytest.param([record()], "approved", id="approved"),
        pytest.param([record("x")], None, id="feedback"),
        pytest.param([record("x")] * 3, "max_turns_exceeded", id="the last turn"),
        pytest.param([record("x"), record("x"), record()], "approved", id="just in time"),
        pytest.param([record("x", player=1)], None, id="Player failed once"),
        pytest.param([record("x", player=1)] * 2, "player_invocation_stall", id="and again"),
        pytest.param(
            [record("x", player=1), record("x"), record("x", player=1)],
            "max_turns_exceeded",
            id="Player failed twice, not in a row",
        ),
        pytest.param([record("x", player=-9)] * 2, "player_invocation_stall", id="Player killed"),
        pytest.param([record("x", player=None)], "timeout_budget_exhausted", id="Player hung"),
        pytest.param([record("x", player=127)], "configuration_error", id="no Player"),
        pytest.param([record("x", player=126)], "configuration_error", id="Player not executable"),
        pytest.param([record("x", tests=127)], "configuration_error", id="no test command"),
        pytest.param([record("x", tests=None)], None, id="tests hung"),
    ],
)
def test_a_build_ends_when_another_turn_is_of_no_use(
    turns: list[TurnRecord], decision: str | None
) -> None:
    end = conclude(turns, 3)
    assert (end[0] if end else None) == decision


def test_the_reason_names_the_option_to_mend() -> None:
    player, tests = conclude([record("x", player=127)], 3), conclude([record("x", tests=127)], 3)
    assert player is not None
    assert "--player" in player[1]
    assert tests is not None
    assert "--test" in tests[1]


def test_the_message_of_an_approval_counts() -> None:
    assert record().message == ("Coach approved: 1 file created, 0 modified, 5 of 5 tests passing")


def test_the_message_of_feedback_is_the_first_issue_and_how_many_more() -> None:
    assert record("failed: a", "failed: b", "failed: c").message == "failed: a (and 2 more)"


def test_changes_outside_the_worktree_are_named_and_do_not_block() -> None:
    judged = record(outside=("x.py", "y.py"))
    assert judged.decision == "approve"
    assert judged.message.endswith("; changed outside the worktree: x.py, y.py")


def test_a_long_list_of_changes_outside_is_cut() -> None:
    judged = replace(record(), outside=tuple(f"{n}.py" for n in range(100)))
    assert "20.py" not in judged.message


def test_counts_are_told_in_words() -> None:
    changes = Changes(created=frozenset("abc"), modified=frozenset("d"))
    assert tell(changes, GREEN) == "3 files created, 1 modified, 5 of 5 tests passing"
    assert tell(changes, None) == "3 files created, 1 modified"

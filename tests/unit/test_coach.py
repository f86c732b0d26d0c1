"""What the Coach decides, when a build ends, and the documents that tell of it."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guardkit.orchestrator.agents import CommandResult
from guardkit.orchestrator.coach import (
    CoachTurn,
    Findings,
    clear,
    conclude,
    judge,
    remove,
    save,
)
from guardkit.orchestrator.junit import Report
from guardkit.orchestrator.trees import Changes
from guardkit.progress.folder import Folder, open_root

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


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    """Open a folder of a build's files."""
    (tmp_path / "build").mkdir()
    with open_root(tmp_path / "build") as folder:
        yield folder
    subprocess.run(["rm", "-r", tmp_path / "build"], check=True)  # too deep for pytest


def make_link(path: Path, target: Path) -> None:
    target.write_text('{"secret": 1}')
    path.symlink_to(target)


def make_fifo(path: Path, _: Path) -> None:
    os.mkfifo(path)


def make_deep_folder(path: Path, _: Path) -> None:
    subprocess.run(["mkdir", "-p", path.joinpath(*"d" * 1500)], check=True)


def make_link_to_a_folder(path: Path, target: Path) -> None:
    target.mkdir()
    (target / "kept").touch()
    path.symlink_to(target)


KINDS = [make_link, make_fifo, make_deep_folder, make_link_to_a_folder]
NAMES = ["player_turn_1.json", "coach_turn_1.json", "feedback.json"]
MakeOf = Callable[[Path, Path], None]


def content(path: Path) -> list[str]:
    """Return the names in a folder but those that nothing can remove."""
    return sorted(name for name in os.listdir(path) if not name.endswith(".tmp"))


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_what_a_player_makes_of_a_document_is_replaced_and_no_link_followed(
    folder: Folder, tmp_path: Path, make: MakeOf, name: str
) -> None:
    make(tmp_path / "build" / name, target := tmp_path / "target")
    before = target.read_text() if target.is_file() else None
    save(folder, judged())
    assert content(tmp_path / "build") == sorted(NAMES)
    for each in NAMES:
        path = tmp_path / "build" / each
        assert path.is_file()
        assert not path.is_symlink()
        assert "secret" not in path.read_text()
    assert before is None or target.read_text() == before
    assert not target.is_dir() or os.listdir(target) == ["kept"]


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("name", ["player_turn_7.json", "coach_turn_7.xml", "feedback.json"])
def test_what_an_earlier_run_has_left_is_cleared_and_no_link_followed(
    folder: Folder, tmp_path: Path, make: MakeOf, name: str
) -> None:
    make(tmp_path / "build" / name, target := tmp_path / "target")
    (tmp_path / "build" / "events.jsonl").touch()
    clear(folder)
    assert content(tmp_path / "build") == ["events.jsonl", "feedback.json"]
    assert (tmp_path / "build" / "feedback.json").read_bytes() == b""
    assert not target.is_file() or target.read_text() == '{"secret": 1}'
    assert not target.is_dir() or os.listdir(target) == ["kept"]


def test_removing_what_is_not_there_is_no_trouble(folder: Folder) -> None:
    remove(folder, "coach_turn_1.xml")


def test_a_folder_that_can_be_removed_leaves_nothing(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "build" / "coach_turn_1.xml" / "full").mkdir(parents=True)
    remove(folder, "coach_turn_1.xml")
    assert os.listdir(tmp_path / "build") == []


def said(folder: Folder, report: bytes) -> dict[str, object]:
    """Return the Player's document after a report of its own."""
    folder.replace("player_turn_1.json", report)
    save(folder, judged())
    document: dict[str, object] = json.loads(folder.read("player_turn_1.json", 2**24))
    return document


@pytest.mark.parametrize(
    "report",
    [
        pytest.param(b'{"notes": "%s"}' % (b"x" * 2**20), id="too long"),
        pytest.param(b'{"notes": "\xff"}', id="no UTF-8"),
        pytest.param(b'{"notes": %s}' % (b"9" * 5000), id="too large a number"),
        pytest.param(b'{"notes": %s%s}' % (b"[" * 10_000, b"]" * 10_000), id="too deep"),
    ],
)
def test_a_report_of_the_player_that_cannot_be_taken_is_left_out(
    folder: Folder, report: bytes
) -> None:
    assert "notes" not in said(folder, report)


def test_a_report_of_the_player_is_kept_or_left_out_however_deep_it_is(folder: Folder) -> None:
    """... whether it is reading or writing it that fails."""
    for depth in range(900, 1100):
        deep = b'{"notes": %s%s}' % (b"[" * depth, b"]" * depth)
        assert said(folder, deep)["task_id"] == "T1"

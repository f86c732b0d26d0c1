"""Recorded turns, ours and those of others, and what nobody could have recorded."""

import json
from pathlib import Path
from typing import Any

import pytest

from guardkit.errors import MisuseError
from guardkit.orchestrator.recorded import FILES_MAX, read_recorded


def record(folder: Path, number: int = 1, *, player: Any = None, coach: Any = None) -> Path:
    player = player or {}
    coach = coach or {"task_id": "T1", "decision": "approve"}
    for who, document in (("player", player), ("coach", coach)):
        text = document if isinstance(document, str) else json.dumps(document)
        (folder / f"{who}_turn_{number}.json").write_text(text)
    return folder


def test_turns_are_read_up_to_the_first_that_is_not_whole(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        record(tmp_path, number, player={"files_created": [f"{number}.py"]})
    (tmp_path / "coach_turn_3.json").unlink()
    task_id, turns = read_recorded(tmp_path)
    assert (task_id, [turn.created for turn in turns]) == ("T1", [["1.py"], ["2.py"]])


@pytest.mark.parametrize(
    ("coach", "failures"),
    [
        ({"decision": "approve", "issues": ["a mere advice"]}, []),
        ({"decision": "feedback", "issues": ["one", "two"]}, ["one", "two"]),
        ({"decision": "feedback", "issues": [{"description": "a\nb"}, {}, 7]}, ["a b"]),
        ({"decision": "feedback", "issues": [], "rationale": "why"}, ["why"]),
        ({"decision": "error"}, ["the Coach does not say why"]),
    ],
)
def test_what_the_coach_objected_to(tmp_path: Path, coach: Any, failures: list[str]) -> None:
    [turn] = read_recorded(record(tmp_path, coach=coach))[1]
    assert turn.failures == failures


@pytest.mark.parametrize(
    ("player", "coach", "passed"),
    [
        ({}, {"validation_results": {"report": {"passed": 7}}}, 7),
        ({"tests_passed_count": 28}, {"validation_results": {"quality_gates": {}}}, 28),
        ({"tests_passed_count": -1}, {}, 1),
        ({"tests_passed_count": 10**9}, {}, 10_000),
    ],
)
def test_how_many_tests_passed(tmp_path: Path, player: Any, coach: Any, passed: int) -> None:
    [turn] = read_recorded(record(tmp_path, player=player, coach={"task_id": "T", **coach}))[1]
    assert turn.passed == passed


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("src/a.py", ["src/a.py"]),
        ("./src//a.py", ["src/a.py"]),
        ("/home/u/repo/.guardkit/worktrees/T1/src/a.py", ["src/a.py"]),
        ("/etc/hosts", ["etc/hosts"]),
        ("../../etc/hosts", []),
        ("a/../../b", []),
        (".git/hooks/post-commit", []),
        ("x/.GIT/config", []),
        (".guardkit/autobuild/T1/progress.json", []),
        ("replay.py", []),
        ("a\0b", []),
        ("a\x1b[31m", []),
        ("", []),
        (".", []),
        ("/", []),
        ("n" * 300, []),
        (7, []),
    ],
)
def test_only_what_can_lie_in_a_repository_is_a_file(
    tmp_path: Path, path: object, found: list[str]
) -> None:
    [turn] = read_recorded(record(tmp_path, player={"files_modified": [path, path]}))[1]
    assert turn.modified == found


def test_the_number_of_files_has_a_bound(tmp_path: Path) -> None:
    many = [f"{number}.py" for number in range(5000)]
    [turn] = read_recorded(record(tmp_path, player={"files_created": many}))[1]
    assert len(turn.created) == FILES_MAX


@pytest.mark.parametrize(
    ("player", "why"),
    [
        ("[]", r"player_turn_1\.json is no JSON object"),
        ("{", r"player_turn_1\.json is no JSON object"),
        ("[" * 100_000, r"player_turn_1\.json is no JSON object"),
    ],
)
def test_a_document_that_is_none_is_refused(tmp_path: Path, player: str, why: str) -> None:
    with pytest.raises(MisuseError, match=why):
        read_recorded(record(tmp_path, player=player))


def test_a_folder_without_turns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match="holds no recorded build: it would have player_turn_1"):
        read_recorded(tmp_path)
    with pytest.raises(MisuseError, match="No such file"):
        read_recorded(tmp_path / "nowhere")

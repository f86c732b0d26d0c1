"""`guardkit autobuild replay`: recorded turns go through the real orchestrator."""

import json
from pathlib import Path

import pytest

from guardkit import read_progress

from ..repositories import git
from ..unit.test_recorded import record
from .test_cli import complaint, guardkit

pytestmark = pytest.mark.usefixtures("git_identity")


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    folder = tmp_path / "recorded"
    folder.mkdir()
    first = {"files_created": ["src/new.py"], "files_modified": ["old.py", "src"]}
    issues = [{"description": "it <is> 'not' \"done\""}]
    record(folder, player=first, coach={"task_id": "T1", "decision": "feedback", "issues": issues})
    second = {"files_modified": ["src/new.py"], "implementation_notes": "now it is"}
    approve = {"task_id": "T1", "decision": "approve"}
    record(folder, 2, player=second | {"tests_passed_count": 9}, coach=approve)
    return folder


def test_a_recorded_build_is_built_again(recorded: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    ended = guardkit("autobuild", "replay", str(recorded), "--root", str(root))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "Write src/new.py" in ended.stdout
    said = "failed: recorded::issue 1: it <is> 'not' \"done\""
    assert f"feedback: {said}" in ended.stdout
    assert "approve: 9 tests passing" in ended.stdout
    snapshot = read_progress("T1", root=root)
    assert (snapshot.status, snapshot.turn) == ("completed", 2)
    changed = git(root, "diff", "--name-status", "main", "autobuild/T1").split()
    assert changed == ["A", "TURN.md", "M", "old.py", "A", "src/new.py"]
    folder = root / ".guardkit/autobuild/T1"
    assert json.loads((folder / "player_turn_2.json").read_text())["files_created"]


def test_what_was_built_by_us_is_replayed(recorded: Path, tmp_path: Path) -> None:
    for source, name in ((recorded, "a"), (tmp_path / "a/.guardkit/autobuild/T1", "b")):
        ended = guardkit("autobuild", "replay", str(source), "--root", str(tmp_path / name))
        assert (ended.returncode, ended.stderr) == (0, "")
        assert "approve: 9 tests passing" in ended.stdout


def test_a_build_that_was_not_approved_fails_again(tmp_path: Path) -> None:
    record(tmp_path, coach={"task_id": "../T1", "decision": "feedback"})
    root = tmp_path / "root"
    ended = guardkit("autobuild", "replay", str(tmp_path), "--root", str(root))
    assert ended.returncode == 1
    assert read_progress("TASK-REPLAY", root=root).decision == "max_turns_exceeded"


def test_a_folder_that_holds_none_is_refused_in_one_line(tmp_path: Path) -> None:
    ended = guardkit("autobuild", "replay", str(tmp_path))
    assert ended.returncode == 2
    assert "holds no recorded build" in complaint(ended)

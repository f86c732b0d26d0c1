"""What is read of the documents that the Coach leaves, whatever stands in them."""

import json
import os
from pathlib import Path

import pytest

from guardkit.places.web.papers import ITEMS_MAX, LINES_MAX, SIZE_MAX, Paper, read_papers

GOOD = {
    "decision": "feedback",
    "issues": ["failed: test_plain", 5, "the test command exited with 1"],
    "validation_results": {
        "changes": {"src/a.py": "A", "b.py": "M", "c.py": "D", "d.py": "?"},
        "player": {"exit_code": 0, "ending": "", "tail": "one\ntwo \x1b[31mred\x1b[0m\n"},
        "tests": {"tail": "    indented\n"},
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / ".guardkit/autobuild/TASK-1"
    folder.mkdir(parents=True)
    return folder


def put(folder: Path, document: object, turn: int = 1) -> None:
    (folder / f"coach_turn_{turn}.json").write_text(json.dumps(document))


def read(root: Path) -> Paper | None:
    return read_papers(str(root), "TASK-1", [1]).get(1)


def test_issues_files_and_last_lines_are_picked_out(tmp_path: Path, folder: Path) -> None:
    put(folder, GOOD)
    assert read(tmp_path) == Paper(
        decision="feedback",
        issues=("failed: test_plain", "the test command exited with 1"),
        files={"src/a.py": "created", "b.py": "modified", "c.py": "deleted", "d.py": "changed"},
        player="one\ntwo red",
        tests="    indented",
    )


def test_the_player_may_have_failed_before_any_tests(tmp_path: Path, folder: Path) -> None:
    put(folder, {"validation_results": {"player": {"tail": "boom"}, "tests": None}})
    assert read(tmp_path) == Paper(player="boom")


def test_lists_and_outputs_are_bounded(tmp_path: Path, folder: Path) -> None:
    put(
        folder,
        {
            "issues": ["x" * 900] * 1000,
            "validation_results": {
                "changes": {f"f{n}": "A" for n in range(1000)},
                "tests": {"tail": "line\n" * 1000},
            },
        },
    )
    paper = read(tmp_path)
    assert paper
    assert (len(paper.issues), len(paper.files), paper.more) == (ITEMS_MAX, ITEMS_MAX, 900)
    assert paper.tests.count("\n") == LINES_MAX - 1
    assert max(map(len, paper.issues)) <= 300


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense",
        b"[]",
        b'{"issues": "x"}',
        b"\xff",
        b"[" * 100_000,
        b'{"decision": "' + b"x" * SIZE_MAX + b'"}',
    ],
    ids=["empty", "nonsense", "list", "text", "binary", "deep", "long"],
)
def test_what_cannot_be_read_is_left_out(tmp_path: Path, folder: Path, content: bytes) -> None:
    (folder / "coach_turn_1.json").write_bytes(content)
    assert read(tmp_path) is None


def test_no_link_is_followed(tmp_path: Path, folder: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps(GOOD))
    (folder / "coach_turn_1.json").symlink_to(secret)
    assert read(tmp_path) is None


def test_a_pipe_holds_up_nobody(tmp_path: Path, folder: Path) -> None:
    os.mkfifo(folder / "coach_turn_1.json")
    assert read(tmp_path) is None


def test_of_a_folder_that_is_not_there_there_is_nothing(tmp_path: Path) -> None:
    assert read(tmp_path) is None


def test_only_the_newest_turns_are_read(tmp_path: Path, folder: Path) -> None:
    for turn in range(1, 31):
        put(folder, GOOD, turn)
    assert [*read_papers(str(tmp_path), "TASK-1", range(1, 31))] == [*range(21, 31)]

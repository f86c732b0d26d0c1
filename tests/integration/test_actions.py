"""Builds as steps of GitHub Actions."""

import subprocess
from pathlib import Path

import pytest

from guardkit.orchestrator.demo import TASK_ID, TEST, make_demo

from ..actions_runner import obey
from .test_autobuild import PASSING
from .test_cli import complaint, guardkit

HOSTILE = "touch new 'test_##[add-mask]theirs.py'; echo '::error::theirs'; echo 'a ##[error]theirs'"
WRONG = "PAUSE=0 sh player.sh"  # in turn 1


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    return make_demo(tmp_path / "workspace" / "project")


@pytest.fixture
def summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "summary.md"
    path.write_text("of an earlier command, without an end")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path / "workspace"))
    return path


def autobuild(root: Path, player: str, test: str) -> subprocess.CompletedProcess[str]:
    words = ("--player", player, "--test", test, "--max-turns", "1", "--root", str(root))
    return guardkit("autobuild", "task", TASK_ID, *words)


def test_a_failing_test_is_annotated_where_it_stands(demo: Path, summary: Path) -> None:
    ended = autobuild(demo, WRONG, TEST)
    assert ended.returncode == 1
    [group, end, error] = obey(ended.stdout)
    assert (group.name, group.data, end.name) == ("group", "Turn 1/1", "endgroup")
    line = next(
        number
        for number, text in enumerate((demo / "test_prices.py").read_text().splitlines(), 1)
        if "half_a_cent" in text
    )
    assert error.name == "error"
    assert error.data == "test_prices::test_half_a_cent_rounds_up: assert 52 == 53"
    assert error.properties == {
        "file": "project/test_prices.py",
        "line": str(line),
        "title": f"{TASK_ID} failed",
    }
    lines = summary.read_text().splitlines()
    assert lines[:2] == [
        "of an earlier command, without an end",
        r"## TASK\-DEMO\-001: max\_turns\_exceeded",
    ]
    assert "| Status | failed |" in lines
    assert r"| Tests | 2 passed of 3\, by coach\_turn\_1\.xml |" in lines
    [failure] = [line for line in lines if line.startswith("- test")]
    assert failure == r"- test\_prices\:\:test\_half\_a\_cent\_rounds\_up\: assert 52 \=\= 53"


def test_what_a_player_prints_is_not_obeyed_and_a_build_that_is_completed_annotates_nothing(
    demo: Path, summary: Path
) -> None:
    ended = autobuild(demo, HOSTILE, PASSING)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "##[add-mask]theirs" in ended.stdout
    assert [each.name for each in obey(ended.stdout)] == ["group", "endgroup"]
    assert obey(f"{ended.stdout}::notice::next")[-1].data == "next"
    assert "| Status | completed |" in summary.read_text()


def test_a_build_that_fails_of_no_test_is_annotated_itself(demo: Path, summary: Path) -> None:
    ended = autobuild(demo, "true", PASSING)
    error = obey(ended.stdout)[-1]
    assert (error.name, error.properties) == ("error", {"title": f"{TASK_ID} failed"})
    assert "the Player changed nothing in its worktree" in error.data
    assert "the Player changed nothing in its worktree" in summary.read_text()


def test_a_player_cannot_change_the_steps_after_it(
    demo: Path, summary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ENV", "OUTPUT", "PATH", "STATE"):
        monkeypatch.setenv(f"GITHUB_{name}", str(summary))
    monkeypatch.setenv("GITHUB_SHA", "0123")
    told = summary.with_name("told")
    autobuild(demo, f"env > {told}; touch new", PASSING)
    names = {line.partition("=")[0] for line in told.read_text().splitlines()}
    assert {name for name in names if name.startswith("GITHUB_")} == {
        "GITHUB_ACTIONS",
        "GITHUB_SHA",
        "GITHUB_WORKSPACE",
    }


def test_a_summary_that_cannot_be_written_is_told_of(
    demo: Path, summary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary.parent))
    ended = autobuild(demo, HOSTILE, PASSING)
    assert ended.returncode == 0
    assert complaint(ended).startswith("guardkit: the summary of the step cannot be written: ")


@pytest.mark.usefixtures("summary")
def test_what_is_wrong_is_told_in_no_command(demo: Path) -> None:
    task = next((demo / "tasks/backlog").iterdir())
    task.write_text(f"---\nid: {TASK_ID}\ntitle: [##[add-mask]x]y\n---\n")
    ended = autobuild(demo, HOSTILE, PASSING)
    assert ended.returncode != 0
    assert obey(ended.stdout + ended.stderr) == []


def test_elsewhere_it_is_plain(demo: Path, summary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = summary.read_text()
    monkeypatch.delenv("GITHUB_ACTIONS")
    ended = autobuild(demo, "touch new", PASSING)
    assert ended.returncode == 0
    assert "::" not in ended.stdout
    assert summary.read_text() == before

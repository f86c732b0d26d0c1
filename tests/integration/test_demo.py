import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from guardkit.orchestrator.demo import TASK_ID, make_demo, player

GUARDKIT = (sys.executable, "-m", "guardkit.cli.main")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    root: Path
    printed: list[str]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Run the demo once, as somebody who has never set up git."""
    home, root = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("demo") / "new"
    environment = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"HOME": str(home)}
    command = (*GUARDKIT, "demo", "--root", str(root))
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert list(home.iterdir()) == []
    return Ran(root=root, printed=ended.stdout.splitlines())


def progress(ran: Ran) -> dict[str, object]:
    path = ran.root / ".guardkit" / "autobuild" / TASK_ID / "progress.json"
    document: dict[str, object] = json.loads(path.read_bytes())
    return document


def test_the_demo_says_first_where_to_look_and_last_what_is_left(ran: Ran) -> None:
    assert ran.printed[:2] == [
        f"A small git repository, which is kept: {ran.root}",
        f"Progress file: {ran.root}/.guardkit/autobuild/{TASK_ID}/progress.json",
    ]
    says, command = ran.printed[2].split(": ")
    assert (says, command.split()[1:]) == (
        "Second terminal",
        ["watch", TASK_ID, "--root", str(ran.root)],
    )
    assert shutil.which(command.split()[0])
    branch = f"autobuild/{TASK_ID}"
    tests, files, worktree, commit, review, merge = ran.printed[-6:]
    assert tests == "Tests: 3 passed of 3, by coach_turn_2.xml"
    assert files == "Files: 1 created, 1 modified by the Player"
    assert worktree == f"Worktree: {ran.root}/.guardkit/worktrees/{TASK_ID}, branch {branch}"
    nobody = "by guardkit, as git knows no user.name and user.email"
    assert f" on {branch}, {nobody}" in commit
    assert review.startswith(f"Review: git -C {ran.root} diff ")
    assert merge == f"Merge: git -C {ran.root} merge {branch}"


def test_the_commands_that_the_demo_prints_show_and_merge_what_was_built(ran: Ran) -> None:
    review, merge = (line.partition(": ")[2].split() for line in ran.printed[-2:])
    shown = subprocess.run(review, capture_output=True, text=True, check=True).stdout
    assert "+def with_tax(cents, percent):" in shown
    subprocess.run(merge, check=True, capture_output=True)
    assert (ran.root / "tax.py").is_file()


def test_the_demo_is_approved_in_its_second_turn_with_true_counts(ran: Ran) -> None:
    document = progress(ran)
    metrics = document.pop("metrics")
    assert isinstance(metrics, dict)
    assert metrics.pop("elapsed_seconds") >= 1
    assert metrics == {"files_created": 1, "files_modified": 1, "tests_passed": 3, "tests_total": 3}
    seen = {key: document[key] for key in ("status", "decision", "turn", "error")}
    assert seen == {"status": "completed", "decision": "approved", "turn": 2, "error": None}


def test_the_demo_shows_the_turn_that_went_wrong(ran: Ran) -> None:
    assert any("✗ Coach Validation  2 of 3 tests passing" in line for line in ran.printed)
    assert any("] feedback: " in line for line in ran.printed)
    assert any("round() makes 52 of 52.5" in line for line in ran.printed)


def test_the_worktree_holds_the_work_and_the_checkout_is_clean(ran: Ran) -> None:
    worktree = ran.root / ".guardkit" / "worktrees" / TASK_ID
    assert "+ 50) // 100" in (worktree / "tax.py").read_text()
    git = ("git", "-C", str(ran.root), "status", "--porcelain")
    assert subprocess.run(git, capture_output=True, check=True).stdout == b""


@pytest.mark.parametrize(
    ("feedback", "rounding"),
    [
        pytest.param("", "round(", id="first turn"),
        pytest.param("failed: test_half_a_cent_rounds_up", "// 100", id="what the Coach writes"),
    ],
)
def test_the_player_does_what_the_feedback_says(
    tmp_path: Path, feedback: str, rounding: str
) -> None:
    root = make_demo(tmp_path / "demo")
    file = tmp_path / "feedback.json"
    file.write_text(feedback)
    environment = os.environ | {"GUARDKIT_FEEDBACK_FILE": str(file)}
    subprocess.run(("sh", "-c", player()), cwd=root, env=environment, check=True)
    assert rounding in (root / "tax.py").read_text()


def test_a_slow_player_takes_its_time() -> None:
    assert player(slow=True) == "PAUSE=6 sh player.sh"
    assert player(slow=True, turns=4) == "PAUSE=3 sh player.sh"
    assert (player(), player(turns=4)) == ("PAUSE=0.2 sh player.sh", "PAUSE=0.1 sh player.sh")


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    command = (*GUARDKIT, "demo", "--root", str(tmp_path))
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"guardkit: {tmp_path} is not empty: give a new folder\n"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_without_pytest_the_demo_says_how_to_get_it() -> None:
    code = "import sys; sys.modules['pytest'] = None; from guardkit.cli.main import main; main()"
    command = (sys.executable, "-c", code, "demo")
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (7, "")
    assert ended.stderr == (
        f"guardkit: the demo needs pytest: {sys.executable} -m pip install pytest\n"
    )


def test_without_git_the_demo_says_so(tmp_path: Path) -> None:
    command = (*GUARDKIT, "demo", "--root", str(tmp_path))
    environment = os.environ | {"PATH": str(tmp_path)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (7, "")
    assert ended.stderr == "guardkit: git is not found: install it\n"
    assert list(tmp_path.iterdir()) == []

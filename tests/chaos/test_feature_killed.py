"""A feature whose orchestrator is killed at any moment goes on, and repeats nothing."""

import random
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from guardkit import GuardKitError, read_progress
from guardkit.orchestrator.features.file import load_feature

from ..features import PASSING, make_feature
from ..repositories import git
from .tally import Tally

pytestmark = pytest.mark.usefixtures("git_identity")

GUARDKIT = (sys.executable, "-m", "guardkit.cli.main")
WAVES = [["T1", "T2"], ["T3", "T4"], ["T5"]]
NEEDS = {"T3": ["T1"], "T4": ["T1", "T2"], "T5": ["T3", "T4"]}
TASKS = [task for wave in WAVES for task in wave]


def command(root: Path, *more: str) -> tuple[str, ...]:
    player = f'echo $GUARDKIT_TASK_ID >> {root}.said; echo x > "$GUARDKIT_TASK_ID.txt"'
    how = ("--player", player, "--test", PASSING, "--root", str(root), "--max-parallel", "2")
    return (*GUARDKIT, "autobuild", "feature", "FEAT-1", *how, *more)


def run(root: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(root, *more), capture_output=True, text=True, timeout=120, check=False
    )


def said(root: Path) -> list[str]:
    path = root.with_name(f"{root.name}.said")
    return path.read_text().split() if path.exists() else []


def completed(root: Path) -> set[str]:
    found = {task.id for task in load_feature(root, "FEAT-1").tasks if task.status == "completed"}
    for task_id in TASKS:
        with suppress(GuardKitError):
            found |= {task_id} if read_progress(task_id, root=root).status == "completed" else set()
    return found


def kill(root: Path, seconds: float, *more: str) -> None:
    """Kill the orchestrator of a feature after some seconds, whatever it does then."""
    with subprocess.Popen(
        command(root, *more), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        process.kill()


def judge(root: Path, done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return what is wrong with a feature that has gone on to its end."""
    if done.returncode:
        return [f"it ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr}"]
    wrong = []
    files = {*git(root, "ls-tree", "--name-only", "autobuild/FEAT-1").split()}
    if files != {".guardkit", "tasks", *(f"{each}.txt" for each in TASKS)}:
        wrong.append(f"the branch has {sorted(files)}")
    if left := git(root / ".guardkit" / "worktrees" / "FEAT-1", "status", "--porcelain"):
        wrong.append(f"the worktree has {left}")
    commits = git(root, "log", "--no-merges", "--format=%s", "autobuild/FEAT-1").splitlines()
    if sorted(commits) != sorted(["Begin", *(f"{each}: Do {each}" for each in TASKS)]):
        wrong.append(f"the branch is of {commits}")
    tasks = read_progress("FEAT-1", root=root).tasks
    if not tasks or (tasks.total, tasks.completed) != (5, 5):
        wrong.append(f"it counts {tasks}")
    if completed(root) != {*TASKS}:
        wrong.append(f"completed are {completed(root)}")
    return wrong


def test_a_feature_goes_on_after_a_kill_at_any_moment(
    tmp_path: Path, trials: Callable[[int, int], int], tally: Tally
) -> None:
    row = tally("Alone", "kill -9 of a feature, then --resume")
    begun = time.monotonic()
    first = make_feature(tmp_path / "first", WAVES, NEEDS)
    assert judge(first, run(first)) == []
    lasts = time.monotonic() - begun
    for number in range(trials(3, 50)):
        root = make_feature(tmp_path / f"project-{number}", WAVES, NEEDS)
        moment = random.uniform(0.2, lasts)  # noqa: S311
        kill(root, moment)
        before, done = completed(root), said(root)
        wrong = judge(root, run(root, "--resume"))
        again = [each for each in said(root)[len(done) :] if each in before]
        wrong += [f"built again: {again}"] if again else []
        row["trials"] += 1
        row["faults"] += 1
        row["wrong"] += bool(wrong)
        assert wrong == [], f"killed after {moment:.2f} s"

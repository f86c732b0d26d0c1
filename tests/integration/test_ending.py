"""The commands that end builds, and that remove what builds have left."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from guardkit import read_events, read_progress
from guardkit.progress.lock import place_of

from ..repositories import git
from .test_cli import GUARDKIT, building, complaint, guardkit, lines_until, started

pytestmark = pytest.mark.usefixtures("git_identity")

PASSING = "echo '<testsuite><testcase name=\"a\"/></testsuite>' > {junit}"
BUSY = (
    f"exec {shlex.quote(sys.executable)} -c 'import time; print(1, flush=True); time.sleep(1000)'"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    for task_id in ("TASK-1", "TASK-2"):
        (folder / "tasks").mkdir(parents=True, exist_ok=True)
        (folder / f"tasks/{task_id}.md").write_text(f"---\nid: {task_id}\ntitle: Add tax\n---\n")
    (folder / "prices.py").write_text("")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "Begin")
    return folder


def autobuild(root: Path, player: str, *words: str, test: str = PASSING) -> tuple[str, ...]:
    command = ("autobuild", "task", "TASK-1", "--root", str(root))
    return (*GUARDKIT, *command, "--player", player, "--test", test, *words)


def build(root: Path, player: str = "echo 1 > prices.py", *words: str) -> str:
    command = autobuild(root, player, "--max-turns", "1", *words)
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.stderr == ""
    return ended.stdout


@contextmanager
def busy(root: Path, *words: str) -> Generator[subprocess.Popen[str]]:
    """Run a build whose Player is at work."""
    command = autobuild(root, f"echo x > new.py; {BUSY}", *words)
    with started(*command, stderr=subprocess.PIPE) as process:
        assert process.stdout
        lines_until(process.stdout, "Player Implementation starting")
        yield process


def at(root: Path) -> tuple[str, str]:
    return "--root", str(root)


# cancel


def test_a_build_is_cancelled_and_its_journal_tells_by_whom(root: Path) -> None:
    with busy(root) as process:
        ended = guardkit("cancel", "TASK-1", *at(root))
        assert (ended.returncode, ended.stderr) == (0, "")
        assert ended.stdout.startswith("cancelled: Wave 1/1, TASK-1 (Turn 1/5, Player Impl")
        assert process.wait() == 3
        assert process.stderr
        said = process.stderr.read()
    assert said.startswith("guardkit: TASK-1 was cancelled; its work is kept in ")
    assert f"{root}/.guardkit/worktrees/TASK-1, branch autobuild/TASK-1" in said
    last = [
        event.progress for event in read_events("TASK-1", root=root) if event.event == "decided"
    ]
    assert [each.decision for each in last] == ["cancelled"]
    assert str(last[0].message).startswith("by ")
    assert str(last[0].message).endswith(", with guardkit cancel")
    assert not (root / ".guardkit/autobuild/TASK-1/cancel").exists()


def test_a_build_that_ignores_ctrl_c_is_cancelled_too(root: Path) -> None:
    command = f"{shlex.join(autobuild(root, BUSY))} & echo $!; wait"
    with started("sh", "-c", command) as shell:
        assert shell.stdout
        said = lines_until(shell.stdout, "Player Implementation starting")
        pid = next(line for line in said if line.isdigit())
        ignored = Path(f"/proc/{pid}/status").read_text().partition("SigIgn:")[2].split()[0]
        assert int(ignored, 16) >> (signal.SIGINT - 1) & 1
        assert guardkit("cancel", "TASK-1", *at(root)).returncode == 0
    assert read_progress("TASK-1", root=root).status == "cancelled"


def test_a_build_of_a_program_of_one_s_own_is_cancelled(tmp_path: Path) -> None:
    with building(tmp_path, "TASK-1") as process:
        assert guardkit("cancel", "TASK-1", *at(tmp_path)).returncode == 0
        process.communicate("go\n")  # for the thread that reads it
    assert read_progress("TASK-1", root=tmp_path).status == "cancelled"


def test_what_is_not_being_built_is_not_cancelled(root: Path) -> None:
    ended = guardkit("cancel", "TASK-1", *at(root))
    assert ended.returncode == 6
    build(root)
    ended = guardkit("cancel", "TASK-1", *at(root))
    assert ended.returncode == 7
    assert complaint(ended).startswith("guardkit: TASK-1 is not being built: completed: ")


def test_no_process_is_ended_that_does_not_hold_the_lock(tmp_path: Path) -> None:
    with building(tmp_path, "TASK-1") as process, building(tmp_path, "TASK-2") as other:
        path = tmp_path / ".guardkit/autobuild/TASK-1/progress.json"
        document = json.loads(path.read_text())
        with started("sleep", "1000") as bystander:
            document["tracker"]["pid"] = bystander.pid
            path.write_text(json.dumps(document))
            ended = guardkit("cancel", "TASK-1", *at(tmp_path))
            assert ended.returncode == 7
            assert f"process {bystander.pid} on " in complaint(ended)
            assert bystander.poll() is None
        assert process.poll() is other.poll() is None


READER = """
import fcntl, struct, sys
file = open(sys.argv[1], "rb")
for first in map(int, sys.argv[2:]):
    fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("hhqqi0q", fcntl.F_RDLCK, 0, first, 1, 0))
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("lock", ["of the root", "of its own"])
def test_a_process_that_somebody_has_named_in_the_file_is_not_ended(
    tmp_path: Path, lock: str
) -> None:
    """It has the lock file open, and even bytes of it locked, as anybody may who can read it."""
    builds = tmp_path / ".guardkit/autobuild"
    with building(tmp_path, "TASK-1") as process:
        path = builds / "TASK-1/progress.json"
        document = json.loads(path.read_text())
        file = builds / ".lock" if lock == "of the root" else tmp_path / "own"
        file.touch()
        command = (sys.executable, "-c", READER, str(file), str(place_of("TASK-1") + 1))
        with started(*command) as bystander:
            assert bystander.stdout
            assert bystander.stdout.readline() == "ready\n"
            found = file.stat()
            forged = {"pid": bystander.pid, "lock": f"{found.st_dev}:{found.st_ino}"}
            document["tracker"] |= forged
            path.write_text(json.dumps(document))
            ended = guardkit("cancel", "TASK-1", *at(tmp_path))
            assert ended.returncode == 7
            assert f"TASK-1 is built by process {bystander.pid} on " in complaint(ended)
            assert bystander.poll() is None
        assert process.poll() is None
        assert not (builds / "TASK-1/cancel").exists()


def test_the_builder_of_another_task_that_somebody_has_named_is_not_ended(tmp_path: Path) -> None:
    with building(tmp_path, "TASK-1") as process, building(tmp_path, "TASK-2") as other:
        paths = [tmp_path / f".guardkit/autobuild/TASK-{n}/progress.json" for n in (1, 2)]
        document, forged = (json.loads(path.read_text()) for path in paths)
        for tracker in (document["tracker"] | {"pid": other.pid}, forged["tracker"]):
            paths[0].write_text(json.dumps(document | {"tracker": tracker}))
            ended = guardkit("cancel", "TASK-1", *at(tmp_path))
            assert ended.returncode == 7
        assert process.poll() is other.poll() is None


def test_a_request_of_before_is_not_told_of_the_next_build(root: Path) -> None:
    folder = root / ".guardkit/autobuild/TASK-1"
    folder.mkdir(parents=True)
    (folder / "cancel").write_text("by nobody")
    with busy(root) as process:
        process.send_signal(signal.SIGINT)
        assert process.wait() == 3
    assert read_progress("TASK-1", root=root).decision == "cancelled"
    assert "nobody" not in str(read_progress("TASK-1", root=root).message)


# --dry-run


def test_a_dry_run_tells_what_would_be_run_and_writes_nothing(root: Path) -> None:
    (root / "mine.txt").write_text("")
    before = sorted(os.walk(root))
    command = autobuild(root, "sh player.sh", "--dry-run", test="sh test.sh {junit}")
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    base = git(root, "rev-parse", "HEAD")[:12]
    assert ended.stdout.splitlines() == [
        "Task: TASK-1, Add tax, of tasks/TASK-1.md",
        f"Worktree: .guardkit/worktrees/TASK-1, branch autobuild/TASK-1 from {base}",
        "Player: sh player.sh",
        "  in 5 turns at most, each within 1h 0m 0s",
        "Tests: sh test.sh {junit}",
        "  each time within 10m 0s; {junit} is .guardkit/autobuild/TASK-1/coach_turn_N.xml",
        "Not in it: 1 uncommitted change, mine.txt",
        "Nothing speaks against it. Nothing was written.",
    ]
    assert sorted(os.walk(root)) == before


@pytest.mark.parametrize(
    ("player", "test", "code", "why"),
    [
        ("true", "npm test", 2, "leaves no report"),
        ("true", "no-such-runner {junit}", 7, "the test command's no-such-runner is not found"),
        ("no-such-player", PASSING, 7, "--player: no-such-player is not found"),
        ("./mine.sh -x", PASSING, 7, "--player: mine.sh is not committed, and so in no worktree"),
        ("true", "sh mine.sh {junit}", 7, "--test: mine.sh is not committed"),
    ],
)
def test_a_dry_run_is_refused_as_the_build_would_be(
    root: Path, player: str, test: str, code: int, why: str
) -> None:
    (root / "mine.sh").touch(mode=0o755)
    for words in (("--dry-run",), ()):
        command = autobuild(root, player, *words, test=test)
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ended.returncode == code
        assert why in complaint(ended)
    assert not (root / ".guardkit").exists()


def test_a_dry_run_of_what_is_being_built_is_refused(root: Path) -> None:
    with busy(root):
        command = autobuild(root, "true", "--dry-run")
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ended.returncode == 7
        assert "TASK-1 is being built: see guardkit status TASK-1" in complaint(ended)


# drop


def left(root: Path) -> list[str]:
    folder = root / ".guardkit/worktrees"
    found = [path.name for path in folder.iterdir() if path.is_dir()] if folder.exists() else []
    refs = git(root, "for-each-ref", "--format=%(refname)", "refs/heads/autobuild", "refs/guardkit")
    return [*found, *refs.splitlines()]


def drop(root: Path, *words: str) -> tuple[int, str, list[str]]:
    ended = guardkit("autobuild", "drop", *words, *at(root))
    return ended.returncode, ended.stdout, ended.stderr.splitlines()


def test_what_was_merged_is_removed_with_its_branch_and_the_trees_that_were_kept(
    root: Path,
) -> None:
    build(root)
    assert len(left(root)) > 2
    git(root, "merge", "-q", "autobuild/TASK-1")
    said = "TASK-1: removed worktree and branch autobuild/TASK-1\n"
    assert drop(root, "TASK-1") == (0, said, [])
    assert left(root) == []
    assert (root / ".guardkit/autobuild/TASK-1/events.jsonl").exists()
    code, _, [why] = drop(root, "TASK-1")
    assert (code, "has left neither a worktree nor a branch" in why) == (7, True)


def test_commits_that_no_other_branch_has_are_listed_and_kept(root: Path) -> None:
    build(root)
    before = left(root)
    code, said, why = drop(root, "TASK-1")
    assert (code, said) == (7, "")
    assert "work that is nowhere else: 1 commit that no other branch has: " in why[0]
    assert why[0].endswith(" TASK-1: Add tax")
    assert why[1] == "guardkit: TASK-1 was kept: merge what you need of it, or add --force"
    assert left(root) == before
    assert drop(root, "TASK-1", "--force")[0] == 0
    assert left(root) == []


def test_files_that_are_not_committed_are_listed_and_kept(root: Path) -> None:
    build(root, "echo 1 > prices.py; exit 1")
    code, _, [why, _] = drop(root, "TASK-1")
    assert (code, why.partition("else: ")[2]) == (7, "1 file not committed: prices.py")
    assert (root / ".guardkit/worktrees/TASK-1/prices.py").read_text() == "1\n"


def test_files_that_were_changed_after_the_merge_are_listed_and_kept(root: Path) -> None:
    build(root)
    git(root, "merge", "-q", "autobuild/TASK-1")
    (root / ".guardkit/worktrees/TASK-1/later.txt").write_text("")
    code, _, [why, _] = drop(root, "TASK-1")
    assert (code, why.partition("else: ")[2]) == (7, "1 file not committed: later.txt")


def test_a_repository_that_was_made_inside_is_listed_and_kept(root: Path) -> None:
    build(
        root, "git init -q inner; echo 1 > inner/a; cd inner; git add .; git commit -qm x; exit 1"
    )
    code, _, [why, _] = drop(root, "TASK-1")
    assert (code, why.partition("else: ")[2]) == (7, "repositories of their own: inner")


def test_a_commit_on_no_branch_and_a_repository_in_an_ignored_folder_are_listed_and_kept(
    root: Path,
) -> None:
    (root / ".gitignore").write_text("ignored/\n")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "Ignore")
    detach = "git switch -q --detach; git commit -q --allow-empty -m Aside"
    build(root, f"{detach}; git init -q ignored/inner; exit 1")
    code, _, [commits, inner, _] = drop(root, "TASK-1")
    assert code == 7
    assert "1 commit that no other branch has: " in commits
    assert inner.endswith("repositories of their own: ignored/inner")


def test_a_worktree_that_git_cannot_look_into_is_kept(root: Path) -> None:
    build(root, "exit 1")
    (root / ".guardkit/worktrees/TASK-1/.git").unlink()
    code, _, why = drop(root, "TASK-1")
    assert (code, "it cannot be seen what is in the worktree: " in why[0]) == (7, True)
    assert drop(root, "TASK-1", "--force")[0] == 0
    assert left(root) == []


def test_what_an_earlier_run_was_moved_aside_to_is_removed_by_its_name(root: Path) -> None:
    build(root, "exit 1")
    ended = subprocess.run(autobuild(root, "true"), capture_output=True, text=True, check=False)
    assert ended.returncode == 7
    remedy = complaint(ended).partition("move it aside: ")[2]
    subprocess.run(remedy, shell=True, check=True)  # noqa: S602
    assert drop(root, "TASK-1.kept-1")[0] == 0
    assert [name for name in left(root) if "kept" in name] == []


def test_the_trees_of_all_earlier_runs_are_removed_with_the_task(root: Path) -> None:
    for _ in range(3):
        build(root, "echo 1 > prices.py; exit 1")
        git(root, "worktree", "remove", "--force", ".guardkit/worktrees/TASK-1")
        git(root, "branch", "-q", "-D", "autobuild/TASK-1")
    kept = [ref for ref in left(root) if ref.endswith("/turn-1")]
    place = "refs/guardkit/TASK-1"
    assert kept == [f"{place}/earlier/{run}/turn-1" for run in (1, 2)] + [f"{place}/turn-1"]
    assert drop(root, "TASK-1") == (0, "TASK-1: removed the trees that were kept\n", [])
    assert left(root) == []


def test_what_is_being_built_is_not_removed(root: Path) -> None:
    with busy(root):
        code, _, [why] = drop(root, "TASK-1", "--force")
        assert (code, "TASK-1 is being built: end it first" in why) == (7, True)
    assert "TASK-1" in left(root)


def test_of_many_those_that_were_approved_or_are_old_are_meant(root: Path) -> None:
    build(root)
    git(root, "merge", "-q", "autobuild/TASK-1")
    second = [word.replace("TASK-1", "TASK-2") for word in autobuild(root, "exit 1")]
    subprocess.run(second, capture_output=True, check=False)
    assert drop(root)[0] == 2
    assert drop(root, "--approved", "--older-than", "1d") == (0, "", [])
    path = root / ".guardkit/autobuild/TASK-1/progress.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"updated_at": "2025-01-31T12:34:56Z"}))
    assert drop(root, "--older-than", "14d")[1].startswith("TASK-1: removed")
    assert drop(root, "--approved") == (0, "", [])
    assert "TASK-2" in left(root)

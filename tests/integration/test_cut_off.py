"""Builds that are cut off at any moment: nothing runs on, nothing lies, and --resume goes on."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from guardkit import assess, read_progress
from guardkit.errors import GuardKitError

from ..agent_scripts import PLAYERS, TEST, install, make_project
from ..repositories import git, has_said
from .test_cli import GUARDKIT

pytestmark = pytest.mark.usefixtures("git_identity")

MARK = "GUARDKIT_TEST_MARK"
LONGEST = 3.0  # seconds: about as long as such a build takes
WAYS = {
    "interrupt": signal.SIGINT,
    "terminate": signal.SIGTERM,
    "kill": signal.SIGKILL,
    "budget": None,
}
DECIDED = {"cancelled", "timeout_budget_exhausted", "approved"}
Env = Mapping[str, str]


def processes(mark: str) -> dict[int, str]:
    """Return the commands that run with our mark in their environment, by process."""
    found = dict[int, str]()
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            if folder.name.isdigit() and mark.encode() in (folder / "environ").read_bytes():
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found[int(folder.name)] = command
    return found


def until_gone(mark: str, within: float) -> None:
    """Return when nothing with our mark runs; fail when it takes longer."""
    limit = time.monotonic() + within
    while left := processes(mark):
        assert time.monotonic() < limit, left
        time.sleep(0.02)


def autobuild(root: Path, kind: str, *words: str) -> tuple[str, ...]:
    command = ("autobuild", "task", "T1", "--root", str(root), "--player", PLAYERS[kind])
    return (*GUARDKIT, *command, "--test", TEST, *words)


def cut_off(command: tuple[str, ...], env: Env, way: str, moment: float) -> None:
    """Start a build, and end it so many seconds after it has begun."""
    words = ("--build-budget", f"{moment:.3f}") if way == "budget" else ()
    pipe = subprocess.PIPE
    with subprocess.Popen((*command, *words), env=env, stdout=pipe, stderr=pipe) as process:
        assert process.stdout
        process.stdout.readline()
        number = WAYS[way]
        if number:
            with suppress(subprocess.TimeoutExpired):
                process.wait(moment)
            process.send_signal(number)
        out, err = process.communicate()
    assert process.returncode in {0, 1, 3, -signal.SIGKILL}, (out, err)


def check_told(root: Path, way: str) -> None:
    """See that the progress file says how the build has ended."""
    try:
        snapshot = read_progress("T1", root=root)
    except GuardKitError:  # it was killed before there was a file
        assert way == "kill"
        return
    verdict = assess(snapshot, root=root)
    if way == "kill":
        assert verdict.state in {"crashed", "completed"}
    else:
        assert snapshot.decision in DECIDED
        assert verdict.state in {"cancelled", "failed", "completed"}


def check_worktree(root: Path) -> None:
    """See that nothing outside of the worktree has changed, and that git knows its way in it."""
    worktree = root / ".guardkit/worktrees/T1"
    assert git(root, "status", "--porcelain") == ""
    if (worktree / ".git").exists():
        assert git(worktree, "branch", "--show-current").strip() == "autobuild/T1"
    git(root, "fsck", "--no-progress")


def again(root: Path, kind: str, env: Env, *words: str) -> subprocess.CompletedProcess[str]:
    command = autobuild(root, kind, *words)
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def go_on(root: Path, kind: str, env: Env) -> None:
    """See that the build goes on to its end, or begins anew where there is nothing."""
    ended = again(root, kind, env, "--resume")
    if "start without --resume" in ended.stderr:
        ended = again(root, kind, env)
    if ended.returncode == 7:  # it was ended before there was anything to go on with
        remedy = ended.stderr.partition("or move it aside: ")[2]
        subprocess.run(("sh", "-c", remedy), check=True, capture_output=True)
        ended = again(root, kind, env)
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    assert read_progress("T1", root=root).decision == "approved"
    assert " * 2" in git(root, "show", "autobuild/T1:prices.py")


@pytest.mark.parametrize(("kind", "first"), [(kind, first) for first, kind in enumerate(PLAYERS)])
def test_a_build_that_is_cut_off_leaves_nothing_behind_and_goes_on(
    tmp_path: Path, kind: str, first: int, request: pytest.FixtureRequest
) -> None:
    moments = 100 if request.config.getoption("long") else 1
    seed = random.randrange(2**32)  # noqa: S311
    print(f"{kind} by seed {seed}")
    choice = random.Random(seed)  # noqa: S311
    env = install(tmp_path / "bin")
    for number in range(moments):
        way = [*WAYS][(first + number) % len(WAYS)]
        moment = choice.uniform(0.001, LONGEST)
        print(f"{number}: {way} after {moment:.3f} s", flush=True)
        root = make_project(tmp_path / f"project-{number}")
        mark = f"{MARK}={os.urandom(8).hex()}"
        marked = {**env, MARK: mark.partition("=")[2]}
        cut_off(autobuild(root, kind), marked, way, moment)
        until_gone(mark, within=1.0 if way == "kill" else 5.0)
        check_told(root, way)
        check_worktree(root)
        go_on(root, kind, marked)
        until_gone(mark, within=5.0)


@pytest.mark.parametrize("kind", ["smudge", "process", "clean"])
def test_of_a_filter_at_work_in_setup_nothing_is_left_when_guardkit_is_killed(
    tmp_path: Path, kind: str
) -> None:
    root, pid = make_project(tmp_path / "project"), tmp_path / "pid"
    (root / ".gitattributes").write_text("*.md filter=slow\n")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "Slow")
    git(root, "config", f"filter.slow.{kind}", f"sleep 1000 & echo $$ > {pid}; exec sleep 1000")
    mark = f"{MARK}={os.urandom(8).hex()}"
    env = {**install(tmp_path / "bin"), MARK: mark.partition("=")[2]}
    null = subprocess.DEVNULL
    with subprocess.Popen(autobuild(root, "plain"), env=env, stdout=null, stderr=null) as process:
        until_said(pid, process)
        assert len(processes(mark)) > 2
        process.kill()
    until_gone(mark, within=1.0)


def until_said(path: Path, process: subprocess.Popen[bytes]) -> None:
    """Return once something is in a file."""
    while not has_said(path):
        assert process.poll() is None
        time.sleep(0.02)

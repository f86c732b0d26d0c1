"""git, as guardkit runs it: with limits, on one repository, whatever that has configured."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio
import pytest

from guardkit.errors import WorkspaceError
from guardkit.orchestrator.repository.git import LIMIT, Git, GitError, pin
from guardkit.orchestrator.repository.leftovers import known, worktrees
from guardkit.orchestrator.repository.workspace import plan_workspace
from guardkit.testing import FakeClock

from ..repositories import (
    changed_files,
    git,
    make,
    open_workspace,
    tree_of,
    until_said,
)

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("git_identity")]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(tmp_path / "project", a__py="x = 1\n")


def is_running(pid: int) -> bool:
    """Whether a process runs; a dead one that nobody has asked for may be left for a while."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


async def until_ends(pid: int) -> None:
    with anyio.fail_after(10):
        while is_running(pid):
            await anyio.lowlevel.checkpoint()


async def hang(
    work: Callable[[], Coroutine[Any, Any, object]], pid: Path, clock: FakeClock, limit: float
) -> str:
    """Return how work fails whose program hangs, when its limit has passed."""
    said = list[str]()

    async def run() -> None:
        with pytest.raises(WorkspaceError) as raised:
            await work()
        said.append(str(raised.value))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await until_said(pid)
            await clock.advance(limit - 1)
            assert not said
            await clock.advance(1)
    return said[0]


async def test_a_clean_filter_that_sleeps_for_ever_is_ended_with_git(
    root: Path, tmp_path: Path
) -> None:
    clock, pid = FakeClock(hung_after=0.1), tmp_path / "pid"
    tree = await open_workspace(root, clock=clock)
    git(root, "config", "filter.slow.clean", f"echo $$ > {pid}; exec sleep 1000")
    (tree.path / ".gitattributes").write_text("*.slow filter=slow\n")
    (tree.path / "x.slow").touch()
    said = await hang(lambda: tree_of(tree), pid, clock, LIMIT)
    assert said == f"git update-index did not end within 60 s in {tree.path}"
    await until_ends(int(pid.read_text()))


async def test_who_has_left_the_process_group_of_git_holds_nothing_up(
    root: Path, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    tree = await open_workspace(root)
    leave = f"setsid sh -c 'echo $$ >> {pid}; exec sleep 1000' > /dev/null & cat"
    git(root, "config", "filter.leaves.clean", leave)
    (tree.path / ".gitattributes").write_text("*.txt filter=leaves\n")
    (tree.path / "x.txt").write_text("x")
    with anyio.fail_after(20):
        assert (await changed_files(tree))["x.txt"] == "A"
        await until_said(pid)
    for each in pid.read_text().split():
        os.kill(int(each), 9)


async def test_a_cancelled_git_is_ended(root: Path, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    git(root, "config", "alias.hang", f"!echo $$ > {pid}; exec sleep 1000")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Git(folder=root, clock=FakeClock()).run, "hang")
        await until_said(pid)
        tasks.cancel_scope.cancel()
    await until_ends(int(pid.read_text()))


async def test_where_the_player_points_the_worktree_s_git_does_not_matter(
    root: Path, tmp_path: Path
) -> None:
    tree, ran = await open_workspace(root), tmp_path / "ran"
    evil = make(tmp_path / "evil", a__py="")
    git(evil, "config", "filter.evil.clean", f"touch {ran}; cat")
    (evil / ".git" / "info" / "attributes").write_text("* filter=evil\n")
    (tree.path / ".git").write_text(f"gitdir: {evil}/.git\n")
    assert tree.git.git_dir
    (tree.git.git_dir / "commondir").write_text(f"{evil}/.git\n")
    (tree.path / "new.py").write_text("new")
    assert await changed_files(tree) == {"new.py": "A"}
    assert not ran.exists()


async def test_what_the_player_makes_of_the_checkout_s_git_does_not_matter(
    root: Path, tmp_path: Path
) -> None:
    tree = await open_workspace(root)
    (root / ".git").rename(tmp_path / "moved")
    make(root)
    (root / ".git").rename(tmp_path / "another")
    (tmp_path / "moved").rename(root / ".git")
    assert (await tree.place.git.line("rev-parse", "HEAD")) == tree.place.base


async def test_with_a_colon_in_the_root_git_does_not_look_in_the_checkout_around_the_worktree(
    tmp_path: Path,
) -> None:
    root = make(tmp_path / "a:b", a__py="x = 1\n")
    tree = await open_workspace(root)
    shutil.rmtree(tree.path / ".git", ignore_errors=True)
    (tree.path / ".git").unlink(missing_ok=True)
    (root / "a.py").write_text("the user's own edit")
    (root / "user.py").touch()
    assert await changed_files(tree) == {}


@pytest.mark.parametrize(
    "name",
    ["a b", "it's", 'a "b"', "a\nb", "-a", "a:b", "$(x)", "a;b", "ünï", os.fsdecode(b"a\xff")],
    ids=ascii,
)
async def test_a_root_may_have_any_name(tmp_path: Path, name: str) -> None:
    root = make(tmp_path / name, a__py="x = 1\n")
    tree = await open_workspace(root)
    (tree.path / "a.py").write_text("x = 2\n")
    assert await changed_files(tree) == {"a.py": "M"}
    with pytest.raises(WorkspaceError, match="earlier run") as raised:
        await plan_workspace(root, "TASK-1", FakeClock())
    subprocess.run(["sh", "-c", str(raised.value).partition("aside: ")[2]], cwd="/", check=True)
    assert (tree.path.with_name("TASK-1.kept-1") / "a.py").read_text() == "x = 2\n"


async def test_an_embedded_bare_repository_runs_nothing(root: Path, tmp_path: Path) -> None:
    ran, bare = tmp_path / "ran", root / "docs"
    git(tmp_path, "clone", "-q", "--bare", root, bare)
    for name in ("core.fsmonitor", "core.sshCommand", "filter.evil.smudge", "filter.evil.clean"):
        git(tmp_path, "--git-dir", bare, "config", name, f"touch {ran}")
    git(tmp_path, "--git-dir", bare, "config", "core.bare", "false")
    git(tmp_path, "--git-dir", bare, "config", "core.worktree", ".")
    (bare / ".gitattributes").write_text("* filter=evil\n")
    with pytest.raises(WorkspaceError, match="bare repository"):
        await plan_workspace(bare, "TASK-1", FakeClock())
    assert not ran.exists()
    assert not (bare / ".guardkit").exists()


def give_away(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 65534, 65534)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
async def test_a_repository_of_somebody_else_is_refused_with_git_s_own_remedy(root: Path) -> None:
    give_away(root)
    with pytest.raises(WorkspaceError, match="belongs to somebody else") as raised:
        await plan_workspace(root, "TASK-1", FakeClock())
    remedy = f"git config --global --add safe.directory {root}"
    assert str(raised.value).endswith(f"if you trust it: {remedy}")
    subprocess.run(remedy.split(), check=True)
    assert (await plan_workspace(root, "TASK-1", FakeClock())).branch == "autobuild/TASK-1"


async def test_what_git_complains_of_is_told_in_one_plain_line(root: Path) -> None:
    with pytest.raises(GitError) as raised:
        await Git(folder=root, clock=FakeClock()).run("rev-parse", "--verify", "\x1b[31mno\nsuch")
    assert str(raised.value).isprintable()


async def test_a_pinned_linked_worktree_keeps_what_it_shares_with_the_others(
    root: Path, tmp_path: Path
) -> None:
    git(root, "worktree", "add", "-q", tmp_path / "linked")
    found = await pin(Git(folder=tmp_path / "linked", clock=FakeClock()))
    assert found.git_dir == root / ".git" / "worktrees" / "linked"
    assert found.common == root / ".git"


def test_git_is_not_given_a_terminal(root: Path) -> None:
    alias = "alias.tty=!tty; echo $GPG_TTY"
    program = f"""
import asyncio
from pathlib import Path
from guardkit import SystemClock
from guardkit.orchestrator.repository.git import Git
git = Git(folder=Path({str(root)!r}), clock=SystemClock(), config=({alias!r},))
try:
    print(asyncio.run(git.run("tty")))
except Exception as error:
    print(error)
"""
    env = {**os.environ, "GPG_TTY": "/dev/pts/77"}
    said = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == ["not", "a", "tty"]


async def test_a_worktree_that_is_just_being_made_by_somebody_else_is_waited_for(
    tmp_path: Path,
) -> None:
    root, clock = make(tmp_path / "project", a__py=""), FakeClock()
    git(root, "worktree", "add", "-q", tmp_path / "other")
    commondir = root / ".git" / "worktrees" / "other" / "commondir"
    whole = commondir.read_text()
    commondir.write_text("")  # as it is for an instant
    said = list[str]()

    async def list_worktrees() -> None:
        said.append(await Git(folder=root, clock=clock).run("worktree", "list"))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(list_worktrees)
            await clock.advance(0.2)
            assert not said
            commondir.write_text(whole)
            while not said:
                await clock.advance(0.1)
    assert str(tmp_path / "other") in said[0]


OLD_GIT = """#!/bin/sh
case "$*" in *"worktree list"*" -z"*) echo "error: unknown switch \\`z'" >&2; exit 129;; esac
exec {git} "$@"
"""


async def test_git_before_2_36_which_lists_worktrees_by_lines_will_do(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "bin" / "git"
    old.parent.mkdir()
    old.write_text(OLD_GIT.format(git=shutil.which("git")))
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{old.parent}{os.pathsep}{os.environ['PATH']}")
    tree = await open_workspace(root)
    assert await worktrees(tree.place.git) == [str(root), str(tree.path)]
    assert await known(tree.place.git, tree.path.parent) == ["TASK-1"]

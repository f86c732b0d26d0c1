"""Real repositories of git, and worktrees of builds in them."""

import os
import subprocess
from pathlib import Path
from tempfile import mkdtemp

import anyio
import pytest

from guardkit import Clock
from guardkit.orchestrator.repository import workspace
from guardkit.orchestrator.repository.trees import Changes, compare, write_tree
from guardkit.orchestrator.repository.workspace import Worktree, plan_workspace
from guardkit.testing import FakeClock


def git(cwd: Path, *words: str | Path) -> str:
    """Run git as a user does; return what it prints."""
    command = ["git", *map(str, words)]
    done = subprocess.run(command, cwd=cwd, check=True, capture_output=True)
    return done.stdout.decode(errors="surrogateescape")


def set_up_git(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Give git a configuration of its own, with a user."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("TMPDIR", str(home))
    git(home, "config", "--global", "user.name", "A Tester")
    git(home, "config", "--global", "user.email", "tester@example.invalid")


def make(folder: Path, **files: str) -> Path:
    """Make a repository with one commit: `a__py="x"` is the file a.py."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q", "-b", "main")
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    git(folder, "add", ".")
    git(folder, "commit", "-q", "--allow-empty", "-m", "Begin")
    return folder


async def open_workspace(
    root: Path, task_id: str = "TASK-1", clock: Clock | None = None
) -> Worktree:
    """Plan a workspace, and make it; our own index lies beside the root."""
    planned = await plan_workspace(root, task_id, clock or FakeClock())
    own = mkdtemp(prefix="index-", dir=os.environ["TMPDIR"])
    return await workspace.open_workspace(planned, Path(own, "index"))


def has_said(path: Path) -> bool:
    """Return whether something is in a file."""
    return path.exists() and bool(path.read_text())


async def until_said(path: Path) -> None:
    """Return once something is in a file."""
    while not has_said(path):
        await anyio.lowlevel.checkpoint()


async def tree_of(tree: Worktree) -> str:
    """Return the tree that a worktree is now."""
    return await write_tree(tree.git, tree.index, {})


async def changed_files(tree: Worktree) -> Changes:
    """Return what has changed in a worktree since it was made."""
    return await compare(tree.git, tree.baseline, await tree_of(tree))

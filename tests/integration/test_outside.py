"""What changes outside of a worktree: named, and some of it refused."""

import os
import subprocess
from pathlib import Path

import pytest

from guardkit.orchestrator.repository.outside import changed, observe
from guardkit.orchestrator.repository.workspace import Worktree

from ..repositories import git, make, open_workspace

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("git_identity")]


@pytest.fixture
async def tree(tmp_path: Path) -> Worktree:
    root = make(tmp_path / "project", a__py="x = 1\n", b__py="y = 1\n", __gitignore="*.log\nout/\n")
    git(root, "branch", "old")
    git(root, "tag", "v0")
    (root / "begun.py").write_text("by the user\n")
    return await open_workspace(root)


async def after(tree: Worktree, player: str) -> tuple[list[str], list[str]]:
    """Return what is named and what is refused after a command in the worktree."""
    before = await observe(tree)
    env = {**os.environ, "ROOT": str(tree.place.root)}
    subprocess.run(["sh", "-ec", player], cwd=tree.path, check=True, env=env)
    now = await observe(tree)
    return changed(before.named, now.named), changed(before.guarded, now.guarded)


async def test_where_nothing_was_changed_outside_nothing_is_told(tree: Worktree) -> None:
    player = "echo 2 > a.py; touch new.py; git add .; git commit -q -m Mine; touch more.py"
    assert await after(tree, player) == ([], [])


@pytest.mark.parametrize(
    ("player", "named"),
    [
        ("echo 2 > $ROOT/a.py", ["a.py"]),
        ("echo 2 > $ROOT/a.py; git -C $ROOT add a.py", ["a.py"]),
        ("echo 2 >> $ROOT/begun.py", ["begun.py"]),
        ("touch $ROOT/new.py", ["new.py"]),
        ("rm $ROOT/a.py", ["a.py"]),
        ("touch $ROOT/x.log", ["x.log"]),
        ("mkdir $ROOT/out; touch $ROOT/out/x $ROOT/out/y", ["out/"]),
        ("git branch -q other", ["branch other"]),
        ("git branch -q -D old", ["branch old"]),
        ("git tag v1", ["tag v1"]),
        ("git tag -d v0", ["tag v0"]),
        ("git update-ref refs/remotes/origin/main HEAD", ["refs/remotes/origin/main"]),
        ("git -C $ROOT switch -q old", ["HEAD"]),
        ("git -C $ROOT switch -q --detach", ["HEAD"]),
        ("git -C $ROOT commit -q --allow-empty -m x", ["branch main"]),
        ("git -C $ROOT update-index --assume-unchanged a.py", ["index flags of a.py"]),
        ("git -C $ROOT update-index --skip-worktree a.py", ["index flags of a.py"]),
        ("git config branch.main.remote origin", ["configuration branch.main.remote"]),
        ("git config submodule.lib.url x", ["configuration submodule.lib.url"]),
        ("git config --global core.pager x", ["configuration core.pager"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_the_user_may_have_changed_is_named_and_not_refused(
    tree: Worktree, player: str, named: list[str]
) -> None:
    found, refused = await after(tree, player)
    assert found == named
    assert refused == []


async def test_other_builds_are_not_looked_at(tree: Worktree) -> None:
    player = (
        "git update-ref refs/heads/autobuild/TASK-2 HEAD; git update-ref refs/guardkit/x/y HEAD;"
        "mkdir -p $ROOT/.guardkit/autobuild/TASK-2; touch $ROOT/.guardkit/autobuild/TASK-2/x"
    )
    assert await after(tree, player) == ([], [])


@pytest.mark.parametrize(
    ("player", "refused"),
    [
        ("git config filter.x.clean y", ["configuration filter.x.clean"]),
        ("git config submodule.lib.update '!y'", ["configuration submodule.lib.update"]),
        ("git config core.hooksPath y", ["configuration core.hookspath"]),
        ("git config --add user.name y", ["configuration user.name"]),
        ("git config url.https://token@host.insteadOf y", ["configuration url.….insteadof"]),
        ("touch $ROOT/.git/hooks/pre-push", ["hook pre-push"]),
        ("echo x >> $ROOT/.git/info/exclude", ["info/exclude"]),
        ("echo x >> $ROOT/.git/info/attributes", ["info/attributes"]),
        ("echo x >> $ROOT/.git/info/grafts", ["info/grafts"]),
        ("echo x >> $ROOT/.git/config.worktree", ["config.worktree of the checkout"]),
        ("echo gitdir: x > .git", ["the worktree's .git"]),
        ("rm .git", ["the worktree's .git"]),
        (
            "mv $PWD $PWD.away; ln -s $ROOT $PWD",
            ["the worktree's .git", "the worktree's folder"],
        ),
        ("echo x > $(git rev-parse --git-dir)/commondir", ["the worktree's commondir"]),
        ("echo x > $(git rev-parse --git-dir)/gitdir", ["the worktree's gitdir"]),
        (
            "git update-ref -d refs/heads/autobuild/TASK-1",
            ["the branch autobuild/TASK-1 was deleted"],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_would_change_what_git_says_of_the_task_is_refused(
    tree: Worktree, player: str, refused: list[str]
) -> None:
    assert (await after(tree, player))[1] == refused


async def test_a_hook_that_is_changed_to_the_same_size_and_time_is_seen(tree: Worktree) -> None:
    hook = tree.place.root / ".git" / "hooks" / "pre-push"
    hook.write_text("one")
    player = f"touch -r {hook} stamp; printf two > {hook}; touch -r stamp {hook}"
    assert await after(tree, player) == ([], ["hook pre-push"])


async def test_objects_that_others_are_to_stand_for_are_refused(tree: Worktree) -> None:
    old = git(tree.path, "rev-parse", "HEAD:a.py").strip()
    assert await after(tree, "git replace HEAD:a.py HEAD:b.py") == ([], [f"refs/replace/{old}"])


async def test_a_change_that_is_taken_back_is_none(tree: Worktree) -> None:
    player = "git config filter.x.clean y; git config --remove-section filter.x"
    assert (await after(tree, player))[1] == []


async def test_looking_writes_nothing_in_the_checkout(tree: Worktree) -> None:
    index = tree.place.root / ".git" / "index"
    before = index.stat().st_mtime_ns
    (tree.place.root / "a.py").touch()
    await observe(tree)
    assert index.stat().st_mtime_ns == before

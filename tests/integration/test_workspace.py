"""The worktree of a build, and what has changed in it: real git."""

import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from guardkit.errors import WorkspaceError
from guardkit.orchestrator.repository import workspace
from guardkit.orchestrator.repository.git import Git
from guardkit.orchestrator.repository.trees import compare, find_litter, look, of_kind, write_tree
from guardkit.orchestrator.repository.workspace import plan_workspace
from guardkit.testing import FakeClock

from ..repositories import changed_files, git, open_workspace, tree_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("git_identity")]
CLOCK = FakeClock()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "a project"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    for name in ("kept.py", "edited.py", "deleted.py", "moved.py"):
        (folder / name).write_text(f"{name}\n" * 5)
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "Begin")
    return folder


async def test_the_worktree_is_on_its_own_branch_at_head(root: Path) -> None:
    tree = await open_workspace(root, "TASK-1")
    assert tree.path == root / ".guardkit" / "worktrees" / "TASK-1"
    assert git(tree.path, "branch", "--show-current") == "autobuild/TASK-1\n"
    assert git(root, "rev-parse", "HEAD").strip() == tree.place.base
    assert (tree.path / "kept.py").exists()


async def test_git_status_shows_nothing_of_ours(root: Path) -> None:
    tree = await open_workspace(root, "TASK-1")
    assert git(root, "status", "--porcelain") == ""
    (tree.path / "new.py").touch()
    assert git(tree.path, "status", "--porcelain") == "?? new.py\n"


async def test_what_was_not_committed_is_left_out(root: Path) -> None:
    (root / "edited.py").write_text("")
    tree = await open_workspace(root, "TASK-1")
    assert (tree.path / "edited.py").read_text() != ""


async def test_a_linked_worktree_may_be_the_root(root: Path, tmp_path: Path) -> None:
    git(root, "worktree", "add", "-q", str(tmp_path / "linked"))
    tree = await open_workspace(tmp_path / "linked", "TASK-1")
    assert tree.path.is_relative_to(tmp_path / "linked")


async def test_a_folder_without_a_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"not a git repository .*; git init makes one$"):
        await open_workspace(tmp_path, "TASK-1")


async def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="gone is gone"):
        await open_workspace(tmp_path / "gone", "TASK-1")


async def test_without_git_the_error_says_so(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WorkspaceError, match="is it installed"):
        await open_workspace(root, "TASK-1")


async def test_a_repository_without_commits_is_refused(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    with pytest.raises(WorkspaceError, match="has no commit yet: commit something"):
        await open_workspace(tmp_path, "TASK-1")


async def test_a_folder_inside_a_repository_is_refused(root: Path) -> None:
    (root / "inner").mkdir()
    with pytest.raises(WorkspaceError, match="not the top folder") as raised:
        await open_workspace(root / "inner", "TASK-1")
    assert str(raised.value).endswith(f"use --root '{root}'")


@pytest.mark.parametrize("task_id", ["a..b", "a.lock", "a."])
async def test_an_id_that_is_no_branch_name_is_refused(root: Path, task_id: str) -> None:
    with pytest.raises(WorkspaceError, match="not a valid branch name"):
        await plan_workspace(root, task_id, CLOCK)


async def test_how_git_takes_paths_is_not_for_the_environment_to_say(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_LITERAL_PATHSPECS", "1")
    tree = await open_workspace(root, "TASK-1")
    (tree.path / "new.py").touch()
    assert await changed_files(tree) == {"new.py": "A"}


async def test_a_branch_named_autobuild_is_refused_before_anything_is_written(root: Path) -> None:
    git(root, "branch", "autobuild")
    with pytest.raises(WorkspaceError, match=r"rename it: git -C .* branch -m autobuild"):
        await open_workspace(root, "TASK-1")
    assert not (root / ".guardkit").exists()


@pytest.mark.parametrize("name", [".guardkit", ".guardkit/worktrees"])
async def test_a_folder_that_cannot_be_made_is_refused(root: Path, name: str) -> None:
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text("a file")
    with pytest.raises(WorkspaceError, match=f"{name} cannot be used: Not a directory: make it"):
        await open_workspace(root, "TASK-1")


@pytest.mark.parametrize("name", [".guardkit", ".guardkit/worktrees"])
async def test_a_folder_that_is_a_link_is_refused_and_nothing_written_through_it(
    root: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "elsewhere" / "TASK-1").mkdir(parents=True)
    (root / name).parent.mkdir(exist_ok=True)
    planned = await plan_workspace(root, "TASK-1", CLOCK)
    (root / name).symlink_to(tmp_path / "elsewhere")
    for make in (
        plan_workspace(root, "TASK-1", CLOCK),
        workspace.open_workspace(planned, tmp_path / "index"),
    ):
        with pytest.raises(WorkspaceError, match=f"{name} cannot be used: it is a link") as raised:
            await make
        assert "\n" not in str(raised.value)
    assert os.listdir(tmp_path / "elsewhere") == ["TASK-1"]


async def test_a_link_in_place_of_our_gitignore_is_replaced_and_not_followed(
    root: Path, tmp_path: Path
) -> None:
    ours, theirs = root / ".guardkit" / "worktrees" / ".gitignore", tmp_path / "theirs"
    theirs.write_text("precious")
    ours.parent.mkdir(parents=True)
    ours.symlink_to(theirs)
    await open_workspace(root, "TASK-1")
    assert theirs.read_text() == "precious"
    assert (ours.is_symlink(), ours.read_text()) == (False, "*\n")
    assert {*os.listdir(ours.parent)} == {".gitignore", "TASK-1"}


async def leave_all(root: Path) -> None:
    await open_workspace(root, "TASK-1")


async def leave_only_the_branch(root: Path) -> None:
    git(root, "branch", "autobuild/TASK-1")


async def leave_the_branch_of_a_deleted_folder(root: Path) -> None:
    tree = await open_workspace(root, "TASK-1")
    shutil.rmtree(tree.path)


async def leave_a_plain_folder(root: Path) -> None:
    (root / ".guardkit" / "worktrees" / "TASK-1").mkdir(parents=True)


async def leave_a_link_to_nowhere(root: Path) -> None:
    (root / ".guardkit" / "worktrees").mkdir(parents=True)
    (root / ".guardkit" / "worktrees" / "TASK-1").symlink_to("nowhere")


LEFTOVERS = [
    leave_all,
    leave_only_the_branch,
    leave_the_branch_of_a_deleted_folder,
    leave_a_plain_folder,
    leave_a_link_to_nowhere,
]


@pytest.mark.parametrize("leave", LEFTOVERS)
async def test_what_an_earlier_run_left_is_refused_and_the_commands_given_work(
    root: Path, leave: Callable[[Path], Awaitable[None]]
) -> None:
    await leave(root)
    with pytest.raises(WorkspaceError, match="earlier run") as raised:
        await open_workspace(root, "TASK-1")
    message = str(raised.value)
    assert "\n" not in message
    await anyio.run_process(message.partition("aside: ")[2], cwd="/", check=False)
    tree = await open_workspace(root, "TASK-1")
    assert await changed_files(tree) == {}


def work_in(folder: Path) -> None:
    (folder / "edited.py").write_text("new")
    (folder / "deleted.py").unlink()
    (folder / "moved.py").rename(folder / "to.py")
    (folder / 'ünï "code"\n.py').touch()
    (folder / "kept.py").unlink()
    (folder / "kept.py").symlink_to("edited.py")
    (folder / "staged.py").touch()
    git(folder, "add", "staged.py", "to.py")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").touch()


WORKED = {
    **dict.fromkeys(("to.py", 'ünï "code"\n.py', "staged.py"), "A"),
    **dict.fromkeys(("edited.py", "kept.py"), "M"),
    **dict.fromkeys(("deleted.py", "moved.py"), "D"),
}


async def test_files_are_told_as_created_modified_or_deleted(root: Path) -> None:
    tree = await open_workspace(root, "TASK-1")
    assert await changed_files(tree) == {}
    work_in(tree.path)
    assert await changed_files(tree) == WORKED


async def test_what_the_player_has_committed_counts_too(root: Path) -> None:
    tree = await open_workspace(root, "TASK-1")
    work_in(tree.path)
    git(tree.path, "add", ".")
    git(tree.path, "reset", "-q", "__pycache__")
    git(tree.path, "commit", "-q", "-m", "Work")
    assert await changed_files(tree) == WORKED


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("core.quotepath", "true"),
        ("status.renames", "true"),
        ("diff.renames", "copies"),
        ("diff.external", "false"),
        ("diff.noprefix", "true"),
        ("diff.autoRefreshIndex", "false"),
        ("diff.relative", "true"),
        ("color.ui", "always"),
        ("color.status", "always"),
        ("core.fsmonitor", "false"),
        ("status.showUntrackedFiles", "no"),
        ("status.short", "true"),
        ("status.branch", "true"),
        ("core.hooksPath", "HOOKS"),
    ],
)
async def test_what_the_user_has_configured_changes_nothing(
    root: Path, name: str, value: str, tmp_path: Path
) -> None:
    hook = tmp_path / "hooks" / "post-checkout"
    hook.parent.mkdir()
    hook.write_text("#!/bin/sh\necho noise\nexit 1\n")
    hook.chmod(0o755)
    git(root, "config", name, value.replace("HOOKS", str(hook.parent)))
    tree = await open_workspace(root, "TASK-1")
    work_in(tree.path)
    assert await changed_files(tree) == WORKED
    (root / "seen.py").touch()
    assert await look(Git(folder=root, clock=CLOCK)) == {"seen.py": "A"}


async def test_files_that_only_look_changed_are_not(root: Path) -> None:
    tree = await open_workspace(root, "TASK-1")
    os.utime(tree.path / "edited.py", (1, 1))
    assert await changed_files(tree) == {}


async def test_ignored_files_and_ours_are_not_counted(root: Path) -> None:
    tree = await open_workspace(root, "TASK-1")
    (tree.path / ".gitignore").write_text("*.log\n")
    (tree.path / "x.log").touch()
    (tree.path / ".guardkit").mkdir()
    (tree.path / ".guardkit" / "x.json").touch()
    assert await changed_files(tree) == {".gitignore": "A"}


async def test_what_tests_have_left_is_left_out_until_the_player_makes_something_of_it(
    root: Path,
) -> None:
    tree = await open_workspace(root, "TASK-1")
    (tree.path / "a.py").touch()
    before = await tree_of(tree)
    (tree.path / "left.xml").write_text("by tests")
    litter = await find_litter(tree.git, before, await tree_of(tree))
    assert await write_tree(tree.git, tree.index, litter) == before
    (tree.path / "left.xml").write_text("by the Player")
    now = await write_tree(tree.git, tree.index, litter)
    assert await compare(tree.git, tree.baseline, now) == {"a.py": "A", "left.xml": "A"}


async def test_a_worktree_whose_git_is_gone_is_still_measured_and_not_the_checkout_around_it(
    root: Path,
) -> None:
    tree = await open_workspace(root, "TASK-1")
    (root / "edited.py").write_text("by the user")
    (tree.path / ".git").unlink()
    assert await changed_files(tree) == {}


async def test_git_never_takes_a_lock_that_the_player_may_want(root: Path) -> None:
    tree = await open_workspace(root, "TASK-1")
    os.utime(tree.path / "edited.py", (1, 1))
    index = anyio.Path(git(tree.path, "rev-parse", "--git-path", "index").strip())
    before = await index.stat()
    await look(tree.git)
    assert (await index.stat()).st_mtime_ns == before.st_mtime_ns


async def test_the_loop_goes_on_while_git_runs(root: Path) -> None:
    tree, turns = await open_workspace(root, "TASK-1"), 0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(changed_files, tree)
        while tasks.cancel_scope.cancel_called is False and turns < 10:
            turns += 1
            await anyio.lowlevel.checkpoint()
    assert turns == 10


async def test_the_checkout_is_looked_at_in_the_same_way(root: Path) -> None:
    await open_workspace(root, "TASK-1")
    assert await look(Git(folder=root, clock=CLOCK)) == {}
    (root / "edited.py").write_text("x")
    (root / "new").mkdir()
    (root / "new" / "file.py").touch()
    (root / "kept.py").unlink()
    changes = await look(Git(folder=root, clock=CLOCK))
    assert changes == {"edited.py": "M", "new/file.py": "A", "kept.py": "D"}
    assert of_kind("A", changes) == ["new/file.py"]

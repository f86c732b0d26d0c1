"""The worktree of a build, what has changed in it, and test reports: real git, real pytest."""

import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from guardkit.errors import WorkspaceError
from guardkit.orchestrator import workspace
from guardkit.orchestrator.workspace import (
    MAX_REPORT_BYTES,
    Changes,
    Report,
    Workspace,
    of_kind,
    plan_workspace,
)
from guardkit.progress.folder import open_root

pytestmark = pytest.mark.anyio


async def open_workspace(root: Path, task_id: str) -> Workspace:
    """Plan a workspace, and make it."""
    planned = await plan_workspace(root, task_id)
    await workspace.open_workspace(planned)
    return planned


async def changed_files(place: Workspace, *without: str, live: bool = False) -> Changes:
    return await workspace.changed_files(place.path, place.base, without, live=live)


def read_report(folder: Path) -> Report | None:
    """Read the report `r.xml` in a folder."""
    with open_root(folder) as opened:
        return workspace.read_report(opened, "r.xml")


async def changed_checkout(root: Path) -> Changes:
    return await workspace.changed_files(root, "HEAD", live=True)


@pytest.fixture(autouse=True)
def git_identity(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path_factory.mktemp("home") / "gitconfig"))
    git(Path.cwd(), "config", "--global", "user.name", "A Tester")
    git(Path.cwd(), "config", "--global", "user.email", "tester@example.invalid")


def git(cwd: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=cwd, check=True, capture_output=True, text=True)
    return done.stdout


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
    place = await open_workspace(root, "TASK-1")
    assert place.path == root / ".guardkit" / "worktrees" / "TASK-1"
    assert git(place.path, "branch", "--show-current") == "autobuild/TASK-1\n"
    assert git(root, "rev-parse", "HEAD").strip() == place.base
    assert (place.path / "kept.py").exists()


async def test_git_status_shows_nothing_of_ours(root: Path) -> None:
    place = await open_workspace(root, "TASK-1")
    assert git(root, "status", "--porcelain") == ""
    (place.path / "new.py").touch()
    assert git(place.path, "status", "--porcelain") == "?? new.py\n"


async def test_what_was_not_committed_is_left_out(root: Path) -> None:
    (root / "edited.py").write_text("")
    place = await open_workspace(root, "TASK-1")
    assert (place.path / "edited.py").read_text() != ""


async def test_a_linked_worktree_may_be_the_root(root: Path, tmp_path: Path) -> None:
    git(root, "worktree", "add", "-q", str(tmp_path / "linked"))
    place = await open_workspace(tmp_path / "linked", "TASK-1")
    assert place.path.is_relative_to(tmp_path / "linked")


async def test_a_folder_without_a_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="not a git repository"):
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
    with pytest.raises(WorkspaceError, match="does not have any commits yet"):
        await open_workspace(tmp_path, "TASK-1")


async def test_a_folder_inside_a_repository_is_refused(root: Path) -> None:
    (root / "inner").mkdir()
    with pytest.raises(WorkspaceError, match="not the top folder") as raised:
        await open_workspace(root / "inner", "TASK-1")
    assert str(raised.value).endswith(f"use --root '{root}'")


@pytest.mark.parametrize("task_id", ["a..b", "a.lock", "a."])
async def test_an_id_that_is_no_branch_name_is_refused(root: Path, task_id: str) -> None:
    with pytest.raises(WorkspaceError, match="not a valid branch name"):
        await plan_workspace(root, task_id)


async def test_how_git_takes_paths_is_not_for_the_environment_to_say(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_LITERAL_PATHSPECS", "1")
    place = await open_workspace(root, "TASK-1")
    (place.path / "new.py").touch()
    assert await changed_files(place) == {"new.py": "A"}


async def test_a_branch_named_autobuild_is_refused_in_git_s_words(root: Path) -> None:
    git(root, "branch", "autobuild")
    with pytest.raises(WorkspaceError, match="git fails in") as raised:
        await open_workspace(root, "TASK-1")
    assert "\n" not in str(raised.value)


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
    planned = await plan_workspace(root, "TASK-1")
    (root / name).symlink_to(tmp_path / "elsewhere")
    for make in (plan_workspace(root, "TASK-1"), workspace.open_workspace(planned)):
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
    place = await open_workspace(root, "TASK-1")
    shutil.rmtree(place.path)


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
    await anyio.run_process(message.partition("then: ")[2], cwd="/", check=False)
    place = await open_workspace(root, "TASK-1")
    assert await changed_files(place) == {}


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
    place = await open_workspace(root, "TASK-1")
    assert await changed_files(place) == {}
    work_in(place.path)
    assert await changed_files(place) == WORKED


async def test_what_the_player_has_committed_counts_too(root: Path) -> None:
    place = await open_workspace(root, "TASK-1")
    work_in(place.path)
    git(place.path, "add", ".")
    git(place.path, "reset", "-q", "__pycache__")
    git(place.path, "commit", "-q", "-m", "Work")
    assert await changed_files(place) == WORKED


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
    place = await open_workspace(root, "TASK-1")
    work_in(place.path)
    assert await changed_files(place) == WORKED
    (root / "seen.py").touch()
    assert await changed_checkout(root) == {"seen.py": "A"}


async def test_files_that_only_look_changed_are_not(root: Path) -> None:
    place = await open_workspace(root, "TASK-1")
    os.utime(place.path / "edited.py", (1, 1))
    assert await changed_files(place) == {}


async def test_ignored_files_and_ours_are_not_counted(root: Path) -> None:
    place = await open_workspace(root, "TASK-1")
    (place.path / ".gitignore").write_text("*.log\n")
    (place.path / "x.log").touch()
    (place.path / ".guardkit").mkdir()
    (place.path / ".guardkit" / "x.json").touch()
    assert await changed_files(place) == {".gitignore": "A"}


async def test_some_files_may_be_left_out(root: Path) -> None:
    place = await open_workspace(root, "TASK-1")
    (place.path / "a.py").touch()
    (place.path / "b.py").touch()
    assert await changed_files(place, "a.py") == {"b.py": "A"}


async def test_a_worktree_whose_git_is_gone_is_an_error_not_the_checkout_around_it(
    root: Path,
) -> None:
    place = await open_workspace(root, "TASK-1")
    (place.path / ".git").unlink()
    with pytest.raises(WorkspaceError, match="not a git repository"):
        await changed_files(place)


async def test_git_never_takes_a_lock_that_the_player_may_want(root: Path) -> None:
    place = await open_workspace(root, "TASK-1")
    os.utime(place.path / "edited.py", (1, 1))
    index = anyio.Path(git(place.path, "rev-parse", "--git-path", "index").strip())
    before = await index.stat()
    await changed_files(place, live=True)
    assert (await index.stat()).st_mtime_ns == before.st_mtime_ns


async def test_the_loop_goes_on_while_git_runs(root: Path) -> None:
    place, turns = await open_workspace(root, "TASK-1"), 0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(changed_files, place)
        while tasks.cancel_scope.cancel_called is False and turns < 10:
            turns += 1
            await anyio.lowlevel.checkpoint()
    assert turns == 10


async def test_the_checkout_is_looked_at_in_the_same_way(root: Path) -> None:
    await open_workspace(root, "TASK-1")
    assert await changed_checkout(root) == {}
    (root / "edited.py").write_text("x")
    (root / "new").mkdir()
    (root / "new" / "file.py").touch()
    (root / "kept.py").unlink()
    changes = await changed_checkout(root)
    assert changes == {"edited.py": "M", "new/file.py": "A", "kept.py": "D"}
    assert of_kind("A", changes) == ["new/file.py"]


REPORTED = """
import pytest

def test_passes(): pass
def test_fails(): assert 1 == 2, "first\\nsecond"
def test_skipped(): pytest.skip("no")
@pytest.mark.xfail
def test_expected(): assert False
@pytest.mark.xfail
def test_unexpected(): pass
@pytest.fixture
def breaks() -> None:
    yield
    raise OSError("teardown")
def test_torn(breaks): pass
@pytest.fixture
def broken(): raise OSError("set-up")
def test_never_run(broken): pass
@pytest.mark.parametrize("x", [1, 2])
def test_many(x): pass
def test_fails_and_is_torn(breaks): assert False, "body"
"""


def test_pytest_s_report_is_counted_by_unique_test_and_worst_outcome(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(REPORTED)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["--junitxml=r.xml", "-c", os.devnull, "--rootdir", str(tmp_path)]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    report = read_report(tmp_path)
    assert report is not None
    assert (report.passed, len(report.failures)) == (4, 4)
    failures = dict(failure.split(": ", 1) for failure in report.failures)
    assert failures["test_it::test_fails"] == "AssertionError: first"
    assert "teardown" in failures["test_it::test_torn"]
    assert "set-up" in failures["test_it::test_never_run"]
    assert "body" in failures["test_it::test_fails_and_is_torn"]


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        pytest.param("<testsuite><testcase name='a'/></testsuite>", 1, id="one suite"),
        pytest.param("<testsuites/>", 0, id="no tests"),
        pytest.param("<html/>", 0, id="something else"),
        pytest.param(
            "<testsuites><testsuite><testcase name='a'/></testsuite>"
            "<testsuite><testcase name='a'/><testcase/></testsuite></testsuites>",
            2,
            id="twice the same, and one without a name",
        ),
        pytest.param(
            "<testsuite><testcase name='a'><system-out>x</system-out></testcase></testsuite>",
            1,
            id="with output",
        ),
    ],
)
def test_reports_of_other_tools_are_counted(tmp_path: Path, text: str, passed: int) -> None:
    (tmp_path / "r.xml").write_text(text)
    assert read_report(tmp_path) == Report(passed=passed, failures=[])


def test_a_failure_without_a_message_shows_its_text(tmp_path: Path) -> None:
    text = "<testsuite><testcase name='a'><failure>\n\x09one\ntwo</failure></testcase></testsuite>"
    (tmp_path / "r.xml").write_text(text)
    assert read_report(tmp_path) == Report(passed=0, failures=["a: one"])


ENTITIES = """<!DOCTYPE x [<!ENTITY a "b">]><testsuite><testcase name="&a;"/></testsuite>"""


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(None, id="none"),
        pytest.param("", id="empty"),
        pytest.param("<testsuite><testcase", id="cut off"),
        pytest.param(ENTITIES, id="entities"),
        pytest.param("<?xml version='1.0' encoding='no-such'?><testsuite/>", id="encoding"),
        pytest.param("<testsuite>" + " " * MAX_REPORT_BYTES + "</testsuite>", id="huge"),
    ],
)
def test_a_report_that_cannot_be_trusted_is_unknown(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "r.xml").write_text(text)
    assert read_report(tmp_path) is None


def test_a_report_that_is_no_file_is_unknown(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "r.xml")
    assert read_report(tmp_path) is None


def test_a_report_that_is_a_link_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "other.xml").write_text("<testsuite><testcase name='a'/></testsuite>")
    (tmp_path / "r.xml").symlink_to("other.xml")
    assert read_report(tmp_path) is None

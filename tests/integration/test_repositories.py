"""Kinds of repositories that builds work in: each is a real one."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import anyio
import pytest

from guardkit.errors import WorkspaceError
from guardkit.orchestrator.autobuild import AutoBuildOrchestrator
from guardkit.orchestrator.loop import BuildResult
from guardkit.orchestrator.repository import workspace
from guardkit.orchestrator.repository.apart import find_apart
from guardkit.orchestrator.repository.commits import LIMIT_SIGNING, Commit, commit, unfit
from guardkit.orchestrator.repository.kept import find_kept, forget, keep
from guardkit.orchestrator.repository.submodules import told
from guardkit.orchestrator.repository.workspace import Worktree, plan_workspace
from guardkit.testing import FakeClock, MemorySink

from ..repositories import (
    changed_files,
    git,
    make,
    open_workspace,
    tree_of,
    until_said,
)

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("git_identity")]
BRANCH = "autobuild/TASK-1"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(tmp_path / "project", a__py="x = 1\n", b__py="y = 1\n")


async def approve(tree: Worktree) -> Commit:
    """Commit what is in a worktree now."""
    return await commit(tree, await tree_of(tree), "TASK-1: Do it\n")


def shown(root: Path, commit: str = BRANCH) -> list[str]:
    """Return what a commit has changed, as git tells it."""
    return git(root, "show", "-m", "--format=", "--name-status", "--no-renames", commit).split(
        "\n"
    )[:-1]


async def apart(tree: Worktree) -> list[str]:
    return await find_apart(tree.git, tree.index, tree.inner)


# Filters and attributes


def unnormalised(root: Path) -> None:
    """Have a fresh checkout look modified: CRLF, where attributes want LF."""
    (root / "crlf.txt").write_bytes(b"one\r\ntwo\r\n")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "CRLF")
    (root / ".gitattributes").write_text("*.txt text eol=lf\n")
    git(root, "add", ".gitattributes")
    git(root, "commit", "-q", "-m", "Attributes")


async def test_a_file_that_looks_modified_in_any_fresh_checkout_is_not_the_player_s_work(
    root: Path,
) -> None:
    unnormalised(root)
    tree = await open_workspace(root)
    assert await changed_files(tree) == {}
    os.utime(tree.path / "crlf.txt", (1, 1))
    assert await changed_files(tree) == {}
    (tree.path / "a.py").write_text("x = 2\n")
    assert await changed_files(tree) == {"a.py": "M"}


async def test_what_looks_modified_in_any_fresh_checkout_is_not_committed(root: Path) -> None:
    unnormalised(root)
    tree = await open_workspace(root)
    (tree.path / "a.py").write_text("x = 2\n")
    await approve(tree)
    assert shown(root) == ["M\ta.py"]


async def test_a_file_that_looks_modified_is_committed_once_the_player_has_changed_it(
    root: Path,
) -> None:
    unnormalised(root)
    tree = await open_workspace(root)
    (tree.path / "crlf.txt").write_bytes(b"one\ntwo\nthree\n")
    assert await changed_files(tree) == {"crlf.txt": "M"}
    await approve(tree)
    assert shown(root) == ["M\tcrlf.txt"]


async def test_where_only_the_way_to_a_fresh_checkout_differs_nothing_is_committed(
    root: Path,
) -> None:
    unnormalised(root)
    tree = await open_workspace(root)
    assert (await approve(tree)).name == tree.place.base


async def test_what_a_filter_makes_of_a_file_is_measured_as_git_keeps_it(root: Path) -> None:
    git(root, "config", "filter.rot.clean", "tr a-z b-za")
    git(root, "config", "filter.rot.smudge", "tr b-za a-z")
    (root / ".gitattributes").write_text("*.rot filter=rot\n")
    (root / "x.rot").write_text("hello\n")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "Filter")
    tree = await open_workspace(root)
    assert (tree.path / "x.rot").read_text() == "hello\n"
    assert await changed_files(tree) == {}
    (tree.path / "x.rot").write_text("world\n")
    await approve(tree)
    assert git(root, "show", f"{BRANCH}:x.rot") == "xpsme\n"


@pytest.mark.skipif(not shutil.which("git-lfs"), reason="git-lfs is not installed")
async def test_what_lfs_keeps_is_checked_out_and_committed_as_a_pointer(root: Path) -> None:
    git(root, "lfs", "install", "--local")
    git(root, "lfs", "track", "*.bin")
    (root / "x.bin").write_bytes(b"hello\n")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "Large")
    assert git(root, "show", "HEAD:x.bin").startswith("version https://git-lfs.github.com/spec/v1")
    tree = await open_workspace(root)
    assert (tree.path / "x.bin").read_bytes() == b"hello\n"
    assert await changed_files(tree) == {}
    (tree.path / "x.bin").write_bytes(b"world\n")
    assert await changed_files(tree) == {"x.bin": "M"}
    await approve(tree)
    pointer = git(root, "show", f"{BRANCH}:x.bin")
    assert pointer.startswith("version https://git-lfs.github.com/spec/v1")
    git(root, "merge", "-q", BRANCH)
    assert (root / "x.bin").read_bytes() == b"world\n"


@pytest.mark.parametrize("kind", ["smudge", "process", "hangs"])
async def test_of_a_worktree_whose_required_filter_does_not_work_nothing_is_left(
    root: Path, tmp_path: Path, kind: str
) -> None:
    (root / ".gitattributes").write_text("*.bin filter=lfs\n")
    (root / "x.bin").touch()
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "LFS")
    pid = tmp_path / "pid"
    command = f"echo $$ > {pid}; exec sleep 1000" if kind == "hangs" else "no-such-lfs x"
    git(root, "config", f"filter.lfs.{'smudge' if kind == 'hangs' else kind}", command)
    git(root, "config", "filter.lfs.required", "true")
    refs, worktrees = git(root, "for-each-ref"), git(root, "worktree", "list")
    clock = FakeClock(hung_after=0.1)
    reasons = {
        "smudge": "no-such-lfs.*not found: x.bin: smudge filter lfs failed$",
        "process": "no-such-lfs.*not found",
        "hangs": "git worktree did not end within 600 s",
    }
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(advance_once_there, pid, clock, 600)
        with pytest.raises(WorkspaceError, match=reasons[kind]):
            await open_workspace(root, clock=clock)
        tasks.cancel_scope.cancel()
    assert git(root, "for-each-ref") == refs
    assert git(root, "worktree", "list") == worktrees
    assert os.listdir(root / ".guardkit" / "worktrees") == [".gitignore"]
    assert not await anyio.Path(root, ".git", "worktrees", "TASK-1").exists()


async def advance_once_there(path: Path, clock: FakeClock, seconds: float) -> None:
    await until_said(path)
    await clock.advance(seconds)


async def test_a_build_that_is_cancelled_in_its_setup_leaves_nothing(
    root: Path, tmp_path: Path
) -> None:
    (root / ".gitattributes").write_text("*.bin filter=slow\n")
    (root / "x.bin").touch()
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "Slow")
    pid = tmp_path / "pid"
    git(root, "config", "filter.slow.smudge", f"echo $$ > {pid}; exec sleep 1000")
    refs = git(root, "for-each-ref")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(open_workspace, root)
        await until_said(pid)
        tasks.cancel_scope.cancel()
    assert git(root, "for-each-ref") == refs
    assert os.listdir(root / ".guardkit" / "worktrees") == [".gitignore"]


async def test_a_branch_that_somebody_makes_meanwhile_is_not_deleted(root: Path) -> None:
    planned = await plan_workspace(root, "TASK-1", FakeClock())
    git(root, "branch", BRANCH)
    with pytest.raises(WorkspaceError):
        await workspace.open_workspace(planned, root.with_name("index"))
    assert BRANCH in git(root, "branch", "--list", BRANCH)


# Submodules


@pytest.fixture
def project(root: Path, tmp_path: Path) -> Path:
    """A project with a submodule, which has one too."""
    inner = make(tmp_path / "inner", deep__py="")
    lib = make(tmp_path / "lib", lib__py="v = 1\n")
    allow = ("-c", "protocol.file.allow=always")
    git(lib, *allow, "submodule", "--quiet", "add", inner, "inner")
    git(lib, "commit", "-q", "-m", "Inner")
    git(root, *allow, "submodule", "--quiet", "add", "--name", "a name", lib, "sub lib")
    git(root, *allow, "submodule", "--quiet", "update", "--init", "--recursive")
    git(root, "commit", "-q", "-m", "Lib")
    for gone in (lib, inner):  # so that nothing can be fetched
        shutil.rmtree(gone)
    return root


async def test_submodules_are_checked_out_from_what_the_checkout_has(project: Path) -> None:
    config = (project / ".git" / "config").read_bytes()
    tree = await open_workspace(project)
    assert (tree.path / "sub lib" / "lib.py").read_text() == "v = 1\n"
    assert (tree.path / "sub lib" / "inner" / "deep.py").is_file()
    assert tree.missing == []
    assert await changed_files(tree) == {}
    assert git(tree.path, "status", "--porcelain") == ""
    assert (project / ".git" / "config").read_bytes() == config
    of_project = git(project / "sub lib", "remote", "get-url", "origin")
    assert git(tree.path / "sub lib", "remote", "get-url", "origin") == of_project


async def test_a_submodule_that_the_checkout_does_not_have_is_named(project: Path) -> None:
    shutil.rmtree(project / ".git" / "modules")
    tree = await open_workspace(project)
    assert tree.missing == ["sub lib"]
    assert told(tree.missing).startswith(", without submodule sub lib (`git submodule update")
    assert await changed_files(tree) == {}


async def test_a_commit_of_a_submodule_that_is_not_here_is_named(project: Path) -> None:
    git(project / "sub lib", "commit", "-q", "--allow-empty", "-m", "Newer")
    git(project, "commit", "-q", "-a", "-m", "Newer")
    shutil.rmtree(project / ".git" / "modules" / "a name" / "modules")
    assert (await open_workspace(project)).missing == ["sub lib/inner"]


async def test_what_a_player_changes_in_a_submodule_is_named_as_no_part_of_the_branch(
    project: Path,
) -> None:
    tree = await open_workspace(project)
    assert await apart(tree) == []
    (tree.path / "sub lib" / "lib.py").write_text("v = 2\n")
    (tree.path / "sub lib" / "new.py").touch()
    assert await changed_files(tree) == {}
    assert await apart(tree) == ["sub lib/lib.py", "sub lib/new.py"]


async def test_a_worktree_with_submodules_is_moved_aside_whole(project: Path) -> None:
    tree = await open_workspace(project)
    (tree.path / "sub lib" / "lib.py").write_text("v = 2\n")
    with pytest.raises(WorkspaceError) as raised:
        await open_workspace(project)
    commands = str(raised.value).partition("aside: ")[2]
    subprocess.run(["sh", "-ec", commands], cwd="/", check=True)
    aside = tree.path.with_name("TASK-1.kept-1")
    assert git(aside / "sub lib", "status", "--porcelain") == " M lib.py\n"
    assert (await open_workspace(project)).missing == []


# Bare, sparse


async def test_a_bare_clone_is_refused_and_the_worktree_beside_it_works(
    root: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "project.git"
    git(tmp_path, "clone", "-q", "--bare", root, bare)
    git(bare, "worktree", "add", "-q", tmp_path / "a tree", "main")
    with pytest.raises(WorkspaceError, match="bare repository") as raised:
        await open_workspace(bare)
    assert str(raised.value).endswith(f"use --root '{tmp_path}/a tree'")
    assert not (bare / ".guardkit").exists()
    tree = await open_workspace(tmp_path / "a tree")
    (tree.path / "a.py").write_text("x = 2\n")
    assert await changed_files(tree) == {"a.py": "M"}
    await approve(tree)
    assert shown(bare) == ["M\ta.py"]


async def test_a_folder_that_holds_a_bare_clone_and_its_worktrees_is_refused(
    root: Path, tmp_path: Path
) -> None:
    around = tmp_path / "around"
    git(tmp_path, "clone", "-q", "--bare", root, around / ".bare")
    (around / ".git").write_text("gitdir: ./.bare\n")
    git(around, "worktree", "add", "-q", around / "main", "main")
    with pytest.raises(WorkspaceError, match=f"use --root {around}/main$"):
        await open_workspace(around)
    assert sorted(os.listdir(around)) == [".bare", ".git", "main"]


async def test_a_bare_repository_without_worktrees_says_to_make_one(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "x.git")
    with pytest.raises(WorkspaceError, match="make a worktree of it first"):
        await open_workspace(tmp_path / "x.git")


@pytest.mark.parametrize("index", ["--no-sparse-index", "--sparse-index"])
async def test_files_that_are_not_checked_out_are_not_deleted_by_the_commit(
    root: Path, index: str
) -> None:
    for folder in ("in", "out"):
        (root / folder).mkdir()
        (root / folder / "x.py").touch()
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "Folders")
    git(root, "sparse-checkout", "set", "--cone", index, "in")
    tree = await open_workspace(root)
    assert not (tree.path / "out").exists()
    assert await changed_files(tree) == {}
    (tree.path / "in" / "x.py").write_text("x = 2\n")
    await approve(tree)
    assert shown(root) == ["M\tin/x.py"]
    assert git(tree.path, "status", "--porcelain") == ""


async def test_a_file_written_where_nothing_is_checked_out_is_the_player_s_work(
    root: Path,
) -> None:
    (root / "out").mkdir()
    (root / "out" / "x.py").touch()
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "Folder")
    git(root, "config", "sparse.expectFilesOutsideOfPatterns", "true")
    git(root, "sparse-checkout", "set", "--cone")
    tree = await open_workspace(root)
    (tree.path / "out").mkdir()
    (tree.path / "out" / "x.py").write_text("x = 2\n")
    assert await changed_files(tree) == {"out/x.py": "M"}


# Signing, and who commits


def sign_with(root: Path, program: str, home: Path) -> Path:
    """Have commits signed with a key of ssh; return the file of those who may sign."""
    key = home / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    signers = home / "signers"
    signers.write_text(f"tester@example.invalid {key.with_suffix('.pub').read_text()}")
    for name, value in [
        ("commit.gpgsign", "true"),
        ("gpg.format", "ssh"),
        ("gpg.ssh.program", program),
        ("gpg.ssh.allowedSignersFile", str(signers)),
        ("user.signingkey", str(key)),
    ]:
        git(root, "config", name, value)
    return signers


needs_ssh = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="needs ssh-keygen")


@needs_ssh
async def test_a_commit_is_signed_where_that_is_configured(root: Path, tmp_path: Path) -> None:
    sign_with(root, "ssh-keygen", tmp_path)
    tree = await open_workspace(root)
    (tree.path / "new.py").touch()
    assert (await approve(tree)).remarks == ()
    assert git(root, "log", "-1", "--format=%G?", BRANCH) == "G\n"


@pytest.mark.skipif(not shutil.which("gpg"), reason="needs gpg")
async def test_a_commit_is_signed_by_gpg(
    root: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path_factory.mktemp("g")
    home.chmod(0o700)
    monkeypatch.setenv("GNUPGHOME", str(home))
    make_key = ("--quick-gen-key", "A Tester <tester@example.invalid>", "ed25519")
    gpg = ["gpg", "--batch", "-q", "--passphrase", "", "--pinentry-mode", "loopback"]
    subprocess.run([*gpg, *make_key], check=True, capture_output=True)
    git(root, "config", "commit.gpgsign", "true")
    tree = await open_workspace(root)
    (tree.path / "new.py").touch()
    try:
        assert (await approve(tree)).remarks == ()
        assert git(root, "log", "-1", "--format=%G?", BRANCH) in {"G\n", "U\n"}
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], check=True)


@needs_ssh
async def test_a_commit_that_cannot_be_signed_is_made_unsigned_and_that_is_told(
    root: Path, tmp_path: Path
) -> None:
    sign_with(root, "false", tmp_path)
    tree = await open_workspace(root)
    (tree.path / "new.py").touch()
    [remark] = (await approve(tree)).remarks
    assert remark.startswith("unsigned, as signing failed: git fails in")
    assert git(root, "log", "-1", "--format=%G?", BRANCH) == "N\n"
    assert shown(root) == ["A\tnew.py"]


@needs_ssh
async def test_a_program_that_signs_for_ever_costs_thirty_seconds(
    root: Path, tmp_path: Path
) -> None:
    pid, program = tmp_path / "pid", tmp_path / "sign"
    program.write_text(f"#!/bin/sh\necho $$ > {pid}\nexec sleep 1000\n")
    program.chmod(0o755)
    sign_with(root, str(program), tmp_path)
    clock, made = FakeClock(hung_after=0.1), list[Commit]()
    tree = await open_workspace(root, clock=clock)
    (tree.path / "new.py").touch()

    async def run() -> None:
        made.append(await approve(tree))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await advance_once_there(pid, clock, LIMIT_SIGNING)
    said = f"unsigned, as signing failed: git commit-tree did not end within 30 s in {tree.path}"
    assert made[0].remarks == (said,)
    assert shown(root) == ["A\tnew.py"]


async def test_without_a_user_the_commit_is_guardkit_s_and_that_is_told(root: Path) -> None:
    git(root, "config", "--global", "--unset", "user.name")
    git(root, "config", "--global", "--unset", "user.email")
    git(root, "config", "--global", "user.useConfigOnly", "true")
    tree = await open_workspace(root)
    (tree.path / "new.py").touch()
    assert (await approve(tree)).remarks == (
        "by guardkit, as git knows no user.name and user.email",
    )
    assert git(root, "log", "-1", "--format=%an <%ae>", BRANCH) == "guardkit <guardkit@localhost>\n"


async def test_no_hook_of_the_repository_runs(root: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    for name in ("post-checkout", "pre-commit", "post-commit", "reference-transaction"):
        hook = root / ".git" / "hooks" / name
        hook.write_text(f"#!/bin/sh\ntouch {ran}\nexit 1\n")
        hook.chmod(0o755)
    tree = await open_workspace(root)
    (tree.path / "new.py").touch()
    await approve(tree)
    assert not ran.exists()


# Names, and kinds of files


NAMES = ["a b", 'a"b', "a'b", "a\nb", "-a", "--", "a:b", ":(glob)x", "a\\b", "*", "ünï", "\x1b[31m"]


async def test_files_may_have_any_name(root: Path) -> None:
    for name in NAMES:
        (root / name).write_text("old")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "Names")
    tree = await open_workspace(root)
    for name in NAMES:
        (tree.path / name).write_text("new")
        (tree.path / f"{name}.new").touch()
    expected = {**dict.fromkeys(NAMES, "M"), **{f"{name}.new": "A" for name in NAMES}}
    assert await changed_files(tree) == expected
    await approve(tree)
    assert git(tree.path, "status", "--porcelain") == ""


async def test_a_name_that_is_no_utf_8_is_committed_and_shown(root: Path) -> None:
    tree = await open_workspace(root)
    (tree.path / os.fsdecode(b"a\xff")).touch()
    assert await changed_files(tree) == {"a\N{REPLACEMENT CHARACTER}": "A"}
    await approve(tree)
    assert git(root, "ls-tree", "-z", "--name-only", BRANCH, "--", os.fsdecode(b"a\xff"))


@pytest.mark.parametrize(
    ("player", "expected"),
    [
        ("rm a.py; mkdir a.py; echo 1 > a.py/x", {"a.py": "D", "a.py/x": "A"}),
        ("rm -r d; echo 1 > d", {"d": "A", "d/x": "D"}),
        ("rm a.py; ln -s b.py a.py", {"a.py": "M"}),
        ("rm -r d; ln -s nowhere d", {"d": "A", "d/x": "D"}),
        ("mv d e; echo 2 > e/x; ln -s e d", {"d": "A", "d/x": "D", "e/x": "A"}),
        ("mv d e; ln -s e d", {"d": "A", "d/x": "D", "e/x": "A"}),
        ("rm a.py; mkfifo a.py", {"a.py": "D"}),
        ("chmod +x a.py", {"a.py": "M"}),
        ("rm a.py; mkdir a.py; git init -q a.py", {"a.py": "D"}),
        ("git init -q d; echo 2 > d/x; echo > d/y", {"d/x": "M", "d/y": "A"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_file_may_become_something_else(
    root: Path, player: str, expected: dict[str, str]
) -> None:
    (root / "d").mkdir()
    (root / "d" / "x").write_text("1\n")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "Folder")
    tree = await open_workspace(root)
    subprocess.run(player, shell=True, cwd=tree.path, check=True)  # noqa: S602
    assert await changed_files(tree) == expected
    await approve(tree)
    letters = {path: letter for letter, _, path in (line.partition("\t") for line in shown(root))}
    assert {path: letter.replace("T", "M") for path, letter in letters.items()} == expected


# What is no part of the branch


@pytest.mark.parametrize("commits", ["", "; git add .; git commit -q -m x"], ids=["none", "one"])
async def test_the_files_of_a_repository_that_the_player_makes_inside_are_named(
    root: Path, commits: str
) -> None:
    tree = await open_workspace(root)
    player = f"git init -q 'in side'; cd 'in side'; mkdir d; touch d/x.py y.py{commits}"
    subprocess.run(player, shell=True, cwd=tree.path, check=True)  # noqa: S602
    assert await changed_files(tree) == {}
    assert await apart(tree) == ["in side/d/x.py", "in side/y.py"]


async def test_ignored_files_are_named_apart_and_whole_folders_as_such(root: Path) -> None:
    (root / ".gitignore").write_text("__pycache__/\n")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "Ignore")
    tree = await open_workspace(root)
    (tree.path / ".gitignore").write_text("*\n")
    (tree.path / "hidden.py").touch()
    for folder in ("build", "__pycache__"):
        (tree.path / folder).mkdir()
        (tree.path / folder / "x").touch()
    assert await changed_files(tree) == {".gitignore": "M"}
    assert await apart(tree) == ["build/", "hidden.py"]


@pytest.mark.parametrize("flag", ["--skip-worktree", "--assume-unchanged"])
async def test_no_flag_of_the_index_hides_a_change(root: Path, flag: str) -> None:
    tree = await open_workspace(root)
    git(tree.path, "update-index", flag, "a.py")
    (tree.path / "a.py").write_text("x = 2\n")
    assert await changed_files(tree) == {"a.py": "M"}


async def test_a_file_that_is_given_its_old_size_and_time_is_seen(root: Path) -> None:
    git(root, "config", "core.trustctime", "false")
    git(root, "config", "core.checkStat", "minimal")
    tree = await open_workspace(root)
    before = (tree.path / "a.py").stat()
    (tree.path / "a.py").write_text("x = 2\n")
    os.utime(tree.path / "a.py", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert await changed_files(tree) == {"a.py": "M"}


async def test_our_index_is_as_old_as_that_of_git_so_that_no_change_of_its_second_is_missed(
    root: Path,
) -> None:
    tree = await open_workspace(root)
    await tree_of(tree)
    assert tree.git.git_dir
    paths = (tree.git.git_dir / "index", tree.index, tree.index.with_name("index.now"))
    times = {path.stat().st_mtime_ns for path in paths}
    assert len(times) == 1


async def test_no_replacement_of_objects_hides_a_change(root: Path) -> None:
    tree = await open_workspace(root)
    (tree.path / "a.py").write_text("x = 2\n")
    new = git(tree.path, "hash-object", "-w", "a.py").strip()
    old = git(tree.path, "rev-parse", "HEAD:a.py").strip()
    git(tree.path, "replace", new, old)
    git(tree.path, "replace", await tree_of(tree), tree.baseline)
    assert await changed_files(tree) == {"a.py": "M"}
    await approve(tree)
    assert git(root, "--no-replace-objects", "show", f"{BRANCH}:a.py") == "x = 2\n"


# The branch


async def test_commits_of_the_player_stay(root: Path) -> None:
    tree = await open_workspace(root)
    (tree.path / "new.py").touch()
    git(tree.path, "add", ".")
    git(tree.path, "commit", "-q", "-m", "Mine")
    tip = git(root, "rev-parse", BRANCH).strip()
    assert (await approve(tree)).name == tip
    (tree.path / "more.py").touch()
    await approve(tree)
    assert git(root, "log", "--format=%s", BRANCH) == "TASK-1: Do it\nMine\nBegin\n"


async def test_what_a_player_has_added_though_it_is_ignored_is_part_of_its_work(
    root: Path,
) -> None:
    tree = await open_workspace(root)
    player = "echo '*.log' > .gitignore; touch x.log y.log; git add -f x.log"
    subprocess.run(["sh", "-ec", f"{player}; git commit -q -m Log"], cwd=tree.path, check=True)
    assert await changed_files(tree) == {".gitignore": "A", "x.log": "A"}
    await approve(tree)
    assert git(root, "ls-tree", "--name-only", BRANCH).split() == [
        ".gitignore",
        "a.py",
        "b.py",
        "x.log",
    ]
    assert await apart(tree) == ["y.log"]


async def test_a_broken_index_of_the_player_does_not_matter(root: Path) -> None:
    tree = await open_workspace(root)
    assert tree.git.git_dir
    (tree.git.git_dir / "index").write_text("broken")
    (tree.path / "new.py").touch()
    assert await changed_files(tree) == {"new.py": "A"}
    await approve(tree)
    assert shown(root) == ["A\tnew.py"]


OTHER = "git checkout -q --orphan other; git commit -q -m other"


@pytest.mark.parametrize(
    ("player", "why"),
    [
        (f"{OTHER}; git branch -f {BRANCH} other", "no longer descends from"),
        (f"{OTHER}; git update-ref -d refs/heads/{BRANCH}", "was deleted"),
        (f"git symbolic-ref refs/heads/{BRANCH} refs/heads/main", "made to stand for another"),
    ],
    ids=["reset", "deleted", "symbolic"],
)
async def test_a_branch_that_the_player_has_made_another_is_not_written(
    root: Path, player: str, why: str
) -> None:
    tree = await open_workspace(root)
    assert await unfit(tree) == ""
    subprocess.run(player, shell=True, cwd=tree.path, check=True)  # noqa: S602
    (tree.path / "new.py").touch()
    refs = git(root, "for-each-ref")
    assert why in await unfit(tree)
    with pytest.raises(WorkspaceError, match=f"{why}.*nothing was committed, the work is in"):
        await approve(tree)
    assert git(root, "for-each-ref") == refs


async def test_a_branch_that_the_worktree_has_left_is_written_and_the_other_is_not(
    root: Path,
) -> None:
    tree = await open_workspace(root)
    git(tree.path, "switch", "-q", "-c", "other")
    (tree.path / "new.py").touch()
    git(tree.path, "add", ".")
    git(tree.path, "commit", "-q", "-m", "Elsewhere")
    other = git(root, "rev-parse", "other")
    await approve(tree)
    assert git(root, "log", "--format=%s", BRANCH) == "TASK-1: Do it\nBegin\n"
    assert git(root, "rev-parse", "other") == other
    assert git(tree.path, "status", "--porcelain") == ""


async def test_a_merge_takes_what_was_approved(root: Path) -> None:
    tree = await open_workspace(root)
    (tree.path / "new.py").touch()
    await approve(tree)
    git(root, "merge", "-q", BRANCH)
    assert (root / "new.py").is_file()


async def test_where_the_player_points_the_worktree_the_branch_of_the_checkout_is_written(
    root: Path, tmp_path: Path
) -> None:
    evil = tmp_path / "evil"
    git(tmp_path, "clone", "-q", root, evil)
    tree = await open_workspace(root)
    git(evil, "branch", "-q", BRANCH)
    assert tree.git.git_dir
    (tree.git.git_dir / "commondir").write_text(f"{evil}/.git\n")
    (tree.path / "new.py").touch()
    await keep(tree.git, "TASK-1", "turn-1", await tree_of(tree))
    await approve(tree)
    assert git(root, "log", "--format=%s", BRANCH) == "TASK-1: Do it\nBegin\n"
    assert git(evil, "log", "--format=%s", BRANCH) == "Begin\n"
    assert git(evil, "for-each-ref", "refs/guardkit") == ""


# Whole builds


async def built(root: Path, player: str) -> tuple[BuildResult, list[str]]:
    """Build TASK-1; return how that ended, and all messages."""
    (root / "tasks").mkdir(exist_ok=True)
    (root / "tasks" / "TASK-1.md").write_text("---\nid: TASK-1\ntitle: Do it\n---\n")
    test = "echo '<testsuite><testcase name=\"a\"/></testsuite>' > {junit}"
    sink = MemorySink(transitions=True)
    builder = AutoBuildOrchestrator(root, player=player, test=test, sinks=[sink], max_turns=1)
    return await builder.run("TASK-1"), [snapshot.message or "" for snapshot in sink.snapshots]


async def test_a_build_tells_of_submodules_that_are_not_there(project: Path) -> None:
    shutil.rmtree(project / ".git" / "modules")
    _, messages = await built(project, "touch new.py")
    assert any("without submodule sub lib (`git submodule update --init" in m for m in messages)


async def test_a_build_tells_what_its_branch_does_not_hold(root: Path) -> None:
    player = "touch new.py; echo '*.log' > .gitignore; touch x.log; git init -q in; touch in/y"
    result, _ = await built(root, player)
    assert result.commit.endswith(" on autobuild/TASK-1, not in it: in/y, x.log")


@pytest.mark.parametrize("name", ["a:b", os.fsdecode(b"a\xff"), "a\nb"], ids=ascii)
async def test_a_build_works_below_a_root_of_any_name(tmp_path: Path, name: str) -> None:
    root = make(tmp_path / name, a__py="x = 1\n")
    result, _ = await built(root, "touch new.py")
    assert (result.decision, shown(root)) == ("approved", ["A\tnew.py"])


async def test_a_change_that_is_only_staged_is_told_as_uncommitted(root: Path) -> None:
    (root / "a.py").write_text("x = 2\n")
    git(root, "add", "a.py")
    (root / "b.py").touch()
    _, messages = await built(root, "touch new.py")
    assert any(m.endswith("without 2 uncommitted changes") for m in messages)  # and the task


async def test_a_user_who_works_on_does_not_keep_a_build_from_being_approved(root: Path) -> None:
    user = f"cd {root}; echo 2 > a.py; git commit -q -a -m Mine; git branch -q mine; git tag v1"
    build_2 = "git update-ref refs/heads/autobuild/TASK-2 HEAD"
    result, _ = await built(root, f"touch new.py; {user}; {build_2}")
    assert result.decision == "approved"
    told = "changed outside the worktree: branch main, branch mine, tag v1"
    assert result.summary == f"1 test passing; {told}"


# What is kept


async def test_the_baseline_and_the_tree_of_each_turn_are_kept(root: Path) -> None:
    tree = await open_workspace(root)
    (tree.path / "new.py").touch()
    content = await tree_of(tree)
    await keep(tree.git, "TASK-1", "turn-1", content)
    git(root, "gc", "-q", "--prune=now")
    kept = git(root, "for-each-ref", "--format=%(refname) %(objectname)", "refs/guardkit")
    assert kept.splitlines() == [
        f"refs/guardkit/TASK-1/base {tree.place.base}",
        f"refs/guardkit/TASK-1/baseline {tree.baseline}",
        f"refs/guardkit/TASK-1/turn-1 {content}",
    ]


async def test_the_trees_of_all_earlier_runs_are_kept_apart(root: Path) -> None:
    earlier = list[str]()
    for number in (1, 2, 3):
        tree = await open_workspace(root)
        (tree.path / "new.py").write_text(f"run {number}")
        content = await tree_of(tree)
        await keep(tree.git, "TASK-1", "turn-2", content)
        git(root, "worktree", "remove", "--force", tree.path)
        git(root, "branch", "-q", "-D", BRANCH)
        kept = f"refs/guardkit/TASK-1/earlier/{number}"
        earlier += [f"{kept}/base {tree.place.base}", f"{kept}/baseline {tree.baseline}"]
        earlier.append(f"{kept}/turn-2 {content}")
    again = await open_workspace(root)
    found = git(root, "for-each-ref", "--format=%(refname) %(objectname)", "refs/guardkit")
    assert found.splitlines() == [
        f"refs/guardkit/TASK-1/base {again.place.base}",
        f"refs/guardkit/TASK-1/baseline {again.baseline}",
        *earlier,
    ]


async def test_what_is_kept_is_not_written_or_deleted_through_a_ref_that_stands_for_another(
    root: Path,
) -> None:
    tree = await open_workspace(root)
    content, main = await tree_of(tree), git(root, "rev-parse", "main")
    git(root, "tag", "v1")
    for name, other in (("turn-1", "refs/tags/v1"), ("turn-2", "refs/heads/main")):
        git(root, "symbolic-ref", f"refs/guardkit/TASK-1/{name}", other)
    await keep(tree.git, "TASK-1", "turn-1", content)
    await forget(tree.git, "TASK-1", await find_kept(tree.git, "TASK-1"))
    assert git(root, "rev-parse", "main") == git(root, "rev-parse", "v1") == main
    assert git(root, "for-each-ref", "refs/guardkit") == ""


async def test_the_remedy_for_an_earlier_run_deletes_nothing(root: Path) -> None:
    tree = await open_workspace(root)
    (tree.path / "a.py").write_text("uncommitted")
    (tree.path / "new.py").write_text("untracked")
    git(tree.path, "commit", "-q", "--allow-empty", "-m", "Nowhere else")
    tip = git(root, "rev-parse", BRANCH)
    with pytest.raises(WorkspaceError) as raised:
        await open_workspace(root)
    commands = str(raised.value).partition("aside: ")[2]
    assert not {"rm", "-D", "-d", "--force", "-f"} & {*shlex.split(commands)}
    subprocess.run(commands, shell=True, check=True, cwd="/")  # noqa: S602
    aside = tree.path.with_name("TASK-1.kept-1")
    assert (aside / "new.py").read_text() == "untracked"
    assert git(aside, "branch", "--show-current") == f"{BRANCH}.kept-1\n"
    assert git(aside, "status", "--porcelain") == " M a.py\n?? new.py\n"
    assert git(root, "rev-parse", f"{BRANCH}.kept-1") == tip
    await open_workspace(root)

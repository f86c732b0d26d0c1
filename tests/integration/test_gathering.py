from pathlib import Path

import pytest

from guardkit import SystemClock
from guardkit.errors import WorkspaceError
from guardkit.orchestrator.features.gathering import ConflictError, check_version, gather, merge
from guardkit.orchestrator.repository.git import Git

from ..repositories import git, make

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("git_identity")]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(tmp_path / "project", a__txt="a\n")


@pytest.fixture
def ours(root: Path) -> Git:
    return Git(folder=root, clock=SystemClock())


def commit(root: Path, branch: str, **files: str) -> str:
    """Make a commit on a new branch from main; return it."""
    git(root, "switch", "-q", "-c", branch, "main")
    for name, text in files.items():
        (root / name.replace("__", ".")).write_text(text)
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", branch)
    git(root, "switch", "-q", "main")
    return git(root, "rev-parse", branch).strip()


async def test_what_one_holds_already_is_no_merge(root: Path, ours: Git) -> None:
    base = git(root, "rev-parse", "main").strip()
    one = commit(root, "one", b__txt="b\n")
    assert (await merge(ours, one, base, "x")).commit == one
    assert (await merge(ours, base, one, "x")).commit == one
    assert await gather(ours, base, {"T1": one}) == one


async def test_several_are_merged_and_nothing_else_is_touched(root: Path, ours: Git) -> None:
    base = git(root, "rev-parse", "main").strip()
    tips = {f"T{n}": commit(root, f"t{n}", **{f"t{n}__txt": "x\n"}) for n in (1, 2, 3)}
    before = git(root, "for-each-ref"), git(root, "status", "--porcelain")
    found = await gather(ours, base, tips)
    assert git(root, "ls-tree", "--name-only", found).split() == [
        "a.txt",
        "t1.txt",
        "t2.txt",
        "t3.txt",
    ]
    assert git(root, "log", "--merges", "--format=%s", found).splitlines() == [
        "Merge T3 with T1, T2",
        "Merge T2 with T1",
    ]
    assert (git(root, "for-each-ref"), git(root, "status", "--porcelain")) == before


async def test_a_conflict_names_its_files_whatever_they_are_called(root: Path, ours: Git) -> None:
    base = git(root, "rev-parse", "main").strip()
    odd = "a b\té.txt"
    tips = {f"T{n}": commit(root, f"t{n}", **{odd: f"{n}\n", "a.txt": f"{n}\n"}) for n in (1, 2)}
    merged = await merge(ours, tips["T1"], tips["T2"], "x")
    assert (merged.commit, sorted(merged.conflicts)) == ("", [odd, "a.txt"])
    with pytest.raises(ConflictError, match=r"^T2 conflicts with T1 in "):
        await gather(ours, base, tips)


async def test_a_git_that_cannot_merge_so_is_told(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "git").write_text("#!/bin/sh\necho git version 2.34.1\n")
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    with pytest.raises(WorkspaceError, match=r"^git 2\.34\.1 is too old for a feature, which need"):
        await check_version(Git(folder=root, clock=SystemClock()))

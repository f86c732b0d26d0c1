import os
from pathlib import Path

import pytest

from guardkit.progress.roots import find_checkout, find_root

Told = list[str]


def found(start: Path) -> tuple[str, Told]:
    """Return the root that is found, and what was said of marks that are passed over."""
    told: Told = []
    return find_root(str(start), told.append), told


def folder(path: Path, *marks: str) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for mark in marks:
        (path / mark).mkdir()
    return path


@pytest.mark.parametrize("mark", [".guardkit", ".git"])
def test_the_root_is_the_nearest_marked_folder_upwards(tmp_path: Path, mark: str) -> None:
    folder(tmp_path, ".git")
    project = folder(tmp_path / "project", mark)
    assert found(folder(project / "src" / "deep")) == (str(project), [])
    assert found(project) == (str(project), [])


def test_a_file_is_a_mark_too_as_in_a_worktree_of_the_users(tmp_path: Path) -> None:
    project = folder(tmp_path / "project")
    (project / ".git").write_text("gitdir: elsewhere\n")
    assert found(folder(project / "src")) == (str(project), [])


def test_without_a_marked_folder_the_root_is_where_we_are() -> None:
    assert found(Path("/proc/self")) == ("/proc/self", [])


@pytest.mark.parametrize("inner", ["", "src/deep"])
@pytest.mark.parametrize("marks", [(".git",), (".git", ".guardkit"), ()], ids=str)
def test_inside_a_worktree_of_ours_it_is_the_checkout(
    tmp_path: Path, inner: str, marks: tuple[str, ...]
) -> None:
    checkout = folder(tmp_path / "project", ".git")
    worktree = folder(checkout / ".guardkit" / "worktrees" / "TASK-1", *marks)
    assert found(folder(worktree / inner)) == (str(checkout), [])


@pytest.mark.parametrize("mark", [".git", ".guardkit"])
def test_a_repository_inside_a_worktree_of_ours_is_of_the_checkout_too(
    tmp_path: Path, mark: str
) -> None:
    worktree = folder(tmp_path / ".guardkit" / "worktrees" / "TASK-1", ".git")
    assert found(folder(worktree / "vendor", mark)) == (str(tmp_path), [])


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")


def shared(tmp_path: Path, *, start: int, **marks: int) -> tuple[Path, Path]:
    """Return a folder with marks, and one in it, which belong to users of these numbers."""
    top = folder(tmp_path / "shared", *(f".{mark}" for mark in marks))
    inner = folder(top / "mine")
    os.chown(inner, start, start)
    for mark, owner in marks.items():
        os.chown(top / f".{mark}", owner, owner)
    return top, inner


@needs_root
@pytest.mark.parametrize("mark", ["guardkit", "git"])
def test_a_mark_of_another_owner_is_passed_over_with_one_line(tmp_path: Path, mark: str) -> None:
    folder(tmp_path, ".git")
    top, start = shared(tmp_path, start=1234, **{mark: 4321})
    root, [line] = found(start)
    assert root == str(tmp_path)
    assert line == f"{top}/.{mark} belongs to user 4321 and is passed over; --root {top} takes it"


@needs_root
def test_two_marks_of_another_owner_in_a_folder_give_one_line(tmp_path: Path) -> None:
    _, start = shared(tmp_path, start=1234, guardkit=4321, git=4321)
    assert len(found(start)[1]) == 1


@needs_root
@pytest.mark.parametrize("owner", [0, 1234], ids=["root's", "of the owner of where we are"])
def test_a_mark_of_an_owner_that_is_trusted_counts(tmp_path: Path, owner: int) -> None:
    top, start = shared(tmp_path, start=1234, guardkit=owner)
    assert found(start) == (str(top), [])


@needs_root
def test_one_mark_that_is_trusted_makes_a_root(tmp_path: Path) -> None:
    top, start = shared(tmp_path, start=1234, guardkit=4321, git=1234)
    assert found(start) == (str(top), [])


# git worktrees


def worktree(path: Path, link: str) -> str:
    """Make a folder whose `.git` is a file, as in a worktree; return it as a root."""
    (folder(path) / ".git").write_text(link)
    return str(path)


@pytest.mark.parametrize(
    "link",
    [
        pytest.param("gitdir: {main}/.git/worktrees/x\n", id="as git writes it"),
        pytest.param("gitdir: ../main/.git/worktrees/x\n", id="relative"),
        pytest.param("gitdir: {main}/../main/.git/worktrees/x", id="not in its shortest form"),
    ],
)
def test_a_git_worktree_has_a_checkout(tmp_path: Path, link: str) -> None:
    main = folder(tmp_path / "main", ".git")
    assert find_checkout(worktree(tmp_path / "tree", link.format(main=main))) == str(main)


@pytest.mark.parametrize(
    "link",
    [
        pytest.param("", id="nothing"),
        pytest.param("gitdir: ../main/.git/modules/x\n", id="a submodule"),
        pytest.param("gitdir: ../main.git/worktrees/x\n", id="of a bare repository"),
        pytest.param("gitdir: /gone/.git/worktrees/x\n", id="gone"),
        pytest.param("gitdir: /\0/.git/worktrees/x\n", id="a null byte"),
        pytest.param("gitdir: " + "x" * 10_000, id="without end"),
    ],
)
def test_what_is_no_worktree_of_a_checkout_is_its_own(tmp_path: Path, link: str) -> None:
    folder(tmp_path / "main", ".git")
    tree = worktree(tmp_path / "tree", link)
    assert find_checkout(tree) == tree


def test_a_checkout_and_a_folder_without_git_are_their_own(tmp_path: Path) -> None:
    checkout = str(folder(tmp_path / "main", ".git"))
    assert find_checkout(checkout) == checkout
    assert find_checkout("/proc/self") == "/proc/self"


def test_a_pipe_in_place_of_git_holds_nothing_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".git")
    assert find_checkout(str(tmp_path)) == str(tmp_path)


@needs_root
def test_a_checkout_of_another_owner_is_passed_over(tmp_path: Path) -> None:
    top, _ = shared(tmp_path, start=1234, git=4321)
    os.chown(top, 1234, 1234)
    tree = worktree(tmp_path / "tree", f"gitdir: {top}/.git/worktrees/x\n")
    assert find_checkout(tree) == tree

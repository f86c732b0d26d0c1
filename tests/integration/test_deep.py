"""Folders that are so deep that only a hostile Player makes them."""

import os
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from guardkit.orchestrator.repository.apart import find_apart
from guardkit.orchestrator.repository.drop import drop, find_left
from guardkit.orchestrator.repository.folders import delete
from guardkit.orchestrator.repository.workspace import Worktree
from guardkit.progress.folder import open_root
from guardkit.testing import FakeClock

from ..repositories import changed_files, git, make, open_workspace

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("git_identity")]

FILES, DEPTH = 2000, 800


@pytest.fixture
async def tree(tmp_path: Path) -> AsyncGenerator[Worktree]:
    """Make a worktree; in the end all is removed, for which pytest recurses too deeply."""
    yield await open_workspace(make(tmp_path / "project", a__py="x = 1\n"))
    with open_root(tmp_path) as folder:
        delete("project", folder.fd)


def dig(folder: Path, depth: int, *, name: str = "d", files: int = 1) -> str:
    """Make an inner repository with files at the bottom; return where they are."""
    folder.mkdir()
    git(folder, "init", "-q")
    fd = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=fd)
        above, fd = fd, os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(above)
    for number in range(files):
        os.close(os.open(f"f{number}", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    return f"{folder.name}/{f'{name}/' * depth}"


async def find(tree: Worktree) -> list[str]:
    return await find_apart(tree.git, tree.index, tree.inner)


async def test_files_in_a_repository_of_any_depth_are_named(tree: Worktree) -> None:
    at = dig(tree.path / "inner", 1500)
    assert await find(tree) == [f"{at}f0"]
    assert await changed_files(tree) == {}


async def test_a_folder_that_is_too_deep_for_a_path_is_named_as_such(tree: Worktree) -> None:
    dig(tree.path / "inner", 1500, name="deeper")
    [named] = await find(tree)
    assert named.startswith("inner/deeper/deeper/")
    assert named.endswith("/deeper/")
    assert len(f"{tree.path}/{named}") >= os.pathconf("/", "PC_PATH_MAX") - len("deeper/")


async def test_the_time_to_look_through_files_hardly_grows_with_their_depth(
    tree: Worktree,
) -> None:
    async def measure(name: str) -> float:
        times = list[float]()
        for _ in range(7):
            begin = time.process_time()
            assert len(await find(tree)) == FILES
            times.append(time.process_time() - begin)
        (tree.path / name).rename(tree.path.with_name(name))
        return min(times)

    dig(tree.path / "shallow", 0, files=FILES)
    for number in range(DEPTH):
        (tree.path / "shallow" / str(number)).mkdir()
    shallow = await measure("shallow")
    dig(tree.path / "deep", DEPTH, files=FILES)
    deep = await measure("deep")
    print(f"{deep / shallow:.1f} times as long")
    assert deep < 4 * shallow


@pytest.mark.parametrize("name", ["d", "deeper"])
async def test_a_worktree_of_any_depth_is_removed(tree: Worktree, name: str) -> None:
    dig(tree.path / "inner", 1500, name=name)
    left = await find_left(tree.place.root, "TASK-1", FakeClock())
    assert left.work == ["repositories of their own: inner"]
    await drop(left)
    assert os.listdir(tree.path.parent) == [".gitignore"]
    assert "TASK-1" not in git(tree.place.root, "worktree", "list")

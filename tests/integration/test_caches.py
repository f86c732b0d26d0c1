"""What is cached of a worktree, and removed before its tests."""

from pathlib import Path

import pytest

from guardkit.orchestrator.proof.caches import clear_caches

from ..chaos.mounts import tmpfs
from ..repositories import make, open_workspace

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("git_identity")]


async def test_what_is_behind_a_link_stays(tmp_path: Path) -> None:
    tree = await open_workspace(make(tmp_path / "project", a__py=""))
    behind = tmp_path / "behind" / "__pycache__"
    behind.mkdir(parents=True)
    (behind / "a.pyc").touch()
    (tree.path / "__pycache__").symlink_to(behind)
    (tree.path / "linked").symlink_to(behind.parent)
    assert await clear_caches(tree.git, tree.index, {}) == []
    assert not (tree.path / "__pycache__").is_symlink()
    assert (behind / "a.pyc").exists()


async def test_what_cannot_be_removed_is_named(tmp_path: Path) -> None:
    tree = await open_workspace(make(tmp_path / "project", a__py=""))
    cache = tree.path / "lib" / "__pycache__"
    cache.mkdir(parents=True)
    with tmpfs(cache):
        assert await clear_caches(tree.git, tree.index, {}) == ["lib/__pycache__"]


async def test_of_a_folder_for_all_caches_only_what_is_of_the_worktree_goes(tmp_path: Path) -> None:
    tree = await open_workspace(make(tmp_path / "project", a__py=""))
    prefix = tmp_path / "caches"
    own = prefix.joinpath(*tree.path.parts[1:], "a.pyc")
    other = prefix / "usr" / "b.pyc"
    for each in (own, other):
        each.parent.mkdir(parents=True)
        each.touch()
    assert await clear_caches(tree.git, tree.index, {"PYTHONPYCACHEPREFIX": str(prefix)}) == []
    assert (own.exists(), other.exists()) == (False, True)

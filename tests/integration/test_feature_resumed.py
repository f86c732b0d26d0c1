"""Features that go on after they were ended, failed or killed."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio
import pytest

from guardkit import read_progress
from guardkit.orchestrator.autobuild import AutoBuildOrchestrator
from guardkit.orchestrator.features.course import FeatureResult
from guardkit.orchestrator.features.feature import FeatureOrchestrator

from ..features import PASSING, WRITES, make_feature
from ..repositories import git, until_said

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("git_identity")]

WAVES = [["T1", "T2"], ["T3"]]
NEEDS = {"T3": ["T1", "T2"]}

Run = Callable[..., Coroutine[Any, Any, FeatureResult]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_feature(tmp_path / "project", WAVES, NEEDS)


@pytest.fixture
def run(root: Path, tmp_path: Path) -> Run:
    """Run the feature; the Player of a task says that it was there before it does anything."""

    async def run(
        player: str = WRITES,
        *,
        test: str = PASSING,
        resume: bool = False,
        max_turns: int = 5,
        **options: Any,
    ) -> FeatureResult:
        said = f'echo "$GUARDKIT_TASK_ID $GUARDKIT_TURN" >> {tmp_path}/said; {player}'
        builder = AutoBuildOrchestrator(
            root, player=said, test=test, resume=resume, max_turns=max_turns
        )
        with anyio.fail_after(90):
            return await FeatureOrchestrator(builder, **options).run("FEAT-1")

    return run


@pytest.fixture
def said(tmp_path: Path) -> Callable[[], list[str]]:
    """Return which Players have begun which turn since the last time, in order of their names."""

    def said() -> list[str]:
        path = tmp_path / "said"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return sorted(lines)

    return said


def files(root: Path, branch: str) -> set[str]:
    listed = git(root, "ls-tree", "--name-only", branch).split()
    return {name.removesuffix(".txt") for name in listed if name.endswith(".txt")}


def fails(task_id: str) -> str:
    return f'test "$GUARDKIT_TASK_ID" != {task_id} || exit 1; {WRITES}'


def reverted(root: Path) -> None:
    """Have the feature's file as it was: what it told of an earlier run is forgotten."""
    git(root, "checkout", "-q", "--", ".guardkit/features")


@pytest.mark.parametrize("is_told", [True, False], ids=["by the file", "by the files of progress"])
async def test_what_is_completed_is_not_built_again(
    root: Path, run: Run, said: Callable[[], list[str]], *, is_told: bool
) -> None:
    await run(fails("T2"), max_turns=1)
    assert said() == ["T1 1", "T2 1"]
    if not is_told:
        reverted(root)
    result = await run(resume=True, retry_failed=True)
    assert said() == ["T2 1", "T3 1"]
    assert result.status == "completed"
    assert files(root, "autobuild/FEAT-1") == {"T1", "T2", "T3"}
    feature = read_progress("FEAT-1", root=root)
    assert feature.tasks
    assert (feature.tasks.total, feature.tasks.completed) == (3, 3)
    assert "status: pending" not in (root / ".guardkit/features/FEAT-1.yaml").read_text()


async def test_what_has_failed_is_not_built_again_unless_that_is_wanted(
    run: Run, said: Callable[[], list[str]], root: Path
) -> None:
    await run(fails("T2"), max_turns=1)
    said()
    result = await run(resume=True)
    assert said() == []
    assert [each.ending for each in result.results] == ["completed", "failed", "not started"]
    assert result.results[1].why.startswith("not approved in 1 turn")
    feature = read_progress("FEAT-1", root=root)
    assert feature.tasks
    assert (feature.tasks.completed, feature.tasks.failed, feature.tasks.pending) == (1, 1, 1)


async def test_what_has_failed_is_moved_aside_when_it_is_built_again(run: Run, root: Path) -> None:
    await run("echo mine > T2.txt; exit 1", max_turns=1)
    result = await run(resume=True, retry_failed=True)
    assert result.status == "completed"
    kept = root / ".guardkit" / "worktrees" / "T2.kept-1"
    assert (kept / "T2.txt").read_text() == "mine\n"
    assert git(kept, "branch", "--show-current") == "autobuild/T2.kept-1\n"


async def test_a_feature_that_was_ended_goes_on_where_it_was(
    run: Run, said: Callable[[], list[str]], root: Path, tmp_path: Path
) -> None:
    player = f'if test "$GUARDKIT_TASK_ID" = T2; then echo half > T2.txt; echo > {tmp_path}/there; '
    player += f"sleep 600; fi; {WRITES}"
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(run, player)
            await until_said(tmp_path / "there")
            while read_progress("T1", root=root).status == "running":
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
    assert read_progress("FEAT-1", root=root).status == "cancelled"
    assert read_progress("FEAT-1", root=root).decision == "cancelled"
    assert read_progress("T2", root=root).status == "cancelled"
    said()
    result = await run(f"test -e half.txt || cp T2.txt half.txt; {WRITES}", resume=True)
    assert said() == ["T2 1", "T3 1"]
    assert result.status == "completed"
    assert git(root, "show", "autobuild/FEAT-1:half.txt") == "half\n"


async def test_a_task_goes_on_after_its_last_complete_turn(
    run: Run, said: Callable[[], list[str]], root: Path, tmp_path: Path
) -> None:
    failing = "<testsuite><testcase name='t'><failure message='no'/></testcase></testsuite>"
    test = f'if test -e enough; then {PASSING}; else echo "{failing}" > {{junit}}; fi'
    player = f'test "$GUARDKIT_TURN" = 1 || {{ echo > {tmp_path}/there; sleep 600; }}; touch it'
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: run(player, test=test))
            await until_said(tmp_path / "there")
            group.cancel_scope.cancel()
    said()
    result = await run(f"{WRITES}; touch enough", test=test, resume=True, max_parallel=1)
    assert result.status == "completed", result.summary
    turns = said()
    assert "T1 2" in turns or "T2 2" in turns
    assert "T3 1" in turns


async def test_a_resumed_feature_begins_where_the_earlier_one_has(run: Run, root: Path) -> None:
    await run(fails("T2"), max_turns=1)
    git(root, "commit", "-q", "--allow-empty", "-m", "Later")
    base = git(root, "rev-parse", "main~").strip()
    result = await run(resume=True, retry_failed=True)
    assert result.place.base == base
    assert git(root, "merge-base", "main", "autobuild/FEAT-1").strip() == base


async def test_what_was_half_made_is_moved_aside(run: Run, root: Path) -> None:
    git(root, "branch", "autobuild/T1")
    git(root, "branch", "autobuild/FEAT-1")
    (root / ".guardkit" / "worktrees" / "T2").mkdir(parents=True)
    (root / ".guardkit" / "worktrees" / "T2" / "mine").write_text("mine")
    result = await run(resume=True)
    assert result.status == "completed"
    assert (root / ".guardkit" / "worktrees" / "T2.kept-1" / "mine").exists()
    branches = git(root, "branch", "--list", "--format=%(refname:short)").split()
    assert {"autobuild/T1.kept-1", "autobuild/FEAT-1.kept-1"} <= {*branches}


async def test_a_feature_without_an_earlier_run_just_begins(run: Run) -> None:
    assert (await run(resume=True)).status == "completed"


async def test_a_whole_feature_that_goes_on_builds_nothing(
    run: Run, said: Callable[[], list[str]], root: Path
) -> None:
    first = await run()
    said()
    second = await run(resume=True)
    assert (said(), second.status, second.tip) == ([], "completed", first.tip)
    assert git(root, "rev-parse", "autobuild/FEAT-1").strip() == first.tip
    feature = read_progress("FEAT-1", root=root)
    assert feature.tasks
    assert (feature.tasks.total, feature.tasks.completed) == (3, 3)


async def test_what_the_user_has_changed_in_the_feature_s_worktree_is_not_lost(
    run: Run, root: Path
) -> None:
    await run(fails("T2"), max_turns=1)
    mine = root / ".guardkit" / "worktrees" / "FEAT-1" / "T2.txt"
    mine.write_text("mine")
    result = await run(resume=True, retry_failed=True)
    assert mine.read_text() == "mine"
    assert "T2.txt" in result.summary
    assert result.status == "failed"

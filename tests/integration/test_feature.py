"""Whole features: real repositories, real Players, tasks side by side."""

import json
from collections.abc import Callable, Coroutine
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest

from guardkit import Snapshot, read_events, read_progress, track_build
from guardkit.errors import (
    BuildAlreadyRunningError,
    InvalidFeatureError,
    MisuseError,
    TaskNotFoundError,
    WorkspaceError,
)
from guardkit.orchestrator.autobuild import AutoBuildOrchestrator
from guardkit.orchestrator.budgets import Budgets
from guardkit.orchestrator.features.course import FeatureResult
from guardkit.orchestrator.features.feature import FeatureOrchestrator

from ..features import PASSING, WRITES, make_feature, write_feature
from ..repositories import git

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("git_identity")]

WAVES = [["T1", "T2"], ["T3", "T4"], ["T5"]]
NEEDS = {"T3": ["T1"], "T4": ["T1", "T2"], "T5": ["T3", "T4"]}
OF_BUILDER = {"player", "test", "max_turns", "budgets", "resume", "sinks"}
# In the tasks of one wave: say that one is there, and wait for the other.
MEET = 'touch "$MEET/$GUARDKIT_TASK_ID"; until test -e "$MEET/{}"; do sleep 0.01; done'

Run = Callable[..., Coroutine[Any, Any, FeatureResult]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_feature(tmp_path / "project", WAVES, NEEDS, old__txt="old\n")


def orchestrator(root: Path, **options: Any) -> FeatureOrchestrator:
    options = {"player": WRITES, "test": PASSING, **options}
    own = {name: value for name, value in options.items() if name in OF_BUILDER}
    rest = {name: value for name, value in options.items() if name not in OF_BUILDER}
    return FeatureOrchestrator(AutoBuildOrchestrator(root, **own), **rest)


@pytest.fixture
def run(root: Path) -> Run:
    async def run(feature_id: str = "FEAT-1", **options: Any) -> FeatureResult:
        with anyio.fail_after(90):
            return await orchestrator(root, **options).run(feature_id)

    return run


def for_each(commands: dict[str, str], otherwise: str = WRITES) -> str:
    """Return a Player that does for each task what is said."""
    cases = "".join(f"{each}) {command};; " for each, command in commands.items())
    return f'case "$GUARDKIT_TASK_ID" in {cases}*) {otherwise};; esac'


def endings(result: FeatureResult) -> dict[str, str]:
    return {each.task_id: each.ending for each in result.results}


def statuses(root: Path, feature_id: str = "FEAT-1") -> list[str]:
    text = (root / ".guardkit" / "features" / f"{feature_id}.yaml").read_text()
    return [line.split()[1] for line in text.splitlines() if line.strip().startswith("status:")]


def files(root: Path, branch: str) -> set[str]:
    listed = git(root, "ls-tree", "--name-only", branch).split()
    return {name.removesuffix(".txt") for name in listed if name.endswith(".txt")} - {"old"}


def documents(root: Path) -> dict[str, Snapshot]:
    folders = (root / ".guardkit" / "autobuild").iterdir()
    names = [folder.name for folder in folders if (folder / "progress.json").is_file()]
    return {name: read_progress(name, root=root) for name in names}


def assert_counts_are_those_of_the_tasks(root: Path) -> None:
    found = documents(root)
    feature = found.pop("FEAT-1")
    assert feature.tasks is not None
    for status in ("completed", "failed", "cancelled", "running"):
        number = sum(each.status == status for each in found.values())
        assert getattr(feature.tasks, status) == number, status
    for name in ("files_created", "files_modified", "tests_passed", "tests_total"):
        total = sum(getattr(each.metrics, name) for each in found.values())
        assert getattr(feature.metrics, name) == total, name


def assert_no_worktree_is_damaged(root: Path) -> None:
    for folder in (root / ".guardkit" / "worktrees").iterdir():
        if folder.is_dir():
            assert git(folder, "fsck", "--no-dangling") == ""
            assert git(folder, "branch", "--show-current") == f"autobuild/{folder.name}\n"
    assert git(root, "log", "--format=%s", "main") == "Begin\n"


async def test_a_feature_is_built_wave_by_wave_into_one_branch(root: Path, run: Run) -> None:
    result = await run(max_parallel=2)
    assert (result.status, set(endings(result).values())) == ("completed", {"completed"})
    assert result.summary == "5 tasks completed, 1 test passing"
    assert files(root, "autobuild/FEAT-1") == {"T1", "T2", "T3", "T4", "T5"}
    assert git(result.place.path, "status", "--porcelain") == ""
    assert files(result.place.path, "HEAD") == files(root, result.tip)
    assert statuses(root) == ["completed"] * 6
    assert git(root, "diff", "--stat", "main").splitlines()[-1] == (
        " 1 file changed, 6 insertions(+), 6 deletions(-)"
    )
    feature = read_progress("FEAT-1", root=root)
    assert (feature.status, feature.decision, feature.message) == (
        "completed",
        "approved",
        "5 tasks completed, 1 test passing",
    )
    assert (feature.wave, feature.wave_total, feature.turn_max) == (3, 3, 1)
    assert_counts_are_those_of_the_tasks(root)
    assert_no_worktree_is_damaged(root)


async def test_a_task_begins_on_what_it_depends_on_and_no_more(root: Path, run: Run) -> None:
    await run()
    assert files(root, "autobuild/T3") == {"T1", "T3"}
    assert files(root, "autobuild/T4") == {"T1", "T2", "T4"}
    assert files(root, "autobuild/T5") == {"T1", "T2", "T3", "T4", "T5"}


async def test_the_files_of_the_tasks_tell_whose_they_are(root: Path, run: Run) -> None:
    await run()
    found = documents(root)
    run_id = found["FEAT-1"].tracker.run_id
    for task_id in ("T1", "T4", "T5"):
        task = found[task_id]
        assert (task.build_id, task.build_type, task.tracker.parent_run) == (
            "FEAT-1",
            "feature",
            run_id,
        )
        assert (task.task_name, task.wave_total) == (f"Do {task_id}", 3)
    assert [found[each].wave for each in ("T1", "T3", "T5")] == [1, 2, 3]


async def test_the_journal_of_a_feature_has_its_waves(root: Path, run: Run) -> None:
    await run()
    events = [(each.event, each.progress.wave) for each in read_events("FEAT-1", root=root)]
    waves = [each for each in events if each[0].startswith("wave.")]
    assert waves == [
        (name, number) for number in (1, 2, 3) for name in ("wave.started", "wave.ended")
    ]


async def test_the_tasks_of_a_wave_are_built_at_the_same_time(
    root: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "meet").mkdir()
    monkeypatch.setenv("MEET", str(tmp_path / "meet"))
    others = {"T1": "T2", "T2": "T1", "T3": "T4", "T4": "T3"}
    player = for_each({each: f"{MEET.format(other)}; {WRITES}" for each, other in others.items()})
    result = await run(player=player, max_parallel=2)
    assert result.status == "completed"
    spans = dict[str, tuple[str, str]]()
    for task_id in others:
        at = {
            (each.event, each.progress.phase): each.at for each in read_events(task_id, root=root)
        }
        name = "Player Implementation"
        spans[task_id] = at["phase.started", name], at["phase.ended", name]
    for one, other in (("T1", "T2"), ("T3", "T4")):
        assert max(spans[one][0], spans[other][0]) < min(spans[one][1], spans[other][1])


async def test_no_more_tasks_than_wanted_are_built_at_once(root: Path, run: Run) -> None:
    await run(max_parallel=1)
    spans = []
    for task_id in ("T1", "T2"):
        events = read_events(task_id, root=root)
        spans.append((events[0].at, events[-1].at))
    for before, after in pairwise(sorted(spans)):
        assert before[1] <= after[0]


async def test_what_does_not_depend_on_a_failed_task_goes_on(root: Path, run: Run) -> None:
    result = await run(player=for_each({"T2": "exit 1"}), max_turns=1)
    assert result.status == "failed"
    assert endings(result) == {
        "T1": "completed",
        "T2": "failed",
        "T3": "completed",
        "T4": "not started",
        "T5": "not started",
    }
    assert result.results[3].why == "T2 has failed"
    assert result.summary.startswith("T2 has failed: not approved in 1 turn: the Player exited")
    assert files(root, "autobuild/FEAT-1") == {"T1", "T3"}
    feature = read_progress("FEAT-1", root=root)
    assert (feature.status, feature.decision) == ("failed", "not_approved")
    assert feature.error
    assert feature.error.startswith("T2 has failed: ")
    assert feature.tasks
    assert (feature.tasks.total, feature.tasks.pending) == (5, 2)
    assert statuses(root) == ["failed", "completed", "failed", "completed", "pending", "pending"]
    assert_counts_are_those_of_the_tasks(root)
    assert_no_worktree_is_damaged(root)


async def test_nothing_starts_after_a_failure_where_that_is_wanted(root: Path, run: Run) -> None:
    result = await run(
        player=for_each({"T1": "exit 1"}), max_turns=1, max_parallel=1, stop_on_failure=True
    )
    assert list(endings(result).values()) == ["failed", *["not started"] * 4]
    assert {each.why for each in result.results[1:2]} == {
        "T1 has failed, and --stop-on-failure is given"
    }
    assert (result.proof, read_progress("FEAT-1", root=root).wave) == (None, 1)
    assert "autobuild/T2" not in git(root, "branch", "--list")


async def test_a_player_that_hangs_fails_when_its_time_is_up(root: Path, run: Run) -> None:
    result = await run(
        player=for_each({"T2": "sleep 600"}), max_turns=1, budgets=Budgets(player=3.0)
    )
    assert endings(result)["T2"] == "failed"
    assert "did not finish within 3 s" in result.results[1].why
    assert files(root, "autobuild/FEAT-1") == {"T1", "T3"}
    assert_counts_are_those_of_the_tasks(root)


async def test_tasks_that_a_third_one_needs_and_that_conflict_fail_it(root: Path, run: Run) -> None:
    edit = "echo $GUARDKIT_TASK_ID > old.txt"
    result = await run(player=for_each({"T1": edit, "T2": edit}))
    assert endings(result) == {
        "T1": "completed",
        "T2": "completed",
        "T3": "completed",
        "T4": "failed",
        "T5": "not started",
    }
    assert result.results[3].why == "T2 conflicts with T1 in old.txt"
    failed = read_progress("T4", root=root)
    assert (failed.status, failed.error) == ("failed", "T2 conflicts with T1 in old.txt")
    assert result.left_out == {"T2": "it conflicts with those before it in old.txt"}
    assert git(root, "show", "autobuild/FEAT-1:old.txt") == "T1\n"
    assert files(root, "autobuild/FEAT-1") == {"T3"}
    assert_counts_are_those_of_the_tasks(root)
    assert_no_worktree_is_damaged(root)


async def test_of_two_tasks_that_conflict_the_later_one_is_left_out_with_what_needs_it(
    tmp_path: Path,
) -> None:
    root = make_feature(
        tmp_path / "project", [["T1", "T2"], ["T3", "T4"]], {"T3": ["T2"]}, old__txt="old\n"
    )
    edit = "echo $GUARDKIT_TASK_ID > old.txt"
    builder = orchestrator(root, player=for_each({"T1": edit, "T2": edit}))
    result = await builder.run("FEAT-1")
    assert set(endings(result).values()) == {"completed"}
    assert result.left_out == {
        "T2": "it conflicts with those before it in old.txt",
        "T3": "it depends on T2",
    }
    assert result.status == "failed"
    assert "T2 is left out: it conflicts with those before it in old.txt" in result.summary
    assert files(root, "autobuild/FEAT-1") == {"T4"}
    assert statuses(root) == ["failed", *["completed"] * 4]


async def test_tests_that_fail_where_all_is_together_fail_the_feature(root: Path, run: Run) -> None:
    failing = "<testsuite><testcase name='t'><failure message='both'/></testcase></testsuite>"
    test = f'if test -e T1.txt -a -e T2.txt; then echo "{failing}" > {{junit}}; else {PASSING}; fi'
    write_feature(root, [["T1", "T2"]])
    result = await run(test=test)
    assert set(endings(result).values()) == {"completed"}
    assert result.proof
    assert result.proof.decision == "feedback"
    assert result.summary == "the tests of all of it: failed: t: both"
    evidence = root / ".guardkit" / "autobuild" / "FEAT-1" / "coach_turn_1.json"
    assert json.loads(evidence.read_text())["issues"][0] == "failed: t: both"
    assert_counts_are_those_of_the_tasks(root)


async def test_without_groups_the_waves_come_of_the_dependencies(root: Path, run: Run) -> None:
    path = root / ".guardkit" / "features" / "FEAT-1.yaml"
    path.write_text(path.read_text().partition("orchestration:")[0])
    await run()
    assert [read_progress(each, root=root).wave for each in ("T1", "T4", "T5")] == [1, 2, 3]


async def test_what_is_completed_already_is_not_built(root: Path, run: Run) -> None:
    path = root / ".guardkit" / "features" / "FEAT-1.yaml"
    path.write_text(path.read_text().replace("  status: pending", "  status: completed", 4))
    result = await run()
    assert set(endings(result).values()) == {"completed"}
    assert set(documents(root)) == {"FEAT-1", "T5"}
    assert files(root, "autobuild/FEAT-1") == {"T5"}
    feature = read_progress("FEAT-1", root=root)
    assert feature.tasks
    assert (feature.tasks.total, feature.tasks.completed) == (1, 1)


async def test_a_feature_begins_with_the_wave_that_is_wanted(root: Path, run: Run) -> None:
    result = await run(from_wave=3)
    assert [each.why for each in result.results[:4]] == ["by --from-wave"] * 4
    assert {each.ending for each in result.results[:4]} == {"passed over"}
    assert result.summary.startswith("1 task completed, 4 passed over, ")
    assert set(documents(root)) == {"FEAT-1", "T5"}
    assert statuses(root) == ["completed", *["pending"] * 4, "completed"]
    assert read_progress("T5", root=root).wave == 3


async def test_a_task_file_without_an_id_is_found_by_its_path(root: Path, run: Run) -> None:
    (root / "tasks" / "T1.md").write_text("# Do it\n")
    player = for_each({"T1": 'cp "$GUARDKIT_TASK_FILE" T1.txt'})
    assert (await run(player=player)).status == "completed"
    assert git(root, "show", "autobuild/T1:T1.txt") == "# Do it\n"


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"from_wave": 4}, MisuseError, "--from-wave 4: FEAT-1 has 3 waves"),
        ({"retry_failed": True}, MisuseError, "add --resume"),
        ({"test": "true"}, MisuseError, "leaves no report"),
        ({"player": "no-such-agent"}, WorkspaceError, "no-such-agent is not found"),
    ],
    ids=["wave", "retry", "test", "player"],
)
async def test_what_cannot_be_built_is_refused_before_anything_is_written(
    root: Path, run: Run, options: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        await run(**options)
    assert not (root / ".guardkit" / "autobuild").exists()


async def test_a_task_without_a_file_is_refused(root: Path, run: Run) -> None:
    (root / "tasks" / "T4.md").unlink()
    with pytest.raises(TaskNotFoundError, match=r"no task file below .* has 'id: T4'"):
        await run()
    with pytest.raises(InvalidFeatureError, match=r"there is no .*FEAT-2\.yaml"):
        await run("FEAT-2")


async def test_a_second_run_is_refused_what_an_earlier_one_has_left(root: Path, run: Run) -> None:
    await run(player=for_each({"T1": "exit 1"}), max_turns=1)
    with pytest.raises(WorkspaceError, match=r"autobuild/FEAT-1 is of an earlier run: go on"):
        await run()


async def test_a_task_that_somebody_else_builds_is_refused_and_the_others_go_on(
    root: Path, run: Run
) -> None:
    async with track_build("T1", root=root):
        result = await run()
    assert result.status == "failed"
    assert endings(result) == {
        "T1": "refused",
        "T2": "completed",
        "T3": "not started",
        "T4": "not started",
        "T5": "not started",
    }
    assert result.results[0].why.startswith("T1 is being built by process ")
    assert result.summary.startswith("T1 was not built here: T1 is being built by process ")
    assert statuses(root)[1] == "pending"


async def test_two_features_with_a_task_in_common_are_built_at_the_same_time(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "meet").mkdir()
    monkeypatch.setenv("MEET", str(tmp_path / "meet"))
    write_feature(root, [["T1", "T8"]], feature_id="FEAT-2")
    player = for_each({"T1": f"{MEET.format('T8')}; {WRITES}"})
    first = orchestrator(root, player=player)
    second = orchestrator(root, player=for_each({"T8": f"{MEET.format('T1')}; {WRITES}"}))
    results = dict[str, FeatureResult]()

    async def build(builder: FeatureOrchestrator, feature_id: str) -> None:
        results[feature_id] = await builder.run(feature_id)

    with anyio.fail_after(90):
        async with anyio.create_task_group() as group:
            group.start_soon(build, first, "FEAT-1")
            while not (tmp_path / "meet" / "T1").exists():
                await anyio.lowlevel.checkpoint()
            group.start_soon(build, second, "FEAT-2")
    assert results["FEAT-1"].status == "completed"
    assert endings(results["FEAT-2"]) == {"T1": "refused", "T8": "completed"}
    assert files(root, "autobuild/FEAT-2") == {"T8"}


async def test_a_task_that_somebody_else_builds_can_be_waited_for(
    root: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "meet").mkdir()
    monkeypatch.setenv("MEET", str(tmp_path / "meet"))
    other = AutoBuildOrchestrator(root, player=f"{MEET.format('T2')}; {WRITES}", test=PASSING)
    async with anyio.create_task_group() as group:
        group.start_soon(other.run, "T1")
        while not (tmp_path / "meet" / "T1").exists():
            await anyio.lowlevel.checkpoint()
        player = for_each({"T2": f'touch "$MEET/T2"; {WRITES}'})
        result = await run(player=player, wait=True)
    assert (result.status, set(endings(result).values())) == ("completed", {"completed"})
    assert files(root, "autobuild/FEAT-1") == {"T1", "T2", "T3", "T4", "T5"}
    assert_counts_are_those_of_the_tasks(root)


async def test_a_feature_is_built_once_at_a_time(root: Path, run: Run) -> None:
    async with track_build("FEAT-1", root=root):
        with pytest.raises(BuildAlreadyRunningError, match="FEAT-1 is being built by process"):
            await run()
        with pytest.raises(BuildAlreadyRunningError, match="see guardkit status FEAT-1"):
            await orchestrator(root).plan("FEAT-1", alone=True)


async def test_a_second_builder_of_a_feature_is_told_who_the_first_one_is(
    root: Path, run: Run
) -> None:
    await run()
    async with track_build("FEAT-1", root=root):
        with pytest.raises(BuildAlreadyRunningError, match="FEAT-1 is being built by process"):
            await run()


async def test_a_feature_file_that_cannot_be_written_is_told_and_stops_nothing(
    root: Path, run: Run
) -> None:
    player = for_each({"T1": f"{WRITES}; rm -f ../../features/FEAT-1.yaml"})
    result = await run(player=player)
    assert result.status == "completed"
    assert "the status cannot be written: there is no " in result.summary

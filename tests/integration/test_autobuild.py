"""Whole builds: a real repository, real Players, real tests."""

import json
import os
import shlex
import sys
from collections.abc import Callable, Coroutine
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio
import pytest

from guardkit import read_progress, track_build
from guardkit.errors import (
    BuildAlreadyRunningError,
    GuardKitError,
    InvalidTaskError,
    InvalidTaskIdError,
    MisuseError,
    TaskNotFoundError,
    WorkspaceError,
)
from guardkit.orchestrator.autobuild import AutoBuildOrchestrator
from guardkit.orchestrator.budgets import Budgets
from guardkit.orchestrator.loop import BuildResult
from guardkit.testing import FakeClock, MemorySink

from ..repositories import git

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("git_identity")]

PYTEST = f"{shlex.quote(sys.executable)} -B -m pytest -q -p no:cacheprovider --junitxml={{junit}}"
GREEN = "printf 'def test_it(): pass\\n' > test_it.py"
RED = "printf 'def test_it():\\n    assert 1 == 2\\n' > test_it.py"
# Tests that cost no time: a report as pytest writes it.
CASE = '<testcase name="t"><failure message="no"/></testcase>'
FAILING = f"echo '<testsuite>{CASE}</testsuite>' > {{junit}}"
PASSING = "echo '<testsuite><testcase name=\"a\"/></testsuite>' > {junit}"


Build = Callable[..., Coroutine[Any, Any, BuildResult]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "tasks").mkdir(parents=True)
    (folder / "tasks" / "T1.md").write_text("---\nid: T1\ntitle: Add tax\n---\n# Add tax\n")
    (folder / "old.py").write_text("")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "Begin")
    return folder


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink(transitions=True)


@pytest.fixture
def build(root: Path, sink: MemorySink) -> Build:
    async def run(player: str, test: str = PASSING, **options: Any) -> BuildResult:
        options.setdefault("sinks", [sink])
        with anyio.fail_after(60):
            return await AutoBuildOrchestrator(root, player=player, test=test, **options).run("T1")

    return run


def left(root: Path, name: str) -> Any:
    return json.loads((root / ".guardkit" / "autobuild" / "T1" / name).read_text())


def decided(sink: MemorySink) -> list[str]:
    decisions = [snapshot.decision for snapshot in sink.snapshots if snapshot.decision]
    return [
        each for before, each in zip([None, *decisions], decisions, strict=False) if each != before
    ]


def how_the_coach_phase_ended(sink: MemorySink) -> str | None:
    ends = [s.phase_status for s in sink.snapshots if s.phase == "Coach Validation"]
    return next(end for end in reversed(ends) if end != "in_progress")


async def test_a_task_is_built_until_the_tests_prove_it(
    root: Path, build: Build, sink: MemorySink
) -> None:
    player = f'if [ "$GUARDKIT_TURN" = 1 ]; then {RED}; else {GREEN}; fi; echo working'
    result = await build(player, PYTEST)
    assert (result.status, result.decision) == ("completed", "approved")
    assert [turn.decision for turn in result.turns] == ["feedback", "approve"]
    assert result.summary == "1 test passing"
    assert result.worktree == root / ".guardkit" / "worktrees" / "T1"
    assert decided(sink) == ["feedback", "approve", "approved"]
    last = read_progress("T1", root=root)
    assert (last.status, last.task_name, last.turn, last.turn_max) == ("completed", "Add tax", 2, 5)
    assert (last.metrics.files_created, last.metrics.tests_passed, last.metrics.tests_total) == (
        1,
        1,
        1,
    )
    assert git(root, "status", "--porcelain") == ""
    assert git(root, "log", "--format=%s", "main") == "Begin\n"


async def test_what_was_tested_is_what_is_committed(root: Path, build: Build) -> None:
    result = await build(f"{GREEN}; echo more >> old.py", f"{PASSING}; touch litter")
    assert result.decision == "approved"
    assert git(root, "log", "-1", "--format=%B", "autobuild/T1").splitlines() == [
        "T1: Add tax",
        "",
        "Approved in turn 1: 1 test passing.",
        "",
    ]
    assert git(root, "show", "--name-status", "--format=", "autobuild/T1") == (
        "M\told.py\nA\ttest_it.py\n"
    )
    assert git(result.worktree, "status", "--porcelain") == "?? litter\n"
    git(root, "merge", "-q", "autobuild/T1")
    assert (root / "test_it.py").is_file()


async def test_what_a_player_has_hidden_from_git_is_committed_too(root: Path, build: Build) -> None:
    player = f"{GREEN}; echo more >> old.py; git update-index --skip-worktree old.py"
    result = await build(f"{player}; git update-index --assume-unchanged old.py")
    assert result.turns[0].validation_results.changes == {"old.py": "M", "test_it.py": "A"}
    assert "old.py" in git(root, "show", "--name-only", "--format=", "autobuild/T1")


async def test_what_a_player_has_committed_itself_stays_a_commit_of_its_own(
    root: Path, build: Build
) -> None:
    result = await build(f"{GREEN}; git add .; git commit -q -m Mine; echo more >> old.py")
    assert result.decision == "approved"
    assert git(root, "log", "--format=%s", "autobuild/T1") == "T1: Add tax\nMine\nBegin\n"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("git config core.pager cat", id="the configuration"),
        pytest.param("touch ../../../.git/hooks/pre-push", id="a hook"),
        pytest.param("echo '*.py' >> ../../../.git/info/exclude", id="what is excluded"),
        pytest.param("git reset -q --hard $(git commit-tree -m x HEAD^{tree})", id="the branch"),
    ],
)
async def test_a_player_that_changes_what_git_says_is_not_approved(
    build: Build, change: str
) -> None:
    result = await build(f"{GREEN}; {change}", max_turns=1)
    assert result.decision == "max_turns_exceeded"
    assert "changed outside the worktree, put it back: " in str(result.turns[0].issues)


@pytest.mark.parametrize(
    ("test", "error", "match"),
    [
        ("npm test", MisuseError, "leaves no report: put {junit} where"),
        ("no-such-tests {junit}", WorkspaceError, "no-such-tests is not found: install it"),
    ],
    ids=["no report", "no such command"],
)
async def test_a_test_command_that_can_prove_nothing_is_refused_before_anything_is_written(
    root: Path, build: Build, test: str, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        await build(GREEN, test)
    assert not (root / ".guardkit").exists()


async def test_a_test_command_that_leaves_no_report_ends_the_build_with_a_recipe(
    root: Path, build: Build
) -> None:
    (root / "package.json").write_text('{"devDependencies": {"vitest": "5"}}')
    result = await build(GREEN, "true {junit}")
    assert (result.decision, len(result.turns)) == ("configuration_error", 1)
    assert "mend --test, as --test 'npx vitest run --reporter=junit" in result.summary


@pytest.mark.parametrize(
    ("ending", "issue"),
    [
        pytest.param("exit 100", "failed: t: no", id="some failed"),
        pytest.param("exit 127", "failed: t: no", id="127 failed"),
        pytest.param("exit 0", "exited with 0, though its report lists failed", id="no code"),
    ],
)
async def test_a_report_is_read_whatever_the_exit_code(
    build: Build, ending: str, issue: str
) -> None:
    result = await build(GREEN, f"{FAILING}; {ending}", max_turns=1)
    assert result.decision == "max_turns_exceeded"
    assert issue in str(result.turns[0].issues)


async def test_a_build_that_is_not_approved_commits_nothing(root: Path, build: Build) -> None:
    assert (await build(GREEN, f"{PASSING}; exit 1", max_turns=1)).decision != "approved"
    assert git(root, "log", "--format=%s", "autobuild/T1") == "Begin\n"


async def test_the_phases_are_named_as_everywhere(
    root: Path, build: Build, sink: MemorySink
) -> None:
    await build(GREEN)
    names = dict.fromkeys(snapshot.phase for snapshot in sink.snapshots if snapshot.phase)
    assert list(names) == ["Setup", "Player Implementation", "Coach Validation", "Finalize"]
    budgets = {s.phase: s.tracker.budget_seconds for s in sink.snapshots if s.tracker}
    assert (budgets["Player Implementation"], budgets["Coach Validation"]) == (3600, 600)


async def test_the_player_is_told_what_it_needs(root: Path, build: Build) -> None:
    player = (
        "env | grep ^GUARDKIT_ | sort; cat $GUARDKIT_FEEDBACK_FILE;"
        "test -f $GUARDKIT_FEEDBACK_FILE && pwd; touch new"
    )
    result = await build(player)
    folder = root / ".guardkit" / "autobuild" / "T1"
    assert result.turns[0].validation_results.player.tail.split("\n") == [
        f"GUARDKIT_FEEDBACK_FILE={folder}/feedback.json",
        f"GUARDKIT_REPORT_FILE={folder}/player_turn_1.json",
        f"GUARDKIT_TASK_FILE={root}/tasks/T1.md",
        "GUARDKIT_TASK_ID=T1",
        "GUARDKIT_TURN=1",
        "GUARDKIT_TURN_MAX=5",
        str(result.worktree),
    ]


async def test_a_relative_root_gives_the_player_absolute_paths(
    root: Path, sink: MemorySink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    builder = AutoBuildOrchestrator(player='touch new; echo "$GUARDKIT_REPORT_FILE"', test=PASSING)
    result = await builder.run("T1")
    assert result.turns[0].validation_results.player.tail.startswith(str(root))


async def test_the_next_turn_is_told_which_tests_failed_and_why(root: Path, build: Build) -> None:
    player = f'cp "$GUARDKIT_FEEDBACK_FILE" told_$GUARDKIT_TURN; {RED}'
    result = await build(player, PYTEST, max_turns=2)
    assert (result.worktree / "told_1").read_text() == ""
    feedback = json.loads((result.worktree / "told_2").read_text())
    assert (feedback["turn"], feedback["decision"]) == (1, "feedback")
    assert feedback["issues"] == ["failed: test_it: assert 1 == 2"]
    assert "1 failed" in feedback["output"]
    assert "not approved in 2 turns: " in result.summary


async def test_however_much_went_wrong_the_feedback_is_short(root: Path, build: Build) -> None:
    case = '<testcase name="%s"><failure message="no"/></testcase>'
    cases = "".join(case % f"{number}-{'x' * 5000}" for number in range(1000))
    (root / "report").write_text(f"<testsuite>{cases}</testsuite>")
    test = f"seq 10000; cp {root}/report {{junit}}; exit 1"
    await build("seq 20000 | xargs touch", test, max_turns=1)
    feedback = left(root, "feedback.json")
    assert set(feedback) == {"turn", "decision", "rationale", "issues", "output"}
    assert feedback["issues"][0].startswith("failed: 0-xxx")
    assert {len(issue) for issue in feedback["issues"][:-1]} == {212}
    assert (len(feedback["issues"]), feedback["issues"][-1]) == (21, "and 980 more")
    assert len(feedback["rationale"]) == 212
    lines = feedback["output"].split("\n")
    assert lines == [str(number) for number in range(10001 - len(lines), 10001)]
    assert 800 < len(lines) <= 4096 / 5


async def test_a_player_that_failed_is_told_what_it_wrote_itself(root: Path, build: Build) -> None:
    await build("head -c 100000 /dev/zero | tr '\\0' x; exit 1", max_turns=1)
    feedback = left(root, "feedback.json")
    assert feedback["issues"] == ["the Player exited with 1"]
    assert feedback["output"] == "x" * 4096


async def test_the_files_of_a_turn_have_the_published_shape(root: Path, build: Build) -> None:
    await build(f"{GREEN}; echo more >> old.py; echo '\033[1mhello'")
    assert left(root, "player_turn_1.json") == {
        "task_id": "T1",
        "turn": 1,
        "files_modified": ["old.py"],
        "files_created": ["test_it.py"],
        "tests_written": [],
        "tests_run": False,
        "tests_passed": None,
        "implementation_notes": "",
        "concerns": [],
        "requirements_addressed": [],
        "requirements_remaining": [],
    }
    coach = left(root, "coach_turn_1.json")
    assert (coach["task_id"], coach["turn"], coach["decision"]) == ("T1", 1, "approve")
    assert (coach["issues"], coach["criteria_verification"]) == ([], [])
    assert coach["rationale"] == "1 test passing"
    found = coach["validation_results"]
    assert found.pop("after") == found["tree"]
    assert found.pop("tree") == git(root, "rev-parse", "autobuild/T1^{tree}").strip()
    assert found == {
        "changes": {"old.py": "M", "test_it.py": "A"},
        "outside": [],
        "player": {"exit_code": 0, "ending": "exited with 0", "tail": "hello"},
        "tests": {"exit_code": 0, "ending": "exited with 0", "tail": ""},
        "report": {"passed": 1, "skipped": 0, "failures": [], "doubts": [], "places": []},
        "trouble": "",
        "refused": [],
        "imported": None,
        "apart": [],
        "weaker": "",
        "own": ["old.py", "test_it.py"],
        "spoiled": [],
        "startable": False,
        "cached": [],
    }
    assert left(root, "feedback.json") == {
        "turn": 1,
        "decision": "approve",
        "rationale": "1 test passing",
        "issues": [],
        "output": "",
    }


async def test_the_player_s_own_report_is_kept_but_git_counts_the_files(
    root: Path, build: Build
) -> None:
    said = {"tests_passed": True, "files_created": ["lie.py"], "task_id": "X", "notes": "mine"}
    await build(f"{GREEN}; echo '{json.dumps(said)}' > $GUARDKIT_REPORT_FILE")
    player = left(root, "player_turn_1.json")
    assert (player["tests_passed"], player["notes"]) == (True, "mine")
    assert (player["files_created"], player["task_id"]) == (["test_it.py"], "T1")


@pytest.mark.parametrize(
    "said",
    ["not JSON", "[1, 2]", "", '{"tests_passed": NaN}', '{"a": ' * 100_000],
    ids=["text", "list", "empty", "NaN", "deep"],
)
async def test_a_report_of_the_player_that_is_none_is_left_out(
    root: Path, build: Build, said: str
) -> None:
    (root / "said").write_text(said)
    await build(f"{GREEN}; cp {root}/said $GUARDKIT_REPORT_FILE")
    assert left(root, "player_turn_1.json")["tests_passed"] is None


async def test_files_of_an_earlier_run_are_removed(root: Path, build: Build) -> None:
    folder = root / ".guardkit" / "autobuild" / "T1"
    folder.mkdir(parents=True)
    for name in ("player_turn_7.json", "coach_turn_7.json", "checkpoints.json"):
        (folder / name).write_text("{}")
    await build(GREEN)
    assert not list(folder.glob("*_turn_7.json"))
    assert (folder / "checkpoints.json").exists()


async def test_what_tests_leave_behind_is_nobody_s_work(root: Path, build: Build) -> None:
    result = await build("true", f"touch coverage.xml; {PASSING}", max_turns=2)
    assert result.decision == "max_turns_exceeded"
    assert "changed nothing" in result.turns[1].issues[0]


async def test_uncommitted_changes_are_told(root: Path, build: Build, sink: MemorySink) -> None:
    (root / "old.py").write_text("x")
    await build(GREEN)
    assert any((s.message or "").endswith("without 1 uncommitted change") for s in sink.snapshots)
    assert not any("uncommitted changes" in (s.message or "") for s in sink.snapshots)


async def test_a_player_that_writes_outside_is_named_and_not_blocked(
    root: Path, build: Build, sink: MemorySink
) -> None:
    result = await build(f"{GREEN}; touch {root}/outside.py")
    assert result.decision == "approved"
    assert left(root, "coach_turn_1.json")["validation_results"]["outside"] == ["outside.py"]
    assert "outside.py" in result.summary


async def test_what_was_changed_outside_in_an_earlier_turn_is_told_at_the_end(
    root: Path, build: Build
) -> None:
    result = await build(f'test "$GUARDKIT_TURN" = 2 && {GREEN} || ! touch {root}/outside.py')
    assert result.summary == "1 test passing; changed outside the worktree: outside.py"


@pytest.mark.parametrize(
    ("switch", "where"), [("-c other", "other"), ("--detach", "no branch")], ids=["other", "none"]
)
async def test_a_branch_that_the_player_has_switched_to_is_told(
    root: Path, build: Build, switch: str, where: str
) -> None:
    result = await build(f"{GREEN}; git switch -q {switch}")
    assert result.summary == f"1 test passing; the worktree is now on {where}"
    assert read_progress("T1", root=root).message == result.summary


async def test_a_player_that_deletes_a_file_has_changed_something(build: Build) -> None:
    assert (await build("rm old.py")).decision == "approved"


@pytest.mark.parametrize(
    ("player", "exit_code", "reason"),
    [("./no-such-player", 127, "was not found"), ("./old.py", 126, "could not be executed")],
)
async def test_a_player_that_cannot_be_run_ends_the_build_at_once(
    root: Path, build: Build, player: str, exit_code: int, reason: str
) -> None:
    result = await build(player)
    assert (result.status, result.decision, len(result.turns)) == (
        "failed",
        "configuration_error",
        1,
    )
    assert result.turns[0].validation_results.player.exit_code == exit_code
    assert reason in result.summary
    last = read_progress("T1", root=root)
    assert (last.status, last.decision, last.error) == (
        "failed",
        "configuration_error",
        result.summary,
    )


async def test_a_player_that_could_be_run_may_exit_as_it_likes(build: Build) -> None:
    result = await build(
        f'{GREEN}; test "$GUARDKIT_TURN" != 2 || exit 127', f"{FAILING}; exit 1", max_turns=3
    )
    assert (result.decision, len(result.turns)) == ("max_turns_exceeded", 3)


async def test_a_test_command_that_cannot_be_run_ends_the_build_at_once(
    build: Build, sink: MemorySink
) -> None:
    result = await build(GREEN, "./no-such-tests {junit}")
    assert how_the_coach_phase_ended(sink) == "failed"
    assert (result.decision, len(result.turns)) == ("configuration_error", 1)
    assert "mend --test" in result.summary


async def test_a_player_that_fails_once_is_given_another_turn(build: Build) -> None:
    result = await build(f'test "$GUARDKIT_TURN" = 2 && {GREEN}')
    assert [turn.decision for turn in result.turns] == ["feedback", "approve"]
    assert result.turns[0].validation_results.tests is None


async def test_a_player_that_fails_twice_in_a_row_ends_the_build(
    root: Path, build: Build, sink: MemorySink
) -> None:
    result = await build("echo broken; exit 1")
    assert (result.decision, len(result.turns)) == ("player_invocation_stall", 2)
    assert "the Player exited with 1" in result.summary
    assert left(root, "coach_turn_1.json")["validation_results"]["player"]["tail"] == "broken"
    assert any(s.phase_status == "failed" for s in sink.snapshots)


async def test_a_player_that_floods_its_output_is_no_trouble(build: Build) -> None:
    result = await build(f"head -c 100000000 /dev/zero | tr '\\0' x; {GREEN}")
    assert result.decision == "approved"
    assert len(result.turns[0].validation_results.player.tail) <= 8 * 1024


@pytest.mark.parametrize(
    ("test", "issue"),
    [
        pytest.param("kill -9 $$ {junit}", "SIGKILL, and left no report", id="no report"),
        pytest.param("echo '<test' > {junit}", "0, and its report cannot", id="broken report"),
        pytest.param(f"{PASSING}; kill -9 $$", "was ended by SIGKILL", id="died"),
        pytest.param(f"{PASSING}; exit 2", "exited with 2", id="interrupted"),
        pytest.param(f"{PASSING}; exit 1", "exited with 1, 1 test passed", id="exit code only"),
    ],
)
async def test_tests_that_prove_nothing_are_feedback_and_no_counts(
    root: Path, build: Build, sink: MemorySink, test: str, issue: str
) -> None:
    result = await build(GREEN, test, max_turns=1)
    proven = result.turns[0].validation_results.report is not None
    assert how_the_coach_phase_ended(sink) == ("completed" if proven else "failed")
    assert result.decision == "max_turns_exceeded"
    assert issue in result.turns[0].issues[0]
    assert issue in left(root, "feedback.json")["issues"][0]


async def test_a_report_from_before_the_test_run_counts_for_nothing(
    root: Path, build: Build
) -> None:
    plant = "echo '<testsuite><testcase name=\"a\"/></testsuite>'"
    player = f"{GREEN}; {plant} > $(dirname $GUARDKIT_REPORT_FILE)/coach_turn_1.xml"
    result = await build(player, "true {junit}", max_turns=1)
    assert result.turns[0].validation_results.report is None


async def test_counts_begin_at_zero_in_each_turn(build: Build, sink: MemorySink) -> None:
    test = f"if [ -f twice ]; then false; else touch twice; {PASSING}; exit 1; fi"
    await build(GREEN, test, max_turns=2)
    assert sink.snapshots[-1].metrics.tests_total == 0


async def test_a_path_with_spaces_and_quotes_reaches_the_test_command_whole(
    root: Path, sink: MemorySink
) -> None:
    odd = await anyio.Path(root).rename(root.with_name("it's a $project"))
    builder = AutoBuildOrchestrator(Path(odd), player=GREEN, test=PASSING)
    assert (await builder.run("T1")).decision == "approved"


def active_at(sink: MemorySink) -> datetime:
    at = sink.snapshots[-1].tracker.activity_at
    assert at
    return at


async def until(condition: Callable[[], bool], clock: FakeClock | None = None) -> None:
    with anyio.fail_after(60):
        while not condition():
            await (clock.advance(0.1) if clock else anyio.lowlevel.checkpoint())


async def test_while_the_player_works_its_files_and_latest_line_are_shown(
    root: Path, build: Build
) -> None:
    clock, sink = FakeClock(), MemorySink()
    (fifo := root / ".guardkit").mkdir()
    os.mkfifo(fifo / "go")
    player = f"{GREEN}; echo 'writing tests'; read go < {fifo}/go"
    async with anyio.create_task_group() as tasks:

        async def run() -> None:
            await build(player, clock=clock, sinks=[sink], budgets=Budgets(player=1e9))

        tasks.start_soon(run)
        await until(lambda: any(s.message == "writing tests" for s in sink.snapshots), clock)
        await until(lambda: sink.snapshots[-1].metrics.files_created == 1, clock)
        assert sink.snapshots[-1].phase == "Player Implementation"
        active = active_at(sink)
        await clock.advance(20)
        assert active_at(sink) == active
        (fifo / "go").write_text("on\n")
        await until(lambda: sink.snapshots[-1].status != "running", clock)
    assert sink.snapshots[-1].status == "completed"


async def test_a_player_that_breaks_its_worktree_for_a_while_is_no_trouble_until_it_ends(
    root: Path, build: Build
) -> None:
    clock, sink = FakeClock(), MemorySink()
    (root / ".guardkit").mkdir()
    os.mkfifo(root / ".guardkit" / "go")
    player = f"mv .git x; echo broken; read go < {root}/.guardkit/go; mv x .git; {GREEN}"
    async with anyio.create_task_group() as tasks:

        async def run() -> None:
            await build(player, clock=clock, sinks=[sink], budgets=Budgets(player=1e9))

        tasks.start_soon(run)
        await until(lambda: any(s.message == "broken" for s in sink.snapshots), clock)
        await clock.advance(10)
        (root / ".guardkit" / "go").write_text("on\n")
        await until(lambda: sink.snapshots[-1].status != "running", clock)
    assert sink.snapshots[-1].status == "completed"


async def test_a_player_that_never_ends_uses_up_its_time(root: Path, build: Build) -> None:
    clock, sink = FakeClock(), MemorySink()
    results: list[BuildResult] = []
    async with anyio.create_task_group() as tasks:

        async def run() -> None:
            results.append(
                await build(
                    "echo begun; sleep 1000; {junit}",
                    clock=clock,
                    sinks=[sink],
                    budgets=Budgets(player=900),
                )
            )

        tasks.start_soon(run)
        await until(lambda: any(s.message == "begun" for s in sink.snapshots), clock)
        await clock.advance(900)
        await until(lambda: bool(results), clock)
    assert (results[0].status, results[0].decision) == ("failed", "timeout_budget_exhausted")
    assert "did not finish within 900 s" in results[0].summary


async def test_tests_that_hang_are_feedback(root: Path, build: Build) -> None:
    clock, sink = FakeClock(), MemorySink()
    results: list[BuildResult] = []
    async with anyio.create_task_group() as tasks:

        async def run() -> None:
            options = {
                "clock": clock,
                "sinks": [sink],
                "budgets": Budgets(player=1e9),
                "max_turns": 1,
            }
            results.append(await build(GREEN, "echo begun; sleep 1000; {junit}", **options))

        tasks.start_soon(run)
        await until(lambda: any(s.message == "begun" for s in sink.snapshots), clock)
        await clock.advance(600)
        await until(lambda: bool(results), clock)
    assert results[0].decision == "max_turns_exceeded"
    [issue] = results[0].turns[0].issues
    assert issue.startswith("the test command did not finish within 600 s")
    assert how_the_coach_phase_ended(sink) == "failed"


async def test_a_cancelled_build_ends_its_player_and_keeps_the_worktree(
    root: Path, build: Build, sink: MemorySink
) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(build, f"{GREEN}; echo $$ > x; mv x pid; echo begun; sleep 1000")
        await until((root / ".guardkit" / "worktrees" / "T1" / "pid").exists)
        await until(lambda: sink.snapshots[-1].phase == "Player Implementation")
        tasks.cancel_scope.cancel()
    last = read_progress("T1", root=root)
    assert (last.status, last.phase_status) == ("cancelled", "cancelled")
    worktree = root / ".guardkit" / "worktrees" / "T1"
    assert (worktree / "test_it.py").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int((worktree / "pid").read_text()), 0)


@pytest.mark.parametrize(
    ("task_id", "error"),
    [
        ("T2", TaskNotFoundError),
        ("T", TaskNotFoundError),
        ("BROKEN", InvalidTaskError),
        ("../../etc", InvalidTaskIdError),
        ("A..B", WorkspaceError),
        ("A.lock", WorkspaceError),
        ("A.", WorkspaceError),
    ],
)
async def test_a_task_that_cannot_be_built_leaves_nothing_behind(
    root: Path, task_id: str, error: type[GuardKitError]
) -> None:
    for name in ("A..B", "A.lock", "A."):
        (root / "tasks" / f"{name}.md").write_text(f"---\nid: {name}\n---\n")
    (root / "tasks" / "BROKEN.md").write_text("no frontmatter")
    with pytest.raises(error):
        await AutoBuildOrchestrator(root, player="true").run(task_id)
    assert not (root / ".guardkit").exists()


async def test_no_turns_are_refused_before_anything_is_written(root: Path) -> None:
    with pytest.raises(MisuseError, match="turn_max"):
        await AutoBuildOrchestrator(root, player="true", max_turns=0).run("T1")
    assert not (root / ".guardkit").exists()


async def test_what_an_earlier_build_has_left_is_refused_and_its_result_kept(
    root: Path, build: Build
) -> None:
    await build(GREEN)
    before = read_progress("T1", root=root)
    with pytest.raises(WorkspaceError, match="earlier run"):
        await build(GREEN)
    assert before.status == "completed"
    assert read_progress("T1", root=root) == before


async def test_a_task_that_is_being_built_is_not_taken_for_an_earlier_build(
    root: Path, build: Build
) -> None:
    git(root, "branch", "autobuild/T1")
    async with track_build("T1", root=root):
        by = rf"T1 is being built by process {os.getpid()} on \S+, since "
        with pytest.raises(BuildAlreadyRunningError, match=by):
            await build(GREEN)


@pytest.mark.parametrize(
    "player",
    [
        pytest.param("mkfifo $GUARDKIT_REPORT_FILE", id="a fifo"),
        pytest.param("ln -s x $GUARDKIT_REPORT_FILE", id="a link to nowhere"),
        pytest.param("ln -s $PWD $GUARDKIT_REPORT_FILE", id="a link to a folder"),
        pytest.param("mkdir -p $GUARDKIT_REPORT_FILE/full", id="a folder"),
        pytest.param("rm $GUARDKIT_FEEDBACK_FILE; mkdir $GUARDKIT_FEEDBACK_FILE", id="feedback"),
        pytest.param("mkdir ${GUARDKIT_REPORT_FILE%/*}/coach_turn_1.xml", id="the tests' report"),
    ],
)
async def test_what_a_player_makes_of_its_report_does_not_hurt_the_build(
    root: Path, build: Build, player: str
) -> None:
    result = await build(f"{GREEN}; {player}")
    assert result.status == "completed"
    assert left(root, "player_turn_1.json")["tests_passed"] is None


async def test_a_player_that_puts_a_link_in_place_of_the_build_s_folder_is_not_approved(
    root: Path, build: Build, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    ours = "${GUARDKIT_REPORT_FILE%/*}"
    result = await build(
        f"{GREEN}; mv {ours} {root}/away; ln -s {tmp_path}/elsewhere {ours}", max_turns=1
    )
    assert result.decision == "max_turns_exceeded"
    assert "an old report cannot be removed: " in result.summary
    assert "autobuild/T1: it is a link, which guardkit does not follow" in result.summary
    assert "turn 1 cannot be written: it is a link, which" in result.turns[0].rationale
    assert os.listdir(tmp_path / "elsewhere") == []


async def test_a_player_that_destroys_its_worktree_fails_the_build(
    root: Path, build: Build
) -> None:
    with pytest.raises(WorkspaceError, match="worktrees/T1 is gone"):
        await build("rm -rf $PWD")
    assert read_progress("T1", root=root).status == "failed"


async def test_tests_that_destroy_the_worktree_fail_the_build(root: Path, build: Build) -> None:
    with pytest.raises(WorkspaceError):
        await build(GREEN, "rm -rf $PWD # {junit}")

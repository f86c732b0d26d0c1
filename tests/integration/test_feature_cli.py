"""guardkit autobuild feature, as it is used."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from guardkit import read_progress, track_build
from guardkit.places.terminal.osc import OLD_TITLE

from ..features import PASSING, WRITES, make_feature
from ..repositories import git
from .test_cli import building
from .test_terminal import Terminal, plain, watch

pytestmark = pytest.mark.usefixtures("git_identity")

GUARDKIT = (sys.executable, "-m", "guardkit.cli.main")
WAVES = [["T1", "T2"], ["T3"]]
NEEDS = {"T3": ["T1", "T2"]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_feature(tmp_path / "project", WAVES, NEEDS)


def words(root: Path, *more: str, player: str = WRITES) -> tuple[str, ...]:
    how = ("--player", player, "--test", PASSING, "--root", str(root))
    return (*GUARDKIT, "autobuild", "feature", "FEAT-1", *how, *more)


def feature(root: Path, *more: str, player: str = WRITES) -> subprocess.CompletedProcess[str]:
    command = words(root, *more, player=player)
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def holding(gate: Path) -> str:
    """Return a Player that says that it is there, and waits for ever in T2."""
    return f'{WRITES}; if test "$GUARDKIT_TASK_ID" = T2; then echo $$ > {gate}; sleep 600; fi'


@contextmanager
def held(root: Path, gate: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run a feature until T1 is completed and the Player of T2 waits; yield both processes."""
    os.mkfifo(gate)
    command = words(root, player=holding(gate))
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            player = int(gate.read_text())
            assert process.stdout
            for line in process.stdout:
                if "FEAT-1 1 of 3 tasks; running T2" in line:
                    break
            yield process, player
        finally:
            process.kill()


def statuses(root: Path) -> dict[str, str]:
    return {each: read_progress(each, root=root).status for each in ("FEAT-1", "T1", "T2")}


def test_a_plan_is_printed_as_a_table_and_nothing_is_written(root: Path) -> None:
    done = feature(root, "--dry-run", "--max-parallel", "3")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[:5] == [
        "Feature: FEAT-1, Prices",
        "Wave  Task  Depends on  Status   What would run",
        "1     T1    -           pending  a new build",
        "1     T2    -           pending  a new build",
        "2     T3    T1, T2      pending  a new build",
    ]
    assert lines[5] == "Side by side: 3 tasks at most"
    assert lines[6].startswith("Worktree: .guardkit/worktrees/FEAT-1, branch autobuild/FEAT-1 from")
    assert lines[-1] == "Nothing speaks against it. Nothing was written."
    assert os.listdir(root / ".guardkit") == ["features"]


def test_a_plan_tells_what_would_go_on_and_what_would_not(root: Path) -> None:
    player = f'test "$GUARDKIT_TASK_ID" = T2 && exit 1; {WRITES}'
    assert feature(root, "--max-turns", "1", player=player).returncode == 1
    lines = feature(root, "--dry-run", "--resume").stdout.splitlines()
    assert [re.split(r"  +", line)[-2:] for line in lines[2:5]] == [
        ["completed", "nothing: it is completed"],
        ["failed", "nothing: it has failed; --retry-failed builds it again"],
        ["pending", "nothing: T2 has failed"],
    ]
    lines = feature(root, "--dry-run", "--resume", "--retry-failed").stdout.splitlines()
    assert lines[3].endswith("failed     a new build; the failed one is moved aside")
    assert lines[4].endswith("pending    a new build")


@pytest.mark.anyio
async def test_a_plan_tells_what_somebody_else_builds(root: Path) -> None:
    async with track_build("T1", root=root):
        alone, waiting = feature(root, "--dry-run"), feature(root, "--dry-run", "--wait")
    assert [re.split(r"  +", line)[-1] for line in alone.stdout.splitlines()[2:5]] == [
        "nothing: it is being built; --wait waits for it",
        "a new build",
        "nothing: T1 was not built here",
    ]
    lines = waiting.stdout.splitlines()
    assert lines[2].endswith("it is being built: what that comes to")
    assert lines[4].endswith("a new build")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[T1, T2], [T1, T3]", "guardkit: T1 is in two places: wave 1 and 2\n"),
        ("[T3], [T1, T2]", "guardkit: T3 is in wave 1 and depends on T1, which is in wave 2\n"),
        ("[T1, T2, T4], [T3]", "guardkit: wave 1 has T4, which is no task of FEAT-1\n"),
    ],
    ids=["twice", "before", "unknown"],
)
def test_a_feature_that_makes_no_sense_is_refused_in_one_line(
    root: Path, text: str, said: str
) -> None:
    path = root / ".guardkit" / "features" / "FEAT-1.yaml"
    begin = path.read_text().partition("  parallel_groups:")[0]
    path.write_text(f"{begin}  parallel_groups: [{text}]\n")
    done = feature(root, "--dry-run")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)


def test_the_end_tells_how_to_review_and_to_merge(root: Path) -> None:
    done = feature(root)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[-5] == "Tasks: 3 completed"
    assert lines[-4] == "Tests of all of it: 1 test passing, by coach_turn_1.json"
    review, merge = (line.partition(": ")[2].split() for line in lines[-2:])
    assert "+++ b/T3.txt" in git(root, *review[1:])
    git(root, "commit", "-aqm", "Status")
    git(root, *merge[1:])
    assert (root / "T3.txt").is_file()


def test_a_failed_feature_ends_with_1_and_names_what_failed(root: Path) -> None:
    player = f'test "$GUARDKIT_TASK_ID" = T2 && exit 1; {WRITES}'
    done = feature(root, "--max-turns", "1", player=player)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert "Tasks: 1 completed, 1 failed, 1 not started" in lines
    assert any(line.startswith("T2 has failed: not approved in 1 turn") for line in lines)
    assert "T3 was not started: T2 has failed" in lines
    again = "the same command with --resume, which with --retry-failed builds again what has failed"
    assert lines[-1] == f"Go on: {again}"
    assert "FEAT-1 ✓ Setup  worktree .guardkit/worktrees/FEAT-1  0:0" in done.stdout


def test_what_conflicts_is_named_with_the_command_that_merges_it_by_hand(root: Path) -> None:
    done = feature(root, player=f"{WRITES}; echo $GUARDKIT_TASK_ID > both.txt")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert "T2 is left out: it conflicts with those before it in both.txt" in lines
    merge = f"git -C {root} merge autobuild/T2"
    assert f"Left out, by hand: {merge}" in lines
    found = subprocess.run(merge.split(), capture_output=True, text=True, check=False)
    assert found.returncode == 0  # as nothing else was merged before


def test_each_event_is_a_line_that_names_its_task(root: Path) -> None:
    lines = [line.partition("] ")[2] for line in feature(root).stdout.splitlines()]
    assert "FEAT-1 Wave 2/2 starting..." in lines
    assert "FEAT-1 2 of 3 tasks; running T3" in lines
    assert "T3 Player Implementation starting..." in lines


def test_the_summary_of_each_task_names_it_in_each_line(root: Path) -> None:
    lines = feature(root).stdout.splitlines()
    begins = lines.index("== Summary of T3 ==")
    turn, took, status = lines[begins + 1 : begins + 4]
    assert turn.startswith("T3 Turn 1  ✓ 1/1 tests  +1  0:")
    assert took.startswith("T3 Took: 0:")
    assert status == "T3 Status: APPROVED"


@pytest.mark.parametrize("columns", [40, 80])
def test_a_feature_is_watched_with_its_tasks_and_no_others(
    root: Path, tmp_path: Path, columns: int
) -> None:
    with held(root, tmp_path / "gate") as (process, _), building(root, "OTHER"):
        terminal = Terminal(*watch(root, "FEAT-1"), columns=columns)
        terminal.until(lambda printed: "  T2 " in plain(printed))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert terminal.end() == 3
    drawn = plain(terminal.printed)
    rows = re.findall(r"(?m)^ *(?:FEAT-1|T2) .*$", drawn)
    assert any(re.match(r"FEAT-1 +(?:1/2 +)?1/3 ", row) for row in rows)
    assert any(re.match(r"  T2 +(?:1/2 +)?1/5 ", row) for row in rows)
    assert "OTHER" not in drawn
    assert "1 running, 1 completed" in drawn
    assert "Next: guardkit log FEAT-1 --last" in drawn


def test_ctrl_c_ends_all_that_runs_and_keeps_what_was_approved(root: Path, tmp_path: Path) -> None:
    with held(root, tmp_path / "gate") as (process, player):
        process.send_signal(signal.SIGINT)
        printed, complaint = process.communicate(timeout=60)
    assert process.returncode == 3
    kept = f"{root}/.guardkit/worktrees, a worktree and a branch for each task"
    made = "1 of 3 tasks completed, 1 cancelled, 1 pending"
    told = f"FEAT-1 was cancelled; its work is kept in {kept}: {made}; go on with --resume"
    assert complaint == f"guardkit: {told}\n"
    assert "Status: CANCELLED" in printed
    assert statuses(root) == {"FEAT-1": "cancelled", "T1": "completed", "T2": "cancelled"}
    assert read_progress("FEAT-1", root=root).message == "1 of 3 tasks"  # and none runs
    assert not Path(f"/proc/{player}").exists()
    assert git(root, "log", "-1", "--format=%s", "autobuild/T1") == "T1: Do T1\n"
    done = feature(root, "--resume")
    assert (done.returncode, done.stderr) == (0, "")
    assert {"T1.txt", "T2.txt", "T3.txt"} <= {
        *git(root, "ls-tree", "--name-only", "autobuild/FEAT-1").split()
    }


def test_a_watch_of_a_feature_shows_its_tasks_and_ends_with_it(root: Path, tmp_path: Path) -> None:
    watch = (*GUARDKIT, "watch", "FEAT-1", "--root", str(root))
    with held(root, tmp_path / "gate") as (process, _):
        with subprocess.Popen(watch, stdout=subprocess.PIPE, text=True) as watching:
            assert watching.stdout
            seen = [next(watching.stdout)]
            while not any("T2 Player Implementation starting..." in line for line in seen):
                seen.append(next(watching.stdout))
            process.send_signal(signal.SIGINT)
            seen += watching.stdout
        process.communicate(timeout=60)
    said = [line.partition("] ")[2].strip() for line in seen]
    assert "T1 approved" in said
    assert not any("merge autobuild/T1" in line for line in seen)
    assert "FEAT-1 cancelled: 1 of 3 tasks" in said
    assert watching.returncode == 3


def test_a_second_ctrl_c_ends_it_at_once(root: Path, tmp_path: Path) -> None:
    trap = f'trap "" TERM; {holding(tmp_path / "gate")}'
    os.mkfifo(tmp_path / "gate")
    with subprocess.Popen(
        words(root, player=trap), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        player = int((tmp_path / "gate").read_text())
        process.send_signal(signal.SIGINT)
        assert process.stderr
        while read_progress("FEAT-1", root=root).status == "running":
            process.send_signal(signal.SIGINT)
            if process.poll() is not None:
                break
        complaint = process.stderr.read()
    assert process.returncode == -signal.SIGINT
    assert complaint == "guardkit: FEAT-1 was ended at once: go on with --resume\n"
    while Path(f"/proc/{player}").exists():  # its watcher ends it
        os.sched_yield()


def test_a_second_ctrl_c_gives_the_terminal_back(root: Path) -> None:
    stubborn = "trap '' TERM; while :; do sleep 1; done"
    terminal = Terminal(*words(root, player=stubborn))
    terminal.until(lambda printed: b"\x1b]2;FEAT-1" in printed)
    os.kill(terminal.process.pid, signal.SIGINT)
    terminal.until(lambda printed: "FEAT-1 is being cancelled" in plain(printed))
    os.kill(terminal.process.pid, signal.SIGINT)
    assert terminal.end() == -signal.SIGINT
    assert terminal.printed.count(b"\x1b[?25l") == terminal.printed.count(b"\x1b[?25h") == 1
    assert terminal.printed.index(OLD_TITLE) < terminal.printed.index(b"was ended at once")


def test_a_feature_in_the_background_is_waited_for_by_its_run(root: Path) -> None:
    started = feature(root, "--detach")
    assert (started.returncode, started.stderr) == (0, "")
    run = started.stdout.strip()
    assert read_progress("FEAT-1", root=root).tracker.run_id == run
    wait = (*GUARDKIT, "wait", "FEAT-1", "--run", run, "--root", str(root), "--timeout", "60s")
    ended = subprocess.run(wait, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    log = root / ".guardkit" / "autobuild" / "FEAT-1" / "output.log"
    assert "Tasks: 3 completed" in log.read_text()


def test_a_feature_is_cancelled_by_its_name(root: Path, tmp_path: Path) -> None:
    with held(root, tmp_path / "gate") as (process, _):
        cancel = (*GUARDKIT, "cancel", "FEAT-1", "--root", str(root))
        done = subprocess.run(cancel, capture_output=True, text=True, timeout=60, check=False)
        process.communicate(timeout=60)
    assert (done.returncode, process.returncode) == (0, 3)
    message = read_progress("FEAT-1", root=root).message
    assert message is not None
    assert message.endswith("with guardkit cancel")


def test_the_demo_of_a_feature_is_approved(tmp_path: Path) -> None:
    command = (*GUARDKIT, "demo", "--feature", "--root", str(tmp_path / "demo"))
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Tasks: 5 completed" in done.stdout
    assert "TASK-1 feedback: failed: test_tax" in done.stdout
    found = read_progress("FEAT-DEMO", root=tmp_path / "demo")
    assert (found.status, found.wave, found.wave_total) == ("completed", 3, 3)
    assert read_progress("TASK-1", root=tmp_path / "demo").turn == 2

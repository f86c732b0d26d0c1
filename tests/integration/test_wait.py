"""`guardkit wait` and `guardkit log`, as a shell that sees only the end of them does."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from guardkit import read_progress

from .test_cli import building, built, complaint, guardkit, progress_file, started

WAIT = (sys.executable, "-m", "guardkit.cli.main", "wait", "TASK-1", "--root")


def looks_of(waiting: subprocess.Popen[str]) -> int:
    """Return how often a process has gone to sleep so far."""
    status = Path(f"/proc/{waiting.pid}/status").read_text()
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def until_it_sleeps(waiting: subprocess.Popen[str]) -> None:
    """Return when a process sleeps between two looks."""
    nanosleep = {"230", "115"}  # by the machine's kind
    while Path(f"/proc/{waiting.pid}/syscall").read_text().split()[0] not in nanosleep:
        assert waiting.poll() is None


def wait(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return guardkit("wait", "TASK-1", "--root", str(root), *words)


@pytest.mark.parametrize(
    ("ending", "code", "state"),
    [("", 0, "completed"), ("fail", 1, "failed"), ("cancel", 3, "cancelled")],
    ids=["completed", "failed", "cancelled"],
)
@pytest.mark.parametrize("until", ["done", "change", "trouble"])
def test_a_build_that_has_ended_is_not_waited_for(
    tmp_path: Path, until: str, ending: str, code: int, state: str
) -> None:
    built(tmp_path, "TASK-1", ending)
    ended = wait(tmp_path, "--until", until)
    assert (ended.returncode, ended.stderr) == (code, "")
    [line] = ended.stdout.splitlines()
    assert line.startswith(f"{state}: Wave 1/3, TASK-1 (Turn 1/5, Player Implementation) - ")


def test_the_end_of_a_build_ends_the_waiting_with_one_line(tmp_path: Path) -> None:
    with (
        building(tmp_path, "TASK-1", "fail") as process,
        started(*WAIT, str(tmp_path)) as waiting,
    ):
        process.communicate("go\n")
        said, _ = waiting.communicate(timeout=30)
    assert waiting.returncode == 1
    [line] = said.splitlines()
    assert line.endswith("elapsed - it ended after 0 s: out of ideas")


def test_a_change_ends_the_waiting_while_the_build_goes_on(tmp_path: Path) -> None:
    program = """
import asyncio, sys
from guardkit import track_build

async def main():
    async with track_build("TASK-1", root=sys.argv[1]) as build:
        async with build.phase("Setup"):
            print("ready", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            build.update(message="no change of place")
            await asyncio.sleep(0.5)
        async with build.phase("Finalize"):
            await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main())
"""
    with started(sys.executable, "-c", program, str(tmp_path)) as process:
        assert process.stdout
        assert process.stdin
        process.stdout.readline()
        with started(*WAIT, str(tmp_path), "--until", "change") as waiting:
            until_it_sleeps(waiting)
            process.stdin.write("go\n")
            process.stdin.flush()
            said, _ = waiting.communicate(timeout=30)
        assert waiting.returncode == 0
        assert said.startswith("running: Wave 1/1, TASK-1 (")
        process.communicate("go\n")


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


@pytest.mark.parametrize("until", ["done", "change", "trouble"])
def test_a_build_that_is_killed_is_done_changed_and_in_trouble(tmp_path: Path, until: str) -> None:
    with building(tmp_path, "TASK-1") as process:
        with started(*WAIT, str(tmp_path), "--until", until) as waiting:
            kill(process)
            said, _ = waiting.communicate(timeout=30)
    assert waiting.returncode == 4
    assert said.startswith("crashed: Wave 1/3, TASK-1 (Turn 1/5, Player Implementation) - ")
    assert "no longer holds the lock of TASK-1" in said


@pytest.mark.parametrize(
    ("until", "words", "code"),
    [("trouble", ["--stall-after", "0"], 5), ("done", ["--stall-after", "0"], 124)],
    ids=["trouble", "done"],
)
def test_a_build_that_stalls_is_in_trouble_but_not_done(
    tmp_path: Path, until: str, words: list[str], code: int
) -> None:
    with building(tmp_path, "TASK-1"):
        ended = wait(tmp_path, "--until", until, "--timeout", "4", *words)
    assert ended.returncode == code
    assert "stalled: " in ended.stdout


@pytest.mark.parametrize("seconds", ["0", "1"])
def test_the_waiting_ends_when_its_time_is_up(tmp_path: Path, seconds: str) -> None:
    with building(tmp_path, "TASK-1"):
        ended = wait(tmp_path, "--timeout", seconds)
    assert ended.returncode == 124
    assert ended.stdout.startswith(f"timed out after {seconds} s: running: Wave 1/3, TASK-1 (")


def test_the_waiting_is_ended_by_ctrl_c_without_a_word(tmp_path: Path) -> None:
    with building(tmp_path, "TASK-1"):
        with started(*WAIT, str(tmp_path), stderr=subprocess.PIPE) as waiting:
            until_it_sleeps(waiting)
            waiting.send_signal(signal.SIGINT)
            assert waiting.communicate(timeout=30) == ("", "")
    assert waiting.returncode == 130


def test_a_file_that_cannot_be_read_for_a_while_is_no_evidence(tmp_path: Path) -> None:
    with building(tmp_path, "TASK-1") as process:
        with started(*WAIT, str(tmp_path), "--timeout", "20") as waiting:
            until_it_sleeps(waiting)
            process.send_signal(signal.SIGSTOP)
            path = progress_file(tmp_path, "TASK-1")
            for spoil in (lambda: path.write_text("{"), path.unlink):
                spoil()
                looks = looks_of(waiting)
                while looks_of(waiting) < looks + 2:
                    assert waiting.poll() is None
            process.send_signal(signal.SIGCONT)
            process.communicate("go\n")
            said, _ = waiting.communicate(timeout=30)
    assert (waiting.returncode, said.split(":")[0]) == (0, "completed")


@pytest.mark.parametrize("command", ["wait", "log"])
@pytest.mark.parametrize(
    ("task_id", "code"), [("TASK-1", 6), ("../TASK-1", 2)], ids=["unknown", "no id"]
)
def test_what_is_not_there_gives_one_line(
    tmp_path: Path, command: str, task_id: str, code: int
) -> None:
    ended = guardkit(command, task_id, "--root", str(tmp_path))
    assert (ended.returncode, ended.stdout) == (code, "")
    assert task_id in complaint(ended)


@pytest.mark.parametrize("words", [["--until", "lunch"], ["--timeout", "soon"], ["--timeout=-1"]])
def test_wrong_usage_of_wait_exits_with_2(tmp_path: Path, words: list[str]) -> None:
    assert wait(tmp_path, *words).returncode == 2


LOG = [
    "build.started",
    "turn.started   Turn 1/5",
    "phase.started  Turn 1/5, Player Implementation",
    "phase.ended    Turn 1/5, Player Implementation - completed - 3 files created, 5 tests passing",
    "decided        approve - Coach approved",
    "turn.ended     Turn 1/5",
]


@pytest.mark.parametrize(
    ("ending", "rest"),
    [
        ("", ["decided        approved - Coach approved", "build.ended    completed after 0s"]),
        ("fail", ["failed         out of ideas", "decided        approved - Coach approved"]),
        ("cancel", ["build.ended    cancelled after 0s"]),
    ],
    ids=["completed", "failed", "cancelled"],
)
def test_the_log_has_a_line_for_each_event(tmp_path: Path, ending: str, rest: list[str]) -> None:
    built(tmp_path, "TASK-1", ending)
    ended = guardkit("log", "TASK-1", "--root", str(tmp_path))
    assert ended.returncode == 0
    told = [line[len("2025-01-31 12:34:56  ") :] for line in ended.stdout.splitlines()]
    assert told[: len(LOG) + len(rest)] == [*LOG, *rest]


def test_the_log_tells_of_a_run_that_was_killed_when_the_next_has_begun(tmp_path: Path) -> None:
    with building(tmp_path, "TASK-1") as process:
        kill(process)
    built(tmp_path, "TASK-1")
    log = guardkit("log", "TASK-1", "--root", str(tmp_path)).stdout
    [end] = [line for line in log.splitlines() if "ended without a word" in line]
    assert f"build.ended    failed after 0s - crashed: process {process.pid} on " in end
    assert log.count("build.started") == log.count("build.ended") == 2


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text + '{"event": "phase.st',
        lambda text: "no event\n" + text,
        lambda text: text.replace('"at":"20', '"at":"\\u001b[31m20'),
    ],
    ids=["half a line", "another line", "a hostile time"],
)
def test_the_log_reads_over_what_is_no_event(tmp_path: Path, spoil: Callable[[str], str]) -> None:
    built(tmp_path, "TASK-1")
    path = progress_file(tmp_path, "TASK-1").with_name("events.jsonl")
    path.write_text(spoil(path.read_text()))
    log = guardkit("log", "TASK-1", "--root", str(tmp_path)).stdout
    assert len(log.splitlines()) == len(LOG) + 2
    assert "\x1b" not in log


def test_the_log_reaches_back_into_the_part_that_was_moved_away(tmp_path: Path) -> None:
    for _ in range(2):
        built(tmp_path, "TASK-1")
        path = progress_file(tmp_path, "TASK-1").with_name("events.jsonl")
        if not path.with_name("events.jsonl.1").exists():
            path.rename(path.with_name("events.jsonl.1"))
    log = guardkit("log", "TASK-1", "--root", str(tmp_path)).stdout
    assert log.count("build.started") == 2
    assert read_progress("TASK-1", root=tmp_path).status == "completed"

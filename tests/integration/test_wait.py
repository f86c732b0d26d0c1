"""`guardkit wait` and `guardkit log`, as a shell that sees only the end of them does."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from guardkit import read_progress

from .test_cli import (
    GUARDKIT,
    building,
    built,
    complaint,
    guardkit,
    lines_until,
    progress_file,
    started,
)

WAIT = (sys.executable, "-m", "guardkit.cli.main", "wait", "TASK-1", "--root")


def until_it_watches(waiting: subprocess.Popen[str]) -> None:
    """Return when a process waits for changes: only then inotify has a folder to tell of."""
    while not any("inotify wd" in info for info in infos(waiting)):
        assert waiting.poll() is None


def infos(process: subprocess.Popen[str]) -> Iterator[str]:
    """Return what the kernel tells of the open files of a process."""
    for path in Path(f"/proc/{process.pid}/fdinfo").iterdir():
        with suppress(OSError):
            yield path.read_text()


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
    assert line.endswith("elapsed - ended after 0 s: out of ideas")


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
        async with build.phase("Finalize"):
            await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main())
"""
    with started(sys.executable, "-c", program, str(tmp_path)) as process:
        assert process.stdout
        assert process.stdin
        process.stdout.readline()
        with started(*WAIT, str(tmp_path), "--until", "change") as waiting:
            until_it_watches(waiting)
            process.stdin.write("go\n")
            process.stdin.flush()
            said, _ = waiting.communicate(timeout=30)
        assert waiting.returncode == 8
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


def test_a_build_that_stalls_is_in_trouble(tmp_path: Path) -> None:
    with building(tmp_path, "TASK-1"):
        ended = wait(tmp_path, "--until", "trouble", "--timeout", "1h", "--stall-after", "0")
    assert ended.returncode == 5
    assert ended.stdout.startswith("stalled: Wave 1/3, TASK-1 (")


@pytest.mark.parametrize(("time", "words"), [("0", "0 s"), ("0.2s", "0.2 s"), ("0m", "0 s")])
def test_the_waiting_ends_when_its_time_is_up(tmp_path: Path, time: str, words: str) -> None:
    with building(tmp_path, "TASK-1"):
        ended = wait(tmp_path, "--timeout", time)
    assert ended.returncode == 124
    assert ended.stdout.startswith(f"timed out after {words}: running: Wave 1/3, TASK-1 (")


def test_of_several_builds_there_is_a_line_each_and_the_worst_code_counts(tmp_path: Path) -> None:
    built(tmp_path, "TASK-1")
    built(tmp_path, "TASK-2", "fail")
    ended = wait(tmp_path, "TASK-2", "TASK-1")
    assert (ended.returncode, ended.stderr) == (1, "")
    first, second = ended.stdout.splitlines()
    assert first.startswith("completed: Wave 1/3, TASK-1 (")
    assert second.startswith("failed: Wave 1/3, TASK-2 (")


def test_several_builds_are_done_when_all_are(tmp_path: Path) -> None:
    built(tmp_path, "TASK-2", "cancel")
    with (
        building(tmp_path, "TASK-1") as process,
        started(*WAIT, str(tmp_path), "TASK-2") as waiting,
    ):
        until_it_watches(waiting)
        process.communicate("go\n")
        said, _ = waiting.communicate(timeout=30)
    assert waiting.returncode == 3
    assert [line.split(":")[0] for line in said.splitlines()] == ["completed", "cancelled"]


def test_the_first_in_trouble_of_several_ends_a_wait_for_that(tmp_path: Path) -> None:
    built(tmp_path, "TASK-2", "fail")
    with building(tmp_path, "TASK-1"):
        ended = wait(tmp_path, "TASK-2", "--until", "trouble")
    assert ended.returncode == 1
    assert [line.split(":")[0] for line in ended.stdout.splitlines()] == ["running", "failed"]


def test_one_that_is_not_there_of_several_is_not_waited_for(tmp_path: Path) -> None:
    with building(tmp_path, "TASK-1"):
        ended = wait(tmp_path, "TASK-2")
    assert ended.returncode == 6
    assert complaint(ended).startswith("guardkit: no build of TASK-2 is known below ")
    assert ended.stdout.startswith("running: Wave 1/3, TASK-1 (")


def test_json_is_what_status_prints(tmp_path: Path) -> None:
    built(tmp_path, "TASK-1", "fail")
    ended = wait(tmp_path, "--json")
    assert ended.returncode == 1
    assert ended.stdout == guardkit("status", "--json", "--root", str(tmp_path)).stdout


def run_of(root: Path) -> str:
    return read_progress("TASK-1", root=root).tracker.run_id


def test_a_run_that_the_next_one_has_followed_is_still_told_of(tmp_path: Path) -> None:
    built(tmp_path, "TASK-1", "fail")
    run = run_of(tmp_path)
    with building(tmp_path, "TASK-1"):
        ended = wait(tmp_path, "--run", run)
    assert ended.returncode == 1
    assert ended.stdout.endswith("ended after 0 s: out of ideas\n")


def test_a_run_that_was_killed_and_followed_has_ended(tmp_path: Path) -> None:
    with building(tmp_path, "TASK-1") as process:
        run = run_of(tmp_path)
        kill(process)
    with building(tmp_path, "TASK-1"):
        ended = wait(tmp_path, "--run", run)
    assert ended.returncode in {1, 4}
    assert "ended without a word" in ended.stdout


def test_a_run_that_is_not_known_exits_with_6(tmp_path: Path) -> None:
    built(tmp_path, "TASK-1")
    ended = wait(tmp_path, "--run", "0" * 16)
    assert (ended.returncode, ended.stdout) == (6, "")
    latest = run_of(tmp_path)
    assert complaint(ended) == (
        f"guardkit: TASK-1 has no such run; its latest is {latest}: see guardkit log TASK-1"
    )


@pytest.mark.parametrize("words", [["--run", "0" * 16, "--next"], ["--run", "0" * 16, "TASK-2"]])
def test_a_run_is_of_one_task_and_has_begun(tmp_path: Path, words: list[str]) -> None:
    ended = wait(tmp_path, *words)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "--run" in complaint(ended)


@pytest.mark.parametrize("before", ["", "kill", None], ids=["ended", "crashed", "no build"])
def test_the_next_run_is_waited_for_until_it_begins_and_ends(
    tmp_path: Path, before: str | None
) -> None:
    if before == "kill":
        with building(tmp_path, "TASK-1") as process:
            kill(process)
    elif before is not None:
        built(tmp_path, "TASK-1", before)
    (tmp_path / ".guardkit" / "autobuild").mkdir(parents=True, exist_ok=True)
    with started(*WAIT, str(tmp_path), "--next") as waiting:
        until_it_watches(waiting)
        built(tmp_path, "TASK-1", "fail")
        said, _ = waiting.communicate(timeout=30)
    assert waiting.returncode == 1
    assert said.startswith("failed: Wave 1/3, TASK-1 (")


def test_a_next_run_that_does_not_begin_is_told_when_the_time_is_up(tmp_path: Path) -> None:
    built(tmp_path, "TASK-1")
    ended = wait(tmp_path, "--next", "--timeout", "0.2")
    assert ended.returncode == 124
    assert ended.stdout == "timed out after 0.2 s: no run of TASK-1 has begun\n"


def test_the_waiting_is_ended_by_ctrl_c_without_a_word(tmp_path: Path) -> None:
    with building(tmp_path, "TASK-1"):
        with started(*WAIT, str(tmp_path), stderr=subprocess.PIPE) as waiting:
            until_it_watches(waiting)
            waiting.send_signal(signal.SIGINT)
            assert waiting.communicate(timeout=30) == ("", "")
    assert waiting.returncode == 130


def naps_of(process: subprocess.Popen[str]) -> int:
    """Return how often a process has gone to sleep so far, as it does after each look."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def test_a_file_that_is_gone_for_a_while_is_no_evidence(tmp_path: Path) -> None:
    with building(tmp_path, "TASK-1") as process:
        with started(*WAIT, str(tmp_path), "--timeout", "20") as waiting:
            until_it_watches(waiting)
            process.send_signal(signal.SIGSTOP)
            progress_file(tmp_path, "TASK-1").unlink()
            naps = naps_of(waiting)
            while naps_of(waiting) < naps + 8:  # some looks, each of which may take several
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


LOG = [
    "build.started",
    "turn.started   Turn 1 of 5",
    "phase.started  Player Implementation",
    "phase.ended    Player Implementation - completed - 3 files created, 5 tests passing",
    "decided        approve - Coach approved",
    "turn.ended     Turn 1 of 5",
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
    heading, *lines = ended.stdout.splitlines()
    assert heading == f"== Run {run_of(tmp_path)} =="
    told = [line[len("2025-01-31 12:34:56  ") :] for line in lines]
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
    assert len(log.splitlines()) == len(LOG) + 3
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


def log(root: Path, *words: str) -> list[str]:
    ended = guardkit("log", "TASK-1", "--root", str(root), *words)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.splitlines()


def test_the_log_has_a_heading_for_each_run(tmp_path: Path) -> None:
    runs: list[str] = []
    for _ in range(2):
        built(tmp_path, "TASK-1")
        runs.append(f"== Run {run_of(tmp_path)} ==")
    lines = log(tmp_path)
    assert [line for line in lines if line.startswith("==")] == runs
    assert lines[lines.index(runs[1]) - 1] == ""


def test_the_log_may_be_that_of_the_last_run_alone(tmp_path: Path) -> None:
    for ending in ("fail", ""):
        built(tmp_path, "TASK-1", ending)
    first, *lines = log(tmp_path, "--last")
    assert first == f"== Run {run_of(tmp_path)} =="
    assert len(lines) == len(LOG) + 2


def test_the_log_in_json_is_the_journal(tmp_path: Path) -> None:
    built(tmp_path, "TASK-1")
    journal = progress_file(tmp_path, "TASK-1").with_name("events.jsonl").read_text().splitlines()
    lines = log(tmp_path, "--json")
    assert [*map(json.loads, lines)] == [*map(json.loads, journal)]


@pytest.mark.parametrize("words", [[], ["--last"]], ids=["all", "last"])
def test_the_log_goes_on_with_what_happens(tmp_path: Path, words: list[str]) -> None:
    built(tmp_path, "TASK-1", "fail")
    command = ("log", "TASK-1", "--follow", "--root", str(tmp_path), *words)
    with started(*GUARDKIT, *command, stderr=subprocess.PIPE) as following:
        assert following.stdout
        past = lines_until(following.stdout, "build.ended")
        assert len(past) == len(LOG) + 4
        built(tmp_path, "TASK-1")
        new = lines_until(following.stdout, "build.ended")
        assert new[:2] == ["", f"== Run {run_of(tmp_path)} =="]
        assert len(new) == len(LOG) + 4
        following.send_signal(signal.SIGINT)
        assert following.communicate(timeout=30) == ("", "")
    assert following.returncode == 130


@pytest.mark.parametrize("year", ["0001", "9999"])
def test_instants_that_no_clock_shows_cost_no_command_anything(tmp_path: Path, year: str) -> None:
    built(tmp_path, "TASK-1")
    path = progress_file(tmp_path, "TASK-1")
    for file in (path, path.with_name("events.jsonl")):
        file.write_text(re.sub(r'"20\d\d-', f'"{year}-', file.read_text()))
    for command in ("status", "watch", "wait", "log"):
        for zone in ("UTC", "XXX12", "XXX-12"):
            words = (command, "TASK-1", "--root", str(tmp_path))
            ended = guardkit(*words, env=os.environ | {"TZ": zone})
            assert (ended.returncode, ended.stderr) == (0, "")
            assert "TASK-1" in ended.stdout or "Turn 1 of 5" in ended.stdout


def test_a_log_that_goes_on_ends_when_nobody_reads_it(tmp_path: Path) -> None:
    built(tmp_path, "TASK-1")
    with started(*GUARDKIT, "log", "TASK-1", "--follow", "--root", str(tmp_path)) as following:
        assert following.stdout
        lines_until(following.stdout, "build.ended")
        following.stdout.close()
        assert following.wait(30) == 7


def make_link(path: Path) -> None:
    path.symlink_to("progress.json")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (make_link, "it is a link, which guardkit does not follow"),
        (os.mkfifo, "it is not a regular file"),
        (Path.mkdir, "it is not a regular file"),
    ],
    ids=["a link", "a pipe", "a folder"],
)
@pytest.mark.parametrize("words", [[], ["--follow"], ["--last", "--json"]], ids=" ".join)
def test_a_journal_that_cannot_be_read_is_told_of_with_the_reason(
    tmp_path: Path, words: list[str], make: Callable[[Path], object], why: str
) -> None:
    built(tmp_path, "TASK-1")
    journal = progress_file(tmp_path, "TASK-1").with_name("events.jsonl")
    journal.unlink()
    make(journal)
    ended = guardkit("log", "TASK-1", "--root", str(tmp_path), *words, timeout=30)
    assert (ended.returncode, ended.stdout) == (7, "")
    assert complaint(ended) == (
        f"guardkit: {journal} cannot be read: {why}; make it readable, or remove it"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_journal_that_we_may_not_read_is_told_of_with_the_reason(tmp_path: Path) -> None:
    built(tmp_path, "TASK-1")
    journal = progress_file(tmp_path, "TASK-1").with_name("events.jsonl")
    journal.chmod(0)
    become = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
    words = (*become, *GUARDKIT, "log", "TASK-1", "--root", str(tmp_path))
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (7, "")
    assert f"{journal} cannot be read: Permission denied" in complaint(ended)


def test_of_a_sparse_journal_of_gigabytes_the_end_is_read(tmp_path: Path) -> None:
    built(tmp_path, "TASK-1")
    journal = progress_file(tmp_path, "TASK-1").with_name("events.jsonl")
    lines = journal.read_bytes()
    os.truncate(journal, 3 * 2**30)
    with journal.open("ab") as file:
        file.write(b"\n" + lines)
    limited = ("sh", "-c", 'ulimit -v 1000000; exec "$@"', "sh", *GUARDKIT)
    words = (*limited, "log", "TASK-1", "--last", "--root", str(tmp_path))
    ended = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(ended.stdout.splitlines()) == len(LOG) + 3

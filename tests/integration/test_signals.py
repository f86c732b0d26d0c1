import fcntl
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from guardkit import watch_progress
from guardkit.orchestrator.demo import TASK_ID, TEST, make_demo

GUARDKIT = (sys.executable, "-m", "guardkit.cli.main")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def build_in_first_turn(folder: Path, *wrapper: str) -> Iterator[subprocess.Popen[str]]:
    """Run a build whose Player says its process id, and waits until something is in `gate`."""
    root = make_demo(folder / "demo")
    os.mkfifo(folder / "gate")
    gate = shlex.quote(str(folder / "gate"))
    work = f"echo player $$; read line < {gate}"
    words = ("--root", str(root), "--player", work, "--test", TEST, "--max-turns", "1")
    command = (*wrapper, *GUARDKIT, "autobuild", "task", TASK_ID, *words)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def player_of(process: subprocess.Popen[str]) -> int:
    """Return the Player's process id as soon as the display has shown it."""
    assert process.stdout is not None
    for line in process.stdout:
        if "player" in line:
            return int(line.split()[-1])
    pytest.fail("the Player never began")


def lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def progress(folder: Path) -> dict[str, object]:
    path = folder / "demo" / ".guardkit" / "autobuild" / TASK_ID / "progress.json"
    document: dict[str, object] = json.loads(path.read_bytes())
    return document


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_cancels_the_build(tmp_path: Path, number: signal.Signals) -> None:
    with build_in_first_turn(tmp_path) as process:
        player = player_of(process)
        process.send_signal(number)
        printed, complaint = process.communicate()
    assert process.returncode == 3
    assert complaint.startswith(f"guardkit: {TASK_ID} was cancelled; its work is kept in ")
    assert printed.endswith("Status: CANCELLED\n")
    document = progress(tmp_path)
    assert (document["status"], document["phase_status"]) == ("cancelled", "cancelled")
    assert not lives(player)


def test_more_signals_change_nothing(tmp_path: Path) -> None:
    with build_in_first_turn(tmp_path) as process:
        player = player_of(process)
        for number in SIGNALS * 10:
            process.send_signal(number)
        _, complaint = process.communicate()
    assert process.returncode == 3
    assert complaint.startswith(f"guardkit: {TASK_ID} was cancelled; its work is kept in ")
    assert progress(tmp_path)["status"] == "cancelled"
    assert not lives(player)


def test_a_signal_that_is_ignored_from_the_start_stays_so(tmp_path: Path) -> None:
    like_nohup = ("sh", "-c", 'trap "" HUP; exec "$@"', "sh")
    with build_in_first_turn(tmp_path, *like_nohup) as process:
        player_of(process)
        process.send_signal(signal.SIGHUP)
        (tmp_path / "gate").write_text("go on\n")
        process.communicate()
    assert process.returncode == 1
    assert progress(tmp_path)["status"] == "failed"


def test_these_tests_may_be_started_with_nohup_and_in_the_background_of_a_script() -> None:
    tests = [
        f"{__file__}::test_a_signal_cancels_the_build[{name}]" for name in ("SIGINT", "SIGHUP")
    ]
    pytest_alone = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
    command = ("sh", "-c", 'trap "" INT HUP; exec "$@"', "sh", *pytest_alone)
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, "2 passed" in ran.stdout) == (0, True)


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_ends_the_watching_and_not_the_build(
    tmp_path: Path, number: signal.Signals
) -> None:
    with build_in_first_turn(tmp_path) as process:
        player = player_of(process)
        command = (*GUARDKIT, "watch", TASK_ID, "--root", str(tmp_path / "demo"))
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as watching:
            player_of(watching)
            watching.send_signal(number)
            _, complaint = watching.communicate()
        assert (watching.returncode, complaint) == (130, "")
        assert lives(player)
        assert progress(tmp_path)["status"] == "running"
        process.send_signal(signal.SIGTERM)
        process.communicate()


@pytest.mark.anyio
async def test_a_signal_ends_a_build_whose_output_nobody_reads(tmp_path: Path) -> None:
    root = make_demo(tmp_path / "demo")
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    line = "x" * 190
    player = f"for n in $(seq 10 45); do echo $n {line}; sleep 0.11; done; echo full; sleep 600"
    words = ("--root", str(root), "--player", player)
    command = (*GUARDKIT, "autobuild", "task", TASK_ID, *words)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=writer, stderr=pipe, text=True) as process:
        os.close(writer)
        try:
            begun = b""
            while b"Setup" not in begun:
                begun += os.read(reader, 1)
            async for snapshot in watch_progress(TASK_ID, root=root):
                if snapshot.message == "full":
                    process.terminate()
            _, complaint = process.communicate()
        finally:
            process.kill()
    os.close(reader)
    assert process.returncode == 3
    assert complaint.startswith(f"guardkit: {TASK_ID} was cancelled; its work is kept in ")
    assert progress(tmp_path)["status"] == "cancelled"

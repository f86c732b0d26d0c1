"""Builds in the background: started by a command that returns when they are on disk."""

import os
import re
import select
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from guardkit import read_progress
from guardkit.orchestrator.demo import TASK_ID, TEST, make_demo

from .test_cli import GUARDKIT, complaint, guardkit


class Project:
    """The repository of the demo, and a gate before which the Player waits."""

    def __init__(self, folder: Path) -> None:
        self.root = make_demo(folder / "demo")
        self.gate = folder / "gate"
        os.mkfifo(self.gate)

    @property
    def folder(self) -> Path:
        return self.root / ".guardkit" / "autobuild" / TASK_ID

    def words(self, *more: str) -> tuple[str, ...]:
        player = f"echo player $$; read line < {shlex.quote(str(self.gate))}"
        task = ("autobuild", "task", TASK_ID, "--player", player, "--test", TEST)
        return (*task, "--max-turns", "1", "--root", str(self.root), *more)

    def start(self, **options: Any) -> subprocess.CompletedProcess[str]:
        return guardkit(*self.words("--detach"), **options)

    def wait(self, *words: str) -> subprocess.CompletedProcess[str]:
        return guardkit("wait", TASK_ID, "--root", str(self.root), *words)

    def open_gate(self) -> None:
        self.gate.write_text("go on\n")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    it = Project(tmp_path)
    yield it
    if (it.folder / "progress.json").exists():
        snapshot = read_progress(TASK_ID, root=it.root)
        if not snapshot.terminal:
            os.kill(snapshot.tracker.pid, signal.SIGTERM)
            it.wait()


def test_a_build_goes_on_when_its_start_has_returned_and_is_waited_for(project: Project) -> None:
    started = project.start()
    assert (started.returncode, started.stderr) == (0, "")
    assert re.fullmatch(r"[0-9a-f]{16}\n", started.stdout)
    run = started.stdout.strip()
    snapshot = read_progress(TASK_ID, root=project.root)
    assert (snapshot.tracker.run_id, snapshot.status) == (run, "running")
    project.open_gate()
    ended = project.wait("--run", run)
    assert ended.returncode == 1
    assert ended.stdout.startswith("failed: ")


def test_what_a_build_prints_is_beside_its_journal(project: Project) -> None:
    run = project.start().stdout.strip()
    builder = os.pidfd_open(read_progress(TASK_ID, root=project.root).tracker.pid)
    project.open_gate()
    project.wait("--run", run)
    assert select.select([builder], [], [], 30)[0]  # until it has said how it ended
    os.close(builder)
    told = (project.folder / "output.log").read_text()
    assert "] Player Implementation starting...\n" in told
    assert "\nStatus: FAILED - " in told
    assert f"Worktree: {project.root}/.guardkit/worktrees/{TASK_ID}, branch " in told
    assert "\x1b" not in told


def test_a_build_in_the_background_holds_on_to_nothing_of_who_started_it(project: Project) -> None:
    # Its end is seen where all have closed the pipes: a shell's $(…) waits for that.
    started = project.start(timeout=60)
    pid = read_progress(TASK_ID, root=project.root).tracker.pid
    assert started.returncode == 0
    assert os.getsid(pid) == pid
    files = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)]
    assert files == ["/dev/null", *[str(project.folder / "output.log")] * 2]


def test_a_refused_start_returns_with_the_reason_and_its_code(project: Project) -> None:
    assert project.start().returncode == 0
    second = project.start()
    assert (second.returncode, second.stdout) == (7, "")
    first = read_progress(TASK_ID, root=project.root)
    by = f"process {first.tracker.pid} on {first.tracker.host}, since {first.started_at:%F %T} UTC"
    told = f"{TASK_ID} is being built by {by}: see `guardkit status {TASK_ID}`"
    assert complaint(second) == f"guardkit: {told}"
    told = (project.folder / "output.log").read_text()
    assert "is being built" not in told


@pytest.mark.parametrize(
    ("words", "code"),
    [(["TASK-404"], 2), ([TASK_ID, "--max-turns", "0"], 2)],
    ids=["no such task", "wrong usage"],
)
def test_what_cannot_begin_returns_its_code(project: Project, words: list[str], code: int) -> None:
    more = ("--player", "true", "--root", str(project.root), "--detach")
    ended = guardkit("autobuild", "task", *words, *more)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert complaint(ended)


def test_a_worktree_that_was_left_over_refuses_the_start(project: Project) -> None:
    run = project.start().stdout.strip()
    project.open_gate()
    project.wait("--run", run)
    again = project.start()
    assert (again.returncode, again.stdout) == (7, "")
    assert "is of an earlier run" in complaint(again)


def test_a_signal_to_a_build_in_the_background_cancels_it(project: Project) -> None:
    run = project.start().stdout.strip()
    os.kill(read_progress(TASK_ID, root=project.root).tracker.pid, signal.SIGTERM)
    assert project.wait("--run", run).returncode == 3
    told = (project.folder / "output.log").read_text()
    assert f"\nStatus: CANCELLED\nguardkit: {TASK_ID} was cancelled" in told


def test_ctrl_c_before_the_build_has_begun_ends_the_start(project: Project, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    os.mkfifo(begun)
    git = tmp_path / "bin" / "git"
    git.parent.mkdir()
    git.write_text(f"#!/bin/sh\necho > '{begun}'; read line < '{project.gate}'\n")
    git.chmod(0o755)
    path = os.pathsep.join([str(git.parent), os.environ["PATH"]])
    command, pipe = (*GUARDKIT, *project.words("--detach")), subprocess.PIPE
    with subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, env=os.environ | {"PATH": path}
    ) as process:
        begun.read_text()
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=60)
    assert told == ("", f"guardkit: {TASK_ID} was cancelled\n")
    assert process.returncode == 130
    assert not project.folder.exists()


START = """
import os, signal, sys
from guardkit.cli.background import start

def build(writer):
    signal.signal(signal.SIGTERM, getattr(signal, sys.argv[1]))
    os.fork()  # now two hang, as a build and its git
    while True:
        signal.pause()

sys.exit(start(build, patience=0.2))
"""


@pytest.mark.parametrize("on_sigterm", ["SIG_DFL", "SIG_IGN"])
def test_a_build_that_does_not_begin_is_ended_and_its_start_returns(on_sigterm: str) -> None:
    command = (sys.executable, "-c", START, on_sigterm)
    # All have let go of the pipes when this returns.
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stdout) == (7, "")
    why = "the build has not begun within 0.2 s, as if the disk hangs"
    assert re.fullmatch(rf"guardkit: {why}: its process \d+ was ended", complaint(ended))


@contextmanager
def on_its_own_terminal(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    controller, terminal = os.openpty()
    options: dict[str, Any] = {"stdin": terminal, "stdout": terminal, "stderr": terminal}
    with subprocess.Popen(command, start_new_session=True, **options) as process:
        os.close(terminal)
        yield process
    os.close(controller)


def test_a_build_in_the_background_survives_its_terminal(project: Project) -> None:
    with on_its_own_terminal(*GUARDKIT, *project.words("--detach")) as process:
        assert process.wait() == 0
    run = read_progress(TASK_ID, root=project.root).tracker.run_id
    project.open_gate()
    assert project.wait("--run", run).returncode == 1


def test_a_link_in_place_of_the_output_is_not_followed(project: Project, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    project.folder.mkdir(parents=True)
    (project.folder / "output.log").symlink_to(victim)
    started = project.start()
    assert started.returncode == 0
    assert "is a link, which guardkit does not follow" in complaint(started)
    project.open_gate()
    project.wait("--run", started.stdout.strip())
    assert victim.read_text() == "precious"

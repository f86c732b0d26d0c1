"""What a real terminal is sent by the commands, and that nothing of it is left behind."""

import fcntl
import json
import os
import pty
import re
import select
import shlex
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guardkit.orchestrator.demo import TASK_ID, TEST, make_demo, player
from guardkit.places.terminal.osc import OLD_TITLE, QUERY

from .. import terminals
from .test_cli import GUARDKIT, building, built, guardkit, lines_until, progress_file, started

TITLE = b"\x1b]2;TASK-1 1/5 Player Implementation\x07"
KNOWS, ANSWER = b"\x1b]7501;?\x07", b"\x1b[?62c"
OWN = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
LIMIT = 60  # seconds in which something is printed at least
NAMES = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TERM_PROGRAM"}


class Terminal:
    """A terminal of a process of its own, which answers what it is asked.

    answer: what it answers; by default that it does not know OSC 7501.
    """

    def __init__(
        self,
        *command: str,
        columns: int = 80,
        answer: bytes = ANSWER,
        env: dict[str, str] | None = None,
    ) -> None:
        self._answer = answer
        self.printed = b""
        environment = {name: text for name, text in os.environ.items() if name not in NAMES}
        environment |= {"TERM": "xterm-256color"} | (env or {})
        self._controller, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
        self.process = subprocess.Popen(
            (sys.executable, "-c", OWN, *command),
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env=environment,
            start_new_session=True,
        )
        os.close(terminal)

    def until(self, is_enough: Callable[[bytes], bool]) -> bytes:
        """Return all that was printed, as soon as that is enough, or the process has left."""
        while not is_enough(self.printed):
            assert select.select([self._controller], [], [], LIMIT)[0], self.printed
            try:
                chunk = os.read(self._controller, 65536)
            except OSError:  # EIO: the last one has left the terminal
                break
            if QUERY in chunk:
                os.write(self._controller, self._answer)
            self.printed += chunk
        return self.printed

    def end(self) -> int:
        """Return the exit code."""
        self.until(lambda _: False)
        os.close(self._controller)
        return self.process.wait()


def watch(root: Path, *words: str) -> tuple[str, ...]:
    return (*GUARDKIT, "watch", *words, "--root", str(root))


def plain(printed: bytes) -> str:
    """Return what is seen of what a terminal is sent, and what was wiped out again."""
    text = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07", b"", printed)
    return text.decode().replace("\r", "")


@pytest.mark.parametrize(
    ("answer", "is_known"),
    [
        pytest.param(KNOWS + ANSWER, True, id="it knows it"),
        pytest.param(b"x\x1b]7501;?\x1b\\y\x1b[?62;4c", True, id="by another end, and keys"),
        pytest.param(ANSWER, False, id="it does not"),
        pytest.param(b"", False, id="it does not answer"),
    ],
)
def test_a_terminal_is_asked_whether_it_knows_the_status(answer: bytes, *, is_known: bool) -> None:
    patience = 60.0 if answer else 0.0
    code = "from guardkit.places.terminal.osc import knows_status"
    code += f"; exit(knows_status(1, patience={patience}))"
    terminal = Terminal(sys.executable, "-c", code, answer=answer)
    assert terminal.end() == is_known
    assert terminal.printed == QUERY, "what it answers is not seen"


END: dict[str, Callable[[Terminal, Any], object]] = {
    "a signal": lambda terminal, _: os.kill(terminal.process.pid, signal.SIGTERM),
    "Ctrl-C": lambda terminal, _: os.kill(terminal.process.pid, signal.SIGINT),
    "the end": lambda _, build: build.stdin.close(),
    "a crash": lambda _, build: build.kill(),
}


@pytest.mark.parametrize("name", END)
def test_nothing_of_the_tab_is_left_behind(tmp_path: Path, name: str) -> None:
    with building(tmp_path, "TASK-1") as build:
        terminal = Terminal(*watch(tmp_path, "TASK-1"), answer=KNOWS + ANSWER)
        terminal.until(lambda printed: b"\x1b]7501;state=working" in printed)
        END[name](terminal, build)
        terminal.end()
    printed = terminal.printed
    assert printed.index(b"\x1b[22;2t") < printed.index(b"\x1b]2;TASK-1 1/5 Player")
    assert printed.endswith(b"\x1b]2;\x07\x1b[23;2t\x1b]7501;state=clear\x07")
    assert printed.count(b"\x1b[?25l") == printed.count(b"\x1b[?25h") == 1, "the cursor is back"
    state = {"the end": b"done", "a crash": b"error"}.get(name, b"working")
    assert re.findall(rb"7501;state=(\w+):", printed)[-1] == state


def test_a_terminal_that_does_not_know_the_status_is_sent_none(tmp_path: Path) -> None:
    with building(tmp_path, "TASK-1") as build:
        terminal = Terminal(*watch(tmp_path, "TASK-1"))
        terminal.until(lambda printed: b"\x1b]2;TASK-1" in printed)
        assert build.stdin
        build.stdin.close()
        assert terminal.end() == 0
    assert b"7501;state" not in terminal.printed
    assert terminal.printed.count(QUERY) == 1


def test_a_terminal_that_draws_progress_is_sent_it(tmp_path: Path) -> None:
    env = {"TERM_PROGRAM": "ghostty", "TERM_PROGRAM_VERSION": "1.2.3"}
    with building(tmp_path, "TASK-1") as build:
        terminal = Terminal(*watch(tmp_path, "TASK-1"), env=env)
        terminal.until(lambda printed: b"\x1b]9;4;3\x07" in printed)
        build.kill()
        assert terminal.end() == 4
    assert terminal.printed.endswith(b"\x1b]9;4;0\x07")


def test_a_build_shows_the_tab_of_its_terminal_too(tmp_path: Path) -> None:
    root = make_demo(tmp_path)
    words = ("autobuild", "task", TASK_ID, "--player", player(), "--test", TEST)
    terminal = Terminal(*GUARDKIT, *words, "--root", str(root), answer=KNOWS + ANSWER)
    assert terminal.end() == 0
    told = plain(terminal.printed)
    assert "✗ Coach Validation        2 of 3 tests passing" in told
    assert [line for line in told.splitlines() if line.startswith("Turn ")] == [
        "Turn 1 of 5",
        "Turn 2 of 5",
        *re.findall(r"Turn 1  ✗ 2/3 tests  \+1 ~1 +0:\d\d\n", told)[0].splitlines(),
        *re.findall(r"Turn 2  ✓ 3/3 tests  \+1 ~1 +0:\d\d\n", told)[0].splitlines(),
    ]
    assert b"7501;state=working" in terminal.printed
    assert b"\x1b]7501;state=clear\x07" in terminal.printed
    assert str(root) not in told.partition("Summary")[0], "paths are those of the project"


def test_ctrl_c_is_acknowledged_while_the_player_goes_on(tmp_path: Path) -> None:
    root = make_demo(tmp_path)
    stubborn = "trap '' INT TERM; echo I go on; while :; do sleep 1; done"
    words = ("autobuild", "task", TASK_ID, "--player", stubborn, "--test", TEST)
    terminal = Terminal(*GUARDKIT, *words, "--root", str(root))
    terminal.until(lambda printed: "I go on" in plain(printed))
    os.kill(terminal.process.pid, signal.SIGINT)
    said = f"guardkit: {TASK_ID} is being cancelled\n"
    assert "Status" not in plain(terminal.until(lambda printed: said in plain(printed)))
    os.kill(terminal.process.pid, signal.SIGINT)
    assert terminal.end() == 3
    assert plain(terminal.printed).count(said) == 1


def test_several_builds_are_a_table_and_each_end_is_a_line(tmp_path: Path) -> None:
    with building(tmp_path, "TASK-2") as two, building(tmp_path, "TASK-10") as ten:
        terminal = Terminal(*watch(tmp_path), columns=100)
        terminal.until(lambda printed: "TASK-10  1/" in plain(printed))
        drawn = plain(terminal.printed)
        assert drawn.index("TASK-2   1/") < drawn.index("TASK-10  1/")
        assert "2 running" in drawn
        assert two.stdin
        two.stdin.close()
        terminal.until(lambda printed: "✓ TASK-2 " in plain(printed))
        ten.kill()
        assert terminal.end() == 4
    assert "✗ TASK-10 crashed: process" in plain(terminal.printed)


@pytest.mark.parametrize(
    ("words", "env"),
    [(("--plain",), {}), ((), {"TERM": "dumb"})],
    ids=["--plain", "a dumb terminal"],
)
def test_a_terminal_may_be_printed_to_as_a_file_is(
    tmp_path: Path, words: tuple[str, ...], env: dict[str, str]
) -> None:
    built(tmp_path, "TASK-1")
    terminal = Terminal(*watch(tmp_path, "TASK-1", *words), env={"NO_COLOR": "1"} | env)
    assert terminal.end() == 0
    told = guardkit("watch", "TASK-1", "--root", str(tmp_path)).stdout
    assert plain(terminal.printed) == told
    assert b"\x1b[?25l" not in terminal.printed


def test_without_colours_the_table_has_none(tmp_path: Path) -> None:
    with building(tmp_path, "TASK-1"), building(tmp_path, "TASK-2") as build:
        terminal = Terminal(*watch(tmp_path), env={"NO_COLOR": "1"})
        terminal.until(lambda printed: b"2 running" in printed)
        build.kill()
        terminal.until(lambda printed: b"1 crashed, 1 running" in printed)
        os.kill(terminal.process.pid, signal.SIGINT)
        assert terminal.end() == 130
    assert not re.search(rb"\x1b\[(?:\d+;)*[34]\d", terminal.printed)


@pytest.mark.parametrize("columns", [40, 50, 80, 120])
def test_the_time_is_seen_whatever_the_width(tmp_path: Path, columns: int) -> None:
    with building(tmp_path, "TASK-1"):
        terminal = Terminal(*watch(tmp_path, "TASK-1"), columns=columns)
        terminal.until(lambda printed: "Player Impl" in plain(printed))
        os.kill(terminal.process.pid, signal.SIGINT)
        terminal.end()
    lines = [line for line in plain(terminal.printed).splitlines() if "Player Impl" in line]
    assert all(re.fullmatch(r".* 0:\d\d", line) for line in lines)
    assert max(map(len, lines)) <= columns


def test_a_crash_is_red_in_status_and_log(tmp_path: Path) -> None:
    with building(tmp_path, "TASK-1") as build:
        build.kill()
    colours = os.environ | {"FORCE_COLOR": "1"}
    for command in ("status", "log"):
        words = (command, "TASK-1", "--root", str(tmp_path))
        told = guardkit(*words, env=colours).stdout
        assert "\n\x1b[31mcrashed\x1b[0m: process " in told
        bare = guardkit(*words, env=colours | {"NO_COLOR": "1"}).stdout
        assert bare == re.sub(r"\x1b\[\d*m", "", told)


def test_builds_are_listed_as_people_count(tmp_path: Path) -> None:
    for task_id in ("TASK-10", "TASK-9", "TASK-2"):
        built(tmp_path, task_id)
    lines = guardkit("status", "--root", str(tmp_path)).stdout.splitlines()
    assert re.findall(r"TASK-\d+", " ".join(lines)) == ["TASK-2", "TASK-9", "TASK-10"]


def test_a_command_is_told_of_trouble_and_of_the_end(tmp_path: Path) -> None:
    told = tmp_path / "told"
    stalls = watch(tmp_path, "TASK-1", "--stall-after", "1", "--notify", f"cat >> {told}")
    with building(tmp_path, "TASK-1") as build, started(*stalls) as watching:
        assert watching.stdout
        lines_until(watching.stdout, "stalled: ")
        assert build.stdin
        build.stdin.close()
        assert watching.wait() == 0
    looks = [json.loads(line) for line in told.read_text().splitlines()]
    assert [each["verdict"]["state"] for each in looks] == ["stalled", "completed"]
    assert looks[1]["progress"]["decision"] == "approved"


def test_an_id_after_notify_is_an_id(tmp_path: Path) -> None:
    built(tmp_path, "TASK-1")
    terminal = Terminal(*watch(tmp_path, "--notify", "TASK-1"), env={"DISPLAY": ""})
    assert terminal.end() == 0
    assert b"\x1b]777;notify;TASK-1 completed;Wave 1/3, TASK-1 " in terminal.printed


def test_who_cannot_be_notified_is_told_so(tmp_path: Path) -> None:
    built(tmp_path, "TASK-1")
    nothing = os.environ | {"DISPLAY": "", "WAYLAND_DISPLAY": ""}
    ended = guardkit("watch", "TASK-1", "--notify", "--root", str(tmp_path), env=nothing)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("guardkit: --notify finds no desktop here, and no terminal")


def test_the_next_step_is_told_at_the_end(tmp_path: Path) -> None:
    built(tmp_path, "TASK-1", "fail")
    ended = subprocess.run(
        (sys.executable, "-m", "guardkit.cli.main", "watch", "TASK-1"),
        cwd=progress_file(tmp_path, "TASK-1").parents[3],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout.endswith("\nNext: guardkit log TASK-1 --last\n"), ended.stderr


def test_nothing_is_left_on_the_terminal_while_a_watch_is_stopped(tmp_path: Path) -> None:
    with building(tmp_path, "TASK-1"), terminals.Terminal(*terminals.SHELL) as terminal:
        terminal.read_until(terminals.PROMPT)
        terminal.type(shlex.join(watch(tmp_path, "TASK-1")).encode() + b"\n")
        shown = terminal.read_until(TITLE)
        terminal.type(b"\x1a")
        shown += terminal.read_until(terminals.PROMPT)
        assert shown.count(b"\x1b[?25l") == shown.count(b"\x1b[?25h") == 1, "the cursor is back"
        assert shown.index(OLD_TITLE) < shown.index(b"Stopped")
        terminal.type(b"fg\n")
        shown += terminal.read_until(TITLE)
        terminal.type(b"\x03")
        shown += terminal.read_until(terminals.PROMPT)
    assert shown.count(b"\x1b[?25l") == shown.count(b"\x1b[?25h") == shown.count(OLD_TITLE) == 2

"""guardkit run on a terminal: the command has one of its own, and ours is given back."""

import hashlib
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guardkit import read_progress
from guardkit.places.terminal.osc import CLEAR_BAR, bar_of

from ..terminals import PROMPT, SHELL, Terminal
from .test_run import HUNG_UP_ON, python, until, words  # noqa: F401

Words = Callable[..., tuple[str, ...]]

CURSES = """
import curses

def draw(screen):
    screen.box()
    for row in range(1, 20):
        screen.addstr(row, row, f"row {row}", curses.A_BOLD if row % 2 else curses.A_REVERSE)
    screen.refresh()
    screen.addstr(5, 5, repr(screen.getmaxyx()))
    screen.refresh()

curses.wrapper(draw)
"""
RAW = """
import os, sys, tty
tty.setraw(0)
os.write(1, b"ready\\n")
keys = b""
while len(keys) < 256:
    keys += os.read(0, 1)
os.write(1, bytes(range(256)) * 100 + b"\\n" + keys.hex().encode())
"""
WAITING = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
if sys.argv[1:]:
    input()
print("begun", os.getppid(), flush=True)
signal.pause()
"""
SIZE = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH])
print(*os.get_terminal_size(), flush=True)
signal.sigwait([signal.SIGWINCH])
print(*os.get_terminal_size(), flush=True)
"""
TTYS = "import os; print([os.isatty(fd) for fd in range(3)], os.ttyname(0) == os.ttyname(1))"


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Terminal]:
    """A shell with job control, and `guardkit run nightly --` as the variable G."""
    command = (sys.executable, "-m", "guardkit.cli.main", "run", "nightly")
    with Terminal(*SHELL) as terminal:
        terminal.read_until(PROMPT)
        terminal.run(f"G={shlex.quote(shlex.join((*command, '--root', str(tmp_path), '--')))}")
        yield terminal


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], str]:
    """Return what runs a script, so that what the shell echoes tells nothing."""

    def write(text: str) -> str:
        path = tmp_path / "script"
        path.write_text(text)
        return f"sh {path}"

    return write


@pytest.fixture
def waiting(tmp_path: Path) -> str:
    """What says `begun`, and a process id, and waits for a signal.

    A shell is no use for that: while it starts another program, signals may be lost on it.
    """
    path = tmp_path / "waiting.py"
    path.write_text(WAITING)
    return shlex.join((sys.executable, str(path)))


def message(root: Path) -> str | None:
    return read_progress("nightly", root=root).message


def on_a_terminal(*command: str) -> bytes:
    with Terminal(*command) as terminal:
        return terminal.read_to_end()


@pytest.mark.parametrize(
    "program",
    [
        "import sys; sys.stdout.buffer.write(bytes(range(256)) * 300)",
        "import os; os.write(1, b'out\\n'); os.write(2, b'err\\n')",
        "import os, tty; tty.setraw(1); os.write(1, bytes(range(256)) * 10)",
        CURSES,
        TTYS,
    ],
    ids=["all bytes", "output and error", "raw mode", "curses", "terminals"],
)
def test_what_is_shown_is_what_is_shown_without_us(words: Words, program: str) -> None:  # noqa: F811
    command = python(program)
    assert on_a_terminal(*words(*command)) == on_a_terminal(*command)


def test_a_terminal_that_draws_progress_is_sent_it(words: Words) -> None:  # noqa: F811
    with Terminal(*words("echo", "hello"), env={"TERM_PROGRAM": "WezTerm"}) as terminal:
        shown = terminal.read_to_end()
    assert shown == bar_of("working") + b"hello\r\n" + CLEAR_BAR


def test_no_progress_is_left_while_a_command_is_stopped(tmp_path: Path, waiting: str) -> None:
    command = (sys.executable, "-m", "guardkit.cli.main", "run", "nightly", "--root", f"{tmp_path}")
    with Terminal(*SHELL, env={"TERM_PROGRAM": "WezTerm"}) as shell:
        shell.read_until(PROMPT)
        shell.type(f"{shlex.join(command)} -- {waiting}\n".encode())
        assert bar_of("working") in shell.read_until(b"begun")
        shell.type(b"\x1a")
        assert CLEAR_BAR in shell.read_until(PROMPT)
        shell.type(b"fg\n")
        shell.read_until(bar_of("working"))
        shell.type(b"\x03")
        assert CLEAR_BAR in shell.read_until(PROMPT)


def test_a_large_output_is_shown_whole(words: Words, pytestconfig: pytest.Config) -> None:  # noqa: F811
    lines = 20_000_000 if pytestconfig.getoption("long") else 1_000_000  # 1 GB · 50 MB
    line = "0123456789 " * 4 + "12345"
    size, digest = 0, hashlib.sha256()
    with Terminal(*words("sh", "-c", f"yes '{line}' | head -{lines}")) as terminal:
        for chunk in terminal.chunks():
            size += len(chunk)
            digest.update(chunk)
    whole = hashlib.sha256()
    for _ in range(lines // 1000):
        whole.update(f"{line}\r\n".encode() * 1000)
    assert (size, digest.digest()) == ((len(line) + 2) * lines, whole.digest())


def test_each_key_reaches_a_program_that_wants_all_of_them(words: Words) -> None:  # noqa: F811
    with Terminal(*words(*python(RAW))) as terminal:
        terminal.read_until(b"ready\n")
        terminal.type(bytes(range(256)))
        shown = terminal.read_to_end()
    assert shown == bytes(range(256)) * 100 + b"\n" + bytes(range(256)).hex().encode()


def test_a_program_that_asks_is_answered_and_its_question_is_shown(
    tmp_path: Path,
    words: Words,  # noqa: F811
) -> None:
    command = ("sh", "-c", "printf 'name? '; read name; echo hello $name; exit 4")
    with Terminal(*words(*command)) as terminal:
        terminal.read_until(b"name? ")
        assert until(tmp_path, lambda told: told.message == "name?").status == "running"
        terminal.type(b"me\n")
        assert terminal.read_to_end() == b"me\r\nhello me\r\n"
    assert terminal.process.returncode == 4
    assert message(tmp_path) == "hello me"


def test_what_is_typed_to_a_program_that_does_not_read_holds_nothing_up(
    tmp_path: Path,
    words: Words,  # noqa: F811
) -> None:
    program = "import os, time, tty; tty.setraw(0); print('on'); os.read(os.open('gate', 0), 1)"
    os.mkfifo(tmp_path / "gate")
    command = python(program.replace("'gate'", repr(str(tmp_path / "gate"))))
    with Terminal(*words(*command)) as terminal:
        terminal.read_until(b"on\n")
        for _ in range(100):
            terminal.type(b"x" * 100)
        (tmp_path / "gate").write_text("end")
        assert terminal.read_to_end() == b""
    assert terminal.process.returncode == 0


def test_ctrl_c_ends_the_command_and_we_end_as_it_does(
    tmp_path: Path, shell: Terminal, waiting: str
) -> None:
    mode = shell.mode
    shell.type(f"$G {waiting}\n".encode())
    shell.read_until(b"begun")
    shell.read_until(b"\r\n")
    assert shell.mode != mode
    shell.type(b"\x03")
    shell.read_until(PROMPT)
    assert shell.mode == mode
    assert shell.run("echo $?") == b"130\r\n"
    assert read_progress("nightly", root=tmp_path).error == "was ended by SIGINT"
    assert str(message(tmp_path)).startswith("begun ")


def test_ctrl_z_is_told_before_we_stop_and_fg_goes_on(
    tmp_path: Path, shell: Terminal, script: Callable[[str], str]
) -> None:
    mode = shell.mode
    shell.type(f"$G {script('echo begun; read line; echo got $line; exit 4')}\n".encode())
    shell.read_until(b"begun\r\n")
    shell.type(b"\x1a")
    assert b"Stopped" in shell.read_until(PROMPT)
    assert shell.mode == mode
    stopped = read_progress("nightly", root=tmp_path)
    assert (stopped.message, stopped.phase, stopped.status) == ("suspended", "Suspended", "running")
    shell.type(b"fg\n")
    assert until(tmp_path, lambda told: told.message == "begun").phase == "sh"
    shell.type(b"on\n")
    shell.read_until(b"got on\r\n")
    shell.read_until(PROMPT)
    assert shell.mode == mode
    assert shell.run("echo $?") == b"4\r\n"


@pytest.mark.skipif(not shutil.which("vim"), reason="there is no vim")
def test_a_program_that_cares_for_its_screen_is_told_of_ctrl_z(
    tmp_path: Path, shell: Terminal
) -> None:
    shell.type(b"$G vim -u NONE\n")
    shell.read_until(b"\x1b[?1049h")
    shell.read_until(b"~")
    shell.type(b"ihello\x1b\x1a")
    assert b"\x1b[?1049l" in shell.read_until(b"Stopped")
    shell.read_until(PROMPT)
    assert message(tmp_path) == "suspended"
    shell.type(b"fg\n")
    shell.read_until(b"\x1b[?1049h")
    shell.read_until(b"hello")
    shell.type(f":wq! {tmp_path}/written\r".encode())
    shell.read_until(PROMPT)
    assert (tmp_path / "written").read_text() == "hello\n"


def test_where_there_is_no_shell_to_go_on_with_us_ctrl_z_changes_nothing(
    tmp_path: Path,
    words: Words,  # noqa: F811
) -> None:
    with Terminal(*words("sh", "-c", "echo begun; read line; echo got $line")) as terminal:
        terminal.read_until(b"begun\r\n")
        terminal.type(b"\x1aon\n")
        assert terminal.read_to_end() == b"^Zon\r\ngot on\r\n"
    assert terminal.process.returncode == 0
    assert message(tmp_path) == "got on"


def test_in_the_background_the_terminal_is_the_shell_s_until_fg(
    tmp_path: Path, shell: Terminal, script: Callable[[str], str]
) -> None:
    mode = shell.mode
    shell.type(f"$G {script('echo begun; read line; echo got $line; exit 4')} &\n".encode())
    shell.read_until(b"begun\r\n")
    assert shell.mode == mode
    assert shell.run("echo $((6 * 7))").endswith(b"42\r\n")
    shell.type(b"fg\n")
    while shell.mode == mode:  # no signal tells of fg
        os.sched_yield()
    shell.type(b"on\n")
    shell.read_until(b"got on\r\n")
    shell.read_until(PROMPT)
    assert shell.run("echo $?") == b"4\r\n"
    assert shell.mode == mode


def test_in_the_background_the_command_does_not_get_the_mode_in_which_a_shell_reads(
    tmp_path: Path, shell: Terminal, script: Callable[[str], str]
) -> None:
    before = shell.mode
    command = script(f"stty -a > {tmp_path / 'mode'}; echo begun; read line; echo got $line")
    shell.type(f"stty -icrnl; $G {command} &\n".encode())  # as readline does
    shell.read_until(b"begun\r\n")
    assert shell.run("stty icrnl") == b""
    assert "icrnl" in {*(tmp_path / "mode").read_text().split()}
    shell.type(b"fg\n")
    while shell.mode == before:
        os.sched_yield()
    shell.type(b"on\r")
    shell.read_until(b"got on\r\n")
    shell.read_until(PROMPT)
    assert shell.mode == before


def test_after_bg_the_command_goes_on_and_the_terminal_is_the_shell_s(
    tmp_path: Path, shell: Terminal, script: Callable[[str], str]
) -> None:
    mode = shell.mode
    os.mkfifo(tmp_path / "gate")
    go_on = f"echo begun; read line < {tmp_path}/gate; echo got $line"
    shell.type(f"$G {script(go_on)}\n".encode())
    shell.read_until(b"begun\r\n")
    shell.type(b"\x1a")
    shell.read_until(PROMPT)
    shell.run("bg")
    until(tmp_path, lambda told: told.message == "begun")
    assert shell.mode == mode
    (tmp_path / "gate").write_text("on\n")
    shell.read_until(b"got on\r\n")
    assert b"Done" in shell.run("wait")
    assert shell.mode == mode


def test_the_command_sees_the_size_of_the_window_and_each_change(words: Words) -> None:  # noqa: F811
    with Terminal(*words(*python(SIZE)), columns=90, rows=30) as terminal:
        terminal.read_until(b"90 30\r\n")
        terminal.resize(120, 40)
        assert terminal.read_to_end() == b"120 40\r\n"


def test_the_terminal_is_given_back_whatever_happens(shell: Terminal, waiting: str) -> None:
    mode = shell.mode
    shell.type(f"$G {waiting}\n".encode())
    shell.read_until(b"begun")
    os.kill(int(shell.read_until(b"\r\n")), signal.SIGKILL)  # the process between us and it
    assert b"the process between guardkit and the command was ended" in shell.read_until(PROMPT)
    assert shell.mode == mode
    assert shell.run("echo $?") == b"7\r\n"


def test_who_is_left_behind_on_the_terminal_holds_nobody_up_and_lives(
    tmp_path: Path,
    words: Words,  # noqa: F811
) -> None:
    with Terminal(*words("sh", "-c", "sleep 600 & echo $!")) as terminal:
        pid = int(terminal.read_to_end())
    assert terminal.process.returncode == 0
    assert Path(f"/proc/{pid}").exists()
    os.kill(pid, signal.SIGKILL)


def test_an_error_that_leads_elsewhere_stays_apart(
    tmp_path: Path, shell: Terminal, script: Callable[[str], str]
) -> None:
    do = script("test -t 1 && echo out; test -t 2 || echo err >&2; echo $(tty)")
    shown = shell.run(f"$G {do} 2> {tmp_path}/err")
    assert shown.startswith(b"out\r\n/dev/")
    assert (tmp_path / "err").read_bytes() == b"err\n"


def test_an_input_that_comes_from_elsewhere_is_the_command_s(
    shell: Terminal, script: Callable[[str], str]
) -> None:
    do = script("test -t 0 || cat; read line < /dev/tty; echo got $line")
    shell.type(f"echo piped | $G {do}\n".encode())
    shell.read_until(b"piped\r\n")
    shell.type(b"on\n")
    shell.read_until(b"got on\r\n")
    shell.read_until(PROMPT)


def test_an_error_on_the_terminal_looks_so_to_the_command_where_its_output_is_none(
    tmp_path: Path, shell: Terminal, script: Callable[[str], str]
) -> None:
    do = script("test -t 1 || echo out; test -t 2 && stty size <&2 >&2")
    assert shell.run(f"$G {do} > {tmp_path}/out") == b"24 80\r\n"
    assert (tmp_path / "out").read_bytes() == b"out\n"
    assert message(tmp_path) == "24 80"


def test_in_a_pipe_the_command_may_ask_on_the_terminal(
    shell: Terminal, script: Callable[[str], str]
) -> None:
    mode = shell.mode
    shell.type(f"$G {script('echo begun; read line; echo got $line; exit 4')} | cat\n".encode())
    shell.read_until(b"begun\r\n")
    assert shell.mode == mode
    shell.type(b"on\n")
    shell.read_until(b"got on\r\n")
    shell.read_until(PROMPT)
    assert shell.run("echo ${PIPESTATUS[@]}") == b"4 0\r\n"
    assert shell.mode == mode


@pytest.mark.parametrize("asks", ["", "asks"], ids=["it does not ask", "it asks"])
def test_in_a_pipe_ctrl_z_and_ctrl_c_work(
    tmp_path: Path, shell: Terminal, waiting: str, asks: str
) -> None:
    shell.type(f"$G {waiting} {asks} | cat\n".encode())
    if asks:
        shell.read_until(b"\r\n")
        shell.type(b"on\n")
    shell.read_until(b"begun")
    shell.read_until(b"\r\n")
    shell.type(b"\x1a")
    assert b"Stopped" in shell.read_until(PROMPT)
    assert message(tmp_path) == "suspended"
    shell.type(b"fg\n")
    until(tmp_path, lambda told: told.message != "suspended")
    shell.type(b"\x03")
    shell.read_until(PROMPT)
    assert read_progress("nightly", root=tmp_path).error == "was ended by SIGINT"


def test_ctrl_c_ends_who_writes_to_the_command_too(
    tmp_path: Path, shell: Terminal, waiting: str
) -> None:
    shell.type(f"{waiting} | $G cat\n".encode())
    shell.read_until(b"begun")
    shell.read_until(b"\r\n")
    shell.type(b"\x03")
    shell.read_until(PROMPT)
    assert read_progress("nightly", root=tmp_path).error == "was ended by SIGINT"


@pytest.mark.skipif(not shutil.which("less"), reason="there is no less")
def test_a_pager_at_the_end_of_a_pipe_has_the_keys(shell: Terminal) -> None:
    shell.type(b"$G seq 1000 | less\n")
    shell.read_until(b":")
    shell.type(b"q")
    shell.read_until(PROMPT)


def test_a_shell_in_the_command_has_jobs_of_its_own(
    shell: Terminal, script: Callable[[str], str]
) -> None:
    shell.type(f"PS1='inner> ' $G {shlex.join(SHELL)}\n".encode())
    shell.read_until(b"\r\ninner> ")
    shell.type(f"{script('echo begun; read line; exit')}\n".encode())
    shell.read_until(b"begun\r\n")
    shell.type(b"\x1a")
    shell.read_until(b"Stopped")
    shell.read_until(b"\r\ninner> ")
    shell.type(b"fg\n")
    shell.read_until(b"script\r\n")
    shell.type(b"on\n")
    shell.read_until(b"inner> ")
    shell.type(b"exit 3\n")
    shell.read_until(PROMPT)
    assert shell.run("echo $?") == b"3\r\n"


def test_a_terminal_that_is_closed_hangs_up_on_the_command(
    tmp_path: Path,
    words: Words,  # noqa: F811
) -> None:
    with Terminal(*words(*python(HUNG_UP_ON))) as terminal:
        terminal.read_until(b"\r\n")
        terminal.close()
        assert terminal.process.wait(60) == 9
    assert read_progress("nightly", root=tmp_path).error == "exited with 9"

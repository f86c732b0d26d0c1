"""guardkit run, through pipes: real commands, whose bytes, signals and exit codes pass."""

import asyncio
import getpass
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from guardkit import Snapshot, read_progress, watch_progress

from .test_cli import GUARDKIT, complaint, guardkit

SIGNALS = (
    *(signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM),
    *(signal.SIGUSR1, signal.SIGUSR2),
)
ALL_BYTES = "import sys; sys.stdout.buffer.write(bytes(range(256)) * 300)"
HUNG_UP_ON = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
print(os.getpid(), flush=True)
signal.sigwait([signal.SIGHUP])
for name in sys.argv[1:]:
    open(name, "w").close()
sys.exit(9)
"""
TQDM = """
import sys, time
from tqdm import tqdm
for _ in tqdm(range(40), unit="rows", mininterval=0): pass
print("gate", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def words(tmp_path: Path) -> Callable[..., tuple[str, ...]]:
    """Return the command line that runs a command as the build of nightly."""

    def words(*command: str) -> tuple[str, ...]:
        return (*GUARDKIT, "run", "nightly", "--root", str(tmp_path), "--", *command)

    return words


@contextmanager
def started(*command: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command with pipes, in a group of its own; it does not outlive the block."""
    pipe = subprocess.PIPE
    pipes: dict[str, Any] = {"stdin": pipe, "stdout": pipe, "stderr": pipe} | options
    with subprocess.Popen(command, process_group=0, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def ran(*command: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, capture_output=True, check=False, timeout=120, **options)


def python(program: str) -> tuple[str, ...]:
    return (sys.executable, "-c", program)


def line_of(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    return process.stdout.readline()


def snapshot(root: Path) -> Snapshot:
    return read_progress("nightly", root=root)


def until(root: Path, condition: Callable[[Snapshot], bool]) -> Snapshot:
    """Return the first snapshot of a build that fulfils a condition."""

    async def look() -> Snapshot:
        async with asyncio.timeout(60):
            async for found in watch_progress("nightly", root=root):
                if condition(found):
                    return found
        pytest.fail(f"it has ended: {snapshot(root)}")

    return asyncio.run(look())


def gone(pid: int) -> bool:
    """Wait for a process to end; return that it has."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    import select

    ended = bool(select.select([fd], [], [], 60)[0])
    os.close(fd)
    return ended


def peak_memory(pid: int) -> int:
    """Return the most memory that a process has had, in KiB; 0: it has ended."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) if found else 0


@pytest.mark.parametrize(
    ("script", "code", "status", "error"),
    [
        ("exit 0", 0, "completed", None),
        ("exit 1", 1, "failed", "exited with 1"),
        ("exit 125", 125, "failed", "exited with 125"),
        ("kill -KILL $$", 137, "failed", "was ended by SIGKILL"),
        ("kill -SEGV $$", 139, "failed", "was ended by SIGSEGV"),
    ],
)
def test_the_exit_code_is_that_of_the_command(
    tmp_path: Path,
    words: Callable[..., tuple[str, ...]],
    script: str,
    code: int,
    status: str,
    error: str | None,
) -> None:
    ended = ran(*words("sh", "-c", script))
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, b"", b"")
    told = snapshot(tmp_path)
    assert (told.status, told.error, told.build_type) == (status, error, "task")
    assert (told.phase, told.phase_status) == ("sh", status)


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("no-such-program", "No such file or directory"),
        ("", "No such file or directory"),
        ("/", "Permission denied"),
    ],
)
def test_what_cannot_be_started_ends_with_125(
    tmp_path: Path, words: Callable[..., tuple[str, ...]], program: str, why: str
) -> None:
    ended = ran(*words(program))
    told = f"could not be started: {why}"
    assert (ended.returncode, ended.stdout) == (125, b"")
    assert ended.stderr.decode() == f"guardkit: {program or repr('')} {told}\n"
    assert (snapshot(tmp_path).status, snapshot(tmp_path).error) == ("failed", told)


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("run", "required: ID"),
        ("run nightly", "the command stands after --"),
        ("run nightly --", "the command stands after --"),
        ("run nightly make all", "the command stands after --"),
        ("run nightly more -- make", "the command stands after --"),
        ("run nightly --rot x -- make", "there is no option --rot (did you mean --root?)"),
        ("run nightly -j4 -- make", "there is no option -j"),
        ("run -- make", "required: ID"),
    ],
)
def test_wrong_usage_is_told_in_a_line(line: str, wrong: str) -> None:
    ended = guardkit(*line.split())
    assert (ended.returncode, ended.stdout) == (2, "")
    assert wrong in complaint(ended)


def test_a_task_id_that_is_none_is_refused(tmp_path: Path) -> None:
    ended = guardkit("run", "../x", "--root", str(tmp_path), "--", "touch", f"{tmp_path}/made")
    assert ended.returncode == 2
    assert [*tmp_path.iterdir()] == []


def test_the_words_of_the_command_are_handed_on_as_they_are(
    words: Callable[..., tuple[str, ...]],
) -> None:
    given = ("--nats", "s3cret", "--", "-h", "", " a b ", "--root", "\udcff")
    program = "import os, sys; print([*map(os.fsencode, sys.argv[1:])])"
    ended = ran(*words(*python(program), *given))
    assert ended.stdout.decode() == f"{[*map(os.fsencode, given)]}\n"


def test_a_task_that_is_being_built_is_refused_before_anything_is_started(
    tmp_path: Path, words: Callable[..., tuple[str, ...]]
) -> None:
    with started(*words("sh", "-c", "echo begun; read line")) as first:
        assert line_of(first) == b"begun\n"
        second = ran(*words("touch", str(tmp_path / "made")))
        first.communicate(b"\n")
    assert (second.returncode, second.stdout) == (7, b"")
    assert b"nightly is being built by process" in second.stderr
    assert not (tmp_path / "made").exists()
    assert snapshot(tmp_path).status == "completed"


def test_output_and_error_pass_byte_by_byte_and_stay_apart(
    words: Callable[..., tuple[str, ...]],
) -> None:
    program = f"{ALL_BYTES}; sys.stderr.buffer.write(bytes(range(255, -1, -1)) * 300)"
    ended = ran(*words(*python(program)))
    assert ended.stdout == bytes(range(256)) * 300
    assert ended.stderr == bytes(range(255, -1, -1)) * 300


def test_input_passes_byte_by_byte(words: Callable[..., tuple[str, ...]]) -> None:
    given = os.urandom(1_000_000)
    assert ran(*words("cat"), input=given).stdout == given


def test_a_command_that_asks_is_answered(
    tmp_path: Path, words: Callable[..., tuple[str, ...]]
) -> None:
    with started(*words("sh", "-c", "printf 'go on? '; read answer; echo said $answer")) as process:
        assert process.stdout is not None
        assert process.stdout.read(7) == b"go on? "
        assert until(tmp_path, lambda told: told.message == "go on?").status == "running"
        assert process.communicate(b"yes\n")[0] == b"said yes\n"
    assert snapshot(tmp_path).message == "go on? said yes"


def test_output_and_error_that_lead_to_one_place_stay_in_order(
    words: Callable[..., tuple[str, ...]],
) -> None:
    script = "for n in $(seq 500); do echo $n; echo $n >&2; done"
    ended = subprocess.run(
        words("sh", "-c", script), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True
    )
    assert ended.stdout.split() == [b"%d" % (n // 2) for n in range(2, 1002)]


def test_a_file_that_the_shell_has_opened_is_there_for_the_command(
    words: Callable[..., tuple[str, ...]],
) -> None:
    line = f"{shlex.join(words('cat', '/dev/fd/7'))} 7<<< hello"
    assert ran("bash", "-c", line).stdout == b"hello\n"


def test_large_output_passes_whole_in_little_memory_while_the_build_is_alive(
    tmp_path: Path, words: Callable[..., tuple[str, ...]], pytestconfig: pytest.Config
) -> None:
    size = 10**9 if pytestconfig.getoption("long") else 5 * 10**7
    program = f"""
import os
block = bytes(range(256)) * 400
for _ in range({size} // len(block)): os.write(1, block)
"""
    digest, beats, number, memory = hashlib.sha256(), set[float](), 0, 0
    with started(*words(*python(program)), stderr=None) as process:
        assert process.stdout is not None
        while chunk := process.stdout.read(10**6):
            digest.update(chunk)
            number += len(chunk)
            beats.add(snapshot(tmp_path).tracker.beat)
            memory = max(memory, peak_memory(process.pid))
    block = bytes(range(256)) * 400
    whole = hashlib.sha256()
    for _ in range(size // len(block)):
        whole.update(block)
    assert (number, digest.digest()) == (size // len(block) * len(block), whole.digest())
    assert process.returncode == 0
    assert len(beats) > 1
    assert 0 < memory < 100 * 1024  # KiB; all that is imported takes a third of it


def test_a_reader_that_takes_nothing_holds_up_the_command_and_neither_build_nor_end(
    tmp_path: Path, words: Callable[..., tuple[str, ...]]
) -> None:
    with started(*words("sh", "-c", "yes & echo filling >&2; wait")) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == b"filling\n"
        until(tmp_path, lambda told: told.message in {"filling", "y"})
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
        assert process.stderr.read() == b"guardkit: output: nobody reads it\n"
    assert snapshot(tmp_path).error == "was ended by SIGTERM"


def test_a_command_whose_output_nobody_reads_is_told_so(
    tmp_path: Path, words: Callable[..., tuple[str, ...]]
) -> None:
    with started(*words("yes")) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"y\n"
        process.stdout.close()
        assert process.wait(60) == 128 + signal.SIGPIPE
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert snapshot(tmp_path).error == "was ended by SIGPIPE"


def test_output_that_cannot_be_written_never_ends_with_0(
    words: Callable[..., tuple[str, ...]],
) -> None:
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(
            words("sh", "-c", "echo hello"), stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert ended.returncode == 7
    assert ended.stderr == b"guardkit: standard output: No space left on device\n"


@pytest.mark.parametrize("left", ["sleep 600", "yes"])
def test_what_a_command_leaves_behind_holds_nobody_up(
    words: Callable[..., tuple[str, ...]], left: str
) -> None:
    script = f"{left} & echo $! >&2; echo before"
    with started(*words("sh", "-c", script)) as process:
        out, err = process.communicate(timeout=60)
    pid = int(err)
    assert process.returncode == 0
    assert b"before\n" in out
    with suppress(ProcessLookupError):  # SIGPIPE has told yes
        os.kill(pid, signal.SIGKILL)
    assert gone(pid)


FAMILY = """
import os, signal, sys
number = int(sys.argv[1])
signal.pthread_sigmask(signal.SIG_BLOCK, [number])
child = os.fork()
os.write(1, b"ready\\n")
signal.sigwait([number])
if not child:
    os.write(1, b"child\\n")
    os._exit(0)
os.wait()
os.write(1, b"parent\\n")
sys.exit(9)
"""


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_is_passed_on_to_the_group_of_the_command(
    tmp_path: Path, words: Callable[..., tuple[str, ...]], number: signal.Signals
) -> None:
    with started(*words(*python(FAMILY), str(int(number)))) as process:
        assert line_of(process) == line_of(process) == b"ready\n"
        process.send_signal(number)
        assert process.communicate(timeout=60) == (b"child\nparent\n", b"")
    assert process.returncode == 9
    assert snapshot(tmp_path).error == "exited with 9"


def test_ctrl_c_ends_the_command_and_we_end_as_it_does(
    tmp_path: Path, words: Callable[..., tuple[str, ...]]
) -> None:
    program = "import signal; signal.signal(2, signal.SIG_DFL); print('on', flush=True)"
    with started(*words(*python(f"{program}; signal.pause()"))) as process:
        assert line_of(process) == b"on\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == (b"", b"")
    assert process.returncode == 130
    assert (snapshot(tmp_path).status, snapshot(tmp_path).error) == (
        "failed",
        "was ended by SIGINT",
    )


def test_a_command_that_is_cancelled_fails_and_its_journal_tells_by_whom(
    tmp_path: Path, words: Callable[..., tuple[str, ...]]
) -> None:
    folder = tmp_path / ".guardkit/autobuild/nightly"
    folder.mkdir(parents=True)
    (folder / "cancel").write_text("by nobody")  # who has cancelled an earlier run
    with started(*words("sh", "-c", "echo on; sleep 600")) as process:
        assert line_of(process) == b"on\n"
        assert guardkit("cancel", "nightly", "--root", str(tmp_path)).returncode == 0
        process.communicate(timeout=60)
    assert process.returncode == 130
    by = f"by {getpass.getuser()}, with guardkit cancel"
    assert snapshot(tmp_path).error == f"was ended by SIGINT; cancelled {by}"
    assert not (folder / "cancel").exists()
    assert ran(*words("sh", "-c", "exit 1")).returncode == 1
    assert snapshot(tmp_path).error == "exited with 1"


def test_a_signal_that_is_ignored_from_the_start_is_so_for_the_command(
    words: Callable[..., tuple[str, ...]],
) -> None:
    like_nohup = ("sh", "-c", 'trap "" HUP; exec "$@"', "sh")
    script = "echo ready; read line; kill -HUP $$; echo alive"
    with started(*like_nohup, *words("sh", "-c", script)) as process:
        assert line_of(process) == b"ready\n"
        process.send_signal(signal.SIGHUP)
        assert process.communicate(b"\n", timeout=60) == (b"alive\n", b"")
    assert process.returncode == 0


def test_signals_are_to_the_command_what_they_are_without_us(
    words: Callable[..., tuple[str, ...]],
) -> None:
    status = (shutil.which("grep") or "", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status")
    assert ran(*words(*status)).stdout == ran(*status).stdout


def test_a_command_is_hung_up_on_when_we_are_killed(
    tmp_path: Path, words: Callable[..., tuple[str, ...]]
) -> None:
    made = tmp_path / "hung up"
    with started(*words(*python(HUNG_UP_ON), str(made))) as process:
        pid = int(line_of(process))
        process.kill()
        assert gone(pid)
    assert made.exists()
    assert guardkit("status", "nightly", "--root", str(tmp_path)).returncode == 4


def test_a_process_between_us_and_the_command_that_is_killed_is_told_of(
    tmp_path: Path, words: Callable[..., tuple[str, ...]]
) -> None:
    with started(*words("sh", "-c", "echo $$ $PPID; sleep 600")) as process:
        pid, between = map(int, line_of(process).split())
        os.kill(between, signal.SIGKILL)
        _, err = process.communicate(timeout=60)
    why = "the process between guardkit and the command was ended"
    assert (process.returncode, err.decode()) == (7, f"guardkit: {why}\n")
    assert snapshot(tmp_path).error == f"ChildProcessError: {why}"
    assert gone(pid)


def test_a_command_that_is_stopped_from_elsewhere_is_shown_so_and_the_build_lives(
    tmp_path: Path, words: Callable[..., tuple[str, ...]]
) -> None:
    with started(*words("sh", "-c", "echo $$; read line; echo end")) as process:
        pid = int(line_of(process))
        until(tmp_path, lambda told: told.message == str(pid))
        os.kill(pid, signal.SIGSTOP)
        told = until(tmp_path, lambda told: told.message == "suspended")
        assert (told.phase, told.status) == ("Suspended", "running")
        os.kill(pid, signal.SIGCONT)
        told = until(tmp_path, lambda told: told.message == str(pid))
        assert told.phase == "sh"
        assert process.communicate(b"\n", timeout=60) == (b"end\n", b"")


def test_ctrl_z_stops_the_command_and_then_us(
    tmp_path: Path, words: Callable[..., tuple[str, ...]]
) -> None:
    with started(*words("sh", "-c", "echo ready; read line; echo end")) as process:
        assert line_of(process) == b"ready\n"
        process.send_signal(signal.SIGTSTP)
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        assert snapshot(tmp_path).message == "suspended"
        process.send_signal(signal.SIGCONT)
        assert process.communicate(b"\n", timeout=60) == (b"end\n", b"")
    assert process.returncode == 0
    events = (tmp_path / ".guardkit/autobuild/nightly/events.jsonl").read_text().splitlines()
    phases = [json.loads(line)["progress"]["phase"] for line in events]
    assert "Suspended" in phases


def test_the_last_line_is_the_message_of_whichever_output_it_came(
    tmp_path: Path, words: Callable[..., tuple[str, ...]]
) -> None:
    with started(*words("sh", "-c", "echo one; read a; echo two >&2; read a; echo three")) as it:
        assert it.stdin is not None
        assert line_of(it) == b"one\n"
        for line in ("one", "two"):
            until(tmp_path, lambda told, line=line: told.message == line)  # type: ignore[misc]
            it.stdin.write(b"\n")
            it.stdin.flush()
        it.communicate()
    assert snapshot(tmp_path).message == "three"


def test_output_is_activity_though_nothing_that_is_shown_has_changed(
    tmp_path: Path, words: Callable[..., tuple[str, ...]]
) -> None:
    with started(*words("sh", "-c", "while read a; do echo same; done")) as process:
        assert process.stdin is not None
        seen = list[Snapshot]()
        while len({told.tracker.activity_at for told in seen}) < 2:
            process.stdin.write(b"\n")
            process.stdin.flush()
            assert line_of(process) == b"same\n"
            seen.append(until(tmp_path, lambda told: told.message == "same"))
        process.communicate()


def test_what_tqdm_prints_is_counted(tmp_path: Path, words: Callable[..., tuple[str, ...]]) -> None:
    with started(*words(*python(TQDM)), stderr=subprocess.DEVNULL) as process:
        assert line_of(process) == b"gate\n"
        told = until(tmp_path, lambda told: bool(told.work and told.work.done == 40))
        process.communicate()
    assert told.work is not None
    assert (told.work.total, told.work.unit) == (40, "rows")


def test_what_pytest_prints_is_counted(
    tmp_path: Path, words: Callable[..., tuple[str, ...]]
) -> None:
    (tmp_path / "test_it.py").write_text(
        "import pytest\n@pytest.mark.parametrize('n', range(4))\ndef test_ok(n): assert n < 3\n"
    )
    command = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_it.py")
    ended = ran(*words(*command), cwd=tmp_path)
    assert ended.returncode == 1
    told = snapshot(tmp_path)
    assert (told.metrics.tests_passed, told.metrics.tests_total) == (3, 4)
    assert told.work is not None
    assert (told.work.done, told.work.total, told.work.unit) == (100, 100, "%")
    assert re.fullmatch(r"=+ 1 failed, 3 passed in [\d.]+s =+", told.message or "")

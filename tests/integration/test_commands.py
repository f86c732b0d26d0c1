"""Commands of a Player or the tests: real processes, ended whatever they do."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from anyio.abc import TaskGroup

from guardkit.clock import Clock, SystemClock
from guardkit.orchestrator.processes.commands import CommandResult, Seat, plain, run_command
from guardkit.testing import FakeClock

pytestmark = pytest.mark.anyio


class Runner:
    """Runs a command, and lets the test wait for a line of its output."""

    def __init__(self, cwd: Path, clock: Clock) -> None:
        self.cwd = cwd
        self.clock = clock
        self.lines: list[str] = []
        self.ready = anyio.Event()
        self.result: CommandResult | None = None

    def hear(self, line: str) -> None:
        self.lines.append(line)
        if line == "ready":
            self.ready.set()

    async def run(self, command: str, *, budget: float = 1e9, **env: str) -> CommandResult:
        with anyio.fail_after(60):
            seat = Seat(cwd=self.cwd, budget=budget, clock=self.clock, env=env, hear=self.hear)
            self.result = await run_command(command, seat)
        return self.result

    async def start(self, tasks: TaskGroup, command: str, *, budget: float = 1e9) -> None:
        async def run() -> None:
            await self.run(command, budget=budget)

        tasks.start_soon(run)
        with anyio.fail_after(60):
            await self.ready.wait()


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path, SystemClock())


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def timed(tmp_path: Path, clock: FakeClock) -> Runner:
    return Runner(tmp_path, clock)


def python(code: str) -> str:
    return f"{sys.executable} -c '{code}'"


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def alive(pid: int) -> bool:
    """Whether the process runs; one that is dead and not yet buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        while not condition():
            await anyio.lowlevel.checkpoint()


async def test_a_command_is_run_by_the_shell_in_the_folder(runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("hello")
    result = await runner.run('cat *.txt && echo "$NAME"', NAME="a name")
    assert (result.exit_code, result.tail) == (0, "helloa name")


async def test_stderr_comes_in_order_with_stdout(runner: Runner) -> None:
    assert (await runner.run("echo 1; echo 2 >&2; echo 3")).tail == "1\n2\n3"


async def test_there_is_no_input(runner: Runner) -> None:
    assert (await runner.run("cat; echo done")).tail == "done"


@pytest.mark.parametrize(
    ("command", "exit_code", "ending"),
    [
        ("true", 0, "exited with 0"),
        ("exit 3", 3, "exited with 3"),
        ("kill -KILL $$", -9, "was ended by SIGKILL"),
        ("kill -SEGV $$", -11, "was ended by SIGSEGV"),
        ("kill -40 $$", -40, "exited with -40"),
        ("/no/such/player", 127, "was not found"),
        ("./file", 126, "could not be executed"),
    ],
)
async def test_how_it_ended_is_told_in_words(
    runner: Runner, tmp_path: Path, command: str, exit_code: int, ending: str
) -> None:
    (tmp_path / "file").write_text("")
    result = await runner.run(command)
    assert (result.exit_code, result.ending) == (exit_code, ending)


async def test_a_folder_that_is_gone_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        await Runner(tmp_path / "gone", SystemClock()).run("true")


async def test_the_latest_line_is_told_plain(runner: Runner) -> None:
    await runner.run(r"""printf 'one\r\033[1;31mtwo\033[0m\033]0;title\007\ttab\n\n\377 end\n'""")
    assert runner.lines[-1] == "\ufffd end"
    assert plain("\x1b[1;31mtwo\x1b[0m\x1b]0;title\x07 \x00x\r\ny") == "two x\ny"


async def test_a_long_line_is_cut(runner: Runner) -> None:
    await runner.run("head -c 1000 /dev/zero | tr '\\0' x; echo")
    assert set(runner.lines) - {""} == {"x" * 200}


async def test_of_100_megabytes_only_the_end_is_kept(runner: Runner) -> None:
    result = await runner.run("head -c 100000000 /dev/zero | tr '\\0' x; echo; echo end")
    assert len(result.tail) <= 8 * 1024
    assert result.tail == "end"
    assert runner.lines[-1] == "end"


async def test_output_without_a_line_is_told_of_too(runner: Runner) -> None:
    await runner.run("printf .; sleep 0.05; printf .")
    assert runner.lines[:2] == ["", ""]


async def test_secrets_of_the_environment_are_not_shown(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "t0ken-of-mine")
    monkeypatch.setenv("DATABASE_URL", "postgres://shop:pass-word-1@127.0.0.1/shop")
    monkeypatch.setenv("SHORT_TOKEN", "abc")
    result = await runner.run('echo "$SHOP_TOKEN abc $DATABASE_URL"')
    assert result.tail == "*** abc postgres://shop:***@127.0.0.1/shop"
    assert runner.lines[-1] == result.tail


async def test_our_own_logins_are_not_handed_on(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NATS_URL", "NATS_TOKEN", "NATS_PASSWORD", "NATS_NKEY"):
        monkeypatch.setenv(name, "ours")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "theirs")
    handed_on = (await runner.run("env | cut -d= -f1")).tail.split()
    assert not [name for name in handed_on if name.startswith("NATS_")]
    assert "ANTHROPIC_API_KEY" in handed_on


async def test_binary_output_is_no_trouble(runner: Runner) -> None:
    assert (await runner.run("head -c 1000000 /dev/urandom; exit 3")).exit_code == 3


async def test_the_loop_goes_on_while_a_command_floods_its_output(runner: Runner) -> None:
    turns = 0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(runner.run, "head -c 10000000 /dev/zero")
        while runner.result is None:
            turns += 1
            await anyio.lowlevel.checkpoint()
    assert turns > 100


async def test_a_child_left_in_the_background_is_ended_and_not_waited_for(runner: Runner) -> None:
    result = await runner.run("sleep 1000 & echo $!")
    assert result.exit_code == 0
    assert not alive(int(result.tail))


async def test_a_child_that_left_the_group_and_the_session_is_ended_too(runner: Runner) -> None:
    leave = python(
        'import os, time; os.setsid();open("left", "w").write(str(os.getpid())); time.sleep(1000)'
    )
    result = await runner.run(f"mkfifo left; {leave} & read pid < left; echo $pid")
    assert result.exit_code == 0
    assert not alive(int(result.tail))


async def test_a_child_whose_parents_are_dead_is_ended_too(runner: Runner) -> None:
    leave = python(
        "import os, time; os.fork() and os._exit(0); os.setsid(); os.fork() and os._exit(0);"
        'open("left", "w").write(str(os.getpid())); time.sleep(1000)'
    )
    result = await runner.run(f"mkfifo left; {leave} & read pid < left; echo $pid")
    assert result.exit_code == 0
    assert not alive(int(result.tail))


async def test_what_ties_git_to_a_repository_is_not_handed_on(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = subprocess.check_output(("git", "rev-parse", "--local-env-vars"), text=True).split()
    local += [f"GIT_{kind}_PATHSPECS" for kind in ("LITERAL", "GLOB", "NOGLOB", "ICASE")]
    for name in (*local, "GIT_QUARANTINE_PATH"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "kept")
    assert (await runner.run("env | grep ^GIT_A")).tail == "GIT_AUTHOR_NAME=kept"
    handed_on = (await runner.run("env | cut -d= -f1")).tail.split()
    assert not {*local, "GIT_QUARANTINE_PATH"} & {*handed_on}


async def test_a_command_that_never_ends_is_ended_when_its_budget_is_used_up(
    timed: Runner, clock: FakeClock
) -> None:
    async with anyio.create_task_group() as tasks:
        await timed.start(tasks, "printf '%d\\nready\\n' $$; sleep 1000", budget=900)
        await clock.advance(899)
        assert timed.result is None
        await clock.advance(1)
        while timed.result is None:
            await clock.advance(0.01)
    assert timed.result is not None
    assert (timed.result.exit_code, timed.result.ending) == (None, "did not finish within 900 s")
    assert not alive(int(timed.result.tail.split("\n")[0]))


async def test_one_that_ignores_sigterm_is_killed_after_the_grace(
    timed: Runner, clock: FakeClock
) -> None:
    command = python(
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        'os.write(1, f"{os.getpid()}\\nready\\n".encode()); time.sleep(1000)'  # in one piece
    )
    async with anyio.create_task_group() as tasks:
        await timed.start(tasks, f"{command} & wait", budget=10)
        await clock.advance(10)
        await clock.advance(1.9)
        assert timed.result is None
        await clock.advance(0.2)
        await until(lambda: timed.result is not None)
    assert timed.result is not None
    assert timed.result.exit_code is None
    pid = int(timed.result.tail.split("\n")[0])
    await until(lambda: not alive(pid))


async def test_a_cancelled_command_may_clean_up_and_is_gone_before_we_go_on(
    runner: Runner, tmp_path: Path
) -> None:
    command = python(
        "import signal, sys, time; from pathlib import Path;"
        'signal.signal(signal.SIGTERM, lambda *_: (Path("cleaned").touch(), sys.exit()));'
        'print("ready", flush=True); time.sleep(1000)'
    )
    async with anyio.create_task_group() as tasks:
        await runner.start(tasks, f"{command} & echo $! > pid; wait")
        tasks.cancel_scope.cancel()
    assert (tmp_path / "cleaned").exists()
    assert not alive(int((tmp_path / "pid").read_text()))
    assert runner.result is None


def running(marker: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found += [path.parent.name] if marker in path.read_text() else []
    return found


@pytest.mark.parametrize("how", ["scope", "task"])
async def test_however_early_it_is_cancelled_nothing_runs_on(tmp_path: Path, how: str) -> None:
    marker = f"98{os.getpid()}"

    async def cancel_after(turns: int) -> None:
        runner, scope = Runner(tmp_path, SystemClock()), anyio.CancelScope()

        async def run() -> None:
            with scope:
                await runner.run(f"sleep {marker} & sleep {marker}")

        task = asyncio.create_task(run())
        for _ in range(turns):
            await anyio.lowlevel.checkpoint()
        (scope if how == "scope" else task).cancel()
        await asyncio.wait({task})
        assert runner.result is None

    await asyncio.gather(*(cancel_after(turns) for turns in range(30)))
    await until(lambda: not running(marker))


async def test_no_descriptor_is_left_open(runner: Runner) -> None:
    await runner.run("true")
    before = descriptors()
    for command in ("true", "sleep 1000 & exit 1", "/no/such"):
        await runner.run(command)
    assert descriptors() == before

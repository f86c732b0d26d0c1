"""How an agent is run and read: a shell command in a process group of its own."""

import os
import re
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from io import FileIO
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT, Popen
from typing import Any, cast

import anyio
import msgspec
from anyio.to_thread import run_sync

from guardkit.clock import Clock

GRACE = 5.0  # seconds between SIGTERM and SIGKILL
POLL = 0.05  # seconds between two looks whether the group is gone
TAIL_BYTES = 8 * 1024
PIPE_BYTES = 2**20  # that a pipe may hold
ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
SIGNALS = {-number: f"was ended by {number.name}" for number in signal.Signals}
# A git hook hands some of these to what it starts: they would point git at another repository,
# or change what a path means. All that `git rev-parse --local-env-vars` names, and five more.
_GIT_LOCAL = """
    ALTERNATE_OBJECT_DIRECTORIES COMMON_DIR CONFIG CONFIG_COUNT CONFIG_PARAMETERS DIR GRAFT_FILE
    IMPLICIT_WORK_TREE INDEX_FILE INTERNAL_SUPER_PREFIX NO_REPLACE_OBJECTS OBJECT_DIRECTORY PREFIX
    REPLACE_REF_BASE SHALLOW_FILE WORK_TREE
    GLOB_PATHSPECS ICASE_PATHSPECS LITERAL_PATHSPECS NOGLOB_PATHSPECS QUARANTINE_PATH
"""
GIT_LOCAL = {f"GIT_{name}" for name in _GIT_LOCAL.split()}
BY_SHELL = {126: "could not be executed", 127: "was not found"}

Env = Mapping[str, str]
OnLine = Callable[[str], object]
Poll = Callable[[], Coroutine[Any, Any, None]]


class CommandResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a command ended, and the end of its output: at most 8 KiB of plain text."""

    exit_code: int | None  # negative for the signal that ended it, None when its time was up
    ending: str  # the same in words: the rest of a sentence that begins with its name
    tail: str


def environment(extra: Env) -> Env:
    """Return our environment without what ties git to a repository, and with `extra`."""
    return {name: value for name, value in os.environ.items() if name not in GIT_LOCAL} | {**extra}


def plain(text: str) -> str:
    r"""Return `text` without escape sequences and control characters, lines ended by \n."""
    lines = ESCAPE.sub("", text).expandtabs().splitlines()
    return "\n".join("".join(filter(str.isprintable, line)).rstrip() for line in lines)


async def run_command(
    command: str, *, cwd: Path, budget: float, clock: Clock, env: Env, on_line: OnLine, poll: Poll
) -> CommandResult:
    """Run `command` through the shell in `cwd` for at most `budget` seconds, without any input.

    `env` comes on top of our environment. `on_line` is given its latest line, plain and at most
    200 characters, of stdout and stderr alike; `poll` runs as long as it does. In the end nothing
    of its process group is left. Raises OSError where it cannot start: the folder is gone.
    """

    async def alarm() -> None:
        await clock.sleep(budget)
        tasks.cancel_scope.cancel()

    output, exit_code, ending = _Output(on_line), None, f"did not finish within {budget:g} s"
    with _start(command, cwd, env) as process:
        pipe = cast("FileIO", process.stdout)
        os.set_blocking(pipe.fileno(), False)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(alarm)
                tasks.start_soon(poll)
                tasks.start_soon(output.follow, pipe)
                alone = anyio.CapacityLimiter(1)  # the default one may be used up by others
                exit_code = await run_sync(process.wait, abandon_on_cancel=True, limiter=alone)
                ending = (BY_SHELL | SIGNALS).get(exit_code, f"exited with {exit_code}")
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await _end_group(process, clock)
        output.take(pipe.read(PIPE_BYTES) or b"")  # once: one who left the group may yet write
    tail = plain(output.tail.decode(errors="replace")).strip()
    return CommandResult(exit_code=exit_code, ending=ending, tail=tail)


def _start(command: str, cwd: Path, env: Env) -> Popen[bytes]:
    # Not asyncio's: cancelled while it starts, the command would run on and nobody know of it.
    return Popen(
        ("/bin/sh", "-c", command),
        cwd=cwd,
        env=environment(env),
        bufsize=0,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
        start_new_session=True,
    )


async def _end_group(process: Popen[bytes], clock: Clock) -> None:
    """SIGTERM, up to `GRACE` seconds for all of it, SIGKILL; at once when nobody is left."""
    deadline = clock.monotonic() + GRACE
    with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of zombies
        os.killpg(process.pid, signal.SIGTERM)
        try:
            while clock.monotonic() < deadline:
                await clock.sleep(POLL)
                process.poll()  # lets go of it, if it is dead
                os.killpg(process.pid, 0)  # is anyone left?
                if _only_zombies(process.pid):
                    break
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def _only_zombies(group: int) -> bool:
    """Whether all that is left of the group is dead, and waits for an init that may never come."""
    states = set[bytes]()
    if sys.platform == "linux":
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # it has ended just now
                state, _, of_group = path.read_bytes().rpartition(b")")[2].split()[:3]
                states |= {state} if int(of_group) == group else set()
    return states == {b"Z"}


class _Output:
    """The end of what a command has written; the latest line is told as it comes."""

    def __init__(self, on_line: OnLine) -> None:
        self.tail, self._on_line = b"", on_line

    async def follow(self, pipe: FileIO) -> None:
        await anyio.wait_readable(pipe)
        while chunk := pipe.read(PIPE_BYTES):
            self.take(chunk)
            await anyio.wait_readable(pipe)

    def take(self, chunk: bytes) -> None:
        self.tail = (self.tail + chunk)[-TAIL_BYTES:]
        # Up to the last line end only: half a line would flicker, and may cut an escape sequence.
        lines, _, _ = self.tail.replace(b"\r", b"\n").rpartition(b"\n")
        said = plain(lines.decode(errors="replace")).strip()
        if said:
            self._on_line(said.rpartition("\n")[2].strip()[:200])

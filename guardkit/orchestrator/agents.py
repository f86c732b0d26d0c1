"""How an agent is run and read: a shell command in a process group of its own."""

import asyncio
import io
import os
import re
import signal
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from subprocess import DEVNULL, STDOUT
from typing import Any

import anyio
from anyio.abc import Process

from guardkit.clock import Clock
from guardkit.errors import WorkspaceError

GRACE = 5.0  # seconds between SIGTERM and SIGKILL
TAIL_BYTES = 64 * 1024
_POLL = 0.05  # seconds between two looks whether the group is gone
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
# A git hook hands these to what it starts; they would point git at another repository.
_GIT_LOCAL = {f"GIT_{name}" for name in ("DIR", "WORK_TREE", "INDEX_FILE", "COMMON_DIR", "PREFIX")}

Env = Mapping[str, str]
OnLine = Callable[[str], object]
Poll = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """How a command ended: `tail` is the end of its output, at most 64 KiB of plain text.

    `exit_code` is negative for the signal that ended it, and None where `budget` seconds were up.
    """

    exit_code: int | None
    tail: str
    budget: float

    @property
    def timed_out(self) -> bool:
        """Whether it was ended because its budget was used up."""
        return self.exit_code is None

    @property
    def not_runnable(self) -> bool:
        """Whether the shell could not find it, or not execute it."""
        return self.exit_code in {126, 127}

    def describe(self) -> str:
        """Return the rest of a sentence that begins with the command's name."""
        if self.exit_code is None:
            return f"did not finish within {self.budget:g} s"
        signals = {-number: f"was ended by {number.name}" for number in signal.Signals}
        known = {126: "is not executable", 127: "was not found", **signals}
        return known.get(self.exit_code, f"exited with {self.exit_code}")


def environment(extra: Env) -> dict[str, str]:
    """Return our environment without what ties git to a repository, and with `extra`."""
    return {name: value for name, value in os.environ.items() if name not in _GIT_LOCAL} | {**extra}


def plain(text: str) -> str:
    r"""Return `text` without escape sequences and control characters, lines ended by \n."""
    lines = _ESCAPE.sub("", text).expandtabs().splitlines()
    return "\n".join("".join(filter(str.isprintable, line)).rstrip() for line in lines)


async def run_command(
    command: str, *, cwd: Path, budget: float, clock: Clock, env: Env, on_line: OnLine, poll: Poll
) -> CommandResult:
    """Run `command` through the shell in `cwd` for at most `budget` seconds, without any input.

    `env` comes on top of our environment. `on_line` is given its latest line, plain and at most
    200 characters, of stdout and stderr alike; `poll` runs as long as it does. In the end nothing
    of its process group is left. Raises WorkspaceError where it cannot start: the folder is gone.
    """

    async def alarm() -> None:
        await clock.sleep(budget)
        tasks.cancel_scope.cancel()

    output, (read_end, write_end) = _Output(on_line), os.pipe()
    os.set_blocking(read_end, False)
    with io.FileIO(read_end) as reader:
        # A task of its own: cancelled half-way, it would run on and nobody know its group.
        starting = asyncio.create_task(_start(command, cwd, environment(env), write_end))
        try:
            process = await asyncio.shield(starting)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(output.pump, reader)
                tasks.start_soon(alarm)
                tasks.start_soon(poll)
                await process.wait()
                tasks.cancel_scope.cancel()
            exit_code = process.returncode
        finally:
            with anyio.CancelScope(shield=True):
                await _end_group(await starting, clock)
        for _ in range(16):  # what the pipe still holds; one who left the group may yet write
            output.take(reader.read(TAIL_BYTES) or b"")
    output.take(b"\n")  # ends a last line that was left open
    tail = plain(output.tail.decode(errors="replace")).strip("\n")
    return CommandResult(exit_code=exit_code, tail=tail, budget=budget)


async def _start(command: str, cwd: Path, env: Env, write_end: int) -> Process:
    start = partial(anyio.open_process, stdin=DEVNULL, stderr=STDOUT, start_new_session=True)
    # A pipe of our own: asyncio's would make wait() wait for every child that holds it open.
    with io.FileIO(write_end, "w") as out:
        try:
            return await start(command, cwd=cwd, env=env, stdout=out)
        except OSError as error:
            raise WorkspaceError(f"no command can be started in {cwd}: {error}") from error


async def _end_group(process: Process, clock: Clock) -> None:
    """SIGTERM, up to `GRACE` seconds for all of it, SIGKILL; at once when nobody is left."""
    deadline = clock.monotonic() + GRACE
    with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of zombies
        os.killpg(process.pid, signal.SIGTERM)
        try:
            while clock.monotonic() < deadline:
                await clock.sleep(_POLL)
                os.killpg(process.pid, 0)  # is anyone left?
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


class _Output:
    """The end of what a command has written, and its latest line, told as it comes."""

    def __init__(self, on_line: OnLine) -> None:
        self.tail, self._line, self._on_line = b"", "", on_line

    async def pump(self, reader: io.FileIO) -> None:
        chunk: bytes | None = b""
        while chunk is not None:
            self.take(chunk)
            await anyio.wait_readable(reader)
            chunk = reader.read(TAIL_BYTES) or None

    def take(self, chunk: bytes) -> None:
        self.tail = (self.tail + chunk)[-TAIL_BYTES:]
        # Up to the last line end only: half a line would flicker, and may cut an escape sequence.
        complete, _, _ = self.tail[-4096:].replace(b"\r", b"\n").rpartition(b"\n")
        lines = plain(complete.decode(errors="replace")).split("\n")
        line = next((line.strip() for line in reversed(lines) if line.strip()), "")[:200]
        if line and line != self._line:
            self._line = line
            self._on_line(line)

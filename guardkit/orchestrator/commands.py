"""How a command is run and read: a Player's, or that of the tests."""

import os
import re
import signal
from collections.abc import Callable, Coroutine
from io import FileIO
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT
from typing import Any, cast

import anyio
import msgspec

from guardkit.clock import Clock
from guardkit.orchestrator.environment import Env, Secrets, environment
from guardkit.orchestrator.processes import start

TAIL_BYTES = 8 * 1024
PIPE_BYTES = 2**20  # that a pipe may hold
LEAVE = 1.0  # seconds in which what a command has started may end after it, as a reporter does
ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
SIGNALS = {-number: f"was ended by {number.name}" for number in signal.Signals}
BY_SHELL = {126: "could not be executed", 127: "was not found"}

OnLine = Callable[[str], object]
Poll = Callable[[], Coroutine[Any, Any, None]]


class CommandResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a command ended, and the end of its output: at most 8 KiB of plain text."""

    exit_code: int | None  # negative for the signal that ended it, None when its time was up
    ending: str  # the same in words: the rest of a sentence that begins with its name
    tail: str


def plain(text: str) -> str:
    r"""Return `text` without escape sequences and control characters, lines ended by \n."""
    lines = ESCAPE.sub("", text).expandtabs().splitlines()
    return "\n".join("".join(filter(str.isprintable, line)).rstrip() for line in lines)


async def run_command(
    command: str,
    *,
    cwd: Path,
    budget: float,
    clock: Clock,
    env: Env,
    on_line: OnLine,
    poll: Poll,
    lock: int | None = None,
) -> CommandResult:
    """Run `command` through the shell in `cwd` for at most `budget` seconds, without any input.

    `env` comes on top of our environment. `on_line` is called whenever it writes, with its latest
    line, of stdout and stderr alike: plain, at most 200 characters, "" before the first. `poll`
    runs as long as it does. In the end nothing of it is left, nor of what it has started; as long
    as there is, `lock` is held. Raises OSError where it cannot start: the folder is gone.
    """

    async def alarm() -> None:
        await clock.sleep(budget)
        tasks.cancel_scope.cancel()

    output, exit_code, ending = _Output(on_line), None, f"did not finish within {budget:g} s"
    shell, left = ("/bin/sh", "-c", command), list[int]()
    how = {"stdin": DEVNULL, "stdout": PIPE, "stderr": STDOUT}
    process = start(shell, cwd=cwd, env=environment(env), lock=lock, **how)
    with cast("FileIO", process.watcher.stdout) as pipe:
        os.set_blocking(pipe.fileno(), False)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(alarm)
                tasks.start_soon(poll)
                tasks.start_soon(output.follow, pipe)
                exit_code = await process.wait()
                ending = (BY_SHELL | SIGNALS).get(exit_code, f"exited with {exit_code}")
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                left = await process.end(clock, patience=LEAVE if exit_code is not None else 0.0)
        output.take(pipe.read(PIPE_BYTES) or b"")  # once: one who stays may yet write
    if left:
        ending += f"; what it has started cannot be ended: process {', '.join(map(str, left))}"
    return CommandResult(exit_code=exit_code, ending=ending, tail=output.text)


class _Output:
    """The end of what a command has written; the latest line is told as it comes."""

    def __init__(self, on_line: OnLine) -> None:
        self.tail, self._on_line, self._secrets = b"", on_line, Secrets()

    @property
    def text(self) -> str:
        """The end of what was written, plain, and without secrets of our environment."""
        return plain(self._secrets.hide(self.tail.decode(errors="replace"))).strip()

    async def follow(self, pipe: FileIO) -> None:
        await anyio.wait_readable(pipe)
        while chunk := pipe.read(PIPE_BYTES):
            self.take(chunk)
            await anyio.wait_readable(pipe)

    def take(self, chunk: bytes) -> None:
        self.tail = (self.tail + chunk)[-TAIL_BYTES:]
        # Up to the last line end only: half a line would flicker, and may cut an escape sequence.
        lines, _, _ = self.tail.replace(b"\r", b"\n").rpartition(b"\n")
        said = plain(self._secrets.hide(lines.decode(errors="replace"))).strip()
        if chunk:
            self._on_line(said.rpartition("\n")[2].strip()[:200])

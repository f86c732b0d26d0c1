"""How a command is run and read: an agent's, or that of the tests."""

import os
import re
import signal
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT
from typing import Any, cast

import anyio
import msgspec

from guardkit.clock import Clock
from guardkit.orchestrator.processes.environment import Env, Secrets, environment
from guardkit.orchestrator.processes.pipes import PIPE_BYTES, Incoming
from guardkit.orchestrator.processes.process import (
    NOT_EXECUTED,
    NOT_FOUND,
    UNWATCHED,
    File,
    Process,
    start,
)

TAIL_BYTES = 8 * 1024
LEAVE = 1.0  # seconds in which what a command has started may end after it, as a reporter does
ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
SIGNALS = {-number: f"was ended by {number.name}" for number in signal.Signals}
BY_SHELL = {NOT_EXECUTED: "could not be executed", NOT_FOUND: "was not found"}
LOST = "has ended its watcher, and what it has started may run on"

OnLine = Callable[[str], object]
Poll = Callable[[], Coroutine[Any, Any, None]]


class CommandResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a command ended, and the end of its output: at most 8 KiB of plain text.

    exit_code: negative for the signal that ended it, None when its time was up.
    ending: the same in words: the rest of a sentence that begins with its name.
    decision: the final decision that this ending asks for, "" where another turn may do better.
    session: the id by which an agent goes on in a later turn, "" where there is none.
    answer: what an agent has answered, "" for a command.
    remark: what kept an agent from a part of its work, with the remedy, "" for nothing.
    """

    exit_code: int | None
    ending: str
    tail: str
    decision: str = ""
    session: str = ""
    answer: str = ""
    remark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """What a command runs in.

    cwd: its folder.
    env: what comes on top of our environment.
    budget: seconds that it may take; limit: what sets them, in words.
    hear: is called whenever it does something, with what it is at, in one plain line of at most 200
        characters, "" where there is nothing new to tell.
    poll: runs as long as it does.
    lock: is held as long as anything of it lives.
    enough: ends it when it is set, as it may cost no more.
    """

    cwd: Path
    env: Env
    budget: float
    clock: Clock
    hear: OnLine
    limit: str = ""
    poll: Poll = anyio.sleep_forever
    lock: int | None = None
    enough: anyio.Event | None = None

    @property
    def late(self) -> str:
        """How a command ends whose time is up, or which may cost no more, in words."""
        if self.enough and self.enough.is_set():
            return "was ended, as --max-cost is used up"
        return f"did not finish within {self.budget:g} s{f', {self.limit}' if self.limit else ''}"


class Ended(msgspec.Struct, frozen=True):
    """How a process ended: its exit code, None when its time was up; processes that stay."""

    exit_code: int | None
    left: Sequence[int] = ()

    @property
    def decision(self) -> str:
        """The final decision that this asks for, "" for none: what runs on proves nothing."""
        return "error" if self.left or self.exit_code == UNWATCHED else ""

    def words(self, seat: Seat) -> str:
        """Return the rest of a sentence that begins with the command's name."""
        code = self.exit_code
        known = BY_SHELL | SIGNALS | {UNWATCHED: LOST}
        text = seat.late if code is None else known.get(code, f"exited with {code}")
        stay = ", ".join(map(str, self.left))
        return f"{text}; what it has started cannot be ended: process {stay}" if stay else text


def plain(text: str) -> str:
    r"""Return `text` without escape sequences and control characters, lines ended by \n."""
    lines = ESCAPE.sub("", text).expandtabs().splitlines()
    return "\n".join("".join(filter(str.isprintable, line)).rstrip() for line in lines)


async def run_command(command: str, seat: Seat) -> CommandResult:
    """Run a command through the shell, without any input.

    What it writes to standard output and standard error alike is heard as it comes. In the end
    nothing of it is left, nor of what it has started. Raises OSError where it cannot start: the
    folder is gone.
    """
    output = Output(seat.hear)

    async def talk(process: Process) -> int:
        pipe, code = cast("FileIO", process.watcher.stdout), -signal.SIGKILL
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(output.follow, Incoming(pipe, seat.clock))
            code = await process.wait()
            tasks.cancel_scope.cancel()
        return code

    def rest(process: Process) -> None:  # once: one who stays may yet write
        output.take(cast("FileIO", process.watcher.stdout).read(PIPE_BYTES) or b"")

    ended = await run(("/bin/sh", "-c", command), seat, talk, rest, stderr=STDOUT)
    return CommandResult(
        exit_code=ended.exit_code,
        ending=ended.words(seat),
        tail=output.text,
        decision=ended.decision,
    )


async def run(
    command: Sequence[str],
    seat: Seat,
    talk: Callable[[Process], Awaitable[int]],
    rest: Callable[[Process], object],
    *,
    stdin: File = DEVNULL,
    stderr: File = PIPE,
) -> Ended:
    """Run a process until the talk with it is over, or its time is up.

    talk: returns its exit code. rest: takes what its pipes still hold when all of it has ended.
    Raises OSError where it cannot start.
    """
    exit_code, left = None, list[int]()
    process = start(
        command,
        cwd=seat.cwd,
        env=environment(seat.env),
        stdin=stdin,
        stdout=PIPE,
        stderr=stderr,
        lock=seat.lock,
    )
    pipes = [pipe for pipe in (process.watcher.stdout, process.watcher.stderr) if pipe]
    for pipe in pipes:
        os.set_blocking(pipe.fileno(), False)

    async def alarm() -> None:
        await seat.clock.sleep(seat.budget)
        tasks.cancel_scope.cancel()

    async def stop(enough: anyio.Event) -> None:
        await enough.wait()
        tasks.cancel_scope.cancel()

    try:
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(alarm)
                tasks.start_soon(seat.poll)
                if seat.enough:
                    tasks.start_soon(stop, seat.enough)
                exit_code = await talk(process)
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                patience = LEAVE if exit_code is not None else 0.0
                left = await process.end(seat.clock, patience=patience)
        rest(process)
    finally:
        for pipe in pipes:
            pipe.close()
        if process.watcher.stdin:
            process.watcher.stdin.close()
    return Ended(exit_code, left)


class Output:
    """The end of what a command has written; the latest line is told as it comes."""

    def __init__(self, hear: OnLine) -> None:
        self.tail, self._hear, self._secrets = b"", hear, Secrets()

    @property
    def text(self) -> str:
        """The end of what was written, plain, and without secrets of our environment."""
        tail = self.tail
        if len(tail) == TAIL_BYTES:  # half a line may hold half a secret
            tail = tail.partition(b"\n")[2] or tail
        return plain(self._secrets.hide(tail.decode(errors="replace"))).strip()

    async def follow(self, incoming: Incoming) -> None:
        """Take what comes through a pipe, to its end."""
        while chunk := await incoming.read():
            self.take(chunk)

    def take(self, chunk: bytes) -> None:
        """Take a piece of what was written."""
        self.tail = (self.tail + chunk)[-TAIL_BYTES:]
        # Up to the last line end only: half a line would flicker, and may cut an escape sequence.
        lines, _, _ = self.tail.replace(b"\r", b"\n").rpartition(b"\n")
        said = plain(self._secrets.hide(lines.decode(errors="replace"))).strip()
        if chunk:
            self._hear(said.rpartition("\n")[2].strip()[:200])

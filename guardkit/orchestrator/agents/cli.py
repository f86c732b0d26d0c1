"""Claude Code and Codex: the user's own CLI as a plain process, its events read as they come."""

import signal
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryFile
from typing import Protocol

import anyio

from guardkit.orchestrator.agents.agent import Log, Sessions, Spend, heard
from guardkit.orchestrator.agents.claude import ClaudeReader
from guardkit.orchestrator.agents.codex import CodexReader
from guardkit.orchestrator.agents.command_lines import (
    Permissions,
    claude_command,
    codex_command,
    prompt_bytes,
)
from guardkit.orchestrator.agents.endings import Cause, Ending
from guardkit.orchestrator.agents.lines import Lines
from guardkit.orchestrator.agents.news import News
from guardkit.orchestrator.processes.commands import (
    CommandResult,
    Ended,
    Output,
    Seat,
    run,
)
from guardkit.orchestrator.processes.environment import tracing
from guardkit.orchestrator.processes.pipes import PIPE_BYTES, Incoming, pipes_of
from guardkit.orchestrator.processes.process import Process
from guardkit.progress.snapshot import Usage


class Reader(Protocol):
    """What reads the events of a CLI."""

    @property
    def news(self) -> News:
        """What they tell so far."""
        ...

    def take(self, line: bytes) -> News | None:
        """Return what an event tells."""
        ...

    def ended(self, exit_code: int | None, stderr: str = "") -> Ending:
        """Return how the run ended."""
        ...


KINDS: dict[str, tuple[Callable[[Path, Usage], Reader], Callable[..., list[str]]]] = {
    "claude": (ClaudeReader, claude_command),
    "codex": (CodexReader, codex_command),
}


class CliAgent:
    """One of `KINDS`, by the user's own words, such as `claude --model X`.

    permissions: what it may do. schema: the JSON Schema of its answer, "" for any.
    """

    def __init__(
        self, kind: str, words: Sequence[str], *, permissions: Permissions, schema: str = ""
    ) -> None:
        self._reader, self._command = KINDS[kind]
        self._kind, self._words = kind, words
        self._permissions, self._schema = permissions, schema
        self._sessions = Sessions()
        self._command(words)  # what cannot stand there is refused at once

    def resume(self, session: str, used: Usage) -> None:
        """Go on with the session of an earlier build."""
        self._sessions.begin(session, used)

    async def work(self, prompt: str, seat: Seat, *, log: Log, spend: Spend) -> CommandResult:
        """Run the CLI for one turn; in a new session, where it does not know its own any more."""
        ending, ended, tail = await self._run(prompt, seat, log, spend)
        if ending.cause is Cause.SESSION:
            self._sessions.begin("", Usage())
            ending, ended, tail = await self._run(prompt, seat, log, spend)
        self._sessions.session = ending.session
        return result_of(ending, ended, seat, tail)

    async def _run(
        self, prompt: str, seat: Seat, log: Log, spend: Spend
    ) -> tuple[Ending, Ended, str]:
        sessions, lines, stderr = self._sessions, Lines(), Output(lambda _: None)
        reader = self._reader(seat.cwd, sessions.used)

        def take(chunk: bytes) -> None:
            log(chunk)
            for line in lines.take(chunk):
                if news := reader.take(line):
                    heard(news, seat, sessions, spend)

        async def talk(process: Process) -> int:
            out, err = pipes_of(process)
            code = -signal.SIGKILL
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_follow, Incoming(out, seat.clock), take)
                tasks.start_soon(stderr.follow, Incoming(err, seat.clock))
                code = await process.wait()
                tasks.cancel_scope.cancel()
            return code

        def rest(process: Process) -> None:
            out, err = pipes_of(process)
            while chunk := out.read(PIPE_BYTES):
                take(chunk)
            stderr.take(err.read(PIPE_BYTES) or b"")

        with ExitStack() as stack:
            given = stack.enter_context(TemporaryFile())
            given.write(prompt_bytes(prompt))
            given.seek(0)
            schema = self._schema
            if schema and self._kind == "codex":
                schema = stack.enter_context(_file(schema))
            command = self._command(
                self._words,
                permissions=self._permissions,
                session=sessions.session,
                schema=schema,
            )
            env = {**seat.env, **tracing()} if self._kind == "claude" else seat.env
            ended = await run(command, replace(seat, env=env), talk, rest, stdin=given)
        return reader.ended(ended.exit_code, stderr.text), ended, stderr.text


def result_of(ending: Ending, ended: Ended, seat: Seat, tail: str) -> CommandResult:
    """Return the same as of any command."""
    code = ended.exit_code
    if has_ended := ending.ok and code == 0:
        words = "ended"
    elif code is None:
        words = f"{ended.words(seat)}; it was at: {ending.reason}" if ending.reason else ""
        words = words or ended.words(seat)
    else:
        words = f"failed: {ending.reason or ended.words(seat)}"
    return CommandResult(
        exit_code=code if not (code == 0 and not ending.ok) else 1,
        ending=words,
        tail=ending.answer[-8192:] or tail,
        decision=ended.decision or (ending.decision if code is not None else ""),
        session=ending.session,
        answer=ending.answer,
        remark=ending.reason if has_ended else "",
    )


@contextmanager
def _file(text: str) -> Generator[str]:
    """Yield the path of a file that holds a text."""
    with NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        yield file.name


async def _follow(incoming: Incoming, take: Callable[[bytes], object]) -> None:
    while chunk := await incoming.read():
        take(chunk)

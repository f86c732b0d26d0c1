"""Any agent that speaks ACP on its standard streams."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from io import FileIO
from subprocess import PIPE
from typing import cast

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream

from guardkit.orchestrator.agents.acp import AcpClient
from guardkit.orchestrator.agents.agent import Log, Sessions, Spend, heard
from guardkit.orchestrator.agents.cli import result_of
from guardkit.orchestrator.agents.command_lines import Permissions
from guardkit.orchestrator.agents.endings import Cause, Ending
from guardkit.orchestrator.processes.commands import CommandResult, Output, Seat, run
from guardkit.orchestrator.processes.pipes import PIPE_BYTES, Incoming, pipes_of
from guardkit.orchestrator.processes.process import Process
from guardkit.progress.snapshot import Usage


class AcpAgent:
    """An agent by its command, such as `gemini --acp`; permissions: what it may do."""

    def __init__(self, command: Sequence[str], *, permissions: Permissions) -> None:
        self._command, self._permissions = command, permissions
        self._sessions = Sessions()

    def resume(self, session: str, used: Usage) -> None:
        """Go on with the session of an earlier build."""
        self._sessions.begin(session, used)

    async def work(self, prompt: str, seat: Seat, *, log: Log, spend: Spend) -> CommandResult:
        """Run the agent for one prompt, and end it."""
        sessions, stderr, endings = self._sessions, Output(lambda _: None), list[Ending]()
        clients = list[AcpClient]()

        async def talk(process: Process) -> int:
            out, err = pipes_of(process)
            client = AcpClient(
                Receiving(Incoming(out, seat.clock), log),
                Sending(cast("FileIO", process.watcher.stdin)),
                worktree=seat.cwd,
                clock=seat.clock,
                on_news=lambda news: heard(news, seat, sessions, spend),
                ask_nothing=self._permissions == "ask-nothing",
                before=sessions.used,
            )
            clients.append(client)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(stderr.follow, Incoming(err, seat.clock))
                endings.append(await client.run(prompt, sessions.session))
                tasks.cancel_scope.cancel()
            cast("FileIO", process.watcher.stdin).close()  # most end by that
            return 0

        def rest(process: Process) -> None:
            stderr.take(pipes_of(process)[1].read(PIPE_BYTES) or b"")

        ended = await run(self._command, seat, talk, rest, stdin=PIPE)
        ending = endings[0] if endings else clients[0].ended(None, stderr.text)
        if endings and ending.cause is Cause.BROKEN:
            ending = clients[0].ended(1, stderr.text)
        sessions.session = ending.session
        return result_of(ending, ended, seat, stderr.text)


@dataclass(frozen=True, slots=True)
class Receiving(ByteReceiveStream):
    """What an agent writes; log: takes the same."""

    incoming: Incoming
    log: Log

    async def receive(self, max_bytes: int = PIPE_BYTES) -> bytes:
        """Return what has come; raise EndOfStream where nothing more comes."""
        del max_bytes  # nobody asks for less
        chunk = await self.incoming.read()
        if not chunk:
            raise anyio.EndOfStream
        self.log(chunk)
        return chunk

    async def aclose(self) -> None:
        """Do nothing: who has started the agent closes its pipes."""


@dataclass(frozen=True, slots=True)
class Sending(ByteSendStream):
    """What an agent reads."""

    pipe: FileIO

    async def send(self, item: bytes) -> None:
        """Write all of it; raise BrokenResourceError where the agent is gone."""
        os.set_blocking(self.pipe.fileno(), False)
        while item:
            await anyio.wait_writable(self.pipe)
            try:
                item = item[self.pipe.write(item) or 0 :]
            except OSError as error:
                raise anyio.BrokenResourceError from error

    async def aclose(self) -> None:
        """Do nothing: who has started the agent closes its pipes."""

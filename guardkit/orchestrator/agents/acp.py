"""A client of the Agent Client Protocol, version 1: one prompt, over two streams of bytes."""

import json
from collections.abc import Awaitable, Callable
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TypeVar

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream

from guardkit.clock import Clock
from guardkit.orchestrator.agents import endings
from guardkit.orchestrator.agents.command_lines import prompt_text
from guardkit.orchestrator.agents.endings import Cause, Cli, Ending
from guardkit.orchestrator.agents.fields import at, items, text
from guardkit.orchestrator.agents.jsonrpc import Peer, Reply
from guardkit.orchestrator.agents.news import News
from guardkit.orchestrator.agents.updates import Updates
from guardkit.progress.snapshot import Usage

VERSION = 1
PATIENCE = 120.0  # seconds until an agent has opened a session; some are installed first
GRACE = 3.0  # seconds in which a cancelled agent may answer
LOGIN_NEEDED = -32000  # the code of "Authentication required"
STATUSES = range(400, 600)  # that some give as codes
MODES = {True: {"bypassPermissions", "yolo"}, False: {"acceptEdits"}}  # by whether it asks nothing
STOPPED = {
    **dict.fromkeys(("max_turn_requests", "max_tokens"), Cause.TURNS),
    **dict.fromkeys(("refusal", "cancelled"), Cause.STOPPED),
}
T = TypeVar("T")


class AcpClient:
    """Talks to one agent, from `initialize` to the end of one prompt.

    receive, send: the agent's standard output and input. worktree: where it works.
    on_news: is given what each of its messages tells.
    ask_nothing: it may do what it likes; else only what lies in the worktree, or names no place.
    before: what the session had used when it was resumed.
    """

    def __init__(
        self,
        receive: ByteReceiveStream,
        send: ByteSendStream,
        *,
        worktree: Path,
        clock: Clock,
        on_news: Callable[[News], object],
        ask_nothing: bool = False,
        before: Usage = Usage(),  # noqa: B008 - frozen
    ) -> None:
        self._peer = Peer(receive, send, self._hear)
        self._worktree, self._clock, self._on_news = worktree, clock, on_news
        self._updates = Updates(worktree, ask_nothing=ask_nothing, before=before)
        self._modes = MODES[ask_nothing]
        self._cli = Cli("the agent", login="log in with its own CLI", update="as it was installed")
        self._is_prompted = self._is_cancelled = False

    async def run(self, prompt: str, session: str = "") -> Ending:
        """Return how a prompt ended, in a new session or in that of an earlier turn.

        `ok` says only that the agent has told of no failure. Where this is cancelled, the agent is
        told so, and may still answer for `GRACE` seconds.
        """
        opened = await self._within(PATIENCE, partial(self._open, session))
        if opened is None:
            return self._fail(Cause.SETUP, f"no session within {PATIENCE:g} s{self._noise()}")
        if isinstance(opened, Ending):
            return opened
        self._is_prompted = True
        self._on_news(self._updates.begin())
        asked = {"sessionId": opened, "prompt": [{"type": "text", "text": prompt_text(prompt)}]}
        try:
            reply = await self._peer.ask("session/prompt", asked)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self._within(GRACE, partial(self._cancel, opened))
            raise
        return self._conclude(reply, opened)

    def ended(self, exit_code: int | None, stderr: str) -> Ending:
        """Return how the run ended where the agent has gone before it answered."""
        news = self._updates.news
        return endings.cut_short(self._cli, news, "", exit_code=exit_code, stderr=stderr)

    async def _open(self, session: str) -> str | Ending:
        """Return the id of the session: a new one where the earlier one cannot be resumed."""
        us = {"name": "guardkit", "version": metadata.version("guardkit")}
        asked = {"protocolVersion": VERSION, "clientCapabilities": {}, "clientInfo": us}
        agent = await self._peer.ask("initialize", asked)
        info, version = at(agent.result, "agentInfo"), at(agent.result, "protocolVersion")
        name = text(info, "title") or text(info, "name")
        self._cli = self._cli._replace(name=name or self._cli.name)
        if agent.error or agent.gone:
            return self._refused(agent)
        if version != VERSION:
            return self._fail(Cause.SETUP, f"it speaks version {version} of ACP, not {VERSION}")
        place: dict[str, object] = {"cwd": str(self._worktree), "mcpServers": []}
        how, opened = _resumption(at(agent.result, "agentCapabilities")), None
        if session and how:
            opened = await self._peer.ask(how, {"sessionId": session, **place})
        if opened is None or opened.error:
            opened = await self._peer.ask("session/new", place)
            session = text(opened.result, "sessionId")
        if not session:
            return self._refused(opened)
        now = text(opened.result, "modes", "currentModeId")
        modes = {text(mode, "id") for mode in items(opened.result, "modes", "availableModes")}
        for mode in modes & self._modes - {now}:
            await self._peer.ask("session/set_mode", {"sessionId": session, "modeId": mode})
        return session

    async def _cancel(self, session: str) -> Reply:
        self._is_cancelled = True
        await self._peer.tell("session/cancel", {"sessionId": session})
        return await self._peer.reply()

    def _hear(self, method: str, params: object) -> object:
        """Take what the agent tells of itself; return what it asks for."""
        result = None
        if method == "session/update" and self._is_prompted:
            self._updates.take(at(params, "update"))
        elif method == "session/request_permission":
            chosen = None if self._is_cancelled else self._updates.permit(params)
            selected = {"outcome": "selected", "optionId": chosen}
            result = {"outcome": selected if chosen else {"outcome": "cancelled"}}
        if self._is_prompted:
            self._on_news(self._updates.news)
        return result

    def _conclude(self, reply: Reply, session: str) -> Ending:
        if reply.error or reply.gone:
            return self._refused(reply, session)
        news, stop = self._updates.finish(reply.result), text(reply.result, "stopReason")
        self._on_news(news)
        cause, said = self._updates.failure or (STOPPED.get(stop), stop)
        if cause:
            return self._fail(cause, said, session)
        denied, answer = self._updates.teller.denied, self._updates.answer
        return endings.done(
            self._cli, news, session, held=Cause.DENIED, denied=denied, answer=answer
        )

    def _refused(self, reply: Reply, session: str = "") -> Ending:
        """Return the ending for an error, for an answer that is none, and for no answer."""
        if reply.gone:
            return self._fail(Cause.BROKEN, f"it has gone{self._noise()}", session)
        code, data = at(reply.error, "code"), at(reply.error, "data")
        words = f"{text(reply.error, 'message')} {json.dumps(data) if data else ''}".strip()
        status = code if isinstance(code, int) and code in STATUSES else 0
        cause = Cause.LOGIN if code == LOGIN_NEEDED else endings.cause_of(words, status)
        return self._fail(cause or Cause.STOPPED, words, session)

    def _fail(self, cause: Cause, words: str, session: str = "") -> Ending:
        return endings.failed(self._cli, self._updates.news, session, cause=cause, words=words)

    def _noise(self) -> str:
        """Return what it says that is no message of the protocol, as the end of a sentence."""
        return f", and says no ACP but: {self._peer.noise}" if self._peer.noise else ""

    async def _within(self, seconds: float, talk: Callable[[], Awaitable[T]]) -> T | None:
        """Return what comes of a talk, None where it takes longer."""

        async def alarm() -> None:
            await self._clock.sleep(seconds)
            tasks.cancel_scope.cancel()

        result = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(alarm)
            result = await talk()
            tasks.cancel_scope.cancel()
        return result


def _resumption(can: object) -> str:
    """Return the method by which an agent goes on with an earlier session, "" for none."""
    if at(can, "sessionCapabilities", "resume") is not None:
        return "session/resume"
    return "session/load" if at(can, "loadSession") is True else ""

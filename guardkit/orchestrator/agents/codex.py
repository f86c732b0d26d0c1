"""Reads what `codex exec --json` writes, as seen with Codex 0.171.

Items of type `error` are mere warnings. What a thread has used goes on when it is resumed. Some
commands that the sandbox refuses leave no item at all.
"""

import re
from pathlib import Path

from guardkit.orchestrator.agents.endings import (
    STATUSES,
    Cause,
    Cli,
    Ending,
    cause_of,
    cut_short,
    done,
    failed,
    status_of,
)
from guardkit.orchestrator.agents.fields import at, count, items, name, parse, text
from guardkit.orchestrator.agents.news import Layer, News, Teller, retry_line
from guardkit.orchestrator.agents.wording import Root, command_line, tool_line
from guardkit.progress.snapshot import Usage

CLI = Cli(
    "codex",
    login="run `codex login`, or set CODEX_API_KEY",
    update="npm install -g @openai/codex",
)
REFUSED = re.compile("Read-only file system|Operation not permitted")
RETRY = re.compile(r"Reconnecting\.\.\. (\d{1,6})/(\d{1,6})(?: \((.*)\))?", re.DOTALL)
OFFLINE = re.compile(r"Reconnecting\.\.\. waiting for network(?: \((.*)\))?", re.DOTALL)
VERBS = {"add": "Write", "delete": "Delete"}
NO_TOOLS = {"agent_message", "error", "reasoning", "todo_list"}


class CodexReader:
    """Takes the lines of one run, one after the other.

    worktree: where the CLI runs.
    before: what the thread had used when it was resumed.
    """

    def __init__(self, worktree: Path | str, before: Usage = Usage()) -> None:  # noqa: B008 - frozen
        self.session = ""  # by which a later turn goes on
        self._teller = Teller(worktree, before)
        self._held_up: Cause | None = None
        self._answer = ""
        self._error = ""
        self._has_completed = False

    @property
    def news(self) -> News:
        """What the lines tell so far."""
        return self._teller.news

    def take(self, line: bytes) -> News | None:
        """Return what an event tells, None where the line is none."""
        event = parse(line)
        kind = text(event, "type")
        if not kind:
            return None
        self._teller.begin()
        if kind == "error":
            self._trouble(text(event, "message"))
        else:
            self._held_up = None
        if kind == "thread.started":
            self.session = name(event, "thread_id") or self.session
        elif kind == "turn.started":
            self._teller.work()
        elif kind.startswith("item."):
            self._item(at(event, "item"), has_ended=kind == "item.completed")
        elif kind == "turn.completed":
            self._complete(at(event, "usage"))
        elif kind == "turn.failed":
            self._error = text(event, "error", "message") or "it does not say why"
        return self.news

    def ended(self, exit_code: int | None, stderr: str = "") -> Ending:
        """Return how the run ended.

        exit_code: negative for a signal, None where its time was up. stderr: the end of it.
        """
        news, session = self.news, self.session
        if self._error:
            cause = cause_of(self._error) or Cause.STOPPED
            return failed(CLI, news, session, cause=cause, words=self._error)
        if not self._has_completed or exit_code != 0:
            held_up = self._held_up
            return cut_short(
                CLI, news, session, exit_code=exit_code, stderr=stderr, held_up=held_up
            )
        denied, answer = self._teller.denied, self._answer
        return done(CLI, news, session, held=Cause.SANDBOX, denied=denied, answer=answer)

    def _trouble(self, message: str) -> None:
        """Take what is wrong with the API, or with the way to it."""
        if found := OFFLINE.match(message):
            self._held_up = Cause.DOWN
            self._teller.tell(Layer.NETWORK, f"the network is away: {found[1] or 'it waits'}")
        elif found := RETRY.match(message):
            why = found[3] or "no answer"
            status = status_of(why)
            self._held_up = STATUSES.get(status) or cause_of(why) or Cause.DOWN
            line = retry_line(int(found[1]), int(found[2]), str(status or why))
            self._teller.tell(Layer.RETRIES, line)
        elif message:
            self._teller.tell(Layer.THINKS, message)

    def _item(self, item: object, *, has_ended: bool) -> None:
        """Take a tool that runs or has ended, or what the agent says."""
        key, kind = text(item, "id"), text(item, "type")
        if kind == "agent_message":
            self._answer = text(item, "text")
            self._teller.work(self._answer)
        elif kind in NO_TOOLS or not key:
            self._teller.work()
        elif not has_ended:
            self._teller.start(key, _words(item, self._teller.root))
        else:
            known, words = self._teller.end(key), _words(item, self._teller.root)
            if not known:  # some tools are told of only when they have ended
                self._teller.tell(Layer.THINKS, words)
            if kind == "command_execution" and REFUSED.search(text(item, "aggregated_output")):
                self._teller.deny(words, by="the sandbox refused, it seems")

    def _complete(self, used: object) -> None:
        tokens = count(used, "input_tokens") + count(used, "output_tokens")
        self._has_completed = True
        self._teller.use(max(self.news.usage.tokens, tokens), 0.0)
        self._teller.clear()
        self._teller.work(self._answer)


def _words(item: object, root: Root) -> str:
    """Return a tool in words."""
    kind, changes = text(item, "type"), items(item, "changes")
    if kind == "command_execution":
        return command_line(text(item, "command"), root)
    if kind == "mcp_tool_call":
        return f"{text(item, 'server')}.{text(item, 'tool')}"
    if kind == "file_change" and changes:
        verb = VERBS.get(text(changes[0], "kind"), "Edit")
        path, more = root.short(text(changes[0], "path")), len(changes) - 1
        return f"{verb} {path}" + (f" and {more} more" if more else "")
    return tool_line(kind, item, root)

"""Reads what `claude -p --output-format stream-json --verbose` writes, and what is like it.

Seen with Claude Code 2.1.332; Qwen Code writes the same shapes. `subtype` says "success" also of
what has failed, so `is_error` decides. A background task that ends makes another pair of init and
result: the last result counts.
"""

import json
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
)
from guardkit.orchestrator.agents.fields import amount, at, count, items, name, parse, text
from guardkit.orchestrator.agents.news import Layer, News, Teller, retry_line
from guardkit.orchestrator.agents.tokens import Tokens
from guardkit.orchestrator.agents.wording import tool_line
from guardkit.progress.snapshot import Usage

CLI = Cli(
    "claude",
    login="run `claude` and log in there, or set ANTHROPIC_API_KEY",
    update="npm install -g @anthropic-ai/claude-code",
)
ENDED_BY = {
    "error_max_turns": Cause.TURNS,
    "error_max_budget_usd": Cause.BUDGET,
    "connection_failed": Cause.DOWN,
}


class ClaudeReader:
    """Takes the lines of one run, one after the other.

    worktree: where the CLI runs.
    before: what the session had used when it was resumed.
    """

    def __init__(self, worktree: Path | str, before: Usage = Usage()) -> None:  # noqa: B008 - frozen
        self.session = ""  # by which a later turn goes on
        self._teller = Teller(worktree, before)
        self._tokens = Tokens(before.tokens)
        self._background = ""  # what runs on after the agent has answered
        self._held_up: Cause | None = None
        self._result: object = None

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
        self.session = name(event, "session_id") or self.session
        self._teller.begin()
        if kind == "system":
            self._system(event)
        else:
            self._held_up = None
        if kind == "assistant":
            self._assistant(event)
        elif kind == "user":
            self._user(event)
        elif kind == "stream_event":
            self._part(event)
        elif kind == "result":
            self._take_result(event)
        self._teller.use(self._tokens.total, amount(self._result, "total_cost_usd"))
        return self.news

    def ended(self, exit_code: int | None, stderr: str = "") -> Ending:
        """Return how the run ended.

        exit_code: negative for a signal, None where its time was up. stderr: the end of it.
        """
        result, news, session = self._result, self.news, self.session
        if result is None:
            held_up = self._held_up
            return cut_short(
                CLI, news, session, exit_code=exit_code, stderr=stderr, held_up=held_up
            )
        if at(result, "is_error") is not False:
            errors = (each for each in items(result, "errors") if isinstance(each, str))
            said = text(result, "result") or next(errors, "")
            return failed(CLI, news, session, cause=_cause(result, said), words=said)
        if exit_code != 0:
            return cut_short(CLI, news, session, exit_code=exit_code, stderr=stderr)
        made = at(result, "structured_output")
        answer = text(result, "result") if made is None else json.dumps(made)
        denied = self._teller.denied
        return done(CLI, news, session, held=Cause.DENIED, denied=denied, answer=answer)

    def _system(self, event: object) -> None:
        kind = text(event, "subtype")
        if kind == "init":
            self._teller.work()
        elif kind == "status" and text(event, "status") == "compacting":
            self._teller.tell(Layer.THINKS, "compacting what it remembers")
        elif kind == "session_state_changed" and text(event, "state") == "requires_action":
            self._teller.tell(Layer.PERMISSION, "waits for a permission")
        elif kind == "background_tasks_changed":
            names = [text(each, "description") for each in items(event, "tasks")]
            self._background = ", ".join(filter(None, names))
        elif kind == "api_retry":
            status = count(event, "error_status")
            self._held_up = STATUSES.get(status, Cause.API) if status else Cause.DOWN
            attempt, most = count(event, "attempt"), count(event, "max_retries")
            why = str(status) if status else "no answer"
            line = retry_line(attempt, most, why, amount(event, "retry_delay_ms") / 1000)
            self._teller.tell(Layer.RETRIES, line)

    def _assistant(self, event: object) -> None:
        """Take a block of an answer of the model: a text, thoughts, or a tool call."""
        self._answering(event, at(event, "message"))
        said = ""
        for block in items(event, "message", "content"):
            said = text(block, "text") or said
            if text(block, "type") == "tool_use" and (tool := text(block, "id")):
                words = tool_line(text(block, "name"), at(block, "input"), self._teller.root)
                self._teller.start(tool, words)
        self._teller.work(said)

    def _user(self, event: object) -> None:
        """Take what tools have come to, and which of them nobody has allowed."""
        results = items(event, "message", "content")
        tools = filter(None, (text(each, "tool_use_id") for each in results))
        words = {tool: self._teller.end(tool) for tool in tools}
        for each in items(event, "tool_result_meta"):
            if text(each, "permission_decision", "decision") == "reject":
                self._teller.deny(words.get(text(each, "id")) or "a tool", by="denied")

    def _part(self, event: object) -> None:
        """Take a piece of an answer that is still being written."""
        part = at(event, "event")
        if text(part, "type") == "message_start":
            self._answering(event, at(part, "message"))
            self._teller.work()
        elif call := text(event, "api_message_id"):
            self._tokens.count(call, at(part, "usage"))

    def _answering(self, event: object, message: object) -> None:
        """Count a call of the model; a new one says that the tools before it have ended."""
        call = text(message, "id")
        is_new = bool(call) and self._tokens.count(call, at(message, "usage"))
        if is_new and not text(event, "parent_tool_use_id"):
            self._teller.clear()

    def _take_result(self, event: object) -> None:
        self._result = event
        self._tokens.settle(event)
        self._teller.clear()
        for each in items(event, "permission_denials"):
            words = tool_line(text(each, "tool_name"), at(each, "tool_input"), self._teller.root)
            self._teller.note_denied(words)
        if self._background:
            self._teller.tell(Layer.TOOL, f"in the background: {self._background}")
        else:
            self._teller.work(text(event, "result"))


def _cause(result: object, said: str) -> Cause:
    """Return why a result tells of a failure."""
    known = ENDED_BY.get(text(result, "subtype")) or ENDED_BY.get(text(result, "api_error"))
    asked = text(result, "terminal_reason") == "api_error"
    by_words = cause_of(said, count(result, "api_error_status"))
    return known or by_words or (Cause.API if asked else Cause.STOPPED)

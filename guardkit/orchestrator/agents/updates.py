"""Reads what an agent tells by ACP, and says what it may do, whichever agent it is.

Titles come late and change, so the kind of a tool and where it works say more. Agents tell failures
each in its own way: Codex in the metadata of its session, Copilot as its last words.
"""

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from guardkit.orchestrator.agents.endings import STATUSES, Cause, cause_of, status_of
from guardkit.orchestrator.agents.fields import amount, at, count, items, text
from guardkit.orchestrator.agents.news import ID_MAX, Layer, News, Teller, retry_line
from guardkit.orchestrator.agents.wording import COMMAND_MAX, Root, command_line
from guardkit.progress.snapshot import Usage

SAID_MAX = 2**20  # characters of what an agent says in one go
HEAD_MAX = 400  # characters of it that are looked at for a line
CALLS_MAX = 64  # tool calls that are remembered
PLACES_MAX = 256  # places of one that are remembered; the others count as outside
VERBS = {"edit": "Edit", "delete": "Delete", "move": "Move", "read": "Read"}
PLACES = ("file_path", "filePath", "path", "abs_path", "fileName", "cwd", "workdir", "directory")
ENDED = {"completed", "failed", "cancelled"}
LAST_WORDS = re.compile(r"Error: .*\(HTTP [45]\d\d\)", re.DOTALL)
RETRY = re.compile(r"Reconnecting\.\.\. (\d{1,6})/(\d{1,6})")


class Call(msgspec.Struct, frozen=True):
    """What is known of a tool call: the latest of each, and all places that it has named."""

    kind: str = ""
    title: str = ""
    command: str = ""
    status: str = ""
    places: Sequence[str] = ()

    def updated(self, update: object) -> "Call":
        """Return what is known after an update, which tells only what has changed."""
        given = at(update, "rawInput")
        named = [text(each, "path") for each in items(update, "locations")]
        named += [text(each, "path") for each in items(update, "content")]
        named += [text(given, key) for key in PLACES]
        return Call(
            text(update, "kind") or self.kind,
            text(update, "title")[:COMMAND_MAX] or self.title,
            text(given, "command")[:COMMAND_MAX] or self.command,
            text(update, "status") or self.status,
            tuple(dict.fromkeys((*self.places, *filter(None, named))))[: PLACES_MAX + 1],
        )

    def words(self, root: Root) -> str:
        """Return the call in words."""
        if self.command:
            return command_line(self.command, root)
        if self.kind in VERBS and self.places:
            return f"{VERBS[self.kind]} {root.short(self.places[0])}"
        return root.shorten(self.title) or self.kind or "a tool"

    def is_inside(self, root: Root) -> bool:
        """Return whether all places that it has named lie in the folder."""
        return len(self.places) <= PLACES_MAX and all(map(root.holds, self.places))


class Updates:
    """Takes the updates of one prompt, one after the other.

    worktree: where the agent works.
    ask_nothing: it may do what it likes.
    before: what the session had used before this prompt.
    """

    def __init__(self, worktree: Path | str, *, ask_nothing: bool, before: Usage) -> None:
        self.teller = Teller(worktree, before)
        self.failure: tuple[Cause, str] | None = None  # which the answer to the prompt hides
        self._ask_nothing = ask_nothing
        self._calls: dict[str, Call] = {}
        self._said = io.StringIO()
        self._saying = ""  # the message to which that belongs
        self._trouble = Cause.API, "it does not say why"
        self._has_worked = False

    @property
    def news(self) -> News:
        """What the updates tell so far."""
        return self.teller.news

    @property
    def answer(self) -> str:
        """What the agent said last."""
        return self._said.getvalue()

    def begin(self) -> News:
        """Return what there is to tell once the agent has its prompt: some are silent for long."""
        self.teller.work()
        return self.news

    def take(self, update: object) -> News:
        """Return what an update tells."""
        self.teller.begin()
        kind = text(update, "sessionUpdate")
        if kind == "agent_message_chunk":
            self._say(text(update, "messageId"), text(update, "content", "text"))
        elif kind == "agent_thought_chunk":
            self.teller.work()
        elif kind in {"tool_call", "tool_call_update"}:
            call = self._known(update)
            if call.status in ENDED:
                self.teller.end(text(update, "toolCallId"))
            else:
                self._run(text(update, "toolCallId"), call)
        elif kind == "usage_update":
            self.teller.use(self.news.usage.tokens, amount(update, "cost", "amount"))
        elif kind == "session_info_update":
            self._take_codex(at(update, "_meta", "codex"))
        return self.news

    def finish(self, result: object) -> News:
        """Return what the answer to the prompt tells: the tokens of this prompt come with it."""
        counts = at(result, "_meta", "quota", "token_count")  # Gemini's
        tokens = count(counts, "input_tokens") + count(counts, "output_tokens")
        tokens = count(result, "usage", "totalTokens") or tokens
        self.teller.begin()
        self.teller.clear()
        self.teller.use(self.news.usage.tokens + tokens, 0.0)
        if not self._has_worked and LAST_WORDS.match(self.answer):
            self.failure = cause_of(self.answer) or Cause.API, self.answer
        return self.teller.news

    def permit(self, params: object) -> str | None:
        """Return the option to choose where an agent asks for a permission, None for no option.

        A tool is allowed once if every place that it names lies in the worktree.
        """
        self.teller.begin()
        tool, call = text(params, "toolCall", "toolCallId"), self._known(at(params, "toolCall"))
        options = {text(each, "kind"): text(each, "optionId") for each in items(params, "options")}
        always = options.get("allow_always") if self._ask_nothing else None
        allowed = options.get("allow_once") or always
        if allowed and (self._ask_nothing or call.is_inside(self.teller.root)):
            self._run(tool, call)
            return allowed
        self.teller.deny(call.words(self.teller.root), by="denied")
        return options.get("reject_once") or options.get("reject_always")

    def _say(self, message: str, said: str) -> None:
        if message != self._saying:
            self._said = io.StringIO()
            self._saying = message
        self._said.write(said[: max(SAID_MAX - self._said.tell(), 0)])
        self._said.seek(0)
        self.teller.work(self._said.read(HEAD_MAX))
        self._said.seek(0, io.SEEK_END)

    def _run(self, tool: str, call: Call) -> None:
        self._has_worked = True
        self._said = io.StringIO()
        self._saying = ""
        if tool:
            self.teller.start(tool, call.words(self.teller.root))

    def _known(self, update: object) -> Call:
        tool = text(update, "toolCallId")[:ID_MAX]
        call = self._calls.get(tool, Call()).updated(update)
        if tool:
            self._calls[tool] = call
        if len(self._calls) > CALLS_MAX:
            self._calls.pop(next(iter(self._calls)))
        return call

    def _take_codex(self, told: object) -> None:
        """Take what Codex tells of the API: it answers the prompt as if all were well."""
        if error := at(told, "error"):
            why, said = json.dumps(error)[:SAID_MAX], text(error, "message")
            status = status_of(why)
            self._trouble = STATUSES.get(status) or cause_of(why) or Cause.DOWN, said
            if found := RETRY.match(said):
                line = retry_line(int(found[1]), int(found[2]), str(status or "no answer"))
                self.teller.tell(Layer.RETRIES, line)
            else:
                self.failure = self._trouble
        elif text(told, "threadStatus", "type") == "systemError":
            self.failure = self._trouble

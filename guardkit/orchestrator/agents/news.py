"""What one event of an agent tells: what it is at, or what holds it up."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

import msgspec
from msgspec.structs import replace

from guardkit.orchestrator.agents.wording import Root
from guardkit.orchestrator.proof.outcomes import line_of
from guardkit.progress.snapshot import COST_MAX, COUNT_MAX, Usage

TOOLS_MAX = 64  # that are remembered at once, those that run and those that were denied
ID_MAX = 200  # characters by which a tool is known
THINKING = "thinking"


class Layer(StrEnum):
    """What an agent is at, or what holds it up. That it has gone is told by its `Ending`."""

    THINKS = "thinks"
    TOOL = "tool"
    RETRIES = "retries"
    NETWORK = "network"
    PERMISSION = "permission"


class News(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent is at, as far as its events up to one of them tell.

    layer: what it is at from now on, or what holds it up.
    message: the same for people, in one plain line of at most 200 characters, paths relative to
        the worktree: `Edit src/prices.py`, `Bash: pytest -q`, `API retries: attempt 4 of 10, 429,
        in 8 s`; "" before there is anything to tell.
    started, ended: the ids of the tools that this event began and ended.
    usage: what its session has used so far, earlier turns included.
    """

    layer: Layer = Layer.THINKS
    message: str = ""
    started: Sequence[str] = ()
    ended: Sequence[str] = ()
    usage: Usage = Usage()


def retry_line(attempt: int, most: int, why: str, seconds: float = 0.0) -> str:
    """Return that the API is asked again: which attempt, of how many, why, and in how long."""
    parts = (f"API retries: attempt {attempt} of {most}", why, f"in {seconds:.0f} s")
    return ", ".join(filter(None, parts if seconds else parts[:2]))


class Teller:
    """Keeps the news of an agent, and the tools that run, in words by id.

    worktree: where the agent works. before: what its session had used when it was resumed.
    denied: what it was not allowed to do, each once.
    """

    def __init__(self, worktree: Path | str, before: Usage) -> None:
        self.news = News(usage=before)
        self.root = Root(worktree)
        self.denied: dict[str, None] = {}
        self._tools: dict[str, str] = {}

    def begin(self) -> None:
        """Take note that another event has come."""
        self.news = replace(self.news, started=(), ended=())

    def start(self, tool: str, words: str) -> None:
        """Tell that a tool runs, or goes on in other words."""
        tool = tool[:ID_MAX]
        if tool not in self._tools:
            self.news = replace(self.news, started=(*self.news.started, tool))
        self._tools[tool] = words
        if len(self._tools) > TOOLS_MAX:
            self._tools.pop(next(iter(self._tools)))
        self.work()

    def end(self, tool: str) -> str:
        """Tell that a tool has ended; return it in words, "" where it is not known."""
        tool = tool[:ID_MAX]
        words = self._tools.pop(tool, "")
        if words:
            self.news = replace(self.news, ended=(*self.news.ended, tool))
        self.work()
        return words

    def clear(self) -> None:
        """Tell that all tools have ended: the agent could not have gone on before that."""
        self.news = replace(self.news, ended=(*self.news.ended, *self._tools))
        self._tools.clear()

    def work(self, said: str = "") -> None:
        """Tell which tool began last and runs; else what the agent says, or that it thinks."""
        if self._tools:
            self.tell(Layer.TOOL, next(reversed(self._tools.values())))
        else:
            self.tell(Layer.THINKS, said or THINKING)

    def tell(self, layer: Layer, message: str) -> None:
        """Tell what the agent is at, or what holds it up, in one line."""
        self.news = replace(self.news, layer=layer, message=line_of(message))

    def deny(self, words: str, *, by: str) -> None:
        """Tell that a tool was not allowed; by: whom, as the beginning of a line."""
        self.note_denied(words)
        self.tell(Layer.PERMISSION, f"{by}: {words}")

    def note_denied(self, words: str) -> None:
        """Remember what was not allowed."""
        if len(self.denied) < TOOLS_MAX:
            self.denied[words] = None

    def use(self, tokens: int, cost_usd: float) -> None:
        """Tell what the session has used so far. No cost falls: a run that fails may tell none."""
        cost = max(self.news.usage.cost_usd, min(cost_usd, COST_MAX))
        self.news = replace(self.news, usage=Usage(min(tokens, COUNT_MAX), cost))

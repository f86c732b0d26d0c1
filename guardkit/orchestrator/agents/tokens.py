"""The tokens of a session of Claude Code: counted call by call, then as its results say."""

from collections.abc import Sequence

from guardkit.orchestrator.agents.fields import at, count, values
from guardkit.orchestrator.agents.news import ID_MAX
from guardkit.progress.snapshot import COUNT_MAX

CALLS_MAX = 64  # calls of the model that are remembered, as events of several may alternate
USED = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
OF_MODEL = ("inputTokens", "cacheCreationInputTokens", "cacheReadInputTokens", "outputTokens")


class Tokens:
    """What a session has used, tokens from the cache included.

    before: what it had used when it was resumed.
    """

    def __init__(self, before: int) -> None:
        self._settled = before  # by results
        self._counted = 0  # since then
        self._calls: dict[str, int] = {}

    @property
    def total(self) -> int:
        """How many tokens the session has used so far."""
        return min(self._settled + self._counted, COUNT_MAX)

    def count(self, call: str, used: object) -> bool:
        """Take what a call of the model has used so far; return whether the call is a new one."""
        call = call[:ID_MAX]
        is_new, known = call not in self._calls, self._calls.get(call, 0)
        tokens = max(_sum(used, USED), known)
        self._calls[call] = tokens
        self._counted += tokens - known
        if len(self._calls) > CALLS_MAX:
            self._calls.pop(next(iter(self._calls)))
        return is_new

    def settle(self, result: object) -> None:
        """Take what a result says: of the whole session, else of what has come since the last.

        A session goes on in `modelUsage` when it is resumed, and its subagents are in it. A result
        of a run that has never reached the model holds nothing.
        """
        whole = sum(_sum(model, OF_MODEL) for model in values(result, "modelUsage"))
        since = self._settled + _sum(at(result, "usage"), USED)
        self._settled = max(self._settled, whole) if whole else since
        self._counted = 0


def _sum(used: object, names: Sequence[str]) -> int:
    return sum(count(used, name) for name in names)

"""Exit codes: what a command tells of builds, or of itself, to whom that started it."""

from __future__ import annotations

from guardkit import errors

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from collections.abc import Iterable

    from guardkit.monitor.verdict import State, Verdict

COMPLETED, FAILED, USAGE, CANCELLED, GONE, ILL, UNKNOWN, UNDONE, RUNNING = range(9)
# What timeout(1) answers, and what shells make of a command that was ended by Ctrl-C.
TIMED_OUT, STOPPED = 124, 130
BY_STATE: dict[State, int] = {
    "running": COMPLETED,
    "completed": COMPLETED,
    "failed": FAILED,
    "cancelled": CANCELLED,
    "crashed": GONE,
    "lost": GONE,
    "unresponsive": ILL,
    "overdue": ILL,
    "stalled": ILL,
    "unreadable": UNDONE,
}
ORDER = (COMPLETED, RUNNING, FAILED, CANCELLED, ILL, GONE, UNKNOWN, UNDONE)  # from the best


def worst(codes: Iterable[int]) -> int:
    """Return the worst of the codes of some builds; of none, that nothing is known of them."""
    return max(codes, key=ORDER.index, default=UNKNOWN)


def of_verdict(verdict: Verdict, *, wait: bool = False) -> int:
    """Return the code for one build; `wait` tells one that runs from one that is done."""
    is_running = wait and verdict.state == "running"
    return RUNNING if is_running else BY_STATE[verdict.state]


def of_error(error: Exception) -> int:
    """Return the code for an error that a command has ended with."""
    if isinstance(error, errors.ProgressNotFoundError):
        return UNKNOWN
    usage = errors.MisuseError | errors.TaskNotFoundError | errors.InvalidFeatureError
    return USAGE if isinstance(error, usage) else UNDONE

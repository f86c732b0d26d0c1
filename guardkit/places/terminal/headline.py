"""What the tab of a terminal says of builds: the word for how they are, and a few more."""

from __future__ import annotations

from collections.abc import Mapping

from guardkit.places.order import count_states
from guardkit.places.plain import clean
from guardkit.places.terminal.board import counts
from guardkit.places.terminal.osc import State
from guardkit.places.terminal.screen import Headline
from guardkit.places.terminal.short import short_phase, short_turn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from guardkit.places.order import Seen

ERRORS = frozenset({"crashed", "lost", "failed", "unreadable"})
BLOCKED = frozenset({"unresponsive", "overdue", "stalled"})  # they need somebody, and go on then
GO_ON = BLOCKED | {"running"}


def headline(
    states: Mapping[str, str], alone: Seen | None = None, features: Mapping[str, str] | None = None
) -> Headline | None:
    """Return what is said of builds, by their states; None where there are none.

    alone: the build, where there is one that runs, and no others but the tasks of that.
    features: by the ids of tasks, of which feature each is one.
    """
    if not states:
        return None
    how = tab_state(*states.values())
    if alone:
        return Headline(how, _where(alone), _percent(alone))
    if len(states) == 1:
        [(task_id, state)] = states.items()
        return Headline(how, f"{clean(task_id)} {state}")
    counted = count_states(states, features or {})
    over = sum(number for state, number in counted.items() if state not in GO_ON)
    told = ", ".join(words for words, _ in counts(counted))
    return Headline(how, told, 100 * over // max(1, counted.total()))


def tab_state(*states: str) -> State:
    """Return the one word for the states of some builds: the worst counts."""
    if not ERRORS.isdisjoint(states):
        return "error"
    if not BLOCKED.isdisjoint(states):
        return "blocked"
    return "working" if "running" in states else "done"


def _where(seen: Seen) -> str:
    snapshot, state = seen.snapshot, seen.verdict.state
    told = [clean(seen.task_id)]
    if snapshot:
        told += [short_turn(snapshot), short_phase(snapshot)]
    return " ".join(filter(None, (*([state] if state != "running" else []), *told)))


def _percent(seen: Seen) -> int | None:
    """Return how many tasks of a feature, or how much of a countable work, are done; else None."""
    snapshot = seen.snapshot
    if snapshot and snapshot.tasks and snapshot.tasks.total:
        return min(100, 100 * snapshot.tasks.completed // snapshot.tasks.total)
    if snapshot and snapshot.work and snapshot.work.total:
        return min(100, 100 * snapshot.work.done // snapshot.work.total)
    return None

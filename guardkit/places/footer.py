"""What the footer of a session shows of builds: two lines at most, of those that matter now."""

from __future__ import annotations

from guardkit.places.cells import cut
from guardkit.places.order import TROUBLE, trouble_first
from guardkit.places.words import clean, cost, is_news, place, tests

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from guardkit.monitor.look import Look

    Row = tuple[str, str, int]  # text, colour, and how many characters of the text have it

LINES = 2  # at most
RED, GREEN, YELLOW, PLAIN = "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[0m"
COLOURS = {
    **dict.fromkeys(("crashed", "lost", "failed", "unreadable"), RED),
    **dict.fromkeys(("unresponsive", "overdue", "stalled", "cancelled"), YELLOW),
    **dict.fromkeys(("running", "completed"), GREEN),
}


def footer(looks: Iterable[Look], now: float, width: int, *, colours: bool = True) -> list[str]:
    """Return one line for a build, two for one in trouble or for several, none where none runs.

    now: seconds of this boot's monotonic clock.
    width: of a line, in cells.
    colours: whether the verdict is coloured.
    """
    looks = trouble_first(each for each in looks if is_news(each, now))
    rows: list[Row] = []
    shown = 0
    while shown < len(looks) and len(rows) < LINES:
        rows += _rows(looks[shown], now)
        shown += 1
    more = _more(looks[shown:])
    more = more if len(more) < width else ""
    found: list[str] = []
    for number, (text, colour, coloured) in enumerate(rows, 1):
        end = more if number == len(rows) else ""
        line = cut(text, width - len(end))
        if colours and colour:
            line = f"{colour}{line[:coloured]}{PLAIN}{line[coloured:]}"
        found.append(line + end)
    return found


def _rows(seen: Look, now: float) -> list[Row]:
    """Return the row of a build, and, where it is in trouble, that of the evidence."""
    state, evidence = seen.verdict
    colour, why = COLOURS[state], clean(evidence)
    told = [f"{state}: {place(seen, now)}"]
    if seen.snapshot:
        told += filter(None, [", ".join((*tests(seen.snapshot), *cost(seen.snapshot)))])
    elif state not in TROUBLE:
        told += [why]
    row = " - ".join(told), colour, len(state)
    return [row, (why, colour, len(why))] if state in TROUBLE else [row]


def _more(looks: Sequence[Look]) -> str:
    """Return the words for builds that have no line, such as ` +2 more, 1 in trouble`."""
    ill = sum(each.verdict.state in TROUBLE for each in looks)
    return (f" +{len(looks)} more" if looks else "") + (f", {ill} in trouble" if ill else "")

"""What the footer of a session shows of builds: two lines at most, of those that matter now."""

from __future__ import annotations

from collections import Counter

from guardkit.places.cells import cell_len, cut
from guardkit.places.colours import STATES, coloured
from guardkit.places.order import TROUBLE, left_out, trouble_first, without_parts
from guardkit.places.plain import clean
from guardkit.places.words import cost, is_news, place, tests

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from guardkit.monitor.look import Look

    # Parts, of which the first has to do where there is little room, and their colour, which so
    # many characters have.
    Row = tuple[Sequence[str], str, int]

LINES = 2  # at most


def footer(looks: Iterable[Look], now: float, width: int, *, colours: bool = True) -> list[str]:
    """Return one line for a build, two for one in trouble or for several, none where none runs.

    now: seconds of this boot's monotonic clock.
    width: of a line, in cells.
    colours: whether the verdict is coloured.
    """
    looks = trouble_first(without_parts(each for each in looks if is_news(each, now)))
    rows: list[Row] = []
    shown = 0
    while shown < len(looks) and len(rows) < LINES:
        rows += _rows(looks[shown], now)
        shown += 1
    more = left_out(Counter(each.verdict.state for each in looks[shown:]))
    more = f" {more}" if more and len(more) + 1 < width else ""
    found: list[str] = []
    for number, (parts, colour, size) in enumerate(rows, 1):
        end = more if number == len(rows) else ""
        whole, room = " - ".join(parts), width - len(end)
        line = cut(whole if cell_len(whole) <= room else parts[0], room)
        if colours and colour:
            line = coloured(line[:size], colour) + line[size:]
        found.append(line + end)
    return found


def _rows(seen: Look, now: float) -> list[Row]:
    """Return the row of a build, and, where it is in trouble, that of the evidence."""
    state, evidence = seen.verdict
    colour, why = STATES[state], clean(evidence)
    told = [f"{state}: {place(seen, now)}"]
    if seen.snapshot:
        told += filter(None, [", ".join((*tests(seen.snapshot), *cost(seen.snapshot)))])
    elif state not in TROUBLE:
        told += [why]
    row = told, colour, len(state)
    return [row, ([why], colour, len(why))] if state in TROUBLE else [row]

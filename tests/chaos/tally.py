"""What a scenario counts, and the table of it: a line for each promise that scenarios try to break.

Rows are plain dicts, as workers of pytest-xdist hand them over.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TypedDict

PROMISES = (  # of the contract, in its order
    "There on return",
    "Coalesced",
    "Whole",
    "Harmless",
    "Transparent",
    "Final",
    "Alive",
    "Alone",
    "On NATS",
)


class Row(TypedDict):
    """What one scenario has counted.

    promise: which one it tries to break, of `PROMISES`.
    slowest: the slowest detection in seconds, None where there was nothing to detect.
    """

    promise: str
    scenario: str
    trials: int
    faults: int
    lost: int
    torn: int
    leftovers: int
    wrong: int
    slowest: float | None


Tally = Callable[[str, str], Row]  # opens the row of a promise and a scenario

HEADS = {
    "promise": "Promise",
    "trials": "Trials",
    "faults": "Faults injected",
    "lost": "Lost updates",
    "torn": "Torn reads",
    "leftovers": "Leftovers",
    "wrong": "Wrong verdicts",
    "slowest": "Slowest detection",
}


def new_row(promise: str = "", scenario: str = "") -> Row:
    """Return a row in which nothing has been counted."""
    return Row(
        promise=promise,
        scenario=scenario,
        trials=0,
        faults=0,
        lost=0,
        torn=0,
        leftovers=0,
        wrong=0,
        slowest=None,
    )


def add(total: Row, row: Row) -> None:
    """Add the counts of `row` to `total`."""
    total["trials"] += row["trials"]
    total["faults"] += row["faults"]
    total["lost"] += row["lost"]
    total["torn"] += row["torn"]
    total["leftovers"] += row["leftovers"]
    total["wrong"] += row["wrong"]
    if row["slowest"] is not None:
        detected(total, row["slowest"])


def detected(row: Row, seconds: float) -> None:
    """Note that something was seen `seconds` after it had happened."""
    row["slowest"] = max(seconds, row["slowest"] or 0.0)


def render(rows: Iterable[Row], failed: Collection[str]) -> str:
    """Return the table in Markdown, and below it the scenarios behind each line, with their trials.

    A scenario that has `failed` says so, as not all that a scenario demands is counted.
    """
    scenarios: dict[tuple[str, str], Row] = {}
    for row in rows:
        place = row["promise"], row["scenario"]
        add(scenarios.setdefault(place, new_row(*place)), row)
    total, lines = new_row("all"), {promise: new_row(promise) for promise in PROMISES}
    for row in scenarios.values():
        add(lines[row["promise"]], row)
        add(total, row)
    there = [line for line in lines.values() if line["trials"]]
    table = _align([list(HEADS.values()), *map(_cells, [*there, total])])
    lists = [_list(line["promise"], scenarios.values(), failed) for line in there]
    return "\n".join([table, "", *lists])


def _list(promise: str, rows: Iterable[Row], failed: Collection[str]) -> str:
    """Return the scenarios of a promise in a line."""
    named = sorted(
        f"{row['scenario']} ({row['trials']:,}{', failed' * (row['scenario'] in failed)})"
        for row in rows
        if row["promise"] == promise
    )
    return f"- {promise}: {', '.join(named)}"


def _cells(row: Row) -> list[str]:
    slowest = row["slowest"]
    counts = [row["trials"], row["faults"], row["lost"], row["torn"], row["leftovers"]]
    return [
        row["promise"],
        *(f"{count:,}" for count in [*counts, row["wrong"]]),
        "-" if slowest is None else f"{slowest * 1000:,.0f} ms",
    ]


def _align(cells: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rules = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]

    def line(row: Sequence[str]) -> str:
        padded = [row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]
        return f"| {' | '.join(padded)} |"

    return "\n".join(map(line, [cells[0], rules, *cells[1:]]))

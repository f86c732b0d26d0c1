"""What a scenario counts. Rows are plain dicts, as workers of pytest-xdist hand them over."""

from collections.abc import Container, Iterable, Sequence
from typing import TypedDict


class Row(TypedDict):
    """One line of the table: counts, and the slowest detection in seconds (None: nothing to)."""

    scenario: str
    trials: int
    faults: int
    lost: int
    torn: int
    leftovers: int
    wrong: int
    slowest: float | None


HEADS = {
    "scenario": "Scenario",
    "trials": "Trials",
    "faults": "Faults injected",
    "lost": "Lost updates",
    "torn": "Torn reads",
    "leftovers": "Leftovers",
    "wrong": "Wrong verdicts",
    "slowest": "Slowest detection",
}


def new_row(scenario: str) -> Row:
    """Return a row in which nothing has been counted."""
    return Row(
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


def render(rows: Iterable[Row], failed: Container[str]) -> str:
    """Return the table in Markdown: a line for each scenario, and one for all.

    What has `failed` says so, as not all that a scenario demands is counted.
    """
    lines: dict[str, Row] = {}
    for row in rows:
        add(lines.setdefault(row["scenario"], new_row(row["scenario"])), row)
    total = new_row("all")
    for name, row in lines.items():
        add(total, row)
        if name in failed:
            row["scenario"] += " (failed)"
    ordered = sorted(lines.values(), key=lambda row: row["scenario"])
    return _align([list(HEADS.values()), *map(_cells, [*ordered, total])])


def _cells(row: Row) -> list[str]:
    slowest = row["slowest"]
    counts = [row["trials"], row["faults"], row["lost"], row["torn"], row["leftovers"]]
    return [
        row["scenario"],
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

"""The figures as a table in Markdown, and as JSON with what they were measured on."""

import os
import platform
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TypedDict

from .bounds import BOUNDS, CLEARLY, ON_NATS
from .races import Row

HEADS = ("What", "Against", "Ours", "Theirs", "Ratio", "Quartiles", "Bound", "Met")


class Report(TypedDict):
    """What a run has measured, when and on what."""

    at: str
    machine: str
    python: str
    guardkit: str
    rows: list[Row]


def make_report(rows: list[Row]) -> Report:
    """Return the rows with what stands above them."""
    return Report(
        at=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        machine=f"{_processor()}, {os.cpu_count()} cores, Linux {platform.release()}",
        python=sys.version.split()[0],
        guardkit=version("guardkit"),
        rows=rows,
    )


def subject(row: Row) -> str:
    """Return what a row is about."""
    return row["subject"]


def is_on_nats(row: Row) -> bool:
    """Whether a row is about builds on NATS, which have a table of their own."""
    return (row["subject"], row["against"]) in ON_NATS


def is_met(row: Row) -> bool:
    """Whether a row has no bound, or keeps it."""
    return row["bound"] is None or row["ratio"] <= row["bound"]


def is_clearly_past(row: Row) -> bool:
    """Whether a ratio is so far past its bound that no noise explains it; never so for times."""
    bound = None if row["absolute"] else row["bound"]
    return bound is not None and row["ratio"] > bound * CLEARLY


def render(report: Report) -> str:
    """Return a heading, the tables, and a line for each bound that was not measured."""
    rows = report["rows"]
    kinds = [row for row in rows if not is_on_nats(row)], [row for row in rows if is_on_nats(row)]
    tables = [text for kind in kinds if kind for text in (render_rows(kind), "")]
    head = f"guardkit {report['guardkit']}, Python {report['python']}, {report['machine']}"
    known, subjects = {(row["subject"], row["against"]) for row in rows}, {*map(subject, rows)}
    bounds = BOUNDS.keys() | ON_NATS.keys()
    missing = sorted(pair for pair in bounds - known if pair[0] in subjects)
    notes = [f"Not measured: {what}, against {whom}" for what, whom in missing]
    return "\n".join([f"{report['at']}, {head}:", "", *tables, *notes])


def render_rows(rows: Iterable[Row]) -> str:
    """Return a table in Markdown, its columns aligned."""
    return _align([HEADS, *map(_cells, rows)])


def amount(value: float, unit: str) -> str:
    """Return a cost with three digits, in the unit that fits."""
    if not unit:
        return _digits(value) if value % 1 else f"{value:,.0f}"
    if unit == "B":
        kib = abs(value) >= 2**10
        return f"{_digits(value / 2**10)} KiB" if kib else f"{value:.0f} B"
    for size, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if abs(value) >= size:
            return f"{_digits(value / size)} {name}"
    return f"{_digits(value / 1e-9)} ns"


def number(ratio: float) -> str:
    """Return a ratio with as many digits as mean something."""
    return f"{ratio:.3f}" if ratio < 0.1 else f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"


def _digits(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _cells(row: Row) -> tuple[str, ...]:
    bound = "" if row["bound"] is None else number(row["bound"])
    return (
        row["subject"],
        row["against"],
        amount(row["ours"], row["unit"]),
        amount(row["theirs"], row["unit"]),
        number(row["ratio"]),
        f"{number(row['low'])} to {number(row['high'])}",
        bound,
        "" if not bound else "yes" if is_met(row) else "no",
    )


def _align(cells: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rules = [
        f"{'-' * (width - 1)}{':' if place > 1 else '-'}" for place, width in enumerate(widths)
    ]

    def line(row: Sequence[str]) -> str:
        texts = [text.ljust(width) for text, width in zip(row[:2], widths[:2], strict=True)]
        figures = [text.rjust(width) for text, width in zip(row[2:], widths[2:], strict=True)]
        return f"| {' | '.join(texts + figures)} |"

    return "\n".join([line(cells[0]), line(rules), *map(line, cells[1:])])


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = (line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return next(names, platform.machine())

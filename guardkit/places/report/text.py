"""The report as lines for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardkit.places.cells import cell_len, cut
from guardkit.places.report import tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guardkit.places.report.material import Report
    from guardkit.places.report.tables import Table

EIGHTHS = " ▏▎▍▌▋▊▉"
BAR_LEAST, COLUMN_LEAST = 8, 8  # cells


def text_lines(report: Report, width: int, *, blocks: bool = True) -> list[str]:
    """Return a report in lines of at most so many cells.

    blocks: whether bars are made of block characters, or else of `#`.
    """
    told = [report.timeline.build.title, *tables.summary(report), *tables.evidence(report)]
    lines = [line for each in told for line in _wrap(each, width)]
    for table in tables.tables(report):
        lines += "", *_wrap(table.title, width)
        lines += (cut(row, width) for row in _layout(table, width, blocks=blocks))
    if words := tables.not_compared(report):
        lines += "", *_wrap(words, width)
    return lines


def bar(start: float, end: float, width: int, *, blocks: bool = True) -> str:
    """Return a bar from one part of a width to another; what is not nothing is seen."""
    left = int(start * width)
    if not blocks:
        return " " * left + "#" * max(1, round(end * width) - left)
    eighths = max(1, round((end * width - left) * 8))
    return " " * left + "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()


def _wrap(text: str, width: int) -> Iterator[str]:
    """Yield a text in lines of at most so many cells, which end with a word if they can."""
    while cell_len(text) > width:
        room = next(n for n in range(len(text)) if cell_len(text[: n + 1]) > width)
        end = text.rfind(" ", 1, room + 1)
        end = room if end < 0 else end
        yield text[:end].rstrip()
        text = text[end:].lstrip()
    yield text


def _layout(table: Table, width: int, *, blocks: bool) -> list[str]:
    """Return the rows of a table below its head; bars have what is left of the width."""
    least = max(BAR_LEAST, cell_len(table.drawn)) if table.bars else 0
    widths = _fit(table, width - least - 2)
    if not least or _taken(widths) + least > width:
        widths = _fit(table, width)
    room = width - _taken(widths)
    lines: list[str] = []
    for index, row in enumerate((table.head, *table.rows)):
        cells = [
            _pad(cell, widths[n], right=n in table.numbers)
            for n, cell in enumerate(row)
            if widths[n]
        ]
        if least and room >= least:
            parts = table.bars[index - 1]
            cells.append(bar(*parts, room, blocks=blocks) if index else table.drawn)
        lines.append("  ".join(cells).rstrip())
    return [*lines, f"and {table.left:,} more"] if table.left else lines


def _fit(table: Table, width: int) -> list[int]:
    """Return how wide columns are: as their texts, the widest less until all fit; none if empty.

    What a build has said is cut first, so that no figure is while there is room for all of it.
    """
    columns = zip(table.head, *table.rows, strict=True)
    widths = [max(map(cell_len, each)) if any(each[1:]) else 0 for each in columns]
    for some in (sorted(table.said), range(len(widths))):
        while _taken(widths) - 2 > width:
            widest = max(some, key=widths.__getitem__)
            if widths[widest] <= COLUMN_LEAST:
                break
            widths[widest] -= 1
    return widths


def _taken(widths: Sequence[int]) -> int:
    """Return how many cells columns take, with what parts them from the next one."""
    return sum(each + 2 for each in widths if each)


def _pad(cell: str, width: int, *, right: bool) -> str:
    short = cut(cell, width)
    space = " " * (width - cell_len(short))
    return space + short if right else short + space

"""Many builds, drawn as a table below the lines that tell what has happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from guardkit.places.cells import cell_len, cut
from guardkit.places.colours import STATES as COLOURS
from guardkit.places.marks import Marks
from guardkit.places.order import STATES, TROUBLE
from guardkit.places.seen import Seen, Size, said
from guardkit.places.short import (
    bar,
    has_failing_tests,
    short_cost,
    short_files,
    short_tests,
    short_turn,
    stopwatch,
)
from guardkit.places.words import clean, printable

GAP = 2  # cells between two columns
TITLES = ("TASK", "WAVE", "TURN", "", "PHASE", "TESTS", "FILES", "COST", "TIME", "STATE", "")
TASK, WAVE, TURN, BAR, PHASE, TESTS, FILES, COST, TIME, STATE, SAID = range(len(TITLES))
LEAVE = (BAR, WAVE, COST, FILES, PHASE, TESTS, TURN)  # the columns that go first where there is no room
MOST, LEAST = {TASK: 24, PHASE: 24}, {TASK: 8, PHASE: 8, SAID: 12}  # cells
WITH_TITLES = 60  # cells


def room_for(number: int, size: Size) -> int:
    """Return how many of a number of builds have a row of their own.

    Above the rows there are an empty line, the counts and the titles; below them the line for the
    rest, and the one where the cursor is.
    """
    room = max(1, size.height - 3 - (size.width >= WITH_TITLES))
    return number if number <= room else max(1, room - 1)


def draw_many(
    builds: Sequence[Seen], rest: Mapping[str, int], counted: Mapping[str, int], size: Size, marks: Marks
) -> Table:
    """Return how many builds there are, and a row for each that has room.

    builds: which have one, in their order.
    rest: how many of those that have none are in which state. counted: how many of all are.
    """
    whole = Table.grid(pad_edge=False)
    whole.add_row("")
    whole.add_row(_counts(counted))
    whole.add_row(_table(builds, size.width, marks))
    if more := sum(rest.values()):
        ill = sum(number for state, number in rest.items() if state in TROUBLE)
        whole.add_row(Text(f"+{more:,} more" + f", {ill:,} in trouble" * bool(ill), "dim"))
    return whole


def fit(rows: Sequence[Sequence[str]], width: int, *, has_titles: bool = False) -> list[int]:
    """Return how wide each column is, 0 for one that is left out, so that a row has room.

    The task, the time and the state are always there.
    """
    titles = TITLES if has_titles else ("",) * len(TITLES)
    columns = [*zip(*rows, strict=True)] or [()] * len(TITLES)
    widths = [  # a column without a value has no title either
        min(max(map(cell_len, (title, *values))), MOST.get(number, width)) if any(values) else 0
        for number, (title, values) in enumerate(zip(titles, columns, strict=True))
    ]
    message, widths[SAID] = widths[SAID], 0
    for column in LEAVE:
        over = _needed(widths) - width
        if over > 0:
            shorter = widths[column] - over if column in LEAST else 0
            widths[column] = shorter if shorter >= LEAST.get(column, 0) else 0
    over = _needed(widths) - width
    widths[TASK] = max(min(widths[TASK], LEAST[TASK]), widths[TASK] - max(over, 0))
    left = width - _needed(widths) - GAP
    widths[SAID] = min(message, left) if left >= LEAST[SAID] else 0
    return widths


def counts(counted: Mapping[str, int]) -> list[tuple[str, str]]:
    """Return how many builds are in which state, and its colour: `2 stalled`, trouble first."""
    found = ((state, counted.get(state, 0)) for state in STATES)
    return [(f"{number:,} {state}", COLOURS[state]) for state, number in found if number]


def _table(builds: Sequence[Seen], width: int, marks: Marks) -> Table:
    has_titles = width >= WITH_TITLES
    rows = [_row(each, marks) for each in builds]
    widths = fit(rows, width, has_titles=has_titles)
    kept = [column for column, wide in enumerate(widths) if wide]
    table = Table.grid(padding=(0, GAP, 0, 0), pad_edge=False)
    for column in kept:
        justify = "right" if column == TIME else "left"
        table.add_column(width=widths[column], no_wrap=True, justify=justify)
    if has_titles:
        table.add_row(*(Text(TITLES[column], "dim") for column in kept))
    for seen, row in zip(builds, rows, strict=True):
        texts = {column: printable(cut(row[column], widths[column], marks.more)) for column in kept}
        table.add_row(*(_cell(seen, column, text, marks) for column, text in texts.items()))
    return table


def _needed(widths: Sequence[int]) -> int:
    shown = [width for width in widths if width]
    return sum(shown) + GAP * (len(shown) - 1)


def _row(seen: Seen, marks: Marks) -> tuple[str, ...]:
    """Return the text of each column."""
    task_id, snapshot, (state, _), _ = seen
    if not snapshot:
        return (clean(task_id), *[""] * (STATE - 1), state, said(seen)[0])
    turn = short_turn(snapshot)
    return (
        clean(task_id),
        f"{snapshot.wave:,}/{snapshot.wave_total:,}" if snapshot.wave_total > 1 else "",
        turn,
        bar(snapshot, marks) if turn else "",
        clean(snapshot.phase) or ("" if snapshot.tasks else "starting"),
        short_tests(snapshot),
        short_files(snapshot),
        short_cost(snapshot),
        stopwatch(seen.elapsed),
        state,
        said(seen)[0],
    )


def _cell(seen: Seen, column: int, text: str, marks: Marks) -> Text:
    if column == BAR:
        full = text.count(marks.full)
        return Text.assemble((text[:full], "green"), (text[full:], "dim"))
    style = ""
    if column == STATE:
        style = COLOURS[seen.verdict.state]
    elif column == SAID:
        style = said(seen)[1]
    elif column == TESTS and seen.snapshot and has_failing_tests(seen.snapshot):
        style = "red"
    return Text(text, style)


def _counts(counted: Mapping[str, int]) -> Text:
    text = Text(no_wrap=True, overflow="crop")
    for words, style in counts(counted):
        text.append(", " if text else "").append(words, style)
    return text

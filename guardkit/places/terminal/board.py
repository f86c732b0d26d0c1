"""Many builds, drawn as a table below the lines that tell what has happened."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence

from rich.text import Text

from guardkit.places.cells import cell_len, cut
from guardkit.places.colours import STATES as COLOURS
from guardkit.places.order import STATES, TROUBLE, feature_of, left_out
from guardkit.places.plain import clean, printable
from guardkit.places.terminal.marks import Marks
from guardkit.places.terminal.seen import Seen, Size, said
from guardkit.places.terminal.short import (
    bar,
    has_failing_tests,
    short_cost,
    short_files,
    short_phase,
    short_tests,
    short_turn,
    stopwatch,
)

GAP = "  "  # between two columns
SET_IN = "  "  # before the tasks of a feature
TITLES = ("TASK", "WAVE", "TURN", "", "PHASE", "TESTS", "FILES", "COST", "TIME", "STATE", "")
TASK, WAVE, TURN, BAR, PHASE, TESTS, FILES, COST, TIME, STATE, SAID = range(len(TITLES))
LEAVE = (BAR, WAVE, COST, FILES, PHASE, TASK, TESTS, TURN)  # in this order, without room
MINOR, WHY = {BAR, WAVE, COST, FILES}, 24  # they leave for so many cells of what is wrong
MOST, LEAST = {TASK: 24, PHASE: 24}, {TASK: 12, PHASE: 8, SAID: 12}  # cells
WITH_TITLES = 60  # cells


def room_for(number: int, size: Size) -> int:
    """Return how many of a number of builds have a row of their own.

    Above the rows there are an empty line, the counts and the titles; below them the line for the
    rest, and the one where the cursor is.
    """
    room = max(1, size.height - 3 - (size.width >= WITH_TITLES))
    return number if number <= room else max(1, room - 1)


def draw_many(
    builds: Sequence[Seen],
    rest: Mapping[str, int],
    counted: Mapping[str, int],
    size: Size,
    marks: Marks,
) -> Text:
    """Return how many builds there are, and a row for each that has room.

    builds: which have one, in their order.
    rest: how many of those that have none are in which state. counted: how many of all are.
    """
    lines = [Text(), _counts(counted, size.width), *_table(builds, size.width, marks)]
    if more := left_out(rest):
        lines.append(Text(more, "dim"))
    for line in lines:
        line.truncate(size.width)
    return Text("\n", no_wrap=True).join(lines)


def fit(
    rows: Sequence[Sequence[str]], width: int, *, has_titles: bool = False, is_ill: bool = False
) -> list[int]:
    """Return how wide each column is, 0 for one that is left out, so that a row has room.

    The task, the time and the state are always there; before what is wrong, where that `is_ill`,
    the columns go that matter least.
    """
    titles = TITLES if has_titles else ("",) * len(TITLES)
    columns = [*zip(*rows, strict=True)] or [()] * len(TITLES)
    widths = [  # a column without a value has no title either
        min(max(map(cell_len, (title, *values))), MOST.get(number, width)) if any(values) else 0
        for number, (title, values) in enumerate(zip(titles, columns, strict=True))
    ]
    message, task, widths[SAID] = widths[SAID], widths[TASK], 0
    why = min(message, WHY) + len(GAP) if is_ill else 0
    for column in LEAVE:
        if (over := _needed(widths) - width + (why if column in MINOR else 0)) > 0:
            least, rest = LEAST.get(column, 0), widths[column] - over
            if column == TASK:
                widths[column] = min(widths[column], max(least, rest))
            else:
                widths[column] = rest if rest >= least > 0 else 0
    spare = max(0, width - _needed(widths))  # of a column that has left
    widths[TASK] = min(task, widths[TASK] + spare)
    left = width - _needed(widths) - len(GAP)
    widths[SAID] = min(message, left) if left >= LEAST[SAID] else 0
    return widths


def counts(counted: Mapping[str, int]) -> list[tuple[str, str]]:
    """Return how many builds are in which state, and its colour: `2 stalled`, trouble first."""
    found = ((state, counted.get(state, 0)) for state in STATES)
    return [(f"{number:,} {state}", COLOURS[state]) for state, number in found if number]


def _table(builds: Sequence[Seen], width: int, marks: Marks) -> Iterator[Text]:
    """Yield the lines of a table; one of rich's would take four times as long to draw."""
    has_titles = width >= WITH_TITLES
    heads = {each.task_id for each in builds}
    rows = [_row(each, marks, heads) for each in builds]
    is_ill = any(each.verdict.state in TROUBLE for each in builds)
    widths = fit(rows, width, has_titles=has_titles, is_ill=is_ill)
    if has_titles:
        titles = (_justify(TITLES[column], column, wide) for column, wide in enumerate(widths))
        yield Text(GAP.join(filter(None, titles)).rstrip(), "dim")
    for seen, row in zip(builds, rows, strict=True):
        line = Text()
        for column, wide in enumerate(widths):
            if wide:
                text = printable(_justify(cut(row[column], wide, marks.more), column, wide))
                line.append(GAP if column else "")
                _append(line, seen, column, text, marks)
        yield line


def _justify(text: str, column: int, width: int) -> str:
    if not width:
        return ""
    space = " " * (width - cell_len(text))
    return space + text if column == TIME else text + space


def _needed(widths: Sequence[int]) -> int:
    shown = [width for width in widths if width]
    return sum(shown) + len(GAP) * (len(shown) - 1)


def _row(seen: Seen, marks: Marks, heads: Container[str]) -> tuple[str, ...]:
    """Return the text of each column; a task is set in below its feature, if that is a head."""
    task_id, snapshot, (state, _), _ = seen
    if not snapshot:
        return (clean(task_id), *[""] * (STATE - 1), state, said(seen)[0])
    turn = short_turn(snapshot)
    return (
        SET_IN * (feature_of(snapshot) in heads) + clean(task_id),
        f"{snapshot.wave:,}/{snapshot.wave_total:,}" if snapshot.wave_total > 1 else "",
        turn,
        bar(snapshot, marks) if turn else "",
        short_phase(snapshot) or "starting",
        short_tests(snapshot),
        short_files(snapshot),
        short_cost(snapshot),
        stopwatch(seen.elapsed),
        state,
        _said_besides(seen),
    )


def _said_besides(seen: Seen) -> str:
    """Return what a build says; of a feature not which tasks run, as those have rows."""
    text, snapshot = said(seen)[0], seen.snapshot
    if not (snapshot and snapshot.tasks and seen.verdict.state == "running"):
        return text
    return "; ".join(part for part in text.split("; ") if not part.startswith("running "))


def _append(line: Text, seen: Seen, column: int, text: str, marks: Marks) -> None:
    """Append the text of a column to a line, in its colour."""
    style = ""
    if column == BAR:
        full = text.count(marks.full)
        line.append(text[:full], "green")
        text, style = text[full:], "dim"
    elif column == STATE:
        style = COLOURS[seen.verdict.state]
    elif column == SAID:
        style = said(seen)[1]
    elif column == TESTS and seen.snapshot and has_failing_tests(seen.snapshot):
        style = "red"
    line.append(text, style or None)


def _counts(counted: Mapping[str, int], width: int) -> Text:
    text = Text()
    for words, style in counts(counted):
        between = ", " if text else ""
        if text.cell_len + len(between + words) <= width:
            text.append(between).append(words, style)
    return text

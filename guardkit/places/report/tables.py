"""What a report says, as tables that each format lays out in its own way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from guardkit.places.expected import words
from guardkit.places.timeline.scale import brief
from guardkit.places.timeline.shares import find_shares
from guardkit.places.timeline.told import headline, missing, result, sign_words
from guardkit.places.words import duration, used

if TYPE_CHECKING:
    from guardkit.places.report.compare import Compared
    from guardkit.places.report.material import Report
    from guardkit.places.timeline.model import Bar, Lane, Timeline

ROWS_MAX = 400  # of a table
NOTHING = "", ""  # in two columns


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table.

    title: what stands above it.
    head: the names of its columns; rows: texts, one for each column.
    numbers: the columns that are put to the right. said: those whose texts a build has chosen.
    bars: for each row where a bar begins and ends, as parts of the whole width; or none.
    drawn: what the bars show.
    left: how many rows have no room.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int] = frozenset()
    said: frozenset[int] = frozenset()
    bars: tuple[tuple[float, float], ...] = ()
    drawn: str = ""
    left: int = 0


def summary(report: Report) -> list[str]:
    """Return how the build is, what it has to show, and what is strange about its time."""
    build = report.timeline.build
    lines = [", ".join(filter(None, (headline(build), result(build), *used(report.snapshot))))]
    if report.expected:
        lines.append(words(report.expected))
    lines += (sign_words(gap) for gap in report.timeline.gaps[:ROWS_MAX])
    return [*lines, *filter(None, [missing(report.timeline, report.snapshot)])]


def evidence(report: Report) -> list[str]:
    """Return why the build is as it is, mostly in its own words."""
    build = report.timeline.build
    return [build.evidence] if build.evidence and build.state != "completed" else []


def tables(report: Report) -> list[Table]:
    """Return all tables that have rows."""
    timeline = report.timeline
    found = [_tasks(timeline), _shares(timeline), _turns(timeline.build), _compared(report)]
    return [_cut(table) for table in found if table.rows]


def _cut(table: Table) -> Table:
    rows = table.rows[:ROWS_MAX]
    left = len(table.rows) - len(rows)
    return msgspec.structs.replace(table, rows=rows, bars=table.bars[:ROWS_MAX], left=left)


def _shares(timeline: Timeline) -> Table:
    shares = find_shares(timeline)
    tasks = len(timeline.tasks)
    return Table(
        title=f"Where the time of {tasks} tasks went" if tasks > 1 else "Where the time went",
        head=("phase", "took", "of all", "times"),
        rows=tuple(
            (it.name, duration(it.seconds), f"{it.part:.0%}", str(it.times or "")) for it in shares
        ),
        numbers=frozenset({1, 2, 3}),
        said=frozenset({0}),
        bars=tuple((0.0, it.part) for it in shares),
        drawn="share",
    )


def _tasks(timeline: Timeline) -> Table:
    whole = timeline.end or 1.0
    return Table(
        title="Waves and tasks",
        head=("wave", "task", "took", "how it is", "critical"),
        rows=tuple(
            (
                str(lane.wave),
                lane.task_id,
                duration(lane.seconds),
                lane.state,
                "yes" if lane.is_critical else "",
            )
            for lane in timeline.tasks
        ),
        numbers=frozenset({0, 2}),
        said=frozenset({1}),
        bars=tuple((lane.start / whole, lane.end / whole) for lane in timeline.tasks),
        drawn=f"from 0 to {brief(timeline.end)}",
    )


def _turns(build: Lane) -> Table:
    """Return a row for each phase of each turn; the last one has what the turn has come to.

    A phase has the time in which no inner one was open, so that those of a turn add up to it.
    """
    inner: dict[int, list[Bar]] = {}
    for bar in build.of_kind("phase"):
        inner.setdefault(bar.turn, []).append(bar)
    rows: list[tuple[str, ...]] = []
    for turn in build.of_kind("turn"):
        found = [it for it in inner.get(turn.turn, ()) if turn.start <= it.start <= turn.end]
        phases = [(it.name, duration(it.own)) for it in found] or [NOTHING]
        marks = [it for it in build.marks if it.turn == turn.turn]
        blank = [NOTHING] * (len(phases) - 1)
        begins = [(str(turn.turn), duration(turn.seconds)), *blank]
        ends = [*blank, (marks[-1].text, marks[-1].why) if marks else NOTHING]
        rows += ((*one, *two, *three) for one, two, three in zip(begins, phases, ends, strict=True))
    return Table(
        title="Turns",
        head=("turn", "took", "phase", "took", "decision", "why"),
        rows=tuple(rows),
        numbers=frozenset({0, 1, 3}),
        said=frozenset({2, 4, 5}),
    )


def _compared(report: Report) -> Table:
    return Table(
        title=_compared_with(report),
        head=("what", "took", "median", "so"),
        rows=tuple(
            (it.name, duration(it.seconds), duration(it.median), difference(it))
            for it in report.compared
        ),
        numbers=frozenset({1, 2}),
        said=frozenset({0}),
    )


def _compared_with(report: Report) -> str:
    runs = max((it.runs for it in report.compared), default=0)
    many = f"{runs:,} earlier runs" if runs > 1 else "earlier run"
    whose = f"its {many}" if report.scope == "task" else f"{runs:,} run{'s' * (runs != 1)}"
    together = "; phases are those of all its tasks together" * bool(report.timeline.tasks)
    return f"Compared with {whose}{' of all tasks' * (report.scope == 'all')}{together}"


def difference(it: Compared) -> str:
    """Return how much longer or shorter something took, in whole seconds: `4m 3s longer`."""
    if not (more := int(it.seconds) - int(it.median)):  # as both are shown
        return "the same"
    return f"{duration(abs(more))} {'longer' if more > 0 else 'shorter'}"


def not_compared(report: Report) -> str:
    """Return what is said where there is nothing to compare with; empty where there is."""
    if not report.scope or report.compared:
        return ""
    whose = "an earlier run of it" if report.scope == "task" else "a run of another task"
    return f"nothing to compare with: {whose} that has ended by itself is in no journal"

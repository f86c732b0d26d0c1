"""The report as Markdown, for a pull request or a CI run's summary: tables, and mermaid's gantt.

What a build says stands in code spans: there, nothing is markup, a mention or a reference.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from guardkit.places.plain import clip
from guardkit.places.report import tables
from guardkit.places.report.text import bar
from guardkit.places.words import duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardkit.places.report.material import Report
    from guardkit.places.report.tables import Table
    from guardkit.places.timeline.model import Bar, Lane, Timeline

BARS_MAX, NAME_MAX = 120, 60
UNSAFE = re.compile(r"[^\w .()/+-]+")  # what may mean something to mermaid; letters do not


def markdown(report: Report) -> str:
    """Return a report as Markdown."""
    lines = [f"### {code(report.timeline.build.title)}", ""]
    lines += (f"- {line}" for line in tables.summary(report))
    lines += (f"- {code(line)}" for line in tables.evidence(report))
    lines += "", "```mermaid", *gantt(report.timeline), "```"
    if any(lane.is_critical for lane in report.timeline.tasks):
        lines += "", "Red: the critical path."
    for table in tables.tables(report):
        lines += "", f"**{table.title}**", ""
        lines += _layout(table)
    if words := tables.not_compared(report):
        lines += "", words
    return "\n".join(lines) + "\n"


def code(text: str) -> str:
    """Return a text as a code span; empty where there is none."""
    if not text.strip():
        return ""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence, space = "`" * (longest + 1), " " * bool(longest)
    return f"{fence}{space}{text}{space}{fence}"


def gantt(timeline: Timeline) -> Iterator[str]:
    """Yield a timeline as mermaid's gantt: its axis tells the time since the beginning."""
    yield "gantt"
    yield "    dateFormat YYYY-MM-DDTHH:mm:ss"
    yield "    axisFormat %H:%M:%S"
    lanes = timeline.tasks
    if not lanes:
        yield from _sections(timeline.build)
        return
    wave = 0
    for lane in lanes[:BARS_MAX]:
        if lane.wave != wave:
            wave = lane.wave
            yield f"    section Wave {wave}"
        state = "crit, " if lane.is_critical else "active, " if lane.state == "running" else ""
        yield _task(f"{duration(lane.seconds)} {lane.task_id}", state, lane.start, lane.end)


def _sections(build: Lane) -> Iterator[str]:
    turn = -1
    longest = sorted(build.of_kind("phase"), key=lambda it: -it.seconds)[:BARS_MAX]
    for phase in sorted(longest, key=lambda it: (it.start, it.row)):
        if phase.turn != turn:
            turn = phase.turn
            yield f"    section Turn {turn}" if turn else "    section Outside turns"
        yield _task(
            f"{duration(phase.seconds)} {phase.name}", _state(phase), phase.start, phase.end
        )


def _state(phase: Bar) -> str:
    states = {"failed": "crit, ", "crashed": "crit, ", "in_progress": "active, "}
    return states.get(phase.status, "")


def _task(name: str, state: str, start: float, end: float) -> str:
    words = clip(UNSAFE.sub(" ", name).strip(), NAME_MAX)
    return f"    {words} :{state}{_instant(start)}, {_instant(max(end, start + 1))}"


def _instant(seconds: float) -> str:
    days, rest = divmod(int(seconds), 86_400)
    hours, minutes = divmod(rest // 60, 60)
    return f"2000-01-{days % 28 + 1:02}T{hours:02}:{minutes:02}:{rest % 60:02}"


def _layout(table: Table) -> Iterator[str]:
    with_bars = (table.drawn,) if table.bars else ()
    yield f"| {' | '.join((*table.head, *with_bars))} |"
    rules = ["---:" if n in table.numbers else "---" for n in range(len(table.head))]
    yield f"| {' | '.join((*rules, *(('---',) if table.bars else ())))} |"
    for index, row in enumerate(table.rows):
        cells = [
            code(cell).replace("|", r"\|") if n in table.said else cell
            for n, cell in enumerate(row)
        ]
        if table.bars:
            drawn = bar(*table.bars[index], 20)
            cells.append(drawn.replace(" ", "&nbsp;"))
        yield f"| {' | '.join(cells)} |"
    if table.left:
        yield ""
        yield f"and {table.left:,} more"

"""What stands below the axis of a timeline: its rows, and the legend."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from guardkit.places.timeline import shapes
from guardkit.places.timeline.rows import BAR, CHART, ROW, STEPS, Pen
from guardkit.places.timeline.scale import brief
from guardkit.places.timeline.shapes import Box
from guardkit.places.timeline.shares import find_shares

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from guardkit.places.timeline.model import Lane, Timeline

    Row = tuple[float, Callable[[float], Iterator[str]]]  # its height, and what draws it at one

LANES_MAX, NAMES_MAX, DEPTH_MAX = 400, 24, 8  # that are drawn
LEFT = 8.0  # pixels
SIGNS = {
    "failed": "failed",
    "over": "over its budget",
    "silent": "no heartbeat",
    "idle": "no activity",
    "unknown": "not in the journal",
}


def stack(rows: Iterator[Row], y: float) -> tuple[list[str], float]:
    """Return rows below each other, from a height on, and the height at which they end."""
    parts: list[str] = []
    for height, row in rows:
        parts += row(y)
        y += height
    return parts, y


def rows(timeline: Timeline, pen: Pen) -> Iterator[Row]:
    """Yield all rows, from the top."""
    build, end = timeline.build, timeline.end
    yield from _work_rows(build, pen)
    yield from _lane_rows(timeline, pen)
    if build.marks:
        yield ROW, lambda y: _labelled(pen, y, "decided", pen.marks(build.marks, y))
    machine = [gap for gap in timeline.gaps if gap.sign in STEPS]
    if machine:
        yield ROW, lambda y: _labelled(pen, y, "machine", pen.gaps(machine, y))
    signs = [gap for gap in timeline.gaps if gap.sign not in STEPS]
    if signs:
        yield ROW, lambda y: _labelled(pen, y, "signs", pen.gaps(signs, y))
    if any(each.files for each in build.counts):
        yield CHART, lambda y: _labelled(pen, y, "files", pen.files(build.counts, end, y))
    if any(each.total for each in build.counts):
        yield CHART, lambda y: _labelled(pen, y, "tests", pen.tests(build.counts, end, y))


def _work_rows(lane: Lane, pen: Pen) -> Iterator[Row]:
    """Yield the row of a build's turns and phases, which is as high as these are deep."""
    phases = [bar for bar in lane.of_kind("phase") if bar.row < DEPTH_MAX]
    turns = lane.of_kind("turn")
    if not (phases or turns):
        return
    above = BAR if turns else 0.0
    deep = above + (max((bar.row for bar in phases), default=-1) + 1) * (BAR + 2) + 3

    def row(y: float) -> Iterator[str]:
        yield pen.label(y, "turns" if turns else "phases")
        yield pen.label(y + BAR + 1, "phases") if turns else ""
        middle = y + above + BAR / 2
        yield shapes.line(pen.scale.x(lane.start), middle, pen.scale.x(lane.end), middle, "wait")
        yield from pen.turns(lane, y, deep)
        yield from pen.phases(phases, y + above)

    yield deep + 7, row


def _lane_rows(timeline: Timeline, pen: Pen) -> Iterator[Row]:
    """Yield the rows of a feature's tasks, by waves."""
    waves = {bar.name.partition("/")[0]: bar for bar in timeline.build.of_kind("wave")}
    shown, wave = timeline.tasks[:LANES_MAX], 0
    for lane in shown:
        bar = waves.get(f"Wave {lane.wave}")
        begins = bar.start if bar else lane.start
        if lane.wave != wave:
            wave = lane.wave
            words = bar.name if bar else f"Wave {wave}"

            def header(y: float, words: str = words, at: float = begins) -> Iterator[str]:
                x = pen.scale.x(at)
                yield pen.label(y, words, "soft")
                yield shapes.line(x, y + 9, pen.scale.right, y + 9, "grid")

            yield BAR + 2, header
        yield ROW, lambda y, lane=lane, at=begins: pen.lane(lane, y, at)  # type: ignore[misc]
    if left := len(timeline.tasks) - len(shown):
        yield ROW, lambda y: iter([pen.label(y, f"and {left} more")])


def _labelled(pen: Pen, y: float, words: str, parts: Iterator[str]) -> Iterator[str]:
    yield pen.label(y, words)
    yield from parts


def legend(timeline: Timeline, pen: Pen, y: float) -> tuple[list[str], float]:
    """Return what colours and patterns mean, with how long each phase took; and where that ends."""
    parts: list[str] = []
    x = LEFT
    for draw, words in _meanings(timeline, pen):
        shown = shapes.fit(words, pen.scale.edge - 40)
        if x > LEFT and x + 22 + shapes.width_of(shown) > pen.scale.edge:
            x, y = LEFT, y + 20
        parts += draw(Box(x, y, 14, 14)), shapes.text(x + 20, y + 12, shown, "soft")
        x += 36 + shapes.width_of(shown)
    return parts, y + 24


def _meanings(timeline: Timeline, pen: Pen) -> Iterator[tuple[Callable[[Box], str], str]]:
    """Yield what draws a sample, and what it stands for."""
    seconds = {share.name: share.seconds for share in find_shares(timeline)}
    for name in [*pen.used][:NAMES_MAX]:
        kind = f"bar c{pen.colour(name)}"
        yield partial(shapes.rect, kind=kind), f"{name} {brief(seconds[name])}"
    if (left := len(pen.used) - NAMES_MAX) > 0:
        yield partial(shapes.rect, kind="turn"), f"{left} more"
    for sign, words in SIGNS.items():
        if sign in pen.signs:
            yield partial(shapes.filled, pattern=f"{pen.name}-{sign}"), words
    if any(lane.is_critical for lane in timeline.tasks):
        yield _critical, "critical path"


def _critical(box: Box) -> str:
    return shapes.line(box.x, box.y + 8, box.x + box.width, box.y + 8, "path")

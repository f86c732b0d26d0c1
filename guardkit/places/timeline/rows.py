"""The rows of a timeline: turns and phases, decisions, signs, counts, and the lanes of tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardkit.places.timeline import shapes
from guardkit.places.timeline.scale import brief
from guardkit.places.timeline.shapes import Box
from guardkit.places.timeline.told import bar_words, headline, mark_words, sign_words, tests_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from guardkit.places.timeline.model import Bar, Count, Gap, Lane, Mark
    from guardkit.places.timeline.scale import Scale

ROW, BAR, CHART = 24.0, 18.0, 26.0  # pixels: a row, a bar in it, a row of counts
SEEN = 3.0  # pixels of a pattern that can be told
STEPS_MAX, TOLD_MAX = 1500, 40  # that are drawn of a row; values that are written of a chart
BAD = frozenset({"failed", "crashed"})
STEPS = frozenset({"slept", "set back"})  # signs of the machine, and not of the build


class Pen:
    """What all rows are drawn with.

    scale: where an instant is. name: with which the ids of the picture begin.
    names: of all phases, in the order of their beginnings.
    bars_max: how many bars are drawn of a lane, the longest.
    """

    def __init__(self, scale: Scale, name: str, names: Iterable[str], bars_max: int) -> None:
        self.scale, self.name = scale, name
        self._bars_max = bars_max
        self._colours = shapes.colours_of(dict.fromkeys(names))
        self.used: dict[str, None] = {}  # phases that are drawn
        self.signs: set[str] = set()  # patterns that are drawn

    def label(self, y: float, words: str, kind: str = "soft") -> str:
        """Return what stands at the left of a row."""
        return shapes.text(8, y + 13, shapes.fit(words, self.scale.left - 14), kind)

    def pattern(self, sign: str) -> str:
        """Return the id of a pattern."""
        self.signs.add(sign)
        return f"{self.name}-{sign.replace(' ', '-')}"

    def colour(self, name: str) -> int:
        """Return the number of the colour of a phase."""
        self.used[name] = None
        return self._colours[name]

    def phase(self, bar: Bar, y: float) -> Iterator[str]:
        """Yield a phase."""
        (x, width), colour = self.scale.span(bar.start, bar.end), self.colour(bar.name)
        classes = ["bar", f"c{colour}"]
        classes += ["open"] * (bar.status == "in_progress") + ["bad"] * (bar.status in BAD)
        classes += ["thin"] * (width < SEEN)
        yield shapes.rect(Box(x, y, width, BAR), " ".join(classes), bar_words(bar))
        begin, end = x, x + width  # of what has no pattern, where words can be read
        if bar.status in BAD:
            begin += min(width, 12)
            yield shapes.filled(Box(x, y, begin - x, BAR), self.pattern("failed"), bar_words(bar))
        if bar.budget is not None and bar.start + bar.budget < bar.end:
            x_over, over = self.scale.span(bar.start + bar.budget, bar.end)
            if over >= SEEN:
                end = x_over
                box = Box(x_over, y, over, BAR)
                yield shapes.filled(box, self.pattern("over"), bar_words(bar))
        room = end - begin - 8
        words = bar.name if shapes.width_of(bar.name) <= room else _initials(bar.name)
        words = words if shapes.width_of(words) <= room else ""
        yield shapes.text((begin + end) / 2, y + 13, words, shapes.ink_on(colour), "middle")

    def phases(self, bars: Sequence[Bar], y: float) -> Iterator[str]:
        """Yield the phases of a lane, inner ones below outer ones."""
        shown = sorted(sorted(bars, key=_longest)[: self._bars_max], key=lambda bar: bar.start)
        for bar in shown:
            yield from self.phase(bar, y + bar.row * (BAR + 2))

    def turns(self, lane: Lane, y: float, height: float) -> Iterator[str]:
        """Yield frames round the phases of turns, with their numbers above."""
        last = {it.turn: it.text for it in lane.marks if it.turn}
        for bar in sorted(lane.of_kind("turn"), key=_longest)[: self._bars_max]:
            x, width = self.scale.span(bar.start, bar.end)
            how = " open" * (bar.status == "in_progress") + " thin" * (width < SEEN)
            words = f"{bar.name}: {last[bar.turn]}" if bar.turn in last else bar.name
            yield shapes.rect(Box(x, y, width, height), f"turn{how}", bar_words(bar))
            short = words if shapes.width_of(words) < width else bar.name
            short = short if shapes.width_of(short) < width else str(bar.turn)
            yield shapes.text(x + 4, y + 13, shapes.fit(short, width - 2) or "", "soft")

    def marks(self, marks: Sequence[Mark], y: float) -> Iterator[str]:
        """Yield decisions, with their words where there is room."""
        shown = marks[-STEPS_MAX:]
        ends = (*(self.scale.x(mark.at) - 8 for mark in shown[1:]), self.scale.edge)
        for mark, end in zip(shown, ends, strict=True):
            x = self.scale.x(mark.at)
            yield shapes.decided(x, y + 9, mark.text, mark_words(mark))
            yield shapes.text(x + 9, y + 13, shapes.fit(mark.text, end - x - 9))

    def gaps(self, gaps: Sequence[Gap], y: float) -> Iterator[str]:
        """Yield time in which nothing was seen, each kind in a pattern of its own."""
        for gap in gaps[-STEPS_MAX:]:
            x, width = self.scale.span(gap.start, gap.end)
            if gap.sign in STEPS:  # somewhere in between: a bracket
                around = f"M{shapes.number(x)} {y + 3}v12m0-6h{shapes.number(width)}m0-6v12"
                yield shapes.path(around, "mark", sign_words(gap))
            else:
                pattern = self.pattern(gap.sign)
                yield shapes.filled(Box(x, y + 2, width, 14), pattern, sign_words(gap))
            word = {"slept": "asleep", "set back": "clock set back"}.get(gap.sign, gap.sign)
            words = f"{word} {brief(gap.seconds)}"
            long = shapes.width_of(words)
            if long + 16 < width:
                yield shapes.rect(Box(x + 4, y + 2, long + 8, 14), "paper", sign_words(gap))
                yield shapes.text(x + 6, y + 13, words)
            elif x + width + long < self.scale.edge:
                yield shapes.text(x + width + 4, y + 13, words)
            else:
                yield shapes.text(x - 4, y + 13, words, "", "end")

    def files(self, counts: Sequence[Count], end: float, y: float) -> Iterator[str]:
        """Yield how files grew: a step each time that they were recorded."""
        values = [(each.at, each.files) for each in counts]
        told = f"files: {_grown((brief(at), str(value)) for at, value in values)}"
        yield from self._chart(values, max(value for _, value in values), end, y, told)
        yield self._after(end, y, str(counts[-1].files))

    def tests(self, counts: Sequence[Count], end: float, y: float) -> Iterator[str]:
        """Yield how many tests passed: a step each time that they were recorded."""
        values = [(each.at, each.passed) for each in counts]
        told = f"tests passing: {_grown((brief(each.at), tests_of(each)) for each in counts)}"
        yield from self._chart(values, max(each.total for each in counts), end, y, told)
        yield self._after(end, y, tests_of(counts[-1]))

    def _after(self, end: float, y: float, words: str) -> str:
        return shapes.text(self.scale.x(end) + 6, y + 13, words)

    def _chart(
        self, values: Sequence[tuple[float, int]], most: int, end: float, y: float, told: str
    ) -> Iterator[str]:
        bottom, high = y + CHART - 4, CHART - 8
        shape = f"M{shapes.number(self.scale.x(values[0][0]))} {shapes.number(bottom)}"
        for at, value in values[-STEPS_MAX:]:
            level = shapes.number(bottom - high * value / most)
            shape += f"H{shapes.number(self.scale.x(at))}V{level}"
        shape += f"H{shapes.number(self.scale.x(end))}"
        yield shapes.path(f"{shape}V{shapes.number(bottom)}z", "area")
        yield shapes.path(shape, "step", told)

    def lane(self, lane: Lane, y: float, begins: float) -> Iterator[str]:
        """Yield a task of a feature: what it waited for, its phases, and how it is."""
        kind = "bold" if lane.is_critical else ""
        yield self.label(y, f"{'◆ ' * lane.is_critical}{lane.task_id}", kind)
        middle = y + BAR / 2
        if lane.start > begins:
            x, start = self.scale.x(begins), self.scale.x(lane.start)
            yield shapes.line(x, middle, start, middle, "wait")
        x, width = self.scale.span(lane.start, lane.end)
        yield shapes.rect(Box(x, y, width, BAR), "turn", f"{lane.task_id}: {headline(lane)}")
        yield from self.phases([bar for bar in lane.of_kind("phase") if not bar.row], y)
        yield from self._ends(lane, y, x + width)
        if lane.is_critical:
            yield shapes.line(x, y + BAR + 2.5, x + width, y + BAR + 2.5, "path")

    def _ends(self, lane: Lane, y: float, x: float) -> Iterator[str]:
        """Yield how a task is, at the right of its lane."""
        word = lane.state
        title = f"{lane.task_id}: {headline(lane)}, {lane.evidence}".rstrip(", ")
        if word not in {"running", "unknown"}:
            yield shapes.decided(x + 10, y + BAR / 2, word, title)
        said = "" if word == "completed" else f"{word} "
        yield shapes.text(x + 21, y + 13, said + brief(lane.seconds), "soft")


def _grown(values: Iterable[tuple[str, str]]) -> str:
    """Return the newest values with their instants, oldest first."""
    return ", ".join(f"{value} at {at}" for at, value in [*values][-TOLD_MAX:])


def _initials(name: str) -> str:
    return "".join(word[0] for word in name.split()[:3] if word[0].isalnum())


def _longest(bar: Bar) -> float:
    return -bar.seconds

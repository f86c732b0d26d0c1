"""A timeline as SVG, for a page, a report and a README: the one place where it is drawn.

It adapts to light and dark, and is told apart without colours: by words, shapes, patterns and
lightness. Its text alternative says all of it in lines.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from guardkit.places.timeline import shapes
from guardkit.places.timeline.body import legend, rows, stack
from guardkit.places.timeline.rows import Pen
from guardkit.places.timeline.scale import Scale
from guardkit.places.timeline.shapes import STYLE, Box
from guardkit.places.timeline.told import describe, headline, result

if TYPE_CHECKING:
    from guardkit.places.timeline.model import Lane, Timeline

__all__ = ["STYLE", "draw"]

NARROW = 320  # pixels
BARS_MAX = 2000  # of all lanes together, that are drawn
SIDES, LANE_SIDES = (72.0, 88.0), (168.0, 112.0)  # pixels left and right of the rows


def draw(
    timeline: Timeline,
    *,
    width: int = 960,
    name: str = "timeline",
    heading: bool = True,
    styled: bool = True,
) -> str:
    """Return a timeline as an `<svg>` element, which is a whole document, too.

    width: in pixels, 320 at least.
    name: with which all ids in it begin: another one for each picture of a page.
    heading: whether the task and how it is stand above it.
    styled: whether the style is within it; else a page has `STYLE` in its own.
    """
    width, name = max(width, NARROW), escape(name)
    left, right = LANE_SIDES if timeline.tasks else SIDES
    scale = Scale(min(left, width / 4), width - min(right, width / 4), width, timeline.end)
    lanes = (timeline.build, *timeline.tasks)
    names = (bar.name for lane in lanes for bar in lane.of_kind("phase"))
    pen = Pen(scale, name, names, max(BARS_MAX // len(lanes), 24))
    head, top = _heading(timeline.build, width) if heading else ([], 4.0)
    body, bottom = stack(rows(timeline, pen), top + 22)
    below, height = legend(timeline, pen, bottom + 8)
    parts = (
        _begin(name, width, round(height)),
        f'<title id="{name}-title">{escape(timeline.build.title)}</title>',
        f'<desc id="{name}-desc">{escape(describe(timeline))}</desc>',
        f"<style>{STYLE}</style>" if styled else "",
        shapes.patterns(name),
        shapes.rect(Box(0, 0, width, round(height)), "paper"),
        *head,
        *_axis(timeline, scale, top, bottom),
        *body,
        *below,
        "</svg>\n",
    )
    return "\n".join(filter(None, parts))


def _begin(name: str, width: int, height: int) -> str:
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    told = f'role="img" aria-labelledby="{name}-title" aria-describedby="{name}-desc"'
    return f'<svg class="gk-timeline" xmlns="http://www.w3.org/2000/svg" {size} {told}>'


def _heading(build: Lane, width: int) -> tuple[list[str], float]:
    """Return the task and how it is, and the height at which that ends."""
    state = ", ".join(filter(None, (headline(build), result(build))))
    if build.evidence and build.state != "completed":
        state = f"{state} - {build.evidence}"
    return [
        shapes.text(8, 20, shapes.fit(build.title, (width - 16) * 0.85), "head"),
        shapes.text(8, 38, shapes.fit(state, width - 16), "soft"),
    ], 48.0


def _axis(timeline: Timeline, scale: Scale, top: float, bottom: float) -> list[str]:
    """Return the instants, with lines through all rows; and where it is now."""
    parts: list[str] = []
    for at, words in scale.ticks():
        x = scale.x(at)
        parts.append(shapes.text(x, top + 12, words, "soft", "middle"))
        parts.append(shapes.line(x, top + 18, x, bottom, "grid"))
    if timeline.is_live:
        x = scale.x(timeline.end)
        parts.append(shapes.line(x, top + 4, x, bottom, "now"))
        parts.append(shapes.text(x + 4, top + 12, "now", "bold"))
    return parts

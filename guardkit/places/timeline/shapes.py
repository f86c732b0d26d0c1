"""The pieces that a timeline is drawn with: SVG elements, colours, patterns, widths of texts.

What a build says is only ever escaped text here, never markup.
"""

from __future__ import annotations

from html import escape
from itertools import cycle
from typing import TYPE_CHECKING, NamedTuple

from guardkit.places.cells import cell_len, cut

if TYPE_CHECKING:
    from collections.abc import Iterable

CELL = 6.9  # pixels that a character of 12 pixels takes at most, on the average
# Each has a lightness of its own, so that they differ in black and white, too.
COLOURS = ("#164a85", "#f4c95d", "#a97fbf", "#7cc49a", "#57606a", "#e6def2")
KNOWN = {"Player Implementation": 0, "Coach Validation": 1, "Setup": 4, "Finalize": 4}

STYLE = """
.gk-timeline{--ink:#1f2328;--soft:#59636e;--line:#d1d9e0;--edge:#59636e;--paper:#fff;--bad:#b3261e;
fill:var(--ink);font:12px system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif}
@media (prefers-color-scheme:dark){.gk-timeline{--ink:#e6edf3;--soft:#9ea7b3;--line:#30363d;
--edge:#9ea7b3;--paper:#0d1117;--bad:#ff8b82}}
.gk-paper{fill:var(--paper)}
.gk-head{font-size:14px;font-weight:600}
.gk-soft{fill:var(--soft)}
.gk-bold{font-weight:700}
.gk-grid{stroke:var(--line);fill:none}
.gk-wait{stroke:var(--edge);stroke-dasharray:1 4;fill:none}
.gk-now{stroke:var(--ink);stroke-dasharray:4 3;fill:none}
.gk-turn{fill:none;stroke:var(--edge)}
.gk-bar{stroke:var(--edge)}
.gk-open{stroke-dasharray:4 3}
.gk-bad{stroke:var(--bad);stroke-width:2}
.gk-thin{stroke:none}
.gk-path{stroke:var(--ink);stroke-width:3;fill:none}
.gk-mark{stroke:var(--ink);fill:none;stroke-width:1.8}
.gk-hatch{stroke:var(--ink);stroke-width:1.2;fill:none}
.gk-halo{stroke:var(--paper);stroke-width:3;fill:none}
.gk-dot{fill:var(--ink)}
.gk-step{stroke:var(--ink);fill:none;stroke-width:1.5}
.gk-area{fill:var(--soft);fill-opacity:.25}
.gk-on-dark{fill:#fff}
.gk-on-light{fill:#1f2328}
""" + "".join(f".gk-c{n}{{fill:{colour}}}\n" for n, colour in enumerate(COLOURS))

# What each pattern is drawn of, on a tile of 6 pixels; those on bars are seen on all colours.
PATTERNS = {
    "silent": '<path class="gk-hatch" d="M0 6 6 0"/>',
    "idle": '<circle class="gk-dot" cx="2" cy="2" r="1"/>',
    "unknown": '<path class="gk-hatch" d="M3 0V6"/>',
    "failed": '<path class="gk-halo" d="M0 0 6 6"/><path class="gk-hatch" d="M0 0 6 6M0 6 6 0"/>',
    "over": '<path class="gk-halo" d="M0 0 6 6"/><path class="gk-hatch" d="M0 0 6 6"/>',
}


def number(value: float) -> str:
    """Return a coordinate, to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")


class Box(NamedTuple):
    """A rectangle in pixels: its upper left corner, and its size."""

    x: float
    y: float
    width: float
    height: float

    def __str__(self) -> str:
        names = ("x", "y", "width", "height")
        return " ".join(f'{name}="{number(it)}"' for name, it in zip(names, self, strict=True))


def rect(box: Box, kind: str, title: str = "") -> str:
    """Return a rectangle of some classes, with what is told of it."""
    return _element(f'rect class="{_classes(kind)}" {box} rx="2"', title)


def filled(box: Box, pattern: str, title: str = "") -> str:
    """Return a rectangle that is filled with a pattern, of which the id is given."""
    return _element(f'rect fill="url(#{pattern})" {box} rx="2"', title)


def path(shape: str, kind: str, title: str = "") -> str:
    """Return a path of some classes."""
    return _element(f'path class="{_classes(kind)}" d="{shape}"', title)


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """Return a line of some classes."""
    return path(f"M{number(x1)} {number(y1)} {number(x2)} {number(y2)}", kind)


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    """Return a text that stands on a point; no text where there are no words."""
    if not words:
        return ""
    place = f'x="{number(x)}" y="{number(y)}" text-anchor="{anchor}"'
    return f'<text class="{_classes(kind)}" {place}>{escape(words)}</text>'


def width_of(words: str) -> float:
    """Return how many pixels a text takes at most."""
    return cell_len(words) * CELL


def fit(words: str, width: float) -> str:
    """Return a text cut to so many pixels; empty where there is no room for three characters."""
    cells = int(width / CELL)
    return cut(words, cells) if cells > 2 else ""  # noqa: PLR2004


def patterns(name: str) -> str:
    """Return the patterns; their ids begin with a name."""
    tile = 'width="6" height="6" patternUnits="userSpaceOnUse"'
    each = (f'<pattern id="{name}-{k}" {tile}>{v}</pattern>' for k, v in PATTERNS.items())
    return f"<defs>{''.join(each)}</defs>"


def colours_of(names: Iterable[str]) -> dict[str, int]:
    """Return the numbers of the colours of phases; known ones have theirs in all timelines.

    names: each once, in order.
    """
    others = cycle((2, 3, 5))
    return {name: KNOWN[name] if name in KNOWN else next(others) for name in names}


def ink_on(colour: int) -> str:
    """Return the class of a text on a colour."""
    return "on-dark" if colour in {0, 4} else "on-light"


def decided(x: float, y: float, word: str, title: str) -> str:
    """Return the shape of a decision: a tick, a cross, or for feedback a diamond."""
    at = f"{number(x)} {number(y)}"
    if word in {"approve", "approved", "completed"}:
        shape = f"M{at}m-5 0 4 4 7-9"
    elif word == "feedback":
        shape = f"M{at}m0-5 5 5-5 5-5-5z"
    elif word in {"cancelled", "stopped"}:
        shape = f"M{at}m-4-4h8v8h-8z"
    else:
        shape = f"M{at}m-4-4 8 8m0-8-8 8"
    return path(shape, "mark", title)


def _classes(kind: str) -> str:
    """Return classes as they are in the picture: a page has its own `bar`."""
    return " ".join(f"gk-{word}" for word in kind.split())


def _element(start: str, title: str) -> str:
    if not title:
        return f"<{start}/>"
    return f"<{start}><title>{escape(title)}</title></{start.partition(' ')[0]}>"

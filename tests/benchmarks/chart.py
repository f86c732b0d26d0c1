"""The figures as a chart: a line for each row, its ratio on a logarithmic axis, in plain SVG."""

from collections.abc import Iterator
from html import escape
from itertools import groupby
from math import log10

from .races import Row
from .table import Report, is_met, number, subject

WIDTH, LINE, TOP, FOOT = 960, 22, 92, 64  # pixels
LEFT, RIGHT = 300, 700  # where the axis begins and ends
LEAST, MOST = 0.01, 100.0  # and what it shows there; what is beyond is drawn at its edge
RATIO, BOUND, MET = 760, 830, 850
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #222 }
.title { font-size: 18px; font-weight: 600 }
.subject { font-weight: 600 }
.quiet { fill: #666; font-size: 12px }
.figure { font-variant-numeric: tabular-nums; text-anchor: end }
.grid { stroke: #ddd }
.same { stroke: #888 }
.spread { stroke: #356; stroke-width: 2 }
.bound { stroke: #222; stroke-width: 2 }
.dot { fill: #356; stroke: #356; stroke-width: 2 }
.past { fill: #fff; stroke: #b40; stroke-width: 2 }
.free { fill: #fff; stroke: #356; stroke-width: 2 }
"""


def draw(report: Report) -> str:
    """Return the chart as the text of an SVG file."""
    subjects = [(name, list(rows)) for name, rows in groupby(report["rows"], subject)]
    lines = sum(len(rows) + 1.6 for _, rows in subjects)
    height = int(TOP + lines * LINE + FOOT)
    parts = [*_head(report), *_axis(height - FOOT)]
    y = float(TOP)
    for name, rows in subjects:
        y += LINE * 1.3
        parts.append(_text(24, y, name, "subject"))
        for row in rows:
            y += LINE
            parts += _line(row, y)
        y += LINE * 0.3
    parts += _legend(height - FOOT + 40)
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'width="{WIDTH}" height="{height}">\n<title>What guardkit costs</title>\n'
        f'<style>{STYLE}</style>\n<rect width="100%" height="100%" fill="#fff"/>\n{body}\n</svg>\n'
    )


def _head(report: Report) -> Iterator[str]:
    machine = f"{report['at']} · Python {report['python']} · {report['machine']}"
    yield _text(24, 34, "What guardkit costs, as a multiple of what else one would use", "title")
    yield _text(24, 54, machine, "quiet")
    yield _text(RATIO, TOP - 10, "ratio", "quiet figure")
    yield _text(BOUND, TOP - 10, "bound", "quiet figure")


def _axis(bottom: float) -> Iterator[str]:
    for power in range(round(log10(LEAST)), round(log10(MOST)) + 1):
        x, kind = _x(10.0**power), "grid" if power else "same"
        yield f'<line class="{kind}" x1="{x}" y1="{TOP}" x2="{x}" y2="{bottom}"/>'
        label = f"{10.0**power:g} x"
        yield _text(x, TOP - 10, label, "quiet", anchor="middle")


def _line(row: Row, y: float) -> Iterator[str]:
    middle = y - 4.5
    yield _text(36, y, row["against"])
    low, high, at = _x(row["low"]), _x(row["high"]), _x(row["ratio"])
    yield f'<line class="spread" x1="{low}" y1="{middle}" x2="{high}" y2="{middle}"/>'
    if row["bound"] is None:
        yield f'<circle class="free" cx="{at}" cy="{middle}" r="3.5"/>'
    else:
        bound = _x(row["bound"])
        yield f'<line class="bound" x1="{bound}" y1="{middle - 7}" x2="{bound}" y2="{middle + 7}"/>'
        if is_met(row):
            yield f'<circle class="dot" cx="{at}" cy="{middle}" r="4"/>'
        else:
            corners = f"{at - 6},{middle} {at},{middle - 6} {at + 6},{middle} {at},{middle + 6}"
            yield f'<polygon class="past" points="{corners}"/>'
        yield _text(BOUND, y, number(row["bound"]), "figure")
        yield _text(MET, y, "" if is_met(row) else "missed")
    yield _text(RATIO, y, number(row["ratio"]), "figure")


def _legend(y: float) -> Iterator[str]:
    marks = (
        (24, '<circle class="dot" cx="{x}" cy="{y}" r="4"/>', "within its bound"),
        (164, '<polygon class="past" points="{l},{y} {x},{t} {r},{y} {x},{b}"/>', "past its bound"),
        (290, '<circle class="free" cx="{x}" cy="{y}" r="3.5"/>', "has no bound"),
        (410, '<line class="bound" x1="{x}" y1="{t}" x2="{x}" y2="{b}"/>', "the bound"),
        (510, '<line class="spread" x1="{l}" y1="{y}" x2="{r}" y2="{y}"/>', "half of the rounds"),
    )
    for left, mark, label in marks:
        x, middle = left + 6, y - 4.5
        places = {"x": x, "y": middle, "l": x - 6, "r": x + 6, "t": middle - 6, "b": middle + 6}
        yield mark.format(**places)
        yield _text(left + 20, y, label, "quiet")
    yield _text(RIGHT, y, "further left is cheaper", "quiet")


def _x(ratio: float) -> float:
    """Return where on the axis a ratio is."""
    share = log10(max(LEAST, min(MOST, ratio)) / LEAST) / log10(MOST / LEAST)
    return round(LEFT + share * (RIGHT - LEFT), 1)


def _text(x: float, y: float, text: str, kind: str = "", *, anchor: str = "") -> str:
    attributes = f' class="{kind}"' if kind else ""
    attributes += f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x:g}" y="{y:g}"{attributes}>{escape(text)}</text>'

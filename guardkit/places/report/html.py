"""The report as one HTML file that needs nothing else: no script, no font, no other file."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from guardkit.places.plain import clean
from guardkit.places.report import tables
from guardkit.places.timeline.svg import draw

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardkit.places.report.material import Report
    from guardkit.places.report.tables import Table

WIDTH = 1080  # pixels
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
STYLE = """
:root{color-scheme:light dark;--ink:#1f2328;--soft:#59636e;--line:#d1d9e0;--paper:#fff;
--fill:#164a85}
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9ea7b3;--line:#30363d;
--paper:#0d1117;--fill:#6ea8e5}}
body{margin:0 auto;padding:24px 16px 48px;max-width:1080px;color:var(--ink);background:var(--paper);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif}
h1{font-size:22px;margin:0 0 8px;overflow-wrap:anywhere}h2{font-size:17px;margin:32px 0 8px}
ul{margin:0 0 24px;padding:0;list-style:none;color:var(--soft);overflow-wrap:anywhere}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;min-width:640px}
th{font-weight:600;color:var(--soft);text-align:left;white-space:nowrap}
th,td{padding:4px 16px 4px 0;border-bottom:1px solid var(--line);vertical-align:top;
overflow-wrap:break-word}
.number{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.share{width:34%;padding-right:0}.share svg{display:block;width:100%;height:14px;margin-top:4px}
.share rect{fill:var(--fill)}
footer{margin-top:32px;color:var(--soft);font-size:13px}
"""


def html(report: Report) -> str:
    """Return a report as an HTML document."""
    title = escape(report.timeline.build.title)
    parts = (
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title>",
        f"<style>{STYLE}</style></head><body><main>",
        f"<h1>{title}</h1>",
        "<ul>",
        *(f"<li>{escape(line)}</li>" for line in tables.summary(report)),
        *(f"<li>{escape(line)}</li>" for line in tables.evidence(report)),
        "</ul>",
        '<div class="wide" tabindex="0" role="region" aria-label="Timeline">',
        draw(report.timeline, width=WIDTH, heading=False),
        "</div>",
        *(part for table in tables.tables(report) for part in _layout(table)),
        f"<p>{escape(words)}</p>" if (words := tables.not_compared(report)) else "",
        f"<footer>{escape(_footer(report))}</footer>",
        "</main></body></html>\n",
    )
    return "\n".join(filter(None, parts))


def _layout(table: Table) -> Iterator[str]:
    title = escape(table.title)
    yield f"<h2>{title}</h2>"
    yield f'<div class="wide" tabindex="0" role="region" aria-label="{title}">'
    yield "<table><thead><tr>"
    for n, name in enumerate(table.head):
        yield f"<th{_kind(table, n)}>{escape(name)}</th>"
    if table.bars:
        yield f'<th class="share">{escape(table.drawn)}</th>'
    yield "</tr></thead><tbody>"
    for index, row in enumerate(table.rows):
        cells = "".join(f"<td{_kind(table, n)}>{escape(cell)}</td>" for n, cell in enumerate(row))
        drawn = _bar(*table.bars[index]) if table.bars else ""
        yield f"<tr>{cells}{drawn}</tr>"
    yield "</tbody></table></div>"
    if table.left:
        yield f"<p>and {table.left:,} more</p>"


def _kind(table: Table, column: int) -> str:
    return ' class="number"' if column in table.numbers else ""


def _bar(start: float, end: float) -> str:
    x, width = start * 100, max((end - start) * 100, 0.3)
    rect = f'<rect x="{x:.2f}" width="{width:.2f}" height="10"/>'
    size = 'viewBox="0 0 100 10" preserveAspectRatio="none"'
    return f'<td class="share"><svg {size} aria-hidden="true">{rect}</svg></td>'


def _footer(report: Report) -> str:
    """Return which run it was, on which machine, and when, by that one's clock."""
    tracker, began = report.snapshot.tracker, report.snapshot.started_at
    run = f"run {report.timeline.build.run_id}" if report.timeline.build.run_id else "a run"
    host = clean(tracker.host) or "an unnamed machine"
    return f"{run}, begun {began:%Y-%m-%d %H:%M:%S} UTC on {host}"

"""In which formats there is a report, and which one the name of a file asks for."""

from __future__ import annotations

from guardkit.errors import MisuseError

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from guardkit.places.report.material import Report

# From the longest suffix: `.trace.json` ends in `.json`, too.
BY_SUFFIX = {
    ".trace.json": "trace",
    ".json": "json",
    ".html": "html",
    ".htm": "html",
    ".svg": "svg",
    ".md": "md",
    ".txt": "text",
}
FORMATS = ("text", "html", "svg", "md", "json", "trace")


def format_of(name: str) -> str:
    """Return the format that the name of a file asks for; raises MisuseError."""
    for suffix, form in BY_SUFFIX.items():
        if name.lower().endswith(suffix):
            return form
    wanted = ", ".join(BY_SUFFIX)
    raise MisuseError(f"the name of the file says which format is meant: end it in {wanted}")


def render(report: Report, form: str, *, width: int = 80, blocks: bool = True) -> str:
    """Return a report in a format, ending in a line feed.

    width: of text, in cells. blocks: whether that may have block characters.
    """
    match form:
        case "html":
            from guardkit.places.report.html import html

            return html(report)
        case "svg":
            from guardkit.places.timeline.svg import draw

            return draw(report.timeline)
        case "md":
            from guardkit.places.report.markdown import markdown

            return markdown(report)
        case "json":
            from guardkit.places.report.record import record

            return record(report)
        case "trace":
            from guardkit.places.report.chrome import chrome_trace

            return chrome_trace(report)
        case _:
            from guardkit.places.report.text import text_lines

            return "\n".join(text_lines(report, width, blocks=blocks)) + "\n"

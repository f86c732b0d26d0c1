"""Lines as a terminal has them: in columns, with what something has taken to the right."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from guardkit.places.cells import cell_len
from guardkit.places.plain import printable
from guardkit.places.terminal.lines import Kind, Line
from guardkit.places.terminal.marks import Marks

WIDE, WIDEST = 60, 110  # cells from which there is room for the time of day, and that are used
TITLE = 22  # cells, for the names of phases to stand below each other
COLOURS = {"completed": "green", "failed": "red"}


def on_terminal(line: Line, console: Console, marks: Marks) -> list[Text]:
    """Return a line as a terminal of that width has it, in as many as it takes.

    No word is broken in two; a command is left whole, so that it can be copied.
    """
    kind = line.kind
    if kind in {Kind.NAME, Kind.TURN, Kind.UNDER_WAY, Kind.SUMMARY}:
        title, text = (line.title, line.text) if kind is Kind.NAME else (line.text, "")
        title = "Summary" if kind is Kind.SUMMARY else title
        above = [] if kind is Kind.NAME else [Text()]
        return [*above, *(_text(title, text).wrap(console, console.width) if title else [])]
    if kind is Kind.END:
        if not line.text.startswith("Status:"):
            return [Text(printable(line.text))]
        status = Text(printable(line.text), COLOURS.get(line.status, ""))
        return [*status.wrap(console, console.width)]
    return _columns(line, console, marks)


def _text(title: str, text: str) -> Text:
    return Text.assemble((printable(title), "bold"), "  " if text else "", (printable(text), "dim"))


def _columns(line: Line, console: Console, marks: Marks) -> list[Text]:
    """Return the time, the mark, the title, the text, and to the right what it has taken.

    A text that has no room stands below its title, and goes on there.
    """
    width = min(console.width, WIDEST)
    row, mark = line.kind is Kind.ROW, marks.of(line.status)
    at = f"{line.at}  " if line.at and console.width >= WIDE and not row else ""
    head = Text().append(at, "dim")
    if row:
        head.append(f"{line.title}  ")
    head.append(mark or " " * len(marks.passed), COLOURS.get(line.status, "")).append(" ")
    indent = head.cell_len
    title, text, took = printable("" if row else line.title), printable(line.text), line.took
    if line.kind is Kind.DECIDED:  # a sentence
        title, text = "", ": ".join(filter(None, (title, text)))
    room = width - indent - (len(took) + 2 if took else 0)
    padded = title + " " * max(0, TITLE - cell_len(title)) if text and title else title
    joined = f"{padded}  {text}" if text and title else title or text
    if cell_len(joined) > room and cell_len(f"{title}  {text}") <= room:
        joined = f"{title}  {text}"
    below: list[Text] = []
    if cell_len(joined) > room:
        rest = text if title else joined
        first, *more = Text(rest).wrap(console, max(8, room if not title else width - indent))
        joined = title or first.plain
        lines = [first, *more] if title else more
        below = [Text(" " * indent).append_text(each) for each in lines]
    head.append(joined)
    if took:
        head.append(" " * max(2, width - head.cell_len - len(took))).append(took, "dim")
    return [head, *below]

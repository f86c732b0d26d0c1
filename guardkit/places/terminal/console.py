"""What a display prints with: a console of rich, on an output that raises nothing."""

import io
import os
import sys
from typing import Any

from rich.console import Console

from guardkit.places.colours import is_forced
from guardkit.places.output import Output

WIDTH, HEIGHT = 80, 25  # of a terminal that does not know its own
DUMB = frozenset({"dumb", "unknown", ""})


class QuietOutput(Output):
    """An output that raises nothing, as a display must not: what nobody takes is lost.

    error: why the first of that was lost, None while nothing was.
    """

    error: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Write all of `data`, or keep the error."""
        try:
            return super().write(data)
        except OSError as error:
            self.error = self.error or error
            return memoryview(data).nbytes


def make_console(file: Output, *, plain: bool = False) -> Console:
    """Return what prints to a file; a terminal that says it has no room has 80 columns.

    plain: whether nothing is drawn below the lines of a terminal.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    unbuffered = io.TextIOWrapper(file, encoding, errors="replace", write_through=True)
    is_terminal = file.isatty()
    is_live = is_terminal and not plain and os.environ.get("TERM", "") not in DUMB
    console = Console(
        file=unbuffered, force_terminal=is_terminal or is_forced(), force_interactive=is_live
    )
    if console.width < 1:  # COLUMNS=0
        console.width = WIDTH
    if console.height < 1:
        console.height = HEIGHT
    return console

"""Standard output and standard error of the commands."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress

from guardkit.cli import codes
from guardkit.places.colours import STATES, coloured, has_colours
from guardkit.places.output import Output
from guardkit.places.plain import clean, printable

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from collections.abc import Iterable


class Plain(io.TextIOWrapper):
    """A stream to which nothing is written that a terminal obeys, but colours of ours."""

    def write(self, text: str, /) -> int:
        """Write what of a text is printable, and its line ends."""
        return super().write(printable(text))

    def write_coloured(self, text: str, style: str) -> None:
        """Write what of a text is printable in a colour, see `places.colours`."""
        super().write(coloured(printable(text), style))


def open_streams() -> None:
    """Have all that is printed written whole, with `?` for what the output cannot encode.

    Where the standard output is closed, to print raises OSError; Python itself would say nothing.
    """
    while (fd := os.open(os.devnull, os.O_RDONLY)) in range(3):
        pass  # what is closed would be the number of the next file that is opened
    os.close(fd)
    stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 - a descriptor
    for name, stream in (("stdout", stdout), ("stderr", sys.stderr)):
        if isinstance(stream, io.TextIOWrapper):  # None: it was closed
            whole = Plain(
                io.BufferedWriter(Output(stream.fileno())),
                encoding=stream.encoding,
                errors="replace",
                line_buffering=stream.line_buffering,
                write_through=stream.write_through,
            )
            setattr(sys, name, whole)


def print_states(lines: Iterable[str], *, where: str = "^") -> None:
    """Print lines; the word of a state has its colour, where the output has colours.

    where: a regular expression for what is before such a word; `""`: nothing is coloured.
    """
    import re

    form = re.compile(rf"({where})({'|'.join(STATES)})\b")
    stream = sys.stdout if where and has_colours(1) else None
    for line in lines:
        found = form.search(line)
        if not (found and isinstance(stream, Plain)):
            print(line)
            continue
        stream.write(line[: found.end(1)])
        stream.write_coloured(found[2], STATES[found[2]])
        stream.write(f"{line[found.end(2) :]}\n")


def flush_output() -> None:
    """Write what was printed. Raises OSError where that cannot be done."""
    sys.stdout.flush()


def drop_output() -> None:
    """Print nothing more: the exit would try again what has failed."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def complain(what: Exception | str) -> int:
    """Say in one line what is wrong; return the exit code for it."""
    text = clean(str(what)).replace("##[", "## [")  # which GitHub Actions would obey
    if sys.stderr:  # else it was closed, and print would take the standard output for it
        with suppress(OSError):
            print(f"guardkit: {text}", file=sys.stderr, flush=True)
    return codes.UNDONE if isinstance(what, str) else codes.of_error(what)

"""The command that tells where the time of a build went."""

from __future__ import annotations

import sys
from contextlib import suppress

from guardkit.cli import codes, values
from guardkit.cli.finder import find
from guardkit.errors import GuardKitError, MisuseError, ProgressNotFoundError
from guardkit.places.report.formats import FORMATS, format_of, render

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from guardkit.cli.parser import Commands, Parser
    from guardkit.places.report.material import Scope


def add_commands(commands: Commands) -> None:
    """Declare the command."""
    commands.add("report", report, _declare_report)


def _declare_report(command: Parser) -> None:
    command.add_id()
    about = "Write a file, in the format that its name ends in: .html, .svg, .md, .json, .txt, or "
    about += ".trace.json for Perfetto and other viewers of Chrome's traces."
    command.add_argument("-o", "--output", metavar="FILE", help=about)
    about = f"Print this format: {', '.join(FORMATS)}; by default text."
    command.add_argument("--as", dest="form", type=values.one_of(*FORMATS), help=about)
    command.add_flag("--compare", about="Tell what took longer than in earlier runs of the task.")
    command.add_flag("--compare-all", about="Tell what took longer than in runs of all tasks.")
    about = "The run that is meant; by default the latest one."
    command.add_argument("--run", type=values.run_id, metavar="RUN", help=about)
    command.add_root()
    command.add_nats(about="Look at the builds of all machines, on a NATS server.")
    command.add_project()


def report(
    *,
    task_id: str,
    output: str | None,
    form: str | None,
    compare: bool,
    compare_all: bool,
    run: str | None,
    root: str,
    nats: str | None,
    project: str | None,
) -> int:
    """Tell where the time of a build went, from its journal.

    Also while it runs. For the summary of a run of GitHub Actions:

    $ guardkit report ID --as md >> "$GITHUB_STEP_SUMMARY"
    """
    from guardkit.cli.signals import until_signal
    from guardkit.places.report.material import make_report

    if output and form:
        raise MisuseError("-o FILE says the format by its name: leave --as out")
    if compare and compare_all:
        raise MisuseError("--compare-all compares with the task's earlier runs, too: give it alone")
    form = format_of(output) if output else form or "text"
    here = find(root, nats, project)
    scope: Scope = "all" if compare_all else "task" if compare else ""
    try:
        found = until_signal(make_report(here.builds, task_id, run_id=run, scope=scope))
    except ProgressNotFoundError as error:
        known = here.look([task_id])
        why = ProgressNotFoundError(f"{error} {here.name}") if known else here.not_found(task_id)
        raise why from None
    if found is None:
        return codes.STOPPED
    if output:
        text = render(found, form)
        try:
            with open(output, "w", encoding="utf-8") as file:  # noqa: PTH123 - pathlib is slow
                file.write(text)
        except OSError as error:  # of a disk that is full, the system names no file
            raise GuardKitError(f"{output}: {error.strerror}") from error
    else:
        print(render(found, form, width=_width(), blocks=_has_blocks()), end="")
    return codes.COMPLETED


def _width() -> int:
    """Return how many cells the terminal has."""
    from shutil import get_terminal_size

    return max(get_terminal_size().columns, 40)


def _has_blocks() -> bool:
    """Return whether the standard output can encode block characters."""
    with suppress(UnicodeEncodeError, LookupError):
        "█".encode(sys.stdout.encoding)
        return True
    return False

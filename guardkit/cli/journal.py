"""The command that prints what has happened: log."""

from __future__ import annotations

from guardkit.cli import codes
from guardkit.cli.finder import find
from guardkit.cli.streams import flush_output, print_states
from guardkit.errors import MisuseError, ProgressNotFoundError

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from guardkit.cli.finder import Finder
    from guardkit.cli.parser import Parser
    from guardkit.monitor.look import Source

ENDED = r"build\.ended +|phase\.ended .*? - "  # before the word for how, in the journal


def declare_log(command: Parser) -> None:
    """Declare the arguments of `log`."""
    command.add_id()
    command.add_flag("--last", about="Print the latest run alone.")
    command.add_flag("--follow", about="Go on for ever, and print what happens.")
    command.add_flag("--json", about="Print each event in JSON, one a line, without headings.")
    about = "Print instead what the agent of the latest turn has told, as it was kept."
    command.add_flag("--agent", about=about)
    command.add_place()


def log(
    *,
    task_id: str,
    last: bool,
    follow: bool,
    json: bool,
    agent: bool,
    root: str,
    nats: str | None,
    project: str | None,
) -> int:
    """Print the journal of a task: a heading for each run, and a line for each event."""
    if agent:
        if last or follow or json or nats is not None:
            raise MisuseError("--agent prints a stream of this machine as it was kept: alone")
        return _print_stream(task_id, root)
    from anyio import CancelScope

    from guardkit.cli.signals import until_signal
    from guardkit.places.log import Log, read_log
    from guardkit.places.watch import until_unread

    async def tell(builds: Source) -> int:
        lines, code = Log(as_json=json), codes.UNKNOWN
        with CancelScope() as scope, until_unread(1, scope):
            async for event in read_log(builds, task_id, last=last, follow=follow):
                print_states(lines.tell(event), where="" if json else ENDED)
                if follow:
                    flush_output()
                code = codes.COMPLETED
        return codes.UNDONE if scope.cancelled_caught else code

    here = find(root, nats, project)
    if follow and not here.look([task_id]):
        raise here.not_found(task_id)
    code = until_signal(tell(here.builds))
    if code == codes.UNKNOWN:
        why = f"no build of {task_id} is in a journal {here.name}"
        raise ProgressNotFoundError(why) if here.look([task_id]) else here.not_found(task_id)
    if code == codes.COMPLETED and not json:
        _tell_gone(here, task_id)
    return codes.STOPPED if code is None else code


def _tell_gone(here: Finder, task_id: str) -> None:
    """Print why the latest run of a task has no end in its journal, if its builder is gone."""
    from guardkit.places.plain import clean

    for look in here.look([task_id]):
        state, evidence = look.verdict
        if state in {"crashed", "lost"}:
            print_states([f"{state}: {clean(evidence)}"])


def _print_stream(task_id: str, root: str) -> int:
    from guardkit.places.streams import read_stream

    for piece in read_stream(task_id, root):
        print(piece, end="")
    return codes.COMPLETED

"""The command that shows builds live: watch."""

from __future__ import annotations

from guardkit.cli import codes
from guardkit.cli.finder import find
from guardkit.errors import MisuseError, ProgressNotFoundError
from guardkit.progress.paths import is_task_id

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from guardkit.cli.parser import Parser
    from guardkit.places.notify import Bell
    from guardkit.places.terminal.display import Display


def declare(command: Parser) -> None:
    """Declare the arguments of `watch`."""
    command.add_ids()
    command.add_flag("--follow", about="Go on for ever, and show builds that begin later.")
    command.add_flag("--plain", about="Print lines on a terminal, too, as in a file.")
    about = (
        "Tell you when a build is in trouble, and when it has ended, once each: on the desktop, "
    )
    about += "or by a COMMAND of the shell, which has the look as JSON on its standard input. A "
    about += "single word is taken for an ID: a COMMAND has a space or a slash."
    command.add_argument("--notify", nargs="?", const="", metavar="COMMAND", help=about)
    command.add_place(stalls=True)


def watch(
    *,
    ids: list[str],
    follow: bool,
    plain: bool,
    notify: str | None,
    stall_after: float,
    root: str,
    nats: str | None,
    project: str | None,
) -> int:
    """Show builds live until they have ended.

    A build whose builder is gone has ended, too. Where no ids are given, builds that begin
    meanwhile are shown as well. Ctrl-C ends only the watching. The exit code is that of status.
    """
    from guardkit.cli.signals import until_signal
    from guardkit.places.below import is_feature
    from guardkit.places.terminal.display import Display
    from guardkit.places.watch import watch
    from guardkit.places.words import is_over, is_past_watching

    if notify and is_task_id(notify):
        ids, notify = [notify, *ids], ""
    here = find(root, nats, project, stall_after=stall_after)
    looks = here.look(ids)
    missing = [] if follow else here.find_missing(ids, looks)
    running = [each.task_id for each in looks if ids or not is_over(each.verdict)]
    if not (running or missing or follow):
        raise ProgressNotFoundError(f"no build is running {here.name}")
    features = any(map(is_feature, looks)) if ids else False
    display = Display(1, labels=features or len(running) > 1, plain=plain)
    bell = None if notify is None else _make_bell(notify, display)
    wanted = ids if follow else [each.task_id for each in looks if ids]
    past = () if ids else looks
    if not (running or follow):
        return codes.worst(missing)
    watching = watch(
        here.builds, wanted, display, past=past, features=features, follow=follow, bell=bell
    )
    verdicts = until_signal(watching, display.shown)
    if verdicts is None:
        return codes.STOPPED
    if display.error:
        raise display.error
    if display.lost or not verdicts or not all(map(is_past_watching, verdicts.values())):
        return codes.UNDONE  # nobody reads it
    return codes.worst([*missing, *map(codes.of_verdict, verdicts.values())])


def _make_bell(command: str, display: Display) -> Bell:
    """Return what tells somebody; raise MisuseError where there is nothing to tell them by."""
    import os

    from guardkit.places.notify import Bell, by_command, by_desktop, by_terminal, has_desktop

    clock = display.clock
    if command:
        return Bell(by_command(command))
    if has_desktop(os.environ):
        return Bell(by_desktop(clock))
    if not display.console.is_interactive:
        raise MisuseError("--notify finds no desktop here, and no terminal: add a COMMAND")
    return Bell(by_terminal(display.ring, os.environ, clock))

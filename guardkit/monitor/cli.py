"""The commands that look at builds, and what all commands share: options, complaints, exit codes.

A command imports what needs an event loop or a live terminal itself: the others start at once.
"""

from collections.abc import Coroutine
from pathlib import Path
from signal import SIG_IGN, SIGHUP, SIGINT, SIGTERM, getsignal, signal
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from guardkit import errors

if TYPE_CHECKING:
    from guardkit.monitor.watch import Display
    from guardkit.progress.snapshot import Snapshot
    from guardkit.progress.verdict import Verdict

    Looks = dict[str, tuple[Snapshot, Verdict]]
T = TypeVar("T")
TROUBLE = {"crashed": 4, "lost": 4, "unresponsive": 5, "overdue": 5, "stalled": 5}
CODES = {"running": 0, "completed": 0, "failed": 1, "cancelled": 3} | TROUBLE  # the highest counts
# What timeout(1) answers, and what shells make of a command that was ended by Ctrl-C.
USAGE, UNKNOWN, TIMED_OUT, STOPPED = 2, 6, 124, 130
USAGE_ERRORS = (errors.MisuseError, errors.TaskNotFoundError, errors.InvalidTaskError)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


def find_root(start: Path | None = None) -> Path:
    """Return the nearest folder upwards, from here, that holds `.guardkit` or `.git`; else here."""
    start = start or Path.cwd()
    folders = (start, *start.parents)
    return next((f for f in folders if (f / ".guardkit").exists() or (f / ".git").exists()), start)


_ROOT = "The project's folder; by default the nearest one upwards with .guardkit or .git."
_NEAREST = typer.Option(default_factory=find_root, metavar="DIR", help=_ROOT, show_default=False)
_UNTIL = "Its end; a change of turn, phase or state; or anything that needs a person."
Root = Annotated[Path, _NEAREST]
Json = Annotated[bool, typer.Option("--json", help="Print a list in JSON.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="The task that is built.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]", help="Builds; all by default.")]
Stall = Annotated[float, typer.Option(metavar="S", min=0, help="Seconds of no activity: a stall.")]
Goal = Annotated[Literal["done", "change", "trouble"], typer.Option(help=_UNTIL)]
Timeout = Annotated[float | None, typer.Option(metavar="S", min=0, help="Seconds at most.")]


@app.command()
def status(ids: Ids = None, *, json: Json = False, stall_after: Stall = 1800, root: Root) -> None:
    """Take one look at builds.

    The exit code tells how they are; of several the highest counts.
    """
    builds, codes = _look(root, ids, stall_after)
    if json:
        import msgspec

        looks = [{"task_id": i, "verdict": v, "progress": s} for i, (s, v) in builds.items()]
        typer.echo(msgspec.json.format(msgspec.json.encode(looks), indent=2))
    elif builds:
        from guardkit.clock import SystemClock
        from guardkit.monitor.render import status_lines

        typer.echo("\n".join(status_lines(list(builds.values()), SystemClock().now())))
    if not (builds or codes):
        raise errors.ProgressNotFoundError(f"no build is known below {root}")
    raise typer.Exit(max([*codes, *(CODES[verdict.state] for _, verdict in builds.values())]))


@app.command()
def watch(ids: Ids = None, *, stall_after: Stall = 1800, root: Root) -> None:
    """Show builds live until they have ended.

    Those whose builder is gone have ended, too. Ctrl-C ends only the watching.
    """
    import asyncio

    from guardkit.monitor.render import is_over
    from guardkit.monitor.watch import Display, watch

    builds, codes = _look(root, ids, stall_after)
    wanted = [task_id for task_id, build in builds.items() if ids or not is_over(*build)]
    if not (wanted or codes):
        raise errors.ProgressNotFoundError(f"no build is running below {root}")
    display = Display(1, labels=len(wanted) > 1)

    async def work() -> "list[Verdict]":
        each = (watch(task_id, display, root=root, stall_after=stall_after) for task_id in wanted)
        return await asyncio.gather(*each)

    verdicts = until_signal(work(), display)
    if verdicts is None:
        raise typer.Exit(STOPPED)
    raise typer.Exit(max([*codes, *(CODES[verdict.state] for verdict in verdicts)]))


@app.command()
def wait(
    task_id: Id,
    *,
    until: Goal = "done",
    timeout: Timeout = None,
    stall_after: Stall = 1800,
    root: Root,
) -> None:
    """Block until a build is done, changes or needs you.

    Prints one line, and tells by the exit code how the build is: as status does, and 124 when the
    time is up. Returns in any case when nothing more can come of the build.
    """
    from guardkit.monitor.wait import wait

    state, line = wait(task_id, until, timeout=timeout, root=root, stall_after=stall_after)
    typer.echo(line)
    raise typer.Exit(CODES[state] if state else TIMED_OUT)


@app.command()
def log(task_id: Id, *, root: Root) -> None:
    """Print the journal of a task, a line for each event."""
    from guardkit.monitor.render import log_line
    from guardkit.progress.journal import read_events

    events = read_events(task_id, root=root)
    if not events:
        raise errors.ProgressNotFoundError(f"no build of {task_id} is in a journal below {root}")
    for event in events:
        typer.echo(log_line(event))


@app.command()
def schema() -> None:
    """Print the JSON Schema of the progress file."""
    import json

    from guardkit.progress import snapshot

    typer.echo(json.dumps(snapshot.schema(), indent=2))


def complain(what: Exception | str) -> int:
    """Say in one line what is wrong; return the exit code for it."""
    from guardkit.monitor.render import clean

    typer.echo(f"guardkit: {clean(str(what))}", err=True)
    if isinstance(what, errors.ProgressNotFoundError):
        return UNKNOWN
    return USAGE if isinstance(what, USAGE_ERRORS) else CODES["failed"]


def _look(root: Path, ids: list[str] | None, stall_after: float) -> "tuple[Looks, list[int]]":
    """Return the builds that can be read; complain of the others, and return their exit codes."""
    from guardkit.progress.reader import list_builds, read_progress
    from guardkit.progress.verdict import assess

    builds: Looks = {}
    codes: list[int] = []
    for task_id in dict.fromkeys(ids or list_builds(root)):
        try:
            snapshot = read_progress(task_id, root=root)
            builds[task_id] = snapshot, assess(snapshot, root=root, stall_after=stall_after)
        except (errors.ProgressNotFoundError, errors.InvalidProgressError) as error:
            codes.append(complain(error))
    return builds, codes


def until_signal(work: Coroutine[Any, Any, T], display: "Display") -> T | None:
    """Run `work` with `display` shown; SIGINT, SIGTERM and SIGHUP cancel it: then None.

    Those that we were started to ignore, as by nohup, stay ignored; further ones change nothing.
    """
    import asyncio

    from anyio import CancelScope

    heeded = [each for each in (SIGINT, SIGTERM, SIGHUP) if getsignal(each) is not SIG_IGN]

    async def guarded() -> T | None:
        loop = asyncio.get_running_loop()
        with display.shown, CancelScope() as scope:
            for each in heeded:
                loop.add_signal_handler(each, scope.cancel)
            try:
                return await work
            finally:
                for each in heeded:
                    loop.remove_signal_handler(each)
                    signal(each, SIG_IGN)
        return None

    return asyncio.run(guarded())

"""The `guardkit` command: picks what to run, and turns how it went into an exit code.

A command imports what needs an event loop or a live terminal itself: the others start at once.
"""

import io
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from signal import SIG_IGN, SIGHUP, SIGINT, SIGTERM, getsignal, signal
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

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
USAGE, UNKNOWN, STOPPED = 2, 6, 130  # the last: what shells make of a command ended by Ctrl-C
USAGE_ERRORS = (errors.MisuseError, errors.TaskNotFoundError, errors.InvalidTaskError)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
autobuild = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(autobuild, name="autobuild", help="Run builds: a Player writes, a Coach validates.")


def find_root(start: Path | None = None) -> Path:
    """Return the nearest folder upwards, from here, that holds `.guardkit` or `.git`; else here."""
    start = start or Path.cwd()
    folders = (start, *start.parents)
    return next((f for f in folders if (f / ".guardkit").exists() or (f / ".git").exists()), start)


_ROOT = "The project's folder; by default the nearest one upwards with .guardkit or .git."
_TEST = "The tests, by default pytest; {junit} stands for their report's path."
_NEAREST = typer.Option(default_factory=find_root, metavar="DIR", help=_ROOT, show_default=False)
Root = Annotated[Path, _NEAREST]
New = Annotated[Path | None, typer.Option("--root", metavar="DIR", help="A new folder for it.")]
Slow = Annotated[bool, typer.Option("--slow", help="Take some 40 seconds, to be watched.")]
Json = Annotated[bool, typer.Option("--json", help="Print a list in JSON.")]
Version = Annotated[bool, typer.Option("--version", help="Print the version.")]
Id = Annotated[str, typer.Argument(metavar="TASK-ID", help="The id in the task's file.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]", help="Builds; all by default.")]
Player = Annotated[str, typer.Option(metavar="COMMAND", help="What writes, once a turn.")]
Test = Annotated[str | None, typer.Option(metavar="COMMAND", help=_TEST)]
Turns = Annotated[int, typer.Option(metavar="N", min=1, help="Turns at most.")]
Stall = Annotated[float, typer.Option(metavar="S", min=0, help="Seconds of no activity: a stall.")]


def main() -> None:
    """Run the command; an error of guardkit's or of the system's comes out as one line."""
    while os.open(os.devnull, os.O_RDWR) in range(3):
        pass  # what is closed would be the number of the next file that is opened
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app(prog_name="guardkit")
    except (errors.GuardKitError, OSError) as error:
        sys.exit(_complain(error))


@app.callback(invoke_without_command=True)
def top(context: typer.Context, version: Version = False) -> None:
    """Progress that you can trust, for builds that run for hours behind a silent shell."""
    if version:
        from importlib import metadata

        typer.echo(f"guardkit {metadata.version('guardkit')}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def demo(slow: Slow = False, root: New = None) -> None:
    """Run a real build on a small git repository that is made for it, and kept."""
    from guardkit.orchestrator.demo import TASK_ID, TEST, make_demo, player

    root = make_demo(root)
    typer.echo(f"A small git repository, which is kept: {root}")
    typer.echo(f"Progress file: {root}/.guardkit/autobuild/{TASK_ID}/progress.json")
    command = Path(sys.executable).with_name("guardkit")
    typer.echo(f"Second terminal: {command} watch {TASK_ID} --root {root}\n")
    build_task(TASK_ID, player=player(slow=slow), test=TEST, root=root)


@autobuild.command("task")
def build_task(
    task_id: Id, *, player: Player, test: Test = None, max_turns: Turns = 5, root: Root
) -> None:
    """Build one task, turn by turn, in a git worktree of its own."""
    from anyio import move_on_after

    from guardkit.monitor.watch import Display
    from guardkit.orchestrator.autobuild import DEFAULT_TEST, AutoBuildOrchestrator

    display = Display(1)
    orchestrator = AutoBuildOrchestrator(
        root, player=player, test=test or DEFAULT_TEST, max_turns=max_turns, sinks=(display,)
    )

    async def build() -> str:
        result = await orchestrator.run(task_id)
        with move_on_after(1):  # if nobody empties the pipe, nobody will
            await display.say(f"Worktree: {result.worktree}")
        return result.status

    status = _until_signal(build(), display)
    if status is None:
        _complain(f"{task_id} was cancelled")
    raise typer.Exit(CODES[status or "cancelled"])


@app.command()
def status(ids: Ids = None, *, json: Json = False, stall_after: Stall = 1800, root: Root) -> None:
    """Take one look at builds; of several exit codes the highest counts."""
    builds, codes = _look(root, ids, stall_after)
    if json:
        import msgspec

        looks = [{"task_id": i, "verdict": v, "progress": s} for i, (s, v) in builds.items()]
        typer.echo(msgspec.json.format(msgspec.json.encode(looks), indent=2))
    elif builds:
        from guardkit.clock import SystemClock
        from guardkit.monitor.render import cut, status_lines

        width = os.get_terminal_size(1).columns if os.isatty(1) else None
        for line in status_lines(list(builds.values()), SystemClock().now()):
            typer.echo(cut(line, width))
    if not (builds or codes):
        raise errors.ProgressNotFoundError(f"no build is known below {root}")
    raise typer.Exit(max([*codes, *(CODES[verdict.state] for _, verdict in builds.values())]))


@app.command()
def watch(ids: Ids = None, *, stall_after: Stall = 1800, root: Root) -> None:
    """Show builds live until they have ended or are gone; Ctrl-C ends only the watching."""
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

    verdicts = _until_signal(work(), display)
    if verdicts is None:
        raise typer.Exit(STOPPED)
    raise typer.Exit(max([*codes, *(CODES[verdict.state] for verdict in verdicts)]))


@app.command()
def schema() -> None:
    """Print the JSON Schema of the progress file."""
    import json

    from guardkit.progress import snapshot

    typer.echo(json.dumps(snapshot.schema(), indent=2))


def _complain(what: Exception | str) -> int:
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
            codes.append(_complain(error))
    return builds, codes


def _until_signal(work: Coroutine[Any, Any, T], display: "Display") -> T | None:
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


if __name__ == "__main__":
    main()

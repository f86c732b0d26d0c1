"""The `guardkit` command: picks what to run, and turns how it went into an exit code.

Exit codes: 0 completed or running, 1 failed, 2 usage, 3 cancelled, 4 crashed or lost,
5 unresponsive, overdue or stalled, 6 no such build. Of several builds the gravest counts, in the
order 6, 4, 1, 5, 3, 0. What needs an event loop or a live terminal is imported by the command that
uses it, so that the others start at once.
"""

import io
import os
import shutil
import signal
import sys
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

from guardkit import errors

if TYPE_CHECKING:
    from guardkit.monitor.watch import TextDisplay
    from guardkit.progress.snapshot import Snapshot
    from guardkit.progress.verdict import Verdict

T = TypeVar("T")
CODES = {"running": 0, "completed": 0, "failed": 1, "cancelled": 3, "crashed": 4, "lost": 4}
TROUBLE, UNKNOWN, STOPPED = 5, 6, 130  # 130: what shells make of a command ended by Ctrl-C
GRAVITY = (0, 3, TROUBLE, 1, 4, UNKNOWN)
USAGE_ERRORS = (errors.MisuseError, errors.TaskNotFoundError, errors.InvalidTaskError)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
autobuild = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(autobuild, name="autobuild", help="Run builds: a Player writes, a Coach validates.")

_ROOT = "The project's folder; by default the nearest one upwards with .guardkit or .git."
_TEST = "The tests, by default pytest; {junit} stands for their report's path."
Root = Annotated[Path | None, typer.Option(metavar="DIR", help=_ROOT)]
New = Annotated[Path | None, typer.Option("--root", metavar="DIR", help="A new folder for it.")]
Slow = Annotated[bool, typer.Option("--slow", help="Take some 40 seconds, to be watched.")]
Json = Annotated[bool, typer.Option("--json", help="Print a list in JSON.")]
Version = Annotated[bool, typer.Option("--version", help="Print the version.")]
Id = Annotated[str, typer.Argument(metavar="TASK-ID", help="The id in the task's file.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]", help="Builds; all by default.")]
Player = Annotated[str, typer.Option(metavar="COMMAND", help="What writes, once a turn.")]
Test = Annotated[str | None, typer.Option(metavar="COMMAND", help=_TEST)]
Turns = Annotated[int, typer.Option(metavar="N", min=1, help="Turns at most.")]
Limit = Annotated[float, typer.Option(metavar="S", min=0.001, help="Seconds that it may take.")]
Stall = Annotated[float, typer.Option(metavar="S", min=0, help="Seconds of no activity: a stall.")]


def find_root(start: Path) -> Path:
    """Return the nearest folder upwards that holds `.guardkit` or `.git`; else `start` itself."""
    for folder in (start, *start.parents):
        if (folder / ".guardkit").exists() or (folder / ".git").exists():
            return folder
    return start


def gravest(codes: Iterable[int]) -> int:
    """Return the exit code of the most serious of several builds; 0 for none."""
    return max(codes, key=GRAVITY.index, default=0)


def main() -> None:
    """Run the command; an error of guardkit's or of the system's comes out as one line."""
    for fd in range(3):  # what was closed would be the number of the next file that is opened
        with suppress(OSError):
            os.fstat(fd)
            continue
        os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: PTH123, SIM115
    sys.stderr = sys.stderr or sys.stdout
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
    command = "guardkit" if shutil.which("guardkit") else Path(sys.executable).with_name("guardkit")
    typer.echo(f"Second terminal: {command} watch {TASK_ID} --root {root}\n")
    build_task(TASK_ID, player=player(slow=slow), test=TEST, root=root)


@autobuild.command("task")
def build_task(
    task_id: Id,
    *,
    player: Player,
    test: Test = None,
    max_turns: Turns = 5,
    player_timeout: Limit = 3600,
    test_timeout: Limit = 600,
    root: Root = None,
) -> None:
    """Build one task, turn by turn, in a git worktree of its own."""
    from guardkit.monitor.watch import display_on
    from guardkit.orchestrator.autobuild import DEFAULT_TEST, AutoBuildOrchestrator

    display = display_on(1)
    orchestrator = AutoBuildOrchestrator(
        root or find_root(Path.cwd()),
        player=player,
        test=test or DEFAULT_TEST,
        max_turns=max_turns,
        player_timeout=player_timeout,
        test_timeout=test_timeout,
        sinks=(display,),
    )

    async def build() -> str:
        result = await orchestrator.run(task_id)
        await display.say(f"Worktree: {result.worktree}")
        return result.status

    status = _until_signal(build(), display)
    if status is None:
        _complain(f"{task_id} was cancelled")
    _leave(CODES[status or "cancelled"], display)


@app.command()
def status(
    ids: Ids = None, json: Json = False, stall_after: Stall = 1800, root: Root = None
) -> None:
    """Take one look at builds; the exit code is that of the gravest."""
    builds, codes = _look(root or find_root(Path.cwd()), ids, stall_after)
    if json:
        import msgspec

        looks = [{"task_id": s.task_id, "verdict": v, "progress": s} for s, v in builds]
        typer.echo(msgspec.json.format(msgspec.json.encode(looks), indent=2))
    elif builds:
        from guardkit.clock import SystemClock
        from guardkit.monitor.render import status_lines

        width = typer.get_terminal_size().columns if sys.stdout.isatty() else None
        typer.echo("\n".join(status_lines(builds, width, SystemClock().now())))
    raise typer.Exit(gravest(codes))


@app.command()
def watch(ids: Ids = None, stall_after: Stall = 1800, root: Root = None) -> None:
    """Show builds live until they have ended or are gone; Ctrl-C ends only the watching."""
    from guardkit.monitor.watch import ENDED, GONE, display_on, watch

    folder = root or find_root(Path.cwd())
    if not ids:
        builds, _ = _look(folder, None, stall_after)
        ids = [s.task_id for s, verdict in builds if verdict.state not in ENDED | GONE]
    if not ids:
        raise errors.ProgressNotFoundError(f"no build is running below {folder}")
    display = display_on(1, labels=len(ids) > 1)
    work = watch(ids, display, root=folder, stall_after=stall_after)
    verdicts = _until_signal(work, display)
    codes = [CODES.get(verdict.state, TROUBLE) for verdict in verdicts or []]
    _leave(STOPPED if verdicts is None else gravest(codes), display)


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
    return 2 if isinstance(what, USAGE_ERRORS) else 1


def _look(
    root: Path, ids: list[str] | None, stall_after: float
) -> "tuple[list[tuple[Snapshot, Verdict]], list[int]]":
    """Return the builds that can be read, and the exit codes of all; complain of the others."""
    from guardkit.progress.reader import list_builds, read_progress
    from guardkit.progress.verdict import assess

    builds: list[tuple[Snapshot, Verdict]] = []
    codes: list[int] = []
    ids = ids or list_builds(root)
    if not ids:
        codes.append(_complain(errors.ProgressNotFoundError(f"no build is known below {root}")))
    for task_id in dict.fromkeys(ids):
        try:
            snapshot = read_progress(task_id, root=root)
        except (errors.ProgressNotFoundError, errors.InvalidProgressError) as error:
            codes.append(_complain(error))
            continue
        verdict = assess(snapshot, root=root, stall_after=stall_after)
        builds.append((snapshot, verdict))
        codes.append(CODES.get(verdict.state, TROUBLE))
    return builds, codes


def _leave(code: int, display: "TextDisplay") -> NoReturn:
    """Exit; at once where a line is stuck in a pipe that nobody empties."""
    if display.stuck:
        os._exit(code)
    raise typer.Exit(code)


def _until_signal(work: Coroutine[Any, Any, T], display: "TextDisplay") -> T | None:
    """Run `work` with `display` shown; the first SIGINT, SIGTERM or SIGHUP cancels it: then None.

    Further signals change nothing, so that what is being closed gets closed. Signals that we were
    started to ignore, as by nohup, stay ignored.
    """
    import asyncio

    from anyio import CancelScope

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    heeded = [each for each in signals if signal.getsignal(each) is not signal.SIG_IGN]

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
                    signal.signal(each, signal.SIG_IGN)
        return None

    return asyncio.run(guarded())


if __name__ == "__main__":
    main()

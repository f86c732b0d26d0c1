"""The `guardkit` command: what runs builds, beside the commands that look at them."""

import io
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from guardkit import errors
from guardkit.monitor.cli import CODES, Root, app, complain, until_signal

autobuild = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(autobuild, name="autobuild", help="Run builds: a Player writes, a Coach validates.")

_TEST = "The tests, by default pytest; {junit} stands for their report's path."
New = Annotated[Path | None, typer.Option("--root", metavar="DIR", help="A new folder for it.")]
Slow = Annotated[bool, typer.Option("--slow", help="Take some 40 seconds, to be watched.")]
Version = Annotated[bool, typer.Option("--version", help="Print the version.")]
TaskId = Annotated[str, typer.Argument(metavar="TASK-ID", help="The id in the task's file.")]
Player = Annotated[str, typer.Option(metavar="COMMAND", help="What writes, once a turn.")]
Test = Annotated[str | None, typer.Option(metavar="COMMAND", help=_TEST)]
Turns = Annotated[int, typer.Option(metavar="N", min=1, help="Turns at most.")]
Limit = Annotated[float, typer.Option(metavar="S", min=0.001, help="Seconds that it may take.")]


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
        sys.exit(complain(error))


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
    """Run a real build on a small repository made for it."""
    from guardkit.orchestrator.demo import TASK_ID, TEST, make_demo, player

    root = make_demo(root)
    typer.echo(f"A small git repository, which is kept: {root}")
    typer.echo(f"Progress file: {root}/.guardkit/autobuild/{TASK_ID}/progress.json")
    command = Path(sys.executable).with_name("guardkit")
    typer.echo(f"Second terminal: {command} watch {TASK_ID} --root {root}\n")
    build_task(TASK_ID, player=player(slow=slow), test=TEST, root=root)


@autobuild.command("task")
def build_task(
    task_id: TaskId,
    *,
    player: Player,
    test: Test = None,
    max_turns: Turns = 5,
    player_timeout: Limit = 3600,
    test_timeout: Limit = 600,
    root: Root,
) -> None:
    """Build one task, turn by turn, in a git worktree of its own."""
    from anyio import move_on_after

    from guardkit.monitor.watch import Display
    from guardkit.orchestrator.autobuild import DEFAULT_TEST, AutoBuildOrchestrator

    display = Display(1)
    orchestrator = AutoBuildOrchestrator(
        root,
        player=player,
        test=test or DEFAULT_TEST,
        max_turns=max_turns,
        player_timeout=player_timeout,
        test_timeout=test_timeout,
        sinks=(display,),
    )

    async def build() -> str:
        result = await orchestrator.run(task_id)
        with move_on_after(1):  # if nobody empties the pipe, nobody will
            await display.say(f"Worktree: {result.worktree}")
        return result.status

    status = until_signal(build(), display)
    if status is None:
        complain(f"{task_id} was cancelled")
    raise typer.Exit(CODES[status or "cancelled"])


if __name__ == "__main__":
    main()

"""The `guardkit` command: what runs builds, beside the commands that look at them."""

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import guardkit
from guardkit.cli.looking import CODES, STOPPED, add_commands, complain, until_signal
from guardkit.cli.nats import add_commands as add_services
from guardkit.cli.parser import Commands, Parser, at_least
from guardkit.errors import GuardKitError, MisuseError

if TYPE_CHECKING:
    from guardkit.progress.sinks import Sink


def main() -> None:
    """Run the command; an error of guardkit's or of the system's comes out as one line."""
    while os.open(os.devnull, os.O_RDWR) in range(3):
        pass  # what is closed would be the number of the next file that is opened
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        try:
            code = make_parser().run()
        finally:
            if sys.stdout:  # else it was closed
                sys.stdout.flush()
    except GuardKitError as error:
        code = complain(error)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the exit would try it again
        code = CODES["failed"] if isinstance(error, BrokenPipeError) else complain(error)
    except KeyboardInterrupt:
        code = STOPPED
    sys.exit(code)


def make_parser() -> Parser:
    """Declare all commands."""
    parser = Parser(prog="guardkit", description=guardkit.__doc__)
    parser.add_argument(
        "--version", dest="run", action="store_const", const=version, help="Print the version."
    )
    commands = Commands(parser)
    add_commands(commands)

    command = commands.add("demo", demo)
    command.add_argument("--slow", action="store_true", help="Take some 40 seconds, to be watched.")
    command.add_argument("--root", type=Path, metavar="DIR", help="A new folder for it.")

    autobuild = commands.add_group("autobuild", "Run builds: a Player writes, a Coach validates.")
    command = autobuild.add("task", build_task)
    about = "The id in the task's file."
    command.add_argument("task_id", metavar="TASK-ID", help=about)
    about = "What writes, once a turn."
    command.add_argument("--player", required=True, metavar="COMMAND", help=about)
    about = "The tests, by default pytest; {junit} stands for their report's path."
    command.add_argument("--test", metavar="COMMAND", help=about)
    about = "Turns at most; %(default)d by default."
    command.add_argument("--max-turns", type=at_least(1), default=5, metavar="N", help=about)
    about, seconds = "Seconds that the Player may take; %(default)g by default.", at_least(0.001)
    command.add_argument("--player-timeout", type=seconds, default=3600.0, metavar="S", help=about)
    about = "Seconds that the tests may take; %(default)g by default."
    command.add_argument("--test-timeout", type=seconds, default=600.0, metavar="S", help=about)
    command.add_root()
    command.add_nats(about="Publish the build to a NATS server.")
    about = "Publish it in the messages of nats-core as well."
    command.add_argument("--nats-envelope", action="store_true", help=about)

    add_services(commands)
    return parser


def version() -> None:
    """Print the version that is installed."""
    from importlib import metadata

    print(f"guardkit {metadata.version('guardkit')}")


def demo(*, slow: bool, root: Path | None) -> int:
    """Run a real build on a small repository made for it."""
    from guardkit.orchestrator.demo import TASK_ID, TEST, make_demo, player

    root = make_demo(root)
    command = Path(sys.executable).with_name("guardkit")
    print(f"A small git repository, which is kept: {root}")
    print(f"Progress file: {root}/.guardkit/autobuild/{TASK_ID}/progress.json")
    print(f"Second terminal: {command} watch {TASK_ID} --root {root}\n", flush=True)
    return build_task(
        task_id=TASK_ID,
        player=player(slow=slow),
        test=TEST,
        max_turns=5,
        player_timeout=3600,
        test_timeout=600,
        root=root,
        nats=None,
        nats_envelope=False,
    )


def build_task(
    *,
    task_id: str,
    player: str,
    test: str | None,
    max_turns: int,
    player_timeout: float,
    test_timeout: float,
    root: Path,
    nats: str | None,
    nats_envelope: bool,
) -> int:
    """Build one task, turn by turn, in a git worktree of its own."""
    from anyio import move_on_after

    from guardkit.orchestrator.autobuild import DEFAULT_TEST, AutoBuildOrchestrator
    from guardkit.places.watch import Display

    if nats_envelope and nats is None:
        raise MisuseError("--nats-envelope says how to publish: add --nats")
    display = Display(1)
    sinks: list[Sink] = [display]
    if nats is not None:
        from guardkit.nats import NatsSink

        sinks.append(NatsSink(nats, root=root, envelope=nats_envelope))
    orchestrator = AutoBuildOrchestrator(
        root,
        player=player,
        test=test or DEFAULT_TEST,
        max_turns=max_turns,
        player_timeout=player_timeout,
        test_timeout=test_timeout,
        sinks=sinks,
    )

    async def build() -> str:
        result = await orchestrator.run(task_id)
        with move_on_after(1):  # if nobody empties the pipe, nobody will
            await display.say(f"Worktree: {result.worktree}")
        return result.status

    status = until_signal(build(), display.shown)
    if status is None:
        complain(f"{task_id} was cancelled")
    return CODES[status or "cancelled"]


if __name__ == "__main__":
    main()

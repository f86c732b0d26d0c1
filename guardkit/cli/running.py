"""The command that tracks any other one: run."""

from __future__ import annotations

import os

from guardkit.cli import codes
from guardkit.cli.streams import complain
from guardkit.places.output import Output

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from guardkit.cli.parser import Commands, Parser


def add_commands(commands: Commands) -> None:
    """Declare the command."""
    commands.add("run", run, _declare_run)


def _declare_run(command: Parser) -> None:
    command.add_id(about="The name by which the build is looked at, such as nightly.")
    command.add_program()
    command.add_root()


def run(*, task_id: str, program: list[str], root: str) -> int:
    """Run any command as a build, which can be looked at as all others.

    The output passes through as it is, and its last line is the message. How far pytest, ninja,
    CMake, cargo and tqdm say that they are is shown as well. On a terminal the command has one of
    its own, with the same size, and the keys go to it; else it has pipes. Its standard input is
    ours. Signals are passed on to it, and Ctrl-Z stops it, and shows it as suspended:

    $ guardkit run nightly -- make all

    The exit code is that of the command: the build is completed for 0, and failed for all others;
    128 + n where signal n has ended the command; 125 where it could not be started. Before it is
    started: 2 usage; 7 could not be done, such as an ID that is being built already. Output that
    cannot be written whole never ends with 0 or 1, but with 7.
    """
    from guardkit.orchestrator.run.keeper import Keeper
    from guardkit.orchestrator.run.wires import Wires

    wires = Wires()
    with Keeper(program, wires) as keeper:  # while there are neither threads nor an event loop
        import asyncio

        from guardkit.orchestrator.run import command
        from guardkit.places.terminal.osc import CLEAR_BAR, bar_of, knows_bar

        writes = {fd: Output(fd).write for fd in (1, 2)}
        tab = (bar_of("working"), CLEAR_BAR) if knows_bar(os.environ) else (b"", b"")
        running = command.run(task_id, program[0], keeper, wires, writes=writes, tab=tab, root=root)
        ending = asyncio.run(running)
    if not ending.started:
        complain(f"{program[0] or repr('')} {ending.failure}")
    if not ending.lost:
        return ending.code
    if not isinstance(ending.lost, BrokenPipeError):  # who reads it has seen enough
        complain(f"{ending.lost.filename}: {ending.lost.strerror}")
    return ending.code if ending.code not in {codes.COMPLETED, codes.FAILED} else codes.UNDONE

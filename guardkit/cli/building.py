"""The commands that build: autobuild and demo."""

from __future__ import annotations

from guardkit.cli import ending, features, showing
from guardkit.cli.how import builder, declare_how, declare_ways, tell, traced
from guardkit.cli.values import guarded

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from typing import Unpack

    from guardkit.cli.how import How
    from guardkit.cli.parser import Commands, Parser

GROUP = """Run builds: a Player writes, a Coach validates.

A build runs for minutes to hours. In a shell that shows a command's output only when the command
has ended, start it with --detach, and look with guardkit wait, status or watch.
"""


def add_commands(commands: Commands) -> None:
    """Declare the commands."""
    commands.add("demo", showing.demo, showing.declare_demo)
    commands.add_group("autobuild", GROUP, _add_builds)
    commands.add("cancel", ending.cancel, ending.declare_cancel)


def _add_builds(group: Commands) -> None:
    group.add("task", build_task, _declare_task)
    group.add("feature", features.build_feature, features.declare_feature)
    group.add("replay", showing.replay, showing.declare_replay)
    group.add("drop", ending.drop, ending.declare_drop)


def _declare_task(command: Parser) -> None:
    about = "The id that stands in the task's file."
    command.add_argument("task_id", type=guarded, metavar="TASK-ID", help=about)
    declare_how(command)
    declare_ways(command)


def build_task(*, task_id: str, dry_run: bool, detach: bool, **how: Unpack[How]) -> int:
    """Build one task, turn by turn, in a git worktree of its own.

    With --detach the command returns when the build is on disk, and prints the run's id, or it
    returns with the refusal and its exit code. What the build prints goes to output.log beside
    its journal, in .guardkit/autobuild/TASK-ID; guardkit wait --help says how to wait for it.

    Exit codes: 0 completed; 1 failed; 2 usage, or no such task; 3 cancelled; 7 could not be done,
    such as a task that is being built already.
    """
    orchestrator = builder(how)
    if dry_run:
        from guardkit.cli.told import planned

        plan = orchestrator.plan(task_id, alone=True)
        return tell(plan, lambda found: planned(orchestrator, found))
    orchestrator = traced(orchestrator, wanted=how["traces"])
    from guardkit.cli.foreground import build

    if not detach:
        return build(orchestrator, task_id)
    from guardkit.cli.background import start

    return start(lambda writer: build(orchestrator, task_id, writer))

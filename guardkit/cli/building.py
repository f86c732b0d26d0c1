"""The commands that build: autobuild and demo."""

from __future__ import annotations

import sys

from guardkit.cli import codes, ending, features
from guardkit.cli.how import builder, declare_how, declare_ways
from guardkit.cli.values import guarded

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from typing import Unpack

    from guardkit.cli.how import How
    from guardkit.cli.parser import Commands, Parser
    from guardkit.orchestrator.autobuild import AutoBuildOrchestrator
    from guardkit.progress.sinks import Sink

GROUP = """Run builds: a Player writes, a Coach validates.

A build runs for minutes to hours. In a shell that shows a command's output only when the command
has ended, start it with --detach, and look with guardkit wait, status or watch.
"""


def add_commands(commands: Commands) -> None:
    """Declare the commands."""
    commands.add("demo", demo, _declare_demo)
    commands.add_group("autobuild", GROUP, _add_builds)
    commands.add("cancel", ending.cancel, ending.declare_cancel)


def _add_builds(group: Commands) -> None:
    group.add("task", build_task, _declare_task)
    group.add("feature", features.build_feature, features.declare_feature)
    group.add("drop", ending.drop, ending.declare_drop)


def _declare_demo(command: Parser) -> None:
    command.add_flag("--slow", about="Take some 40 seconds, so that it can be watched.")
    about = "Build a feature: three waves, five tasks, two of them at a time."
    command.add_flag("--feature", about=about)
    command.add_argument(
        "--root",
        metavar="DIR",
        help="A new or empty folder for the repository; by default a temporary one.",
    )


def _declare_task(command: Parser) -> None:
    about = "The id that stands in the task's file."
    command.add_argument("task_id", type=guarded, metavar="TASK-ID", help=about)
    declare_how(command)
    declare_ways(command)


def demo(*, slow: bool, feature: bool, root: str | None) -> int:
    """Run a real build on a small repository made for it."""
    from pathlib import Path

    from guardkit.orchestrator.autobuild import AutoBuildOrchestrator
    from guardkit.orchestrator.demo import TASK_ID, TEST, make_demo, player
    from guardkit.orchestrator.demo_feature import FEATURE_ID, MAX_PARALLEL, demo_files

    build_id = FEATURE_ID if feature else TASK_ID
    where = Path(root) if root is not None else None
    folder = make_demo(where, demo_files() if feature else None)
    command = Path(sys.executable).with_name("guardkit")
    print(f"A small git repository, which is kept: {folder}")
    print(f"Progress file: {folder}/.guardkit/autobuild/{build_id}/progress.json")
    watch = "watch" if feature else f"watch {build_id}"
    print(f"Second terminal: {command} {watch} --root {folder}\n", flush=True)
    builder = AutoBuildOrchestrator(folder, player=player(slow=slow), test=TEST)
    if not feature:
        return _build(builder, build_id)
    from guardkit.orchestrator.feature import FeatureOrchestrator

    orchestrator = FeatureOrchestrator(builder, max_parallel=MAX_PARALLEL)
    return features.run_feature(orchestrator, build_id)


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
        return _tell_plan(orchestrator, task_id)
    if not detach:
        return _build(orchestrator, task_id)
    from guardkit.cli.background import start

    return start(lambda writer: _build(orchestrator, task_id, writer))


def _tell_plan(orchestrator: AutoBuildOrchestrator, task_id: str) -> int:
    """Print what a build would do; raise what it would be refused with."""
    from guardkit.cli.signals import until_signal
    from guardkit.cli.told import planned

    plan = until_signal(orchestrator.plan(task_id, alone=True))
    if plan is None:
        return codes.STOPPED
    print("\n".join(planned(orchestrator, plan)))
    return codes.COMPLETED


def _build(orchestrator: AutoBuildOrchestrator, task_id: str, writer: int | None = None) -> int:
    """Run one build to its end; return the exit code.

    writer: the descriptor to which a build in the background tells that it has begun.
    """
    from dataclasses import replace

    from guardkit.cli.foreground import show
    from guardkit.cli.told import proof

    async def run(sink: Sink) -> tuple[str, list[str]]:
        result = await replace(orchestrator, sinks=[sink, *orchestrator.sinks]).run(task_id)
        return result.status, proof(result)

    return show(run, task_id, str(orchestrator.root), writer=writer)

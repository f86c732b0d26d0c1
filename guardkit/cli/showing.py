"""The commands that show what a build looks like: demo, and the replay of a recorded one."""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from pathlib import Path

    from guardkit.cli.parser import Parser


def declare_demo(command: Parser) -> None:
    """Declare the arguments of `demo`."""
    command.add_flag("--slow", about="Take some 40 seconds, so that it can be watched.")
    about = "Build a feature: three waves, five tasks, two of them at a time."
    command.add_flag("--feature", about=about)
    _declare_root(command)


def declare_replay(command: Parser) -> None:
    """Declare the arguments of `autobuild replay`."""
    about = "The folder of the recorded build: player_turn_N.json and coach_turn_N.json."
    command.add_argument("recorded", metavar="DIR", help=about)
    command.add_flag("--slow", about="Take some 12 seconds a turn, so that it can be watched.")
    _declare_root(command)


def _declare_root(command: Parser) -> None:
    about = "A new or empty folder for the repository; by default a temporary one."
    command.add_argument("--root", metavar="DIR", help=about)


def demo(*, slow: bool, feature: bool, root: str | None) -> int:
    """Run a real build on a small repository made for it."""
    from pathlib import Path

    from guardkit.cli.features import run_feature
    from guardkit.cli.foreground import build
    from guardkit.orchestrator.autobuild import AutoBuildOrchestrator
    from guardkit.orchestrator.demo import TASK_ID, TEST, make_demo, player
    from guardkit.orchestrator.demo_feature import FEATURE_ID, MAX_PARALLEL, TURNS, demo_files
    from guardkit.orchestrator.features.feature import FeatureOrchestrator

    where = Path(root) if root is not None else None
    folder = make_demo(where, demo_files() if feature else None)
    scripted = player(slow=slow, turns=TURNS) if feature else player(slow=slow)
    builder = AutoBuildOrchestrator(folder, player=scripted, test=TEST)
    if not feature:
        _tell(folder, TASK_ID)
        return build(builder, TASK_ID)
    _tell(folder, FEATURE_ID)
    return run_feature(FeatureOrchestrator(builder, max_parallel=MAX_PARALLEL), FEATURE_ID)


def replay(*, recorded: str, slow: bool, root: str | None) -> int:
    """Build again what was recorded, in a repository made for it.

    A scripted Player writes the files that each turn names, with a line in each, and the tests
    pass or fail as the Coach decided. The exit codes are those of autobuild task.
    """
    from pathlib import Path

    from guardkit.cli.foreground import build
    from guardkit.orchestrator.autobuild import AutoBuildOrchestrator
    from guardkit.orchestrator.replay import TEST, make_replay, player

    made = make_replay(Path(recorded), Path(root) if root is not None else None)
    _tell(made.root, made.task_id)
    orchestrator = AutoBuildOrchestrator(
        made.root, player=player(slow=slow), test=TEST, max_turns=made.turns
    )
    return build(orchestrator, made.task_id)


def _tell(folder: Path, task_id: str) -> None:
    """Say where the repository is, and how its build is watched."""
    from pathlib import Path

    command = Path(sys.executable).with_name("guardkit")
    print(f"A small git repository, which is kept: {folder}")
    print(f"Progress file: {folder}/.guardkit/autobuild/{task_id}/progress.json")
    print(f"Second terminal: {command} watch {task_id} --root {folder}\n", flush=True)

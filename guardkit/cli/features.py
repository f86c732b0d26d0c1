"""The command that builds a feature."""

from __future__ import annotations

from guardkit.cli.how import builder, declare_how, declare_ways, tell, traced
from guardkit.cli.values import at_least, guarded

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Unpack

    from guardkit.cli.how import How
    from guardkit.cli.parser import Parser
    from guardkit.orchestrator.features.feature import FeatureOrchestrator
    from guardkit.progress.sinks import Sink

LEAST_PARALLEL = 2


def declare_feature(command: Parser) -> None:
    """Declare what `autobuild feature` takes."""
    about = "The id of the feature, whose file is .guardkit/features/FEAT-ID.yaml."
    command.add_argument("feature_id", type=guarded, metavar="FEAT-ID", help=about)
    declare_how(command)
    about = "How many tasks are built at once; by default as many as there are cores, at least 2."
    command.add_argument("--max-parallel", type=at_least(1), default=0, metavar="N", help=about)
    about = "Start no task after one has failed; by default those start that do not depend on it."
    command.add_flag("--stop-on-failure", about=about)
    about = "Begin with that wave, and take those before it as they are; by default 1."
    command.add_argument("--from-wave", type=at_least(1), default=1, metavar="N", help=about)
    about = "With --resume, build again what has failed; what is there of it is moved aside."
    command.add_flag("--retry-failed", about=about)
    about = "Wait for a task that somebody else builds; by default it is passed over."
    command.add_flag("--wait", about=about)
    declare_ways(command)


def build_feature(
    *,
    feature_id: str,
    max_parallel: int,
    stop_on_failure: bool,
    from_wave: int,
    retry_failed: bool,
    wait: bool,
    dry_run: bool,
    detach: bool,
    **how: Unpack[How],
) -> int:
    """Build the tasks of a feature, wave by wave, those of a wave side by side.

    Each task is built as by autobuild task, from what those have come to that it depends on, within
    budgets and --max-cost of its own. In the end one branch, autobuild/FEAT-ID, holds all that was
    approved, in a worktree of its own, where the tests run once more. Nothing is merged into your
    branch. The words of status in the feature's file follow.

    Ctrl-C ends all that runs, and keeps what was approved; a second one does not wait for that.

    Exit codes: 0 all tasks are completed; 1 a task has failed, was refused, or conflicts with
    others; 2 usage, or a feature that makes no sense; 3 cancelled; 7 could not be done.
    """
    import os
    from dataclasses import replace

    from guardkit.orchestrator.features.feature import FeatureOrchestrator

    orchestrator = FeatureOrchestrator(
        builder(how),
        max_parallel=max_parallel or max(LEAST_PARALLEL, os.cpu_count() or 0),
        stop_on_failure=stop_on_failure,
        from_wave=from_wave,
        retry_failed=retry_failed,
        wait=wait,
    )
    if dry_run:
        from guardkit.cli.told_of_features import planned

        plan = orchestrator.plan(feature_id, alone=True)
        return tell(plan, lambda found: planned(orchestrator, found))
    orchestrator = replace(orchestrator, builder=traced(orchestrator.builder, wanted=how["traces"]))
    if not detach:
        return run_feature(orchestrator, feature_id)
    from guardkit.cli.background import start

    return start(lambda writer: run_feature(orchestrator, feature_id, writer))


def run_feature(
    orchestrator: FeatureOrchestrator, feature_id: str, writer: int | None = None
) -> int:
    """Run one build to its end; return the exit code.

    writer: the descriptor to which a build in the background tells that it has begun.
    """
    from dataclasses import replace

    from guardkit.cli.foreground import Outcome, show
    from guardkit.cli.told_of_features import outcome

    builder = orchestrator.builder

    async def run(sinks: Sequence[Sink]) -> Outcome:
        telling = replace(builder, sinks=sinks)
        result = await replace(orchestrator, builder=telling).run(feature_id)
        return Outcome(result, outcome(result))

    return show(run, builder, feature_id, writer=writer, is_feature=True)

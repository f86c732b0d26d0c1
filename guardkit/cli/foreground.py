"""Builds that are shown while they run, and their end."""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from anyio import move_on_after

from guardkit.cli import codes
from guardkit.cli.background import Background
from guardkit.cli.signals import until_signal
from guardkit.cli.sinks import flush
from guardkit.cli.streams import complain
from guardkit.cli.told import kept, proof
from guardkit.orchestrator.autobuild import AutoBuildOrchestrator
from guardkit.orchestrator.features.course import FeatureResult
from guardkit.orchestrator.loop import BuildResult
from guardkit.places import github
from guardkit.places.plain import clean
from guardkit.places.terminal.display import Display
from guardkit.progress.sinks import Sink


class Outcome(NamedTuple):
    """What a build has come to. lines: what is told last."""

    result: BuildResult | FeatureResult
    lines: Sequence[str]


Run = Callable[[Sequence[Sink]], Coroutine[Any, Any, Outcome]]


def build(builder: AutoBuildOrchestrator, task_id: str, writer: int | None = None) -> int:
    """Build one task to its end; return the exit code.

    writer: as for `show`.
    """

    async def run(sinks: Sequence[Sink]) -> Outcome:
        result = await replace(builder, sinks=sinks).run(task_id)
        return Outcome(result, proof(result))

    return show(run, builder, task_id, writer=writer)


def show(
    run: Run,
    builder: AutoBuildOrchestrator,
    task_id: str,
    *,
    writer: int | None = None,
    is_feature: bool = False,
) -> int:
    """Run a build to its end; return the exit code.

    run: builds, and tells sinks of it.
    builder: says which ones, besides the display, and where.
    writer: the descriptor to which a build in the background tells that it has begun.
    is_feature: whether it has tasks, which are named in each line; a second signal then ends all
        at once.
    """
    root = str(builder.root)
    shown = github.ActionsDisplay if writer is None and github.is_here() else Display
    display = shown(1, labels=is_feature)
    sink = display if writer is None else Background(display, root, writer)
    work = _run(run, [sink, *builder.sinks], display)
    at_once = f"{task_id} was ended at once: go on with --resume" if is_feature else ""
    heard = f"{task_id} is being cancelled" if display.console.is_interactive else ""
    if heard and at_once:
        heard += "; once more ends it at once"
    status = until_signal(work, display.shown, heard=heard, at_once=at_once)
    if status is None:
        complain(f"{task_id} was cancelled{kept(root, task_id)}")
        return codes.CANCELLED
    if display.lost:
        why = f"{task_id} {status}, but not all of its output could be written"
        return complain(f"{why}: {display.lost}")
    return codes.FAILED if status == "failed" else codes.COMPLETED


async def _run(run: Run, sinks: Sequence[Sink], display: Display) -> str:
    """Run a build; return its status when all is told."""
    try:
        result, lines = await run(sinks)
        with move_on_after(1):  # if nobody empties the pipe, nobody will
            above = [""] if display.has_table else []
            await display.say(*above, *map(clean, lines))
            if isinstance(display, github.ActionsDisplay):
                from guardkit.cli.actions import annotations, summarize

                await display.say(*display.obeyed(*annotations(result)))
                summarize(result)
    finally:
        await flush(sinks)
    return result.status

"""A build from its beginning to its end, and what it comes to."""

from __future__ import annotations

from guardkit.cli import codes
from guardkit.cli.sinks import flush
from guardkit.cli.streams import complain

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from guardkit.orchestrator.autobuild import AutoBuildOrchestrator
    from guardkit.places.display import Display


def build(orchestrator: AutoBuildOrchestrator, task_id: str, writer: int | None = None) -> int:
    """Run one build to its end; return the exit code.

    writer: the descriptor to which a build in the background tells that it has begun.
    """
    from dataclasses import replace

    from guardkit.cli.background import Background
    from guardkit.cli.signals import until_signal
    from guardkit.places import github
    from guardkit.places.display import Display

    in_actions = writer is None and github.is_here()
    display = github.ActionsDisplay(1) if in_actions else Display(1)
    shown = display if writer is None else Background(display, str(orchestrator.root), writer)
    orchestrator = replace(orchestrator, sinks=[shown, *orchestrator.sinks])
    status = until_signal(_run(orchestrator, task_id, display), display.shown)
    if status is None:
        from guardkit.cli.told import kept

        complain(f"{task_id} was cancelled{kept(str(orchestrator.root), task_id)}")
        return codes.CANCELLED
    if display.lost:
        why = f"{task_id} {status}, but not all of its output could be written"
        return complain(f"{why}: {display.lost}")
    return codes.FAILED if status == "failed" else codes.COMPLETED


async def _run(orchestrator: AutoBuildOrchestrator, task_id: str, display: Display) -> str:
    """Run one build; return its status when the proof and the worktree are told."""
    from anyio import move_on_after

    from guardkit.cli.told import proof
    from guardkit.places.github import ActionsDisplay
    from guardkit.places.words import clean

    try:
        result = await orchestrator.run(task_id)
        with move_on_after(1):  # if nobody empties the pipe, nobody will
            await display.say(*map(clean, proof(result)))
            if isinstance(display, ActionsDisplay):
                from guardkit.cli.actions import annotations, summarize

                await display.say(*display.obeyed(*annotations(result)))
                summarize(result)
    finally:
        await flush(orchestrator.sinks)
    return result.status

"""Builds that are shown while they run, and their end."""

from collections.abc import Callable, Coroutine
from typing import Any

from anyio import move_on_after

from guardkit.cli import codes
from guardkit.cli.background import Background
from guardkit.cli.signals import until_signal
from guardkit.cli.streams import complain
from guardkit.cli.told import kept
from guardkit.places.display import Display
from guardkit.places.words import clean
from guardkit.progress.sinks import Sink

Run = Callable[[Sink], Coroutine[Any, Any, tuple[str, list[str]]]]


def show(
    run: Run, task_id: str, root: str, *, writer: int | None = None, is_feature: bool = False
) -> int:
    """Run a build to its end; return the exit code.

    run: builds, and tells a sink of it; returns its status and the lines that are told last.
    root: the folder below which the build's files are.
    writer: the descriptor to which a build in the background tells that it has begun.
    is_feature: whether it has tasks, which are named in each line; a second signal then ends all
        at once.
    """
    display = Display(1, labels=is_feature)
    sink = display if writer is None else Background(display, root, writer)
    work = _run(run, sink, display)
    status = until_signal(work, display.shown, is_patient=not is_feature)
    if status is None:
        complain(f"{task_id} was cancelled{kept(root, task_id)}")
        return codes.CANCELLED
    if display.lost:
        why = f"{task_id} {status}, but not all of its output could be written"
        return complain(f"{why}: {display.lost}")
    return codes.FAILED if status == "failed" else codes.COMPLETED


async def _run(run: Run, sink: Sink, display: Display) -> str:
    """Run a build; return its status when all is told."""
    status, lines = await run(sink)
    with move_on_after(1):  # if nobody empties the pipe, nobody will
        await display.say(*map(clean, lines))
    return status

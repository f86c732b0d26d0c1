"""Makes the pictures of a terminal in the README, demo.svg and feature.svg, by the demo's builds.

Run: python docs/capture.py
"""

import asyncio
import io
import os
import tempfile
from collections.abc import Callable, Collection, Coroutine, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from guardkit.cli.told import proof
from guardkit.orchestrator.autobuild import AutoBuildOrchestrator
from guardkit.orchestrator.demo import TASK_ID, TEST, make_demo, player
from guardkit.orchestrator.demo_feature import FEATURE_ID, MAX_PARALLEL, TURNS, demo_files
from guardkit.orchestrator.features.feature import FeatureOrchestrator
from guardkit.places.terminal.display import Display
from guardkit.progress.snapshot import Snapshot

Run = Callable[[Path, Display], Coroutine[Any, Any, None]]

FIRST = asyncio.FIRST_COMPLETED
WIDTH = 100
SHOWN = "/tmp/demo"  # noqa: S108 - what stands in the picture for the folder


class Picture(Console):
    """A console that shows paths as on any other machine."""

    def __init__(self, folder: str) -> None:
        super().__init__(
            record=True,
            width=WIDTH,
            file=io.StringIO(),
            force_terminal=True,
            force_interactive=True,
        )
        self._folder = folder

    def print(self, *texts: Any, **_: Any) -> None:
        """Print texts of a display."""
        for line in (line for text in texts for line in text.split("\n", allow_blank=True)):
            is_path = self._folder in line.plain
            shown = Text(line.plain.replace(self._folder, SHOWN)) if is_path else line
            super().print(shown, soft_wrap=True)


class Board:
    """A sink that draws the board of a feature once some of its tasks write, side by side.

    display: what draws it. wanted: the tasks. is_drawn: set then.
    """

    transitions = True

    def __init__(self, display: Display, wanted: Collection[str]) -> None:
        self.is_drawn = asyncio.Event()
        self._display, self._left = display, {*wanted}

    async def write(self, snapshot: Snapshot, /) -> None:
        """Draw the board when the last of the tasks has said that it writes."""
        if (snapshot.message or "").startswith("writing "):
            self._left.discard(snapshot.task_id)
        if not (self._left or self.is_drawn.is_set()):
            self._display.console.print(self._display.board())
            self._display.console = Console(file=io.StringIO())  # the end is no part of it
            self.is_drawn.set()


def make_display(null: int, folder: Path, command: str, *, labels: bool = False) -> Display:
    """Return a display that is recorded, below a command."""
    display = Display(null, labels=labels)
    display.console = Picture(str(folder))
    display.print(f"$ {command}", "")
    return display


async def build(folder: Path, display: Display) -> None:
    """Run the demo's build, and have its proof shown."""
    orchestrator = AutoBuildOrchestrator(folder, player=player(), test=TEST, sinks=[display])
    await display.say(*proof(await orchestrator.run(TASK_ID)))


async def build_feature(folder: Path, display: Display) -> None:
    """Run the demo's feature until both tasks of its second wave are at work."""
    board = Board(display, ("TASK-3", "TASK-4"))
    slow = player(slow=True, turns=TURNS)
    builder = AutoBuildOrchestrator(folder, player=slow, test=TEST, sinks=[display, board])
    orchestrator = FeatureOrchestrator(builder, max_parallel=MAX_PARALLEL)
    running = asyncio.create_task(orchestrator.run(FEATURE_ID))
    await asyncio.wait({running, asyncio.create_task(board.is_drawn.wait())}, return_when=FIRST)
    running.cancel()
    await asyncio.wait({running})


def capture(name: str, command: str, files: Mapping[str, str] | None, run: Run) -> None:
    """Write the picture of a command next to this file."""
    with tempfile.TemporaryDirectory() as temporary, Path(os.devnull).open("w") as null:
        folder = make_demo(Path(temporary).resolve() / "demo", files)
        display = make_display(null.fileno(), folder, command, labels=files is not None)
        console = display.console
        asyncio.run(run(folder, display))
        console.print()  # the last line is cut
    picture = console.export_svg(title=command, unique_id="guardkit")
    Path(__file__).with_name(name).write_text(picture)


if __name__ == "__main__":
    capture("demo.svg", "guardkit demo", None, build)
    capture("feature.svg", "guardkit demo --feature", demo_files(), build_feature)

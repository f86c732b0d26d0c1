"""Makes the README's pictures, docs/demo.svg and docs/feature.svg, from what `guardkit demo` runs.

Run: python docs/capture.py
"""

import asyncio
import io
import os
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from guardkit.cli.told import proof
from guardkit.orchestrator.autobuild import AutoBuildOrchestrator
from guardkit.orchestrator.demo import TASK_ID, TEST, make_demo, player
from guardkit.orchestrator.demo_feature import FEATURE_ID, MAX_PARALLEL, demo_files
from guardkit.orchestrator.feature import FeatureOrchestrator
from guardkit.places.display import Display
from guardkit.progress.snapshot import Snapshot

Run = Callable[[Path, Display], Coroutine[Any, Any, None]]

WIDTH = 100
STILL = 2  # the wave of which docs/feature.svg is a picture
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


class Still:
    """A sink that shows a display, and takes its board into the picture when two tasks run.

    That is once, in the second wave, and ends the picture.
    """

    transitions = True

    def __init__(self, display: Display) -> None:
        self._display = display
        self._running = set[str]()

    async def write(self, snapshot: Snapshot, /) -> None:
        """Show a snapshot, of the feature or of a task."""
        display = self._display
        await display.write(snapshot)
        if snapshot.wave == STILL and f"{snapshot.message}".startswith("writing "):
            self._running.add(snapshot.task_id)
        if len(self._running) == MAX_PARALLEL and display.console.record:
            display.console.print(display.board())
            display.console.record = False


async def build(folder: Path, display: Display) -> None:
    """Run the demo's build, and have its proof shown."""
    orchestrator = AutoBuildOrchestrator(folder, player=player(), test=TEST, sinks=[display])
    await display.say(*proof(await orchestrator.run(TASK_ID)))


async def build_feature(folder: Path, display: Display) -> None:
    """Run the feature of the demo until two of its tasks run."""
    builder = AutoBuildOrchestrator(folder, player=player(), test=TEST, sinks=[Still(display)])
    await FeatureOrchestrator(builder, max_parallel=MAX_PARALLEL).run(FEATURE_ID)


def draw(name: str, command: str, files: dict[str, str] | None, run: Run) -> None:
    """Write a picture next to this file.

    files: of the repository, by their paths, None for those of a single task.
    """
    with tempfile.TemporaryDirectory() as temporary, Path(os.devnull).open("w") as null:
        folder = make_demo(Path(temporary).resolve() / "demo", files)
        display = Display(null.fileno(), labels=files is not None)
        display.console = console = Picture(str(folder))
        display.print(f"$ {command}", "")
        asyncio.run(run(folder, display))
        console.record = True
    picture = console.export_svg(title=command, unique_id="guardkit")
    Path(__file__).with_name(name).write_text(picture)


if __name__ == "__main__":
    draw("demo.svg", "guardkit demo", None, build)
    draw("feature.svg", "guardkit demo --feature", demo_files(), build_feature)

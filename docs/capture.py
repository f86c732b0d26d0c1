"""Makes the README's picture, docs/demo.svg, from a build as `guardkit demo` runs it.

Run: python docs/capture.py
"""

import asyncio
import io
import os
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from guardkit.cli.told import proof
from guardkit.orchestrator.autobuild import AutoBuildOrchestrator
from guardkit.orchestrator.demo import TASK_ID, TEST, make_demo, player
from guardkit.places.display import Display

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


async def build(folder: Path, display: Display) -> None:
    """Run the demo's build, and have its proof shown."""
    orchestrator = AutoBuildOrchestrator(folder, player=player(), test=TEST, sinks=[display])
    await display.say(*proof(await orchestrator.run(TASK_ID)))


def main() -> None:
    """Write the picture next to this file."""
    with tempfile.TemporaryDirectory() as temporary, Path(os.devnull).open("w") as null:
        folder = make_demo(Path(temporary).resolve() / "demo")
        display = Display(null.fileno())
        display.console = console = Picture(str(folder))
        display.print("$ guardkit demo", "")
        asyncio.run(build(folder, display))
    picture = console.export_svg(title="guardkit demo", unique_id="guardkit")
    Path(__file__).with_name("demo.svg").write_text(picture)


if __name__ == "__main__":
    main()

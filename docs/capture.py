"""Makes the README's picture, docs/demo.svg, from what `guardkit demo` prints.

Run: python docs/capture.py
"""

import io
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from guardkit.monitor.watch import TextDisplay

WIDTH = 110


def demo(root: Path) -> list[str]:
    """Run the demo in `root` and return its lines, in which `root` reads /tmp/demo."""
    command = (sys.executable, "-m", "guardkit.cli", "demo", "--root", str(root))
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    return ended.stdout.replace(str(root), "/tmp/demo").splitlines()  # noqa: S108


def main() -> None:
    """Write the picture next to this file."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    with tempfile.TemporaryDirectory() as folder:
        lines = demo(Path(folder).resolve() / "demo")
    TextDisplay(console).print("$ guardkit demo", *lines)
    picture = console.export_svg(title="guardkit demo", unique_id="guardkit")
    Path(__file__).with_name("demo.svg").write_text(picture)


if __name__ == "__main__":
    main()

"""Makes the README's picture, docs/demo.svg, from what `guardkit demo` prints.

Run: python docs/capture.py
"""

import io
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from guardkit.places.display import Display

WIDTH = 110


def demo(root: Path) -> list[str]:
    """Run the demo in `root` and return its lines, with the paths as on any other machine."""
    command = (sys.executable, "-m", "guardkit.cli.main", "demo", "--root", str(root))
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    scripts = f"{Path(sys.executable).parent}/"
    return ended.stdout.replace(str(root), "/tmp/demo").replace(scripts, "").splitlines()  # noqa: S108


def main() -> None:
    """Write the picture next to this file."""
    display = Display(1)
    display.console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    with tempfile.TemporaryDirectory() as folder:
        lines = demo(Path(folder).resolve() / "demo")
    display.print("$ guardkit demo", *lines)
    picture = display.console.export_svg(title="guardkit demo", unique_id="guardkit")
    Path(__file__).with_name("demo.svg").write_text(picture)


if __name__ == "__main__":
    main()

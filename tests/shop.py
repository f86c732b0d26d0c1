"""A repository of a shop, whose tax is yet to be added, and builds in it."""

import json
import sys
from pathlib import Path
from shlex import quote
from typing import Any

import anyio

from guardkit.orchestrator.autobuild import AutoBuildOrchestrator
from guardkit.orchestrator.loop import BuildResult

from .repositories import git

PYTEST = f"{quote(sys.executable)} -B -m pytest -q -p no:cacheprovider --junitxml={{junit}}"
PRICES = "def with_tax(cents):\n    return cents\n"
RIGHT = "printf 'def with_tax(cents):\\n    return cents * 2\\n' > src/shop/prices.py"
TESTS = """\
import shop.prices

def test_tax_is_added():
    assert shop.prices.with_tax(100) == 200

def test_nothing_costs_nothing():
    assert shop.prices.with_tax(0) == 0
"""


def make_shop(folder: Path) -> Path:
    """Make a repository with a package in `src`, one test of which fails."""
    files = {
        "tasks/T1.md": "---\nid: T1\ntitle: Add tax\n---\n",
        "src/shop/__init__.py": "",
        "src/shop/prices.py": PRICES,
        "tests/test_prices.py": TESTS,
        "pyproject.toml": "[project]\nname = 'shop'\nversion = '1'\n",
        ".gitignore": "*.log\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "Begin")
    return folder


async def build_shop(root: Path, player: str, test: str = PYTEST, **options: Any) -> BuildResult:
    """Build the task, in one turn."""
    options.setdefault("max_turns", 1)
    with anyio.fail_after(60):
        return await AutoBuildOrchestrator(root, player=player, test=test, **options).run("T1")


def evidence(root: Path) -> dict[str, Any]:
    """Return what the Coach has found out in turn 1."""
    path = root / ".guardkit/autobuild/T1/coach_turn_1.json"
    found: dict[str, Any] = json.loads(path.read_text())["validation_results"]
    return found

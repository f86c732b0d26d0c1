"""A small real repository with one task, and a scripted Player: what `guardkit demo` runs on."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from textwrap import dedent

from guardkit.errors import MisuseError, WorkspaceError
from guardkit.orchestrator.processes.environment import environment

TASK_ID = "TASK-DEMO-001"
# -B: the Player rewrites a module within a second, which a cached .pyc might not notice.
# Plugins that happen to be installed are left out: they take longer to load than the tests to run.
_PYTEST = f"PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 {quote(sys.executable)} -B -m pytest"
TEST = f"{_PYTEST} -q --no-summary --junitxml={{junit}}"
QUICK, SLOW = 0.4, 12.0  # seconds: a third of all the pauses that the Player makes
_NAME = "-c user.name=guardkit -c user.email=demo@guardkit.invalid -c commit.gpgsign=false"
_GIT = ("init -q -b main", "add .", f"{_NAME} -c core.hooksPath=/dev/null commit -q -m Begin")
_FILES = {
    f"tasks/backlog/{TASK_ID}-add-tax.md": f"""\
        ---
        id: {TASK_ID}
        title: Add tax to a price
        ---
        `with_tax(cents, percent)` returns whole cents; half a cent rounds up.
        """,
    "prices.py": "# prices in whole cents\n",
    "test_prices.py": """\
        import prices

        def test_nothing_is_added_without_a_tax():
            assert prices.with_tax(1250, 0) == 1250

        def test_tax_is_added():
            assert prices.with_tax(1000, 19) == 1190

        def test_half_a_cent_rounds_up():
            assert prices.with_tax(50, 5) == 53
        """,
    "player.sh": """\
        say() { echo "$1"; sleep "$PAUSE"; }
        if [ ! -s "$GUARDKIT_FEEDBACK_FILE" ]; then
            say "reading the task"
            say "writing with_tax, with the built-in round()"
            cents="round(cents * (100 + percent) / 100)"
        else
            say "reading what the Coach wrote"
            say "round() makes 52 of 52.5: rounding half up instead"
            cents="(cents * (100 + percent) + 50) // 100"
        fi
        echo "from tax import with_tax" > prices.py
        printf 'def with_tax(cents, percent):\\n    return %s\\n' "$cents" > tax.py
        say "with_tax is written"
        """,
}


def make_demo(root: Path | None = None, files: Mapping[str, str] | None = None) -> Path:
    """Make the repository in `root`, new or empty, or in a new temporary folder; return where.

    files: the text of each, by its path; None: those of a single task.
    Raises MisuseError where `root` holds something, and WorkspaceError without git or pytest.
    """
    if find_spec("pytest") is None:
        raise WorkspaceError(f"the demo needs pytest: {sys.executable} -m pip install pytest")
    return make_repository({name: dedent(text) for name, text in (files or _FILES).items()}, root)


def make_repository(files: Mapping[str, str], root: Path | None = None) -> Path:
    """Make a repository of one commit; return where.

    files: their texts, by path.
    root: its folder, new or empty; None: a new temporary one.
    Raises MisuseError where `root` holds something, and WorkspaceError without git.
    """
    if not shutil.which("git"):
        raise WorkspaceError("git is not found: install it")
    try:
        folder = root or Path(tempfile.mkdtemp(prefix="guardkit-demo-"))
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise MisuseError(f"{folder} is not empty: give a new folder")
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        for words in _GIT:
            command = ("git", *words.split())
            subprocess.run(command, cwd=folder, env=environment({}), check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise WorkspaceError(f"cannot make a repository: {error}") from error
    return folder.resolve()


def player(*, slow: bool = False, turns: int = 2) -> str:
    """Return the command of the scripted Player, which pauses three times a turn.

    turns: how many there are one after the other, among which all its pauses are shared.
    """
    return f"PAUSE={(SLOW if slow else QUICK) / turns:g} sh player.sh"

"""A small real repository with one task, and a scripted Player: what `guardkit demo` runs on."""

import shlex
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent

from guardkit.errors import MisuseError, WorkspaceError
from guardkit.orchestrator.agents import environment

TASK_ID = "TASK-DEMO-001"
_PYTHON = shlex.quote(sys.executable)
# -B: the Player rewrites a module within a second, which a cached .pyc might not notice.
TEST = f"{_PYTHON} -B -m pytest -q --no-summary -p no:cacheprovider --junitxml={{junit}}"
_GIT = (
    *("git", "-c", "user.name=guardkit", "-c", "user.email=demo@guardkit.invalid"),
    *("-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null"),
)
_FILES = {
    ".gitignore": "__pycache__/\n",
    f"tasks/backlog/{TASK_ID}-add-tax.md": f"""\
        ---
        id: {TASK_ID}
        title: Add tax to a price
        ---
        `with_tax(cents, percent)` returns whole cents; half a cent rounds up.
        """,
    "prices.py": """\
        def parse(text):
            euros, _, cents = text.partition(".")
            return int(euros) * 100 + int(cents or 0)
        """,
    "test_prices.py": """\
        import prices


        def test_a_price_is_parsed():
            assert prices.parse("12.50") == 1250


        def test_tax_is_added():
            assert prices.with_tax(1000, 19) == 1190


        def test_half_a_cent_rounds_up():
            assert prices.with_tax(50, 5) == 53
        """,
    "player.py": """\
        import os, sys, time
        from pathlib import Path

        def say(line):
            print(line, flush=True)
            time.sleep(float(sys.argv[1]))

        feedback = Path(os.environ["GUARDKIT_FEEDBACK_FILE"]).read_text()
        if not feedback:
            say("reading the task")
            say("writing with_tax, with the built-in round()")
            with Path("prices.py").open("a") as module:
                module.write("\\n\\nfrom tax import with_tax\\n")
            cents = "round(cents * (100 + percent) / 100)"
        elif "test_half_a_cent_rounds_up" in feedback:
            say("reading what the Coach wrote")
            say("round() makes 52 of 52.5: rounding half up instead")
            cents = "(cents * (100 + percent) + 50) // 100"
        else:
            sys.exit("nothing in the feedback that I know how to mend")
        Path("tax.py").write_text(f"def with_tax(cents, percent):\\n    return {cents}\\n")
        say("with_tax is written")
        """,
}


def make_demo(root: Path | None = None) -> Path:
    """Make the repository in `root`, new or empty, or in a new temporary folder; return where.

    Raises MisuseError where `root` holds something, and WorkspaceError without git or pytest.
    """
    if find_spec("pytest") is None:
        raise WorkspaceError(f"the demo needs pytest: {sys.executable} -m pip install pytest")
    try:
        folder = root or Path(tempfile.mkdtemp(prefix="guardkit-demo-"))
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise MisuseError(f"{folder} is not empty: give the demo a new folder")
        for name, text in _FILES.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(dedent(text))
        for words in ("init -q -b main", "add .", "commit -q -m Prices"):
            command = (*_GIT, *words.split())
            subprocess.run(command, cwd=folder, env=environment({}), check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise WorkspaceError(f"cannot make the demo: {error}") from error
    return folder.resolve()


def player(*, slow: bool = False) -> str:
    """Return the command of the scripted Player, which pauses three times a turn."""
    return f"{_PYTHON} player.py {6 if slow else 0.2}"

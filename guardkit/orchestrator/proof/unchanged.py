"""Whether the tests can be started without what the Player has changed.

Where they leave no report, the user's command may be wrong, or the Player has broken what they
need, such as pytest's conftest.py: who is to mend it is told by a run on what the worktree was.
"""

import dataclasses
from pathlib import Path
from shlex import quote
from tempfile import TemporaryDirectory

import anyio
from msgspec.structs import replace

from guardkit.orchestrator.findings import NO_REPORT, Findings
from guardkit.orchestrator.processes.commands import BY_SHELL, Seat, run_command
from guardkit.orchestrator.proof.imported import search_path
from guardkit.orchestrator.proof.runners import JUNIT
from guardkit.orchestrator.proof.weaker import find_settings
from guardkit.orchestrator.repository.git import LIMIT_CHECKOUT
from guardkit.orchestrator.repository.workspace import Worktree


def is_in_doubt(found: Findings) -> bool:
    """Return whether tests that have left no report may not have been started at all."""
    tests = found.tests
    has_exited = tests is not None and tests.exit_code is not None and tests.exit_code >= 0
    return has_exited and found.trouble == NO_REPORT and bool(found.changes)


async def can_start(tree: Worktree, test: str, found: Findings, scratch: Path, seat: Seat) -> bool:
    """Return whether it is the Player's changes for which the tests have left no report.

    scratch: a folder of our own. seat: in which they run.
    Raises GitError.
    """
    with TemporaryDirectory(dir=scratch) as folder:
        top, report = Path(folder, "tree"), Path(folder, "report.xml")
        await anyio.Path(top).mkdir()
        git = replace(tree.git, index=Path(folder, "index"))
        await git.run("read-tree", tree.baseline)
        await git.run("checkout-index", "-a", f"--prefix={top}/", limit=LIMIT_CHECKOUT)
        seat = dataclasses.replace(seat, cwd=top, env={**seat.env, **search_path(top)})
        ended = await run_command(test.replace(JUNIT, quote(str(report))), seat)
        if ended.exit_code is None or await anyio.Path(report).exists():
            return True
    code = found.tests and found.tests.exit_code
    # One that is reached from the worktree alone tells nothing: then it is told by what changed.
    is_elsewhere = ended.exit_code in BY_SHELL and code not in BY_SHELL
    return is_elsewhere and bool(find_settings(found.changes))

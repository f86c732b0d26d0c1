"""What to do when a build has ended: the commands to type next."""

from pathlib import Path
from shlex import quote

from guardkit.monitor.look import Look
from guardkit.places.plain import clean
from guardkit.progress.paths import HOME, WORKTREES

NEEDS_A_LOOK = frozenset({"failed", "cancelled", "crashed", "lost"})


def next_steps(look: Look, here: str = ".") -> list[str]:
    """Return the lines with the next commands, in the words of the builder; none: none is known.

    The journal says what has gone wrong; what was built waits in a worktree for its merge.

    here: the working folder. The builds of a server have no command that is known here, nor has a
        task that is merged with its feature.
    """
    task_id, where = clean(look.task_id), look.where
    if not Path(where).is_absolute():
        return []
    is_here = Path(where).resolve() == Path(here).resolve()
    if look.verdict.state in NEEDS_A_LOOK:
        root = "" if is_here else f" --root {quote(where)}"
        return [f"Next: guardkit log {task_id} --last{root}"]
    is_part = look.snapshot is not None and look.snapshot.tracker.parent_run is not None
    if (
        look.verdict.state == "completed"
        and not is_part
        and Path(where, HOME, WORKTREES, task_id).is_dir()
    ):
        git = "git" if is_here else f"git -C {quote(where)}"
        branch = f"autobuild/{task_id}"
        return [f"Review: {git} diff HEAD...{branch}", f"Merge: {git} merge {branch}"]
    return []

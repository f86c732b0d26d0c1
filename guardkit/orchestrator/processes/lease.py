"""What the agents of a task hold as long as any of them lives, also when their builder is dead.

It is a byte in the lock file of the root, as that of a builder. Where there are no such locks,
nothing is held, and nobody waits.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from anyio import to_thread

from guardkit.clock import Clock
from guardkit.errors import WorkspaceError
from guardkit.progress import ofd
from guardkit.progress.folder import open_builds
from guardkit.progress.lock import is_taken, place_of
from guardkit.progress.paths import LOCK

NAME = "its agents"  # in the place of a run, whose id has no space
POLL = 0.1  # seconds between two looks
PATIENCE = 10.0  # seconds in which all is gone that can be ended


@contextmanager
def hold(root: Path, task_id: str) -> Generator[int | None]:
    """Hold the lease of a task; yield the descriptor that agents are to hold, None without locks.

    Whoever has it open holds it.
    """
    fd = None
    with suppress(OSError), open_builds(root) as builds:
        fd = builds.file(LOCK, os.O_RDWR)
        ofd.lock(fd, place_of(task_id, NAME))
    try:
        yield fd
    finally:
        if fd is not None:
            os.close(fd)


async def wait_for_agents(root: Path, task_id: str, clock: Clock) -> None:
    """Wait for the agents of a builder that was killed; raise WorkspaceError if they do not end.

    For those of a living one nobody waits: `track_build` refuses the task.
    """
    limit = clock.monotonic() + PATIENCE
    while await to_thread.run_sync(_is_held, root, task_id):
        if clock.monotonic() > limit:
            what = f"agents of an earlier build of {task_id} are still at work"
            raise WorkspaceError(f"{what}: end what `pgrep -f watcher.py` shows, and try again")
        await clock.sleep(POLL)


def _is_held(root: Path, task_id: str) -> bool:
    with suppress(OSError), open_builds(root) as builds:
        fd = builds.file(LOCK)
        try:
            is_held = ofd.is_locked(fd, place_of(task_id, NAME))
            return is_held and not is_taken(builds, task_id)
        finally:
            os.close(fd)
    return False

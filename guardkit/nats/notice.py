"""Which builds below a root have something to deliver."""

import stat
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import suppress
from datetime import datetime

from guardkit.clock import SYSTEM_CLOCK
from guardkit.monitor.changes import Changes
from guardkit.progress.folder import Folder, open_builds
from guardkit.progress.lock import Hold, look
from guardkit.progress.paths import JOURNAL, PROGRESS, TASK_ID, builds_dir

FILES = (JOURNAL, PROGRESS)

Stamp = tuple[int, int, int]


async def changes(root: str, since: datetime | None) -> AsyncGenerator[set[str]]:
    """Yield the tasks whose files have changed, at first all those built after `since`."""
    stamps: dict[str, list[Stamp]] = {}
    async with Changes(builds_dir(root), SYSTEM_CLOCK) as changed:
        names: set[str] | None = None
        while True:
            found = await changed.call(_look, root, since, names, changed.watch)
            yield {task_id for task_id, stamp in found.items() if stamps.get(task_id) != stamp}
            stamps = found if names is None else stamps | found
            names = await changed.next()


def find_left(root: str, since: datetime | None) -> set[str]:
    """Return the tasks that were built after `since` and that nobody builds now."""
    with suppress(OSError), open_builds(root) as builds:
        tasks = [each for each in _find_built(builds, since) if _stamps(builds, each)]
        holds = look(builds, [(task_id, "", "", None) for task_id in tasks])
        return {each for each, hold in zip(tasks, holds, strict=True) if hold is not Hold.TAKEN}
    return set()


def _look(
    root: str,
    since: datetime | None,
    names: Iterable[str] | None,
    watch: Callable[[str], object],
) -> dict[str, list[Stamp]]:
    """Return what tells whether the files of builds are others than before, by task.

    names: of the folders where that may be; None: of all builds after `since`.
    watch: is told which folders to watch, before they are looked at, so that nothing is missed.
    """
    watch("")
    with suppress(OSError), open_builds(root) as builds:
        tasks = _find_built(builds, since) if names is None else [*filter(TASK_ID.fullmatch, names)]
        for task_id in tasks:
            watch(task_id)
        stamps = ((task_id, _stamps(builds, task_id)) for task_id in tasks)
        return {task_id: stamp for task_id, stamp in stamps if stamp}
    return {}


def _find_built(builds: Folder, since: datetime | None) -> list[str]:
    """Return the names of the folders of builds in which a file was replaced after `since`."""
    after = since.timestamp() if since else 0.0
    found: list[str] = []
    for name in filter(TASK_ID.fullmatch, builds.names()):
        with suppress(OSError):
            status = builds.status(name)
            if stat.S_ISDIR(status.st_mode) and status.st_mtime >= after:
                found.append(name)
    return found


def _stamps(builds: Folder, task_id: str) -> list[Stamp]:
    """Return what tells a build's files from those of before; empty where there are none."""
    stamps: list[Stamp] = []
    with suppress(OSError), builds.folder(task_id) as folder:
        for name in FILES:
            with suppress(OSError):
                status = folder.status(name)
                stamps.append((status.st_mtime_ns, status.st_size, status.st_ino))
    return stamps

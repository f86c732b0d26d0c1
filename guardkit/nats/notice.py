"""Which builds below a root have something to deliver."""

import os
from collections.abc import AsyncGenerator, Iterable
from contextlib import suppress
from datetime import datetime

from guardkit.clock import SYSTEM_CLOCK
from guardkit.monitor.changes import Changes
from guardkit.progress.lock import is_held
from guardkit.progress.paths import TASK_ID, builds_dir
from guardkit.progress.worker import Writer

FILES = ("events.jsonl", "progress.json")

Stamp = tuple[int, int, int]


async def changes(root: str, since: datetime | None, files: Writer) -> AsyncGenerator[set[str]]:
    """Yield the tasks whose files have changed, at first all those built after `since`."""
    builds = os.fspath(builds_dir(root))
    stamps: dict[str, Stamp] = {}
    async with Changes([builds], SYSTEM_CLOCK) as changed:
        folders = {builds}
        while True:
            if builds in folders:
                folders |= await files.submit(_list_folders, builds, since)
                for folder in folders:  # first: what is written from here on is told of again
                    changed.add(folder)
            found = await files.submit(_look, folders)
            yield {_task(path) for path, stamp in found.items() if stamps.get(path) != stamp}
            stamps = found if builds in folders else stamps | found
            folders = await changed.next()


def find_left(root: str, since: datetime | None) -> set[str]:
    """Return the tasks that were built after `since` and that nobody builds now."""
    folders = _list_folders(os.fspath(builds_dir(root)), since)
    tasks = {_task(path) for path in _look(folders)}
    return {task_id for task_id in tasks if not is_held(root, task_id)}


def _task(path: str) -> str:
    return os.path.basename(os.path.dirname(path))


def _list_folders(builds: str, since: datetime | None) -> set[str]:
    """Return the folders of builds in which a file was replaced after `since`."""
    after = since.timestamp() if since else 0.0
    folders: set[str] = set()
    with suppress(OSError), os.scandir(builds) as entries:
        for entry in entries:
            with suppress(OSError):
                if TASK_ID.fullmatch(entry.name) and entry.stat().st_mtime >= after:
                    folders.add(entry.path)
    return folders


def _look(folders: Iterable[str]) -> dict[str, Stamp]:
    """Return what tells whether a file is another one than before, for those of builds."""
    stamps: dict[str, Stamp] = {}
    for path in (os.path.join(folder, name) for folder in folders for name in FILES):
        with suppress(OSError):
            status = os.stat(path)
            stamps[path] = status.st_mtime_ns, status.st_size, status.st_ino
    return stamps

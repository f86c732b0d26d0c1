"""Which builds below a root have something to deliver."""

import asyncio
import os
from collections.abc import AsyncGenerator, Iterable
from contextlib import suppress
from datetime import datetime

from guardkit.progress.ownership import is_held
from guardkit.progress.paths import TASK_ID, builds_dir
from guardkit.progress.writer import Writer

LOOK_EVERY = 0.05  # seconds between two looks at what has changed
FILES = ("events.jsonl", "progress.json")

Stamp = tuple[int, int, int]


async def changes(root: str, since: datetime | None, files: Writer) -> AsyncGenerator[set[str]]:
    """Yield the tasks whose files have changed, at first all those written after `since`."""
    before: dict[str, Stamp] = {}
    while True:
        stamps = await files.submit(_look, root, since)
        changed = {path for path, stamp in stamps.items() if before.get(path) != stamp}
        before = stamps
        yield _tasks(changed)
        await asyncio.sleep(LOOK_EVERY)


def find_left(root: str, since: datetime | None) -> set[str]:
    """Return the tasks that were built after `since` and that nobody builds now."""
    return {each for each in _tasks(_look(root, since)) if not is_held(root, each)}


def _tasks(paths: Iterable[str]) -> set[str]:
    return {os.path.basename(os.path.dirname(path)) for path in paths}


def _look(root: str, since: datetime | None) -> dict[str, Stamp]:
    """Return what tells whether a file is another one than before, for each of all builds."""
    after = since.timestamp() if since else 0.0
    stamps: dict[str, Stamp] = {}
    with suppress(OSError):
        for name in filter(TASK_ID.fullmatch, os.listdir(builds_dir(root))):
            for path in (os.path.join(builds_dir(root), name, file) for file in FILES):
                with suppress(OSError):
                    status = os.stat(path)
                    if status.st_mtime >= after:
                        stamps[path] = status.st_mtime_ns, status.st_size, status.st_ino
    return stamps

"""What the files of one build tell, read in a thread: a disk that hangs holds up nobody else."""

import asyncio
import os
from contextlib import suppress

from guardkit.errors import GuardKitError
from guardkit.progress.journal import Event, Spot, read_all, read_on
from guardkit.progress.paths import build_dir
from guardkit.progress.reader import read_progress
from guardkit.progress.snapshot import Snapshot
from guardkit.progress.worker import Writer

DISK_LATE = 1.0  # seconds after which news of the journal are not waited for


class Source:
    """The progress file and the journal of a task below `root`; `files` is the thread."""

    def __init__(self, root: str | os.PathLike[str], task_id: str, files: Writer) -> None:
        self._root = root
        self._task_id = task_id
        self._journal = build_dir(root, task_id) / "events.jsonl"
        self._files = files
        self._spot = Spot()

    async def newest(self) -> Snapshot | None:
        """Return what the file says, None where it cannot be read; raises OSError."""
        snapshot: Snapshot | None = await self._files.submit(self._read_file)
        return snapshot

    async def all_events(self) -> list[Event]:
        """Return all that the journal tells; raises OSError."""
        events: list[Event]
        events, self._spot = await self._files.submit(read_all, self._journal)
        return events

    async def new_events(self) -> list[Event]:
        """Return what the journal has told since; nothing if the disk hangs. Raises OSError."""
        events: list[Event] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(DISK_LATE):
                read = self._files.submit(read_on, self._journal, self._spot)
                events, self._spot = await read
        return events

    def _read_file(self) -> Snapshot | None:
        with suppress(GuardKitError):
            return read_progress(self._task_id, root=self._root)
        return None

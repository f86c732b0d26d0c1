"""What the files of one build tell, read in a thread: a disk that hangs holds up nobody else."""

import asyncio
import os
from contextlib import suppress

from guardkit.errors import GuardKitError
from guardkit.progress.folder import open_builds
from guardkit.progress.journal import Spot, read_all, read_on
from guardkit.progress.reader import read_progress
from guardkit.progress.snapshot import Event, Snapshot
from guardkit.progress.worker import Worker

DISK_LATE = 1.0  # seconds after which news of the journal are not waited for


class Source:
    """The progress file and the journal of a task below `root`; `files` is the thread."""

    def __init__(self, root: str | os.PathLike[str], task_id: str, files: Worker) -> None:
        self._root = root
        self._task_id = task_id
        self._files = files
        self._spot = Spot()

    async def newest(self) -> Snapshot | None:
        """Return what the file says, None where it cannot be read; raises OSError."""
        snapshot: Snapshot | None = await self._files.submit(self._read_file)
        return snapshot

    async def all_events(self) -> list[Event]:
        """Return all that the journal tells; raises OSError."""
        events: list[Event]
        events, self._spot = await self._files.submit(self._read_journal, None)
        return events

    async def new_events(self) -> list[Event]:
        """Return what the journal has told since; nothing if the disk hangs. Raises OSError."""
        events: list[Event] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(DISK_LATE):
                events, self._spot = await self._files.submit(self._read_journal, self._spot)
        return events

    def _read_file(self) -> Snapshot | None:
        with suppress(GuardKitError):
            return read_progress(self._task_id, root=self._root)
        return None

    def _read_journal(self, spot: Spot | None) -> tuple[list[Event], Spot]:
        """Return the events past a spot, or all; none where no journal can be read."""
        with (
            suppress(OSError),
            open_builds(self._root) as builds,
            builds.folder(self._task_id) as folder,
        ):
            return read_on(folder, spot) if spot else read_all(folder)
        return [], spot or Spot()

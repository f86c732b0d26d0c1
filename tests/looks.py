"""Builds as a builder leaves them on disk, and what a watch tells of them."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from guardkit import InvalidProgressError, Snapshot
from guardkit.monitor.builds import Builds
from guardkit.monitor.evidence import Examiner
from guardkit.monitor.look import Look, Source
from guardkit.progress.folder import open_builds
from guardkit.progress.lock import Locks, boot_id
from guardkit.progress.snapshot import Tracker, decode, encode, make_event
from guardkit.testing import FakeClock

START = datetime(2025, 1, 31, 12, 34, 56, tzinfo=UTC)
TRACKER = Tracker(run_id="r", host="box", pid=7, heartbeat_seconds=5.0, activity_at=START)


def document(task_id: str = "TASK-1", **changes: Any) -> Snapshot:
    values: dict[str, Any] = {
        "build_id": task_id,
        "task_id": task_id,
        "turn_max": 5,
        "started_at": START,
        "updated_at": START,
        "tracker": TRACKER,
    }
    return Snapshot(**(values | changes))


class Writer:
    """Writes documents and journals as a builder does, and no heartbeats."""

    def __init__(self, root: Path, clock: FakeClock) -> None:
        self.folder = root / ".guardkit/autobuild"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._clock = clock
        self._locks = Locks()
        self._number = 0

    def hold(self, task_id: str = "TASK-1", run_id: str = "r") -> None:
        """Hold a task as a living builder does."""
        with open_builds(self.folder.parents[1]) as folder:
            self._locks.take(folder, task_id, run_id)

    def let_go(self, task_id: str = "TASK-1", run_id: str = "r") -> None:
        self._locks.give_back(task_id, run_id)

    def own(self, seen: Snapshot) -> Snapshot:
        """Return a document as a builder on this machine makes it now."""
        beat, lock = self._clock.monotonic(), self._locks.identity
        tracker = replace(seen.tracker, boot_id=boot_id(), beat=beat, lock=lock)
        return replace(seen, tracker=tracker)

    def put(self, seen: Snapshot) -> Snapshot:
        """Write a document as it is."""
        self.put_bytes(seen.task_id, encode(seen))
        return seen

    def put_bytes(self, task_id: str, content: bytes) -> None:
        self._number += 1
        path = self.folder / task_id / "progress.json"
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_name(f".progress.{self._number}.tmp")
        temporary.write_bytes(content)
        os.replace(temporary, path)

    def append(self, name: str, seen: Snapshot) -> None:
        """Write a line of the journal."""
        with (self.folder / seen.task_id / "events.jsonl").open("ab") as journal:
            journal.write(msgspec.json.encode(make_event(name, START, seen)) + b"\n")


def feature(**changes: Any) -> Snapshot:
    tracker = replace(TRACKER, run_id="f", heartbeat_seconds=0.0)
    return document("FEAT-1", build_type="feature", tracker=tracker, **changes)


def task(task_id: str, idle: float, *, run: str | None = "f", **changes: Any) -> Snapshot:
    """Return the document of a feature's task that has done nothing for a time."""
    at = START - timedelta(seconds=idle)
    tracker = replace(
        TRACKER, run_id=task_id, activity_at=at, heartbeat_seconds=0.0, parent_run=run
    )
    return document(task_id, build_id="FEAT-1", build_type="feature", tracker=tracker, **changes)


def told(looks: Iterable[Look]) -> list[tuple[str, str]]:
    return [(look.task_id, look.verdict.state) for look in looks]


class Watching:
    """The looks that a watch has yielded."""

    def __init__(self) -> None:
        self.looks: list[Look] = []

    def take(self) -> list[Look]:
        looks, self.looks = self.looks, []
        return looks

    def told(self) -> list[tuple[str, str]]:
        return told(self.take())


@asynccontextmanager
async def watching(
    builds: Source, clock: FakeClock, *ids: str, past: bool = False
) -> AsyncIterator[Watching]:
    """Watch builds in a task; the first looks are there when this is entered."""
    watched = Watching()

    async def watch() -> None:
        watch = builds.watch(ids, past=True) if past else builds.watch(ids)
        async with aclosing(watch) as looks:
            async for look in looks:
                watched.looks.append(look)

    task = asyncio.create_task(watch())
    try:
        await clock.advance(0.0)
        yield watched
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled() or task.result() is None


class Decoding(Builds):
    """Builds whose documents are decoded by a function of the test's."""

    def __init__(self, root: Path, clock: FakeClock, decode: Callable[[bytes], Snapshot]) -> None:
        super().__init__(root, clock=clock)
        self._decode = decode

    def examiner(self, heard: Callable[[str], float] | None = None) -> Examiner:
        examiner = super().examiner(heard)
        examiner.decode = self._decode
        return examiner


class Counting(Decoding):
    """Builds that count the documents that are decoded, of which the first may be torn."""

    def __init__(self, root: Path, clock: FakeClock, *, torn: int = 0) -> None:
        super().__init__(root, clock, self._count)
        self.decoded = 0
        self._torn = torn

    def _count(self, document: bytes) -> Snapshot:
        self.decoded += 1
        if self.decoded <= self._torn:
            raise InvalidProgressError("torn")
        return decode(document)

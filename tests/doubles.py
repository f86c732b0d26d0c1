"""Sinks and disks that behave as tests need them to."""

import asyncio
import threading
from pathlib import Path
from types import CoroutineType

import guardkit
from guardkit import Snapshot
from guardkit.progress.disk import Disk
from guardkit.testing import FakeClock


def tasks_of_ours() -> list[asyncio.Task[object]]:
    """Return the tasks that run code of the package."""
    package = str(Path(guardkit.__file__).parent)

    def is_ours(task: asyncio.Task[object]) -> bool:
        coroutine = task.get_coro()
        return isinstance(coroutine, CoroutineType) and coroutine.cr_code.co_filename.startswith(
            package
        )

    return [task for task in asyncio.all_tasks() if is_ours(task)]


class TimedSink:
    """A sink that keeps when it was given what."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.writes: list[tuple[float, Snapshot]] = []

    async def write(self, snapshot: Snapshot, /) -> None:
        self.writes.append((round(self.clock.monotonic(), 6), snapshot))

    @property
    def times(self) -> list[float]:
        return [time for time, _ in self.writes]


class HangingSink:
    """A sink that never comes back from its first write; it may refuse to be cancelled."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.stubborn = stubborn
        self.entered = 0
        self.free = asyncio.Event()

    async def write(self, snapshot: Snapshot, /) -> None:
        self.entered += 1
        while not self.free.is_set():
            try:
                await self.free.wait()
            except asyncio.CancelledError:
                if not self.stubborn:
                    raise


class HungDisk:
    """A disk that hangs, as a dead mount does: the thread that writes below a root is kept busy."""

    def __init__(self, root: Path, clock: FakeClock) -> None:
        self.root = root
        self.clock = clock
        self.back = threading.Event()
        self.hanging: list[asyncio.Future[bool]] = []
        self.joined: list[Disk] = []

    def hang(self) -> None:
        """Let nothing more be written; also before there is a build, until one has joined."""
        self.clock._hung_after = 0.05
        self.joined.append(Disk.join(str(self.root), self.clock))
        self.hanging.append(self.joined[-1]._worker.submit(self.back.wait))

    async def let_go(self) -> None:
        """Leave the disk to the builds, whose end is then its end."""
        while self.joined:
            await self.joined.pop().leave()

    def come_back(self) -> None:
        self.clock._hung_after = 5.0
        self.back.set()

    async def close(self) -> None:
        self.back.set()
        await asyncio.gather(*self.hanging)
        await self.let_go()


def remove(path: Path) -> None:
    """Remove a tree that somebody may be writing to."""
    for entry in sorted(path.rglob("*"), reverse=True):
        entry.rmdir() if entry.is_dir() else entry.unlink()
    path.rmdir()

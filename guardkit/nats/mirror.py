"""Builds on NATS as files: whatever looks at files can look at builds on other machines.

There is no lock file among them, so that nobody takes what is missing for proof of anything.
"""

import asyncio
import logging
import os
import threading
from collections.abc import Collection, Coroutine, Generator
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from itertools import islice
from math import inf
from pathlib import Path
from shutil import rmtree
from signal import SIG_DFL, SIGHUP, SIGTERM, getsignal, signal
from tempfile import gettempdir, mkdtemp
from typing import Any

from guardkit.nats.messages import News
from guardkit.nats.order import is_newer
from guardkit.nats.settings import Settings
from guardkit.nats.subscriber import Subscription
from guardkit.progress.folder import open_builds
from guardkit.progress.journal import append
from guardkit.progress.paths import PROGRESS
from guardkit.progress.snapshot import Event, Snapshot, encode, make_event

log = logging.getLogger("guardkit.monitor")

MEMORY = "/dev/shm"  # noqa: S108 - what is made there is of a name that nobody can guess
PREFIX = "guardkit-mirror-"
LEAVING = 1.0  # seconds in which the connection has to be closed
STRIDE = 100  # builds that are written in a row


@contextmanager
def mirrored(
    settings: Settings, task_ids: Collection[str] = (), *, history: bool = False
) -> Generator["Mirror"]:
    """Give the files of builds, by default of all, below a root of their own, and stay current.

    All that the stream has is there when it is entered, with `history` the journals, too; nothing
    is left of it afterwards. Raises NatsError, and OSError where it cannot be written.
    """
    with leaving_on_signals(), temporary_folder() as root:
        mirror = Mirror(root, Subscription(settings, task_ids, history=history))
        ready = threading.Event()
        with _working(mirror.keep(ready), ready) as work:
            ready.wait()
            if work.done():
                work.result()
            yield mirror


@contextmanager
def _working(
    work: Coroutine[Any, Any, None], ready: threading.Event
) -> Generator[asyncio.Task[None]]:
    """Run `work` in a thread; `ready` is set at its end, too.

    The thread is a daemon that is waited for only a while: a signal may come at any time, and has
    to end the command even where the thread has just begun.
    """
    runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
    loop = runner.get_loop()
    task = loop.create_task(work)

    def end(task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()  # or asyncio would complain, where nobody waits any more
        ready.set()
        loop.stop()

    def run() -> None:
        with runner:
            loop.run_forever()

    task.add_done_callback(end)
    thread = threading.Thread(target=run, name="guardkit-nats", daemon=True)
    try:
        thread.start()
        yield task
    finally:
        with suppress(RuntimeError):  # it has ended by itself, or has not begun
            loop.call_soon_threadsafe(task.cancel)
            thread.join(LEAVING)


@contextmanager
def leaving_on_signals() -> Generator[None]:
    """Have the signals that end a process do so through its open blocks, so that these are left."""

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    ours = [each for each in (SIGTERM, SIGHUP) if getsignal(each) is SIG_DFL]
    for each in ours:
        signal(each, leave)
    try:
        yield
    finally:
        for each in ours:
            signal(each, SIG_DFL)


@contextmanager
def temporary_folder() -> Generator[Path]:
    """Make a folder, and remove it in the end. Also deletes those of killed processes.

    It is in TMPDIR, else in memory, as a busy disk takes seconds. A lock tells that it is in use.
    """
    in_memory = "TMPDIR" not in os.environ and os.access(MEMORY, os.W_OK)
    base = Path(MEMORY if in_memory else gettempdir())
    for left in base.glob(f"{PREFIX}*"):
        with suppress(OSError):
            lock = _lock(left, LOCK_NB)
            rmtree(left, ignore_errors=True)
            os.close(lock)
    root, lock = _new_folder(base)
    try:
        yield root
    finally:
        rmtree(root, ignore_errors=True)
        os.close(lock)


def _new_folder(base: Path) -> tuple[Path, int]:
    """Make a folder, and lock it before anybody takes it for one that was left."""
    while True:
        root = Path(mkdtemp(prefix=PREFIX, dir=base))
        with suppress(FileNotFoundError):
            lock = _lock(root)
            if root.exists():
                return root, lock
            os.close(lock)


def _lock(folder: Path, flags: int = 0) -> int:
    """Return a descriptor that holds the lock of a folder; raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        flock(fd, LOCK_EX | flags)
    except OSError:
        os.close(fd)
        raise
    return fd


class Mirror:
    """Files of builds below a root, as the stream tells of them, and when it last did.

    Silence is not counted while there is no connection: nothing is known of that time.
    """

    def __init__(self, root: Path, subscription: Subscription) -> None:
        self.root = root
        self._subscription = subscription
        self._place = subscription.place
        self._heard: dict[str, float] = {}  # when each task was, on the monotonic clock
        self._newest: dict[str, Snapshot] = {}
        self._snapshots: dict[str, Snapshot] = {}  # those that are to be written
        self._events: dict[str, list[Event]] = {}  # and those

    def silence(self, snapshot: Snapshot) -> float | None:
        """Return for how many seconds a build that could be heard was not; None: it never was."""
        heard = self._heard.get(snapshot.task_id)
        if heard is None:
            return None
        return max(0.0, self._place.until - max(heard, self._place.since))

    async def keep(self, ready: threading.Event) -> None:
        """Keep the files as the stream says; all is there when it is `ready`."""
        warned = False
        async with self._subscription as subscription:
            while True:
                if news := await subscription.next():
                    self._put(news)
                if self._place.joined:
                    try:
                        await self._write()
                    except OSError as error:  # with the next message it is tried again
                        if not ready.is_set():
                            raise
                        if not warned:
                            what = f"what NATS tells cannot be kept below {self.root}"
                            log.warning("%s: %s", what, error)
                        warned = True
                    ready.set()

    def _put(self, news: News) -> None:
        """Set what the next write brings to disk: the document, and a line of the journal."""
        snapshot, event, at, age = news
        task_id = snapshot.task_id
        if is_newer(snapshot, self._newest.get(task_id)):
            self._newest[task_id] = snapshot
        self._snapshots[task_id] = self._newest[task_id]
        self._heard[task_id] = max(self._heard.get(task_id, -inf), self._place.until - age)
        if event:
            self._events.setdefault(task_id, []).append(make_event(event, at, snapshot))

    async def _write(self) -> None:
        """Bring to disk what is new; raises OSError.

        A document comes after its line in the journal: who has seen it finds that, too.
        """
        while self._snapshots:
            with open_builds(self.root, make=True) as builds:
                for task_id in [*islice(self._snapshots, STRIDE)]:
                    with builds.folder(task_id, make=True) as folder:
                        if events := self._events.get(task_id):
                            append(folder, events)
                            del self._events[task_id]
                        folder.replace(PROGRESS, encode(self._snapshots[task_id]))
                    del self._snapshots[task_id]
            await asyncio.sleep(0)  # for who wants to end it

"""Builds on NATS as files: whatever looks at files can look at builds on other machines.

There is no lock file among them, so that nobody takes what is missing for proof of anything.
"""

import asyncio
import logging
import os
from collections import defaultdict, deque
from collections.abc import Collection, Coroutine, Generator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from fcntl import LOCK_EX, LOCK_NB, flock
from math import inf
from pathlib import Path
from shutil import rmtree
from signal import SIG_DFL, SIGHUP, SIGTERM, getsignal, signal
from tempfile import gettempdir, mkdtemp
from threading import Event, Thread
from typing import Any

from guardkit.clock import SYSTEM_CLOCK
from guardkit.nats.messages import News
from guardkit.nats.order import is_newer
from guardkit.nats.settings import Settings
from guardkit.nats.subscriber import Subscription
from guardkit.progress.files import replace_file
from guardkit.progress.journal import Happened, append
from guardkit.progress.paths import build_dir
from guardkit.progress.snapshot import Snapshot, encode

log = logging.getLogger("guardkit.monitor")

MEMORY = "/dev/shm"  # noqa: S108 - what is made there is of a name that nobody can guess
PREFIX = "guardkit-mirror-"
LEAVING = 1.0  # seconds in which the connection has to be closed


@contextmanager
def mirrored(
    settings: Settings, task_ids: Collection[str] = (), *, history: bool = False
) -> Generator["Mirror"]:
    """Give the files of builds, by default of all, below a root of their own, and stay current.

    All that the stream has is there when it is entered, with `history` the journals, too; nothing
    is left of it afterwards. Raises NatsError, and OSError where it cannot be written.
    """
    with leaving_on_signals(), temporary_folder() as root:
        mirror, ready = Mirror(root, Subscription(settings, task_ids, history=history)), Event()
        with _working(mirror.keep(ready), ready) as work:
            ready.wait()
            if work.done():
                work.result()
            yield mirror


@contextmanager
def _working(work: Coroutine[Any, Any, None], ready: Event) -> Generator[asyncio.Task[None]]:
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
    thread = Thread(target=run, name="guardkit-nats", daemon=True)
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
    """Make a folder and remove it in the end, and first those of who was killed before that.

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

    Its clock stands still while there is no connection: nothing is known of that time.
    """

    def __init__(self, root: Path, subscription: Subscription) -> None:
        self.root = root
        self._subscription = subscription
        self._place = subscription.place
        self._heard: dict[str, float] = {}  # when each task was, on the monotonic clock
        self._newest: dict[str, Snapshot] = {}
        self._snapshots: dict[str, Snapshot] = {}  # those that are to be written
        self._events: defaultdict[str, deque[Happened]] = defaultdict(deque)

    def now(self) -> datetime:
        """Return up to when everything is known."""
        passed = SYSTEM_CLOCK.monotonic() - self._place.until
        return SYSTEM_CLOCK.now() - timedelta(seconds=passed)

    def silence(self, task_id: str) -> float:
        """Return for how many seconds up to then nothing was heard of a task that could be."""
        since = max(self._heard.get(task_id, -inf), self._place.since)
        return max(0.0, self._place.until - since)

    async def keep(self, ready: Event) -> None:
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
            self._events[task_id].append((event, at, snapshot))

    async def _write(self) -> None:
        """Bring to disk what is new; raises OSError.

        A document comes after its line in the journal: who has seen it finds that, too.
        """
        while self._snapshots:
            task_id, snapshot = next(iter(self._snapshots.items()))
            folder = build_dir(self.root, task_id)
            folder.mkdir(parents=True, exist_ok=True)
            append(f"{folder}/events.jsonl", self._events[task_id])
            replace_file(f"{folder}/progress.json", encode(snapshot), f"{folder}/.progress.tmp")
            del self._snapshots[task_id]
            if not len(self._snapshots) % 100:
                await asyncio.sleep(0)  # for who wants to end it

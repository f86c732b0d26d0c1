"""Builds on NATS as files: whatever looks at files can look at builds on other machines.

There is no lock file among them, so that nobody takes what is missing for proof of anything.
"""

import asyncio
import logging
import os
from collections import defaultdict, deque
from collections.abc import Collection, Coroutine, Generator
from contextlib import contextmanager, suppress
from datetime import datetime
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from shutil import rmtree
from signal import SIG_DFL, SIGHUP, SIGTERM, getsignal, signal
from tempfile import gettempdir, mkdtemp
from threading import Event, Thread
from typing import Any

from guardkit.errors import NatsError
from guardkit.progress.files import replace_file
from guardkit.progress.journal import Happened, append
from guardkit.progress.nats.settings import Settings
from guardkit.progress.nats.subscriber import Subscription
from guardkit.progress.order import is_newer
from guardkit.progress.paths import build_dir
from guardkit.progress.snapshot import Snapshot, encode

log = logging.getLogger("guardkit.monitor")

MEMORY = "/dev/shm"  # noqa: S108 - what is made there is of a name that nobody can guess
PREFIX = "guardkit-mirror-"
PATIENCE = 30.0  # seconds in which all that is there has to come
LEAVING = 1.0  # seconds in which the connection has to be closed


@contextmanager
def mirrored(
    settings: Settings, task_ids: Collection[str] = (), *, history: bool = False
) -> Generator[Path]:
    """Give a root below which there are the files of builds, by default of all, and stay current.

    All that the stream has is there when it is entered, with `history` the journals, too; nothing
    is left of it afterwards. Raises NatsError, and OSError where it cannot be written.
    """
    with leaving_on_signals(), temporary_folder() as root:
        ready = Event()
        with _working(_mirror(str(root), settings, task_ids, history, ready), ready) as work:
            ready.wait()
            if work.done():
                work.result()
            yield root


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
        with suppress(OSError), _locked(left, LOCK_NB):
            rmtree(left, ignore_errors=True)
    new = Path(mkdtemp(prefix=f".{PREFIX}", dir=base))
    root = new.with_name(new.name[1:])
    try:
        with _locked(new):
            new.rename(root)  # only now: nobody is to find it without its lock
            yield root
    finally:
        for each in (root, new):
            rmtree(each, ignore_errors=True)


@contextmanager
def _locked(folder: Path, flags: int = 0) -> Generator[None]:
    """Hold the lock of a folder; raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        flock(fd, LOCK_EX | flags)
        yield
    finally:
        os.close(fd)


async def _mirror(
    root: str,
    settings: Settings,
    task_ids: Collection[str],
    history: bool,
    ready: Event,
) -> None:
    """Keep files below `root` as the stream says; it is `ready` when all is there."""
    mirror, complete, warned = Mirror(root), False, False
    try:
        async with (
            asyncio.timeout(PATIENCE) as limit,
            Subscription(settings, task_ids, history=history) as subscription,
        ):
            while True:
                if news := await subscription.next():
                    mirror.put(*news)
                if complete:
                    try:
                        mirror.write()
                    except OSError as error:  # with the next message it is tried again
                        if not warned:
                            log.warning("what NATS tells cannot be kept below %s: %s", root, error)
                        warned = True
                elif news is None:
                    mirror.write()
                    complete = True
                    limit.reschedule(None)
                    ready.set()
    except TimeoutError:
        raise NatsError(f"{settings} did not tell of all builds in {PATIENCE:g} s") from None


class Mirror:
    """Writes what becomes of builds below a root."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._newest: dict[str, Snapshot] = {}
        self._snapshots: dict[str, Snapshot] = {}  # those that are to be written
        self._events: defaultdict[str, deque[Happened]] = defaultdict(deque)

    def put(self, snapshot: Snapshot, event: str | None, at: datetime) -> None:
        """Set what the next write brings to disk: the document, and a line of the journal."""
        task_id = snapshot.task_id
        if is_newer(snapshot, self._newest.get(task_id)):
            self._newest[task_id] = snapshot
        self._snapshots[task_id] = self._newest[task_id]
        if event:
            self._events[task_id].append((event, at, snapshot))

    def write(self) -> None:
        """Bring to disk what is new; raises OSError.

        A document comes after its line in the journal: who has seen it finds that, too.
        """
        while self._snapshots:
            task_id, snapshot = next(iter(self._snapshots.items()))
            folder = build_dir(self._root, task_id)
            folder.mkdir(parents=True, exist_ok=True)
            append(f"{folder}/events.jsonl", self._events[task_id])
            replace_file(f"{folder}/progress.json", encode(snapshot), f"{folder}/.progress.tmp")
            del self._snapshots[task_id]

"""The progress file on disk: where it is, how it is replaced, and by which threads.

`open(path, "w")` shows torn files to readers; a temporary file in the same directory and
`os.replace` never do. Nothing is synced: the page cache survives a killed process.
"""

import errno
import logging
import os
import re
import secrets
import threading
from collections import defaultdict, deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import aiofiles.os
from anyio.lowlevel import RunVar

from guardkit.errors import BuildAlreadyRunningError, InvalidProgressError, InvalidTaskIdError
from guardkit.progress import journal
from guardkit.progress.ownership import Locks
from guardkit.progress.snapshot import Snapshot, decode, encode

log = logging.getLogger("guardkit.progress")

TASK_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
THREADS_MAX = 4  # that write for all builds of an event loop
IDLE = 1.0  # seconds until a thread that has nothing to write ends
LINES_MAX = 1000  # of the journal that wait for a disk which fails; then the oldest are dropped


def builds_dir(root: str | os.PathLike[str]) -> Path:
    """Return the folder that holds a folder for each build below `root`."""
    return Path(root, ".guardkit", "autobuild")


def build_dir(root: str | os.PathLike[str], task_id: str) -> Path:
    """Return the folder of a build's files; raises InvalidTaskIdError."""
    return builds_dir(root) / check_task_id(task_id)


def lock_path(root: str | os.PathLike[str]) -> Path:
    """Return the lock file of all the tasks below `root`."""
    return builds_dir(root) / ".lock"


def check_task_id(task_id: object) -> str:
    """Return `task_id`; raise InvalidTaskIdError unless it is one, and so never a path."""
    if isinstance(task_id, str) and TASK_ID.fullmatch(task_id):
        return task_id
    raise InvalidTaskIdError(
        f"{task_id!r:.40} is not a task id: use 1 to 128 letters, digits, '.', '_' and '-', "
        "beginning with a letter or a digit"
    )


def replace_file(path: str, document: bytes, temporary: str) -> None:
    """Make `document` the content of `path`, whole, with mode 0666 less the umask.

    `temporary` is a free name in the same directory. Raises OSError, and then nothing has changed.
    """
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        try:
            rest = memoryview(document)
            while rest:  # near a full disk, os.write takes less than it was given, without an error
                rest = rest[os.write(fd, rest) :]
        finally:
            os.close(fd)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


class Writers(Executor):
    """Threads that run the writes of an event loop's builds: another one where all are at work.

    They are daemons, as nothing else lets the interpreter exit while one hangs on a dead mount,
    and our own, as the default ones may all be taken by blocking agents.
    """

    def __init__(self) -> None:
        self.locks: defaultdict[str, Locks] = defaultdict(Locks)  # by root
        self._jobs: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._ready = threading.Condition()
        self._threads = self._under_way = 0

    @classmethod
    def shared(cls) -> "Writers":
        """Return those of the running event loop."""
        writers = _writers.get(None)
        if writers is None:
            _writers.set(writers := cls())
        return writers

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Queue a call; this is what asyncio, and so aiofiles, asks of an executor."""
        future: Future[Any] = Future()
        with self._ready:
            if self._under_way >= self._threads < THREADS_MAX:
                try:
                    threading.Thread(target=self._work, name="guardkit", daemon=True).start()
                    self._threads += 1
                except RuntimeError as error:  # no thread is to be had
                    if not self._threads:
                        raise OSError(errno.EAGAIN, str(error)) from error
            self._under_way += 1
            self._jobs.append((future, partial(fn, *args, **kwargs)))
            self._ready.notify()
        return future

    def _work(self) -> None:
        while True:
            with self._ready:
                if not self._ready.wait_for(self._jobs.__len__, IDLE):
                    self._threads -= 1
                    return
                future, call = self._jobs.popleft()
            tell = None
            if future.set_running_or_notify_cancel():
                try:
                    tell = partial(future.set_result, call())
                except BaseException as error:  # raised where the future is awaited
                    tell = partial(future.set_exception, error)
            with self._ready:
                self._under_way -= 1  # first: who is told may have the next one at once
            if tell:
                tell()


_writers: RunVar[Writers | None] = RunVar("guardkit.progress.writers")


class FileSink:
    """Writes one build's progress file and journal, each time in one hop to another thread.

    What is to be written is handed over by `offer`, so that a write that hung finds the newest
    when it comes back, whatever has become of the event loop.
    """

    def __init__(
        self, root: str, task_id: str, in_flight: Callable[[], AbstractContextManager[object]]
    ) -> None:
        self._root = root
        with suppress(FileNotFoundError):  # the working directory, which the build may change
            self._root = os.path.abspath(root)
        self._folder = str(build_dir(self._root, task_id))
        self._task_id = task_id
        self._in_flight = in_flight
        self._writers = Writers.shared()
        self._locks = self._writers.locks[self._root]
        self._guard = threading.Lock()  # one thread at a time, also after a write was given up
        self._owner = False
        self._journaling = True
        self._newest: Snapshot | None = None
        self._written: Snapshot | None = None
        self._lines: deque[bytes] = deque(maxlen=LINES_MAX)

    def __str__(self) -> str:
        return f"writing below {self._folder}"

    def offer(self, snapshot: Snapshot, line: bytes | None) -> None:
        """Set what the next write brings to disk: the document, and a line of the journal."""
        self._newest = snapshot
        if line:
            self._lines.append(line)

    async def open(self) -> None:
        """Take the task; raises BuildAlreadyRunningError. Of other trouble a write tells."""
        with suppress(OSError):
            await self._hop(self._own)

    async def write(self, snapshot: Snapshot, /) -> None:
        """Bring to disk what was offered last; raises OSError."""
        await self._hop(self._flush)

    async def aclose(self) -> None:
        """Give the task back for the next builder."""
        await self._hop(self._give_back)

    def abandon(self) -> None:
        """Give the task back when the write that hangs has come back, if ever."""
        self._writers.submit(self._locked, self._give_back)

    async def _hop(self, function: Callable[[], None]) -> None:
        with self._in_flight():
            await aiofiles.os.wrap(self._locked)(function, executor=self._writers)

    def _locked(self, function: Callable[[], None]) -> None:
        with self._guard:
            function()

    def _own(self) -> None:
        if self._owner:
            return
        self._make_folders()
        try:
            self._owner = self._locks.take(lock_path(self._root), self._task_id)
        except OSError as error:
            log.warning("no proof of life for %s: %s", self._task_id, error)
            self._owner = True
        if not self._owner:
            raise BuildAlreadyRunningError(self._describe_holder())
        for leftover in Path(self._folder).glob(".progress.*.tmp"):
            leftover.unlink()

    def _give_back(self) -> None:
        if self._owner:
            self._owner = False
            self._locks.give_back(self._task_id)

    def _describe_holder(self) -> str:
        who = "another builder"
        with suppress(OSError, InvalidProgressError):
            holder = decode(Path(self._folder, "progress.json").read_bytes())
            if holder.tracker and not holder.terminal:
                since = f"{holder.started_at:%Y-%m-%d %H:%M:%S} UTC"
                who = f"process {holder.tracker.pid} on {holder.tracker.host}, since {since}"
        return f"{self._task_id} is being built by {who}: see `guardkit status {self._task_id}`"

    def _make_folders(self) -> None:
        folder = self._root  # which must exist: recreating it would break `git worktree remove`
        for name in Path(self._folder).relative_to(folder).parts:
            folder = os.path.join(folder, name)
            with suppress(FileExistsError):
                os.mkdir(folder)
        with suppress(OSError), (builds_dir(self._root) / ".gitignore").open("x") as file:
            file.write("*\n")

    def _flush(self) -> None:
        self._own()
        try:
            self._replace_and_append()
        except FileNotFoundError:  # somebody deleted the folder: once more, in a new one
            self._make_folders()
            self._locks.renew(lock_path(self._root))
            self._replace_and_append()

    def _replace_and_append(self) -> None:
        try:
            while (newest := self._newest) and newest is not self._written:
                temporary = f"{self._folder}/.progress.{os.getpid()}.{secrets.token_hex(4)}.tmp"
                replace_file(f"{self._folder}/progress.json", encode(newest), temporary)
                self._written = newest
        finally:
            try:
                journal.append(f"{self._folder}/events.jsonl", self._lines)
                self._journaling = True
            except OSError as error:  # the file itself is worth more: it is not held up
                if self._journaling and self._written is self._newest:
                    log.warning("the journal of %s is not written: %s", self._task_id, error)
                self._journaling = False

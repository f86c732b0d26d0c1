"""The progress file on disk, and how it is replaced.

`open(path, "w")` shows torn files to readers; a temporary file in the same directory and
`os.replace` never do. Nothing is synced: the page cache survives a killed process.
"""

import os
import socket
import time
from collections import deque
from contextlib import suppress
from itertools import count
from pathlib import Path

import aiofiles.os
from msgspec.structs import replace

from guardkit.errors import BuildAlreadyRunningError, GuardKitError
from guardkit.progress.journal import Happened, append, read_last
from guardkit.progress.paths import build_dir, builds_dir, lock_path
from guardkit.progress.reader import read_progress
from guardkit.progress.sinks import QUEUE_MAX, Feed
from guardkit.progress.snapshot import Snapshot, encode
from guardkit.progress.worker import Writer

LOOKS, LOOK_EVERY = 20, 0.01  # for who has taken a task, and every how many seconds
LAST_TRIES, TRY_EVERY = 16, 0.05  # to write the end of a build, and every how many seconds


def replace_file(path: str, document: bytes, temporary: str) -> None:
    """Make `document` the content of `path`, whole, with mode 0666 less the umask.

    `temporary` is a free name in the same directory. Raises OSError, and then nothing has changed.
    """
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        try:
            done = os.write(fd, document)
            while done < len(document):  # near a full disk, it takes less, without an error
                done += os.write(fd, document[done:])
        finally:
            os.close(fd)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


class FileFeed(Feed):
    """Brings one build to its progress file and its journal, in the thread that a disk lends.

    A write takes what is newest, whatever has become of the event loop when it begins.
    """

    due = False  # see `Job`
    queued = landed = 0

    def __init__(self, root: str, task_id: str) -> None:
        super().__init__()
        with suppress(FileNotFoundError):  # the working directory, which the build may change
            root = os.path.abspath(root)
        self.root = root
        self._folder = str(build_dir(root, task_id))
        self._path, self._journal = f"{self._folder}/progress.json", f"{self._folder}/events.jsonl"
        self._temporary = f"{self._folder}/.progress.{os.getpid()}."  # and a number
        self._lock = str(lock_path(root, task_id))
        self._task_id = task_id
        self._owner = False
        self._newest: Snapshot | None = None
        self._written: Snapshot | None = None
        self._number = count()
        self._events: deque[Happened] = deque()
        self._mend = True  # the journal, which may end in half a line
        self._refused = False

    def __str__(self) -> str:
        return f"writing below {self._folder!r}"

    async def open(self) -> None:
        """Take the task; raises BuildAlreadyRunningError."""
        self.start()
        await self.hub.disk.settle(self)
        if self._refused:
            who, writer = "another builder", Writer()  # of its own, as it may take a while
            try:
                with suppress(OSError):  # no thread is to be had
                    who = await aiofiles.os.wrap(self._find_holder)(executor=writer)
            finally:
                writer.shutdown()
            see = f"see `guardkit status {self._task_id}`"
            raise BuildAlreadyRunningError(f"{self._task_id} is being built by {who}: {see}")

    def put(self, snapshot: Snapshot, event: str | None) -> None:
        """Set what the next write brings to disk: the document, and a line of the journal."""
        if event:
            self._events.append((event, self.hub.clock.now(), snapshot))
            if len(self._events) > QUEUE_MAX:
                self._events.popleft()
                self.warn("lost", f"the journal lost events, as {QUEUE_MAX} of them wait")
        self._newest = snapshot
        self.start()

    def start(self) -> None:
        """Have a thread write."""
        self.hub.disk.put(self)

    def failed(self, error: Exception) -> None:
        """See that the task is not ours; of other failures warn, and try again in a while."""
        if isinstance(error, BuildAlreadyRunningError) and (self._refused or not self._newest):
            self._refused = True
        else:
            super().failed(error)

    async def finish(self) -> None:
        """Wait for the last write, which gives the task back for the next builder."""
        self._closed = True
        await self.hub.disk.settle(self, last=True)

    def write(self) -> None:
        """Bring to disk what is newest, in a thread; raises OSError, BuildAlreadyRunningError.

        The end of the build is worth several tries, as nothing comes after it.
        """
        if not (self._newest and self._newest.terminal):
            self._write()
            return
        tries = LAST_TRIES
        try:
            while tries:
                tries = self._try(tries - 1)
        finally:
            self._owner = False
            self.hub.disk.locks[self._lock].give_back(self._task_id)

    def _try(self, left: int) -> int:
        """Write, and return how many tries are still needed: none, or those that are `left`."""
        try:
            self._write()
        except FileNotFoundError:  # nothing will bring the root back
            raise
        except OSError:
            if not left or self._written is self._newest:  # then it is but the journal
                raise
            time.sleep(TRY_EVERY)
            return left
        return 0

    def _write(self) -> None:
        try:
            self._own()
            self._append_and_replace()
        except FileNotFoundError:  # somebody deleted the folder: once more, in a new one
            self._make_folders()
            self.hub.disk.locks[self._lock].sure = False
            self._own()
            self._append_and_replace()

    def _own(self) -> None:
        """See that the task is ours; raises BuildAlreadyRunningError."""
        locks = self.hub.disk.locks[self._lock]
        if self._owner:
            if not locks.keep(self._lock, self._task_id):
                raise BuildAlreadyRunningError(f"another builder has taken {self._task_id}")
            return
        self._make_folders()
        try:
            self._owner = locks.take(self._lock, self._task_id)
        except OSError as error:  # perhaps there are no locks on this mount: it goes without
            self.warn("unproven", f"no proof of life: {error}")
            return
        if not self._owner:
            raise BuildAlreadyRunningError(f"another builder is at {self._task_id}")
        for leftover in Path(self._folder).glob(".progress.*.tmp"):
            with suppress(OSError):
                leftover.unlink()
        self._close_crashed()

    def _close_crashed(self) -> None:
        """Have the journal tell of the end of a run that could not do so itself."""
        last = read_last(self._journal)
        if last and last.event != "build.ended":
            end = last.progress
            with suppress(GuardKitError):
                newest = read_progress(self._task_id, root=self.root)
                if newest.tracker.run_id == last.run_id and newest.tracker.seq >= last.seq:
                    end = newest
            if not end.terminal:
                who, seq = f"process {end.tracker.pid} on {end.tracker.host}", end.tracker.seq + 1
                tracker = replace(end.tracker, seq=seq)
                error = f"crashed: {who} ended without a word"
                end = replace(end, status="failed", error=error, tracker=tracker)
            self._events.appendleft(("build.ended", self.hub.clock.now(), end))

    def _find_holder(self) -> str:
        """Name who builds the task; a builder that has just begun is about to say so."""
        here = socket.gethostname()
        for _ in range(LOOKS):
            with suppress(GuardKitError):
                holder = read_progress(self._task_id, root=self.root)
                pid, host = holder.tracker.pid, holder.tracker.host
                alive = pid and (host != here or os.path.exists(f"/proc/{pid}"))
                if alive and not holder.terminal:
                    return (
                        f"process {pid} on {host}, since {holder.started_at:%Y-%m-%d %H:%M:%S} UTC"
                    )
            time.sleep(LOOK_EVERY)
        return "another builder"

    def _make_folders(self) -> None:
        folder = self.root  # which must exist: recreating it would break `git worktree remove`
        for name in Path(self._folder).relative_to(folder).parts:
            folder = os.path.join(folder, name)
            with suppress(FileExistsError):
                os.mkdir(folder)
        ignore = builds_dir(self.root) / ".gitignore"
        if not ignore.exists():
            with suppress(OSError):
                replace_file(os.fspath(ignore), b"*\n", self._next_temporary())

    def _next_temporary(self) -> str:
        return f"{self._temporary}{next(self._number)}.tmp"

    def _append_and_replace(self) -> None:
        """Write the journal, and then the file: what this shows is to be found in that."""
        newest = self._newest
        try:
            if self._events:
                mend, self._mend = self._mend, True
                append(self._journal, self._events, mend=mend)
                self._mend = False
        finally:
            if newest and newest is not self._written:
                replace_file(self._path, encode(newest), self._next_temporary())
                self._written = newest

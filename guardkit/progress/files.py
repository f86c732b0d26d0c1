"""The progress file on disk, and how it is replaced.

`open(path, "w")` shows torn files to readers; a temporary file in the same directory and
`os.replace` never do. Nothing is synced: the page cache survives a killed process.
"""

import errno
import os
import secrets
import socket
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from msgspec.structs import replace

from guardkit.errors import BuildAlreadyRunningError, GuardKitError
from guardkit.progress.feeds import QUEUE_MAX, Feed, log
from guardkit.progress.journal import Event, append, make_event, read_last
from guardkit.progress.paths import build_dir, builds_dir, lock_path
from guardkit.progress.reader import read_progress
from guardkit.progress.snapshot import Snapshot, encode

NO_LOCKS = {errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK, errno.EINVAL}  # on some network mounts
LOOKS, LOOK_EVERY = 20, 0.01  # for who has taken a task, and every how many seconds


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


class FileFeed(Feed):
    """Brings one build to its progress file and its journal, in the thread that a disk lends.

    A write takes what is newest, whatever has become of the event loop when it begins.
    """

    due = pending = False  # waits for a thread; is not yet known to be written

    def __init__(self, root: str, task_id: str) -> None:
        super().__init__()
        with suppress(FileNotFoundError):  # the working directory, which the build may change
            root = os.path.abspath(root)
        self.root = root
        self._folder = str(build_dir(root, task_id))
        self._task_id = task_id
        self._owner = self._unproven = False
        self._newest: Snapshot | None = None
        self._written: Snapshot | None = None
        self._events: deque[Event] = deque(maxlen=QUEUE_MAX)
        self._refused: Exception | None = None

    def __str__(self) -> str:
        return f"writing below {self._folder!r}"

    async def open(self) -> None:
        """Take the task; raises BuildAlreadyRunningError."""
        self.start()
        await self.hub.settle(self)
        if self._refused:
            raise self._refused

    def put(self, snapshot: Snapshot, event: str | None) -> None:
        """Set what the next write brings to disk: the document, and a line of the journal."""
        self._newest = snapshot
        if event:
            self._events.append(make_event(event, self.hub.clock.now(), snapshot))
        self.start()

    def start(self) -> None:
        """Have a thread write."""
        self.hub.write(self)

    def failed(self, error: Exception) -> None:
        """Keep the reason why the task is not ours; of others warn, and try again in a while."""
        if isinstance(error, BuildAlreadyRunningError) and not self._newest:
            self._refused = error
        else:
            super().failed(error)

    async def finish(self) -> None:
        """Wait for the last write, which gives the task back for the next builder."""
        self._closed = True
        await self.hub.settle(self, last=True)

    def write(self) -> None:
        """Bring to disk what is newest, in a thread; raises OSError, BuildAlreadyRunningError."""
        try:
            self._own()
            self._replace_and_append()
        except FileNotFoundError:  # somebody deleted the folder: once more, in a new one
            self._make_folders()
            self.hub.locks.renew(lock_path(self.root))
            self._replace_and_append()
        finally:
            if self._owner and self._newest and self._newest.terminal:
                self._owner = False
                self.hub.locks.give_back(self._task_id)

    def _own(self) -> None:
        if self._owner:
            return
        self._make_folders()
        try:
            self._owner = self.hub.locks.take(lock_path(self.root), self._task_id)
            if not self._owner:
                raise BuildAlreadyRunningError(self._describe_holder())
        except OSError as error:
            if not self._unproven:
                log.warning("no proof of life for %s: %s", self._task_id, error)
            self._unproven = True
            self._owner = error.errno in NO_LOCKS  # then there is no use in asking again
        if not self._owner:
            return
        for leftover in Path(self._folder).glob(".progress.*.tmp"):
            with suppress(OSError):
                leftover.unlink()
        self._close_crashed()

    def _close_crashed(self) -> None:
        """Have the journal tell of the end of a run that could not do so itself."""
        last = read_last(f"{self._folder}/events.jsonl")
        if last and last.event != "build.ended":
            end = last.progress
            with suppress(GuardKitError):
                newest = read_progress(self._task_id, root=self.root)
                end = newest if newest.tracker.run_id == last.run_id else end
            if not end.terminal:
                who, seq = f"process {end.tracker.pid} on {end.tracker.host}", end.tracker.seq + 1
                tracker = replace(end.tracker, seq=seq)
                error = f"crashed: {who} ended without a word"
                end = replace(end, status="failed", error=error, tracker=tracker)
            self._events.appendleft(make_event("build.ended", self.hub.clock.now(), end))

    def _describe_holder(self) -> str:
        """Name who builds the task; a builder that has just begun is about to say so."""
        who, here = "another builder", socket.gethostname()
        for _ in range(LOOKS):
            with suppress(GuardKitError):
                holder = read_progress(self._task_id, root=self.root)
                pid, host = holder.tracker.pid, holder.tracker.host
                alive = pid and (host != here or os.path.exists(f"/proc/{pid}"))
                if alive and not holder.terminal:
                    who = (
                        f"process {pid} on {host}, since {holder.started_at:%Y-%m-%d %H:%M:%S} UTC"
                    )
                    break
            time.sleep(LOOK_EVERY)
        return f"{self._task_id} is being built by {who}: see `guardkit status {self._task_id}`"

    def _make_folders(self) -> None:
        folder = self.root  # which must exist: recreating it would break `git worktree remove`
        for name in Path(self._folder).relative_to(folder).parts:
            folder = os.path.join(folder, name)
            with suppress(FileExistsError):
                os.mkdir(folder)
        with suppress(OSError), (builds_dir(self.root) / ".gitignore").open("x") as file:
            file.write("*\n")

    def _replace_and_append(self) -> None:
        try:
            while (newest := self._newest) and newest is not self._written:
                temporary = f"{self._folder}/.progress.{os.getpid()}.{secrets.token_hex(4)}.tmp"
                replace_file(f"{self._folder}/progress.json", encode(newest), temporary)
                self._written = newest
        finally:
            append(f"{self._folder}/events.jsonl", self._events)

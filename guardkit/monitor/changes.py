"""In which folders files change: as Linux tells, without a thread and at once, or by looking.

A folder is watched, not a file: a file is replaced, and a watch on it would go on with the old one.
"""

import asyncio
import ctypes
import os
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self, TypeVar

from aiofiles.os import wrap

from guardkit.clock import Clock
from guardkit.progress.worker import Worker

LOOK_EVERY = 0.5  # seconds, after which anything may have changed, reported or not

# CLOSE_WRITE, MOVED_TO, ONLYDIR | DONT_FOLLOW, and CREATE and IGNORED of <sys/inotify.h>
MASK, CREATE, IGNORED = 0x8 | 0x80 | 0x03000000, 0x100, 0x8000
T = TypeVar("T")
EVENT = struct.Struct("iIII")  # number of the folder, mask, cookie, size of the name that follows


class Changes:
    """Tells in which folders, of those in one, something was put or written.

    Every half second it may have been in any of them: the kernel does not report what other
    machines write, and nothing at all where there is no inotify or no watch is left.

    What is read of them is read in a thread of its own, for which neither the event loop nor an
    exit waits when it hangs on a dead mount.

    base: the path of the folder that the others are in; it may come later.
    """

    def __init__(self, base: str, clock: Clock) -> None:
        self._base = base
        self._clock = clock
        self._worker = Worker()
        self._changed: set[str] = set()
        self._any = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._libc: Any = None
        self._fd = -1
        self._names: dict[int, str] = {}  # of the folders that are watched

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._tick())]
        if sys.platform == "linux":
            self._libc = ctypes.CDLL(None)
            self._fd = self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._fd >= 0:
            asyncio.get_running_loop().add_reader(self._fd, self._hear)
        else:
            self._tasks.append(asyncio.create_task(follow(self._base, self._clock, self._tell)))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        try:
            await asyncio.wait(self._tasks)
        finally:
            if self._fd >= 0:
                asyncio.get_running_loop().remove_reader(self._fd)
                self._worker.submit(os.close, self._fd)  # when nothing uses it there any more
            self._worker.shutdown()

    async def call(self, function: Callable[..., T], *args: object) -> T:
        """Return what a function returns in the thread."""
        with self._clock.busy():
            return await wrap(function)(*args, executor=self._worker)

    def watch(self, name: str = "") -> None:
        """Tell from now on of a folder, or of what is new in the base; for use in the thread.

        To be called again where something has changed and was not told of: the folder may be
        another one by now.
        """
        if self._fd >= 0:
            path = os.fsencode(f"{self._base}/{name}" if name else self._base)
            mask = MASK if name else MASK | CREATE
            number = self._libc.inotify_add_watch(self._fd, path, mask)
            if number >= 0:  # else it is not there, or no watch is to be had
                self._names[number] = name

    def leave(self, name: str) -> None:
        """Tell no longer of a folder at once; for use in the thread."""
        for number in [each for each, folder in self._names.items() if folder == name]:
            self._libc.inotify_rm_watch(self._fd, number)

    async def next(self) -> set[str]:
        """Wait until something has changed; return the names of the folders, "" for any.

        What the kernel reports between two calls is taken by the second one, all at once.
        """
        await self._any.wait()
        if self._fd >= 0:
            self._take()
            asyncio.get_running_loop().add_reader(self._fd, self._hear)
        self._any.clear()
        changed, self._changed = self._changed, set()
        return changed

    async def _tick(self) -> None:
        while True:
            await self._clock.sleep(LOOK_EVERY)
            self._tell("")

    def _tell(self, name: str) -> None:
        self._changed.add(name)
        self._any.set()

    def _hear(self) -> None:
        """Take what inotify reports, and no more of it until `next` is called."""
        self._take()
        if self._any.is_set():
            asyncio.get_running_loop().remove_reader(self._fd)

    def _take(self) -> None:
        """Take what inotify reports; hidden files are nobody's business."""
        report, at = b"", 0
        with suppress(OSError):  # also where there is nothing
            report = os.read(self._fd, 2**16)
        while at < len(report):
            number, mask, _, size = EVENT.unpack_from(report, at)
            at += EVENT.size + size
            if mask & IGNORED:  # it was deleted, or left
                self._names.pop(number, None)
                continue
            entry = os.fsdecode(report[at - size : at].rstrip(b"\0"))
            if number not in self._names:  # too much to report, or `watch` is about to note it
                self._tell("")
            elif not entry.startswith("."):
                self._tell(self._names[number] or entry)


async def follow(base: str, clock: Clock, tell: Callable[[str], object]) -> None:
    """Tell of what watchfiles tells below a folder, which may come later.

    Not by its `awatch`, which takes a thread of those that the program has for its agents.
    """
    from watchfiles import watch

    worker, end = Worker(), threading.Event()
    try:
        base = await worker.submit(os.path.realpath, base)  # as macOS tells of paths
        while True:
            with suppress(OSError):  # it is not there, or may not be watched
                found = watch(base, watch_filter=None, debounce=50, step=10, stop_event=end)
                while changes := await worker.submit(next, found, None):
                    for _, path in changes:
                        tell(path.removeprefix(base).strip(os.sep).split(os.sep)[0])
            await clock.sleep(LOOK_EVERY)
    finally:
        end.set()
        worker.shutdown()

"""In which folders files change: as Linux tells, without a thread and at once, or by looking.

A folder is watched, not a file: that is replaced, and a watch on it would go on with the old one.
"""

import asyncio
import ctypes
import os
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Self

from guardkit.clock import Clock

LOOK_EVERY = 0.5  # seconds, after which anything may have changed, reported or not

CREATE, CLOSE_WRITE, MOVED_TO, ONLYDIR = 0x100, 0x8, 0x80, 0x01000000  # of <sys/inotify.h>
EVENT = struct.Struct("iIII")  # number of the folder, mask, cookie, size of the name that follows


class Changes:
    """Tells in which of some folders something was put or written, by one descriptor for all.

    Every half second it may have been in any of them: the kernel does not report what other
    machines write, and nothing at all where there is no inotify or no watch is left.
    """

    def __init__(self, folders: Iterable[str], clock: Clock) -> None:
        self._folders = set(folders)
        self._clock = clock
        self._numbers: dict[int, str] = {}  # of those that are watched
        self._changed: set[str] = set()
        self._any = asyncio.Event()
        self._fd = -1

    async def __aenter__(self) -> Self:
        if sys.platform == "linux":
            self._libc = ctypes.CDLL(None)
            self._fd = self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._fd >= 0:
            asyncio.get_running_loop().add_reader(self._fd, self._hear)
        self._look()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)

    def add(self, folder: str) -> None:
        """Tell of one folder more."""
        if folder not in self._folders:
            self._folders.add(folder)
            self._watch([folder])

    async def next(self) -> set[str]:
        """Wait until something has changed; return the folders where it may have."""
        if not self._numbers:
            await self._clock.sleep(LOOK_EVERY)
            self._look()
            return set(self._folders)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._due):
                await self._any.wait()
        if asyncio.get_running_loop().time() >= self._due:
            self._look()
            self._changed |= self._folders
        changed, self._changed = self._changed, set()
        self._any.clear()
        return changed

    def _look(self) -> None:
        """Watch all folders, those, too, that were deleted and made again."""
        self._due = asyncio.get_running_loop().time() + LOOK_EVERY
        self._watch(self._folders)

    def _watch(self, folders: Iterable[str]) -> None:
        if self._fd >= 0:
            mask = CREATE | CLOSE_WRITE | MOVED_TO | ONLYDIR
            for folder in folders:
                number = self._libc.inotify_add_watch(self._fd, os.fsencode(folder), mask)
                if number >= 0:  # else it is not there, or no watch is to be had
                    self._numbers[number] = folder

    def _hear(self) -> None:
        """Take what is reported at once, as the loop would be told of it again and again."""
        report, at = os.read(self._fd, 2**16), 0
        while at < len(report):
            number, _, _, size = EVENT.unpack_from(report, at)
            at += EVENT.size + size
            if not report[at - size : at].rstrip(b"\0").endswith(b".tmp"):
                folder = self._numbers.get(number)  # None: there was too much to report
                self._changed |= self._folders if folder is None else {folder}
        if self._changed:
            self._any.set()

"""Proof of life: whoever builds a task holds two bytes of a file locked, until it dies.

`.guardkit/autobuild/.lock` serves all builds below a root. A living builder has write-locked the
byte of its run and that of its task. It takes the run's first and lets go of it last: so a task's
byte that is held while a run's is not is held by another run. A read lock is no builder's, as
whoever may read the file can take one. A reader asks without taking anything.
"""

import errno
import os
from contextlib import suppress
from enum import Enum
from functools import cache
from weakref import WeakSet

from guardkit.errors import BuildAlreadyRunningError
from guardkit.progress import ofd
from guardkit.progress.folder import Folder
from guardkit.progress.paths import LOCK

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from collections.abc import Iterable

    Asked = tuple[str, str, str, str | None]  # task_id, run_id, boot_id, lock

BEATS_MISSED = 3  # heartbeats, without which a builder that cannot be examined counts as gone
PLACES = 0x278DDE6E5FD2A09B  # for bytes in the file; a prime, see `place_of`
TRIES = 10  # to take a byte that is refused, though no builder holds it any more
NO_WORD = {errno.ENOENT, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT}  # on locks


class Hold(Enum):
    """What the locks tell of a run.

    LIVES: its builder lives.
    TAKEN: it does not, and another run, which does, has taken the task.
    GONE: its builder is gone, and no other one has taken the task; this is proven.
    UNKNOWN: what is seen from here proves nothing.
    """

    LIVES = "lives"
    TAKEN = "taken"
    GONE = "gone"
    UNKNOWN = "unknown"


class UnprovenError(OSError):
    """A build can prove neither that it lives nor that it is alone, as locks do not work for it."""


@cache
def boot_id() -> str:
    """Return the kernel's name for this boot of the machine, "" where there is none."""
    with suppress(OSError), open("/proc/sys/kernel/random/boot_id", "rb") as file:
        return file.read(64).decode().strip()
    return ""


def look(folder: Folder, asked: "Iterable[Asked]") -> list[Hold]:
    """Return what the locks tell of each of some runs. Nothing is taken, nobody is disturbed.

    folder: that of the builds below a root, as `open_builds` returns it.
    asked: of each run the name of its folder, and run_id, boot_id and lock of its tracker, from a
        document that was read before. Where it is GONE, what is read after is its last document.
    """
    asked = list(asked)
    try:
        with open(folder.file(LOCK), "rb", buffering=0) as file:
            here = _identity(os.fstat(file.fileno()))
            holds = [_look(file.fileno(), here, each) for each in asked]
            # Who lives may have gone over to another file between the two looks.
            moved = Hold.GONE in holds and here != _identity(os.lstat(f"{folder.path}/{LOCK}"))
    except OSError:
        return [Hold.UNKNOWN for _ in asked]
    return [Hold.UNKNOWN if moved and hold is Hold.GONE else hold for hold in holds]


def is_taken(folder: Folder, task_id: str, run_id: str = "") -> bool:
    """Return whether a living builder has taken a task, for another run than that."""
    return look(folder, [(task_id, run_id, "", None)]) == [Hold.TAKEN]


def _look(fd: int, here: str, asked: "Asked") -> Hold:
    """Ask for the run first, as its byte is let go of last."""
    task_id, run_id, boot, lock = asked
    if ofd.is_locked(fd, place_of(task_id, run_id)):
        return Hold.LIVES
    if ofd.is_locked(fd, place_of(task_id)):
        return Hold.TAKEN
    return Hold.GONE if lock == here and boot == boot_id() != "" else Hold.UNKNOWN


class Locks:
    """The tasks that the builds of one event loop hold below one root; for use in one thread.

    identity: "DEVICE:INODE" of the lock file in which the last call of `take` has found the locks,
        None while there is none.
    """

    def __init__(self) -> None:
        self.identity: str | None = None
        self._fd = -1
        self._held: dict[str, str] = {}  # run_id by task_id
        _all.add(self)

    def __del__(self) -> None:
        self.close()

    def take(self, folder: Folder, task_id: str, run_id: str) -> None:
        """Hold a task for a run; to be called again and again, as the lock file may be replaced.

        folder: that of the builds below the root, as `open_builds` returns it.
        Raises BuildAlreadyRunningError where another run holds the task, UnprovenError where locks
        do not work here, and other OSErrors where the folder was deleted or there is no room.
        """
        try:
            if self._held.get(task_id, run_id) != run_id:
                raise _taken(task_id)
            self._find(folder)
            if task_id not in self._held:
                _lock(folder, self._fd, task_id, run_id)
                self._held[task_id] = run_id
        except OSError as error:
            if is_taken(folder, task_id, run_id):
                raise _taken(task_id) from None  # by the owner of a file that we may only read
            if error.errno in NO_WORD:
                raise
            path = os.path.join(folder.path, LOCK)
            raise UnprovenError(error.errno, error.strerror, path) from error
        finally:
            if not self._held:
                self.close()

    def give_back(self, task_id: str, run_id: str) -> None:
        """Let go of a task, if the run holds it. Raises OSError."""
        if self._held.get(task_id) == run_id:
            del self._held[task_id]
            try:
                _unlock(self._fd, task_id, run_id)
            finally:
                if not self._held:
                    self.close()

    def close(self) -> None:
        """Let go of all tasks; in a forked child that takes nothing from its parent."""
        fd, self._fd = self._fd, -1
        self._held.clear()
        self.identity = None
        if fd >= 0:
            os.close(fd)

    def _find(self, folder: Folder) -> None:
        """Have the file open that is at its path now, and locked in it what is held."""
        self.identity, same = None, False
        with suppress(FileNotFoundError):
            same = self._fd >= 0 and os.path.samestat(folder.status(LOCK), os.fstat(self._fd))
        if not same:
            fd = folder.file(LOCK, os.O_RDWR | os.O_CREAT, 0o644)  # others may look, not lock
            old, self._fd = self._fd, fd  # at once: a fork has to find it
            for each in list(self._held.items()):
                try:
                    _lock(folder, fd, *each)
                except (BuildAlreadyRunningError, OSError):
                    del self._held[each[0]]  # the next `take` of it says why
            if old >= 0:
                os.close(old)
        self.identity = _identity(os.fstat(self._fd))


def _lock(folder: Folder, fd: int, task_id: str, run_id: str) -> None:
    """Lock both bytes, or none. Raises BuildAlreadyRunningError, OSError."""
    run = place_of(task_id, run_id)
    try:
        _lock_byte(fd, run, task_id)
        with open(folder.file(LOCK, os.O_RDWR), "rb", buffering=0) as second:
            ofd.prove(second.fileno(), run)
        _lock_byte(fd, place_of(task_id), task_id)
    except (BuildAlreadyRunningError, OSError):
        with suppress(OSError):
            _unlock(fd, task_id, run_id)
        raise


def _lock_byte(fd: int, byte: int, task_id: str) -> None:
    for _ in range(TRIES):
        with suppress(BlockingIOError):
            ofd.lock(fd, byte)
            return
        if ofd.is_locked(fd, byte):
            raise _taken(task_id)
    raise BlockingIOError(errno.EAGAIN, "it is locked, but not as a builder does")


def _unlock(fd: int, task_id: str, run_id: str) -> None:
    for byte in (place_of(task_id), place_of(task_id, run_id)):
        ofd.unlock(fd, byte)


def place_of(*words: str) -> int:
    """Return the place in the file of a task, or of a task and a run.

    A remainder spreads names as well as sha256 does, which takes a third of Python's start to load.
    """
    return int.from_bytes("\n".join(words).encode(errors="surrogatepass"), "big") % PLACES


def _identity(status: os.stat_result) -> str:
    return f"{status.st_dev}:{status.st_ino}"


def _taken(task_id: str) -> BuildAlreadyRunningError:
    return BuildAlreadyRunningError(f"another builder has taken {task_id}")


def _close_all() -> None:
    """Close what a forked child has inherited: else a dead builder would seem to live in it."""
    for locks in list(_all):
        locks.close()


# Of the process, as a call that is registered cannot be taken back.
_all: WeakSet[Locks] = WeakSet()
os.register_at_fork(after_in_child=_close_all)

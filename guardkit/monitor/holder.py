"""Which process builds a task: proven by the locks that it holds, as anybody may write a number."""

import os
from collections.abc import Iterator
from contextlib import suppress

from guardkit.progress.folder import Folder
from guardkit.progress.lock import place_of
from guardkit.progress.paths import LOCK
from guardkit.progress.snapshot import Snapshot

KIND = ("OFDLCK", "WRITE")  # of a lock, as a builder takes it


def find_builder(builds: Folder, snapshot: Snapshot) -> int:
    """Return the process of a living build, 0 where none is seen that is proven to be it.

    builds: the folder of the builds below the root.
    The process that the document names has locked the bytes of the task and the run in the lock
    file of that folder. To have the file open, or a read lock, is no proof, nor is what the
    document says of the file. It is seen on Linux alone, and not in another container or on
    another machine. The kernel shows the locks of a descriptor in proc_pid_fdinfo(5).
    """
    pid, task_id = snapshot.tracker.pid, snapshot.task_id
    wanted = place_of(task_id), place_of(task_id, snapshot.tracker.run_id)
    with suppress(OSError):
        ranges = [*_locked(pid, builds.status(LOCK))]
        if all(any(first <= byte <= last for first, last in ranges) for byte in wanted):
            return pid
    return 0


def _locked(pid: int, file: os.stat_result) -> Iterator[tuple[int, float]]:
    """Yield the first and the last byte of what a process has write-locked in a file."""
    for entry in os.scandir(f"/proc/{pid}/fd"):
        with suppress(OSError):
            if not os.path.samestat(os.stat(entry.path), file):
                continue
            with open(f"/proc/{pid}/fdinfo/{entry.name}", encoding="ascii") as told:
                lines = [line.split() for line in told if line.startswith("lock:")]
            for words in lines:
                if (words[2], words[4]) == KIND:
                    first, last = words[7:9]
                    yield int(first), float("inf") if last == "EOF" else int(last)


def ignores(pid: int, signal: int) -> bool:
    """Return whether a process was started to ignore a signal, as a shell's `&` does."""
    with suppress(OSError), open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("SigIgn:"):
                return bool(int(line.split()[1], 16) >> (signal - 1) & 1)
    return False

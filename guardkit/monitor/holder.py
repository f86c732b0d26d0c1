"""Which process builds a task: proven, as a number alone may be anybody's."""

import os
from contextlib import suppress

from guardkit.progress.lock import boot_id
from guardkit.progress.snapshot import Tracker


def find_builder(tracker: Tracker) -> int:
    """Return the process that has the lock file of a living build open, 0 where none is seen.

    It is seen on Linux alone, and not in another container or on another machine.
    """
    if not tracker.lock or tracker.boot_id != boot_id():
        return 0
    with suppress(OSError):
        for entry in os.scandir(f"/proc/{tracker.pid}/fd"):
            with suppress(OSError):
                found = os.stat(entry.path)
                if f"{found.st_dev}:{found.st_ino}" == tracker.lock:
                    return tracker.pid
    return 0


def ignores(pid: int, signal: int) -> bool:
    """Return whether a process was started to ignore a signal, as a shell's `&` does."""
    with suppress(OSError), open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("SigIgn:"):
                return bool(int(line.split()[1], 16) >> (signal - 1) & 1)
    return False

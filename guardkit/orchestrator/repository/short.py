"""Processes that do not take long: waited for, and ended where they do."""

import os
import signal
import sys
from contextlib import suppress
from subprocess import Popen
from threading import Thread

import anyio
from anyio import CapacityLimiter
from anyio.to_thread import run_sync


async def wait(process: Popen[bytes]) -> None:
    """Return when a process has ended; on Linux without a thread, which costs as much again."""
    try:
        fd = os.pidfd_open(process.pid) if sys.platform == "linux" else -1
    except OSError:
        fd = -1
    if fd < 0:
        alone = CapacityLimiter(1)  # the default one may be used up by others
        await run_sync(process.wait, abandon_on_cancel=True, limiter=alone)
        return
    try:
        await anyio.wait_readable(fd)
    finally:
        os.close(fd)
    process.wait()


def end(process: Popen[bytes]) -> None:
    """End a process and its group, and see that it is asked how it ended."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.poll() is None:  # on a hung disk that may take as long as it likes
        Thread(target=process.wait, daemon=True).start()

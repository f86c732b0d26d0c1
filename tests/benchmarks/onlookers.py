"""A process that looks at a build, and prints when it saw each phase first."""

import asyncio
import ctypes
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

LAST = "phase-last"
POLL = 0.1  # seconds
MOVED_TO = 0x80  # IN_MOVED_TO, of <sys/inotify.h>
PHASE = re.compile(rb"phase-\w+")


def by_inotify(path: Path) -> Iterator[str]:
    """Wait for renames in the folder, and read the file after each."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.inotify_init1(os.O_CLOEXEC)
    if fd < 0 or libc.inotify_add_watch(fd, bytes(path.parent), MOVED_TO) < 0:
        raise OSError(ctypes.get_errno(), "inotify")
    yield _read(path)
    while os.read(fd, 4096):
        yield _read(path)


def by_polling(path: Path) -> Iterator[str]:
    """Read the file again and again."""
    while True:
        yield _read(path)
        time.sleep(POLL)


def by_tail(path: Path) -> Iterator[str]:
    """Have `tail` follow a log."""
    command = ["tail", "-c", "+1", "-f", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as tail:
        assert tail.stdout
        fd = tail.stdout.fileno()
        yield ""
        while chunk := os.read(fd, 2**16):
            for name in PHASE.findall(chunk):
                yield name.decode()
                if name.decode() == LAST:
                    tail.terminate()


def _read(path: Path) -> str:
    phase: str = json.loads(path.read_bytes())["phase"]
    return phase


def look(names: Iterator[str]) -> None:
    """Print the time of each name when it comes first, until the last one has come."""
    seen: dict[str, float] = {}
    for name in names:
        at = time.monotonic()
        if not seen:
            print("looking", flush=True)
        seen.setdefault(name, at)
        if name == LAST:
            break
    _print(seen)


async def by_watch_progress(path: Path, url: str | None) -> None:
    """Look with the library's own means: at the file, or at the server that it is published to."""
    from guardkit import watch_progress

    seen: dict[str, float] = {}
    root = path.parents[3]
    async with aclosing(watch_progress(path.parent.name, root=root, nats=url)) as snapshots:
        async for snapshot in snapshots:
            at = time.monotonic()
            if not seen:
                print("looking", flush=True)
            seen.setdefault(snapshot.phase, at)
            if snapshot.phase == LAST:
                break
    _print(seen)


def _print(seen: dict[str, float]) -> None:
    for name, at in seen.items():
        if PHASE.fullmatch(name.encode()):
            print(name, at)


def main() -> None:
    """Look at a path by a method: watch, inotify, poll, tail, or the URL of a NATS server."""
    method, path = sys.argv[1], Path(sys.argv[2])
    if method == "watch" or "://" in method:
        asyncio.run(by_watch_progress(path, None if method == "watch" else method))
    else:
        look({"inotify": by_inotify, "poll": by_polling, "tail": by_tail}[method](path))


if __name__ == "__main__":
    main()

"""Reading progress from outside: once, or on every change."""

import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from guardkit.clock import Clock, SystemClock
from guardkit.errors import GuardKitError, InvalidProgressError, ProgressNotFoundError
from guardkit.progress.paths import TASK_ID, build_dir, builds_dir, open_file
from guardkit.progress.snapshot import Snapshot, decode

SIZE_MAX = 2**16  # bytes; a document has 4 KiB at most
STEP = 1  # milliseconds between two looks at what the kernel has reported
POLL = 0.5  # seconds between two looks at the file itself, also where the kernel reports nothing


def read_progress(task_id: str, *, root: str | os.PathLike[str] = ".") -> Snapshot:
    """Return what the progress file of `task_id` below `root` says now.

    Raises ProgressNotFoundError where there is none, InvalidProgressError where it cannot be read
    as one, and InvalidTaskIdError.
    """
    path = build_dir(root, task_id) / "progress.json"
    try:
        with open_file(path) as file:
            return decode(file.read(SIZE_MAX))
    except FileNotFoundError:
        raise ProgressNotFoundError(f"no build of {task_id}: there is no {path}") from None
    except OSError as error:
        raise InvalidProgressError(f"{path} cannot be read: {error.strerror}") from error
    except InvalidProgressError as error:
        raise InvalidProgressError(f"{path}: {error}") from error


def list_builds(root: str | os.PathLike[str] = ".") -> list[str]:
    """Return the ids of the tasks that have a progress file below `root`, sorted."""
    names = (path.parent.name for path in builds_dir(root).glob("*/progress.json"))
    return sorted(name for name in names if TASK_ID.fullmatch(name))


async def watch_progress(
    task_id: str, *, root: str | os.PathLike[str] = ".", clock: Clock | None = None
) -> AsyncGenerator[Snapshot]:
    """Yield the progress of `task_id` now and on every change, heartbeats included.

    Ends with the terminal snapshot. Raises as `read_progress` does, at the first look; a file that
    cannot be read later on is waited for. A build that dies changes nothing: see `assess`.
    """
    latest = read_progress(task_id, root=root)
    yield latest
    if latest.terminal:
        return
    async with aclosing(_changes(build_dir(root, task_id), clock)) as changes:
        async for _ in changes:
            try:
                snapshot = read_progress(task_id, root=root)
            except GuardKitError:
                continue
            if snapshot != latest:
                latest = snapshot
                yield latest
                if latest.terminal:
                    return


async def _changes(folder: Path, clock: Clock | None) -> AsyncGenerator[None]:
    """Yield when something may have changed in `folder`: watched itself, as renames hide files."""
    from anyio.to_thread import current_default_thread_limiter
    from watchfiles import awatch
    from watchfiles._rust_notify import WatchfilesRustInternalError

    threads = current_default_thread_limiter()
    threads.total_tokens += 1  # our own, which awatch keeps taken
    try:
        watch = awatch(
            folder,
            watch_filter=None,
            step=STEP,
            debounce=STEP,
            rust_timeout=int(POLL * 1000),
            yield_on_timeout=True,
            recursive=False,
        )
        async with aclosing(watch):
            while True:
                await anext(watch)
                yield
    except (OSError, WatchfilesRustInternalError):  # no watches are left, or none work here
        clock = clock or SystemClock()
        while True:
            await clock.sleep(POLL)
            yield
    finally:
        threads.total_tokens -= 1

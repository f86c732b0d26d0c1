"""Reading progress from outside: once, or on every change."""

import os
from collections.abc import AsyncGenerator
from contextlib import suppress

from guardkit.clock import Clock, SystemClock
from guardkit.errors import GuardKitError, InvalidProgressError, ProgressNotFoundError
from guardkit.progress.paths import TASK_ID, build_dir, builds_dir, open_file, progress_path
from guardkit.progress.snapshot import Snapshot, decode

SIZE_MAX = 2**16  # bytes; a document has 4 KiB at most


def read_progress(task_id: str, *, root: str | os.PathLike[str] = ".") -> Snapshot:
    """Return what the progress file of `task_id` below `root` says now.

    Raises ProgressNotFoundError where there is none, InvalidProgressError where it cannot be read
    as one, and InvalidTaskIdError.
    """
    path = progress_path(root, task_id)
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
    try:
        names = os.listdir(builds_dir(root))
    except OSError:
        return []
    ids = sorted(filter(TASK_ID.fullmatch, names))
    return [task_id for task_id in ids if os.path.exists(progress_path(root, task_id))]


def watch_progress(
    task_id: str,
    *,
    root: str | os.PathLike[str] = ".",
    nats: str | None = None,
    clock: Clock | None = None,
) -> AsyncGenerator[Snapshot]:
    """Yield the progress of `task_id` now and on every change, heartbeats included.

    Ends with the terminal snapshot. Raises as `read_progress` does, at the first look; a file that
    cannot be read later on is waited for. A build that dies changes nothing: see `assess`.

    `nats` is the URL of a server that is watched instead of the files (`""`: that in NATS_URL, or
    of the selected context of the `nats` command). Then NatsError is raised at the first look.
    """
    if nats is not None:
        from guardkit.nats.subscriber import follow

        return follow(task_id, nats)
    return _watch(task_id, root, clock or SystemClock())


async def _watch(
    task_id: str, root: str | os.PathLike[str], clock: Clock
) -> AsyncGenerator[Snapshot]:
    from guardkit.monitor.changes import Changes

    folder = os.fspath(build_dir(root, task_id))
    async with Changes([folder], clock) as changes:
        latest = read_progress(task_id, root=root)
        yield latest
        while not latest.terminal:
            await changes.next()
            before = latest
            with suppress(GuardKitError):
                latest = read_progress(task_id, root=root)
            if latest != before:
                yield latest

"""What a build is given to begin with: checked, and made its first snapshot."""

import inspect
import os
import secrets
import socket
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, cast

from msgspec import Meta

from guardkit.errors import MisuseError
from guardkit.progress.lock import boot_id
from guardkit.progress.paths import check_task_id
from guardkit.progress.sinks import Sink
from guardkit.progress.snapshot import BuildType, Ordinal, Snapshot, Tracker, check, clip
from guardkit.progress.state import NAME_SIZE

Name = Annotated[str, Meta(min_length=1)]


def first_snapshot(
    task_id: str,
    *,
    task_name: str,
    build_id: str,
    build_type: str,
    wave: int,
    wave_total: int,
    turn_max: int,
    now: datetime,
    heartbeat: float,
    parent_run: str | None = None,
) -> Snapshot:
    """Return the snapshot of a build that is not entered yet; raise MisuseError."""
    task_id = check_task_id(task_id)
    snapshot = Snapshot(
        build_id=clip(check("build_id", build_id, Name), NAME_SIZE),
        build_type=check("build_type", build_type, BuildType),
        wave=int(check("wave", wave, Ordinal)),
        wave_total=int(check("wave_total", wave_total, Ordinal)),
        task_id=task_id,
        task_name=clip(check("task_name", task_name, str), NAME_SIZE),
        turn_max=int(check("turn_max", turn_max, Ordinal)),
        started_at=now,
        updated_at=now,
        tracker=Tracker(
            run_id=secrets.token_hex(8),
            host=clip(socket.gethostname(), NAME_SIZE),
            pid=os.getpid(),
            heartbeat_seconds=heartbeat,
            boot_id=boot_id(),
            parent_run=parent_run,
        ),
    )
    if snapshot.wave > snapshot.wave_total:
        raise MisuseError(f"{wave=} is beyond {wave_total=}: pass a larger wave_total")
    return snapshot


def check_root(root: str | os.PathLike[str] | None) -> str | None:
    """Return a path as text, None for none; raise MisuseError."""
    try:
        return None if root is None else str(check("root", os.fspath(root), str))
    except TypeError:
        raise MisuseError(f"{root=} is no path: pass text, a Path, or None for no files") from None


def check_sinks(sinks: object) -> list[Sink]:
    """Return the sinks in a list; raise MisuseError, which says what to pass instead."""
    if not isinstance(sinks, Iterable):
        raise MisuseError(f"{sinks=} is not iterable: pass a list, sinks=[{sinks!r}]")
    found: list[Sink] = []
    for sink in cast("Iterable[Sink]", sinks):
        if isinstance(sink, type):
            raise MisuseError(f"{sink!r} is a class: pass an object of it")
        write = getattr(sink, "write", None)
        if not callable(write):
            raise MisuseError(f"{sink!r} is no sink: pass objects with `async def write(snapshot)`")
        if not inspect.iscoroutinefunction(write):
            raise MisuseError(f"the `write` of {sink!r} is not async: make it `async def write`")
        found.append(sink)
    return found

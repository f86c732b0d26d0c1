"""Progress that you can trust, for builds that run for hours behind a silent shell."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from guardkit.clock import Clock, SystemClock
    from guardkit.errors import (
        BuildAlreadyRunningError,
        GuardKitError,
        InvalidProgressError,
        InvalidTaskIdError,
        MisuseError,
        ProgressNotFoundError,
        ScopeError,
    )
    from guardkit.progress.feeds import Sink
    from guardkit.progress.reader import read_progress, watch_progress
    from guardkit.progress.scopes import Phase, Turn
    from guardkit.progress.snapshot import Snapshot
    from guardkit.progress.tracker import Build, track_build
    from guardkit.progress.verdict import Verdict, assess

_HOMES = {
    "Build": "guardkit.progress.tracker",
    "BuildAlreadyRunningError": "guardkit.errors",
    "Clock": "guardkit.clock",
    "GuardKitError": "guardkit.errors",
    "InvalidProgressError": "guardkit.errors",
    "InvalidTaskIdError": "guardkit.errors",
    "MisuseError": "guardkit.errors",
    "Phase": "guardkit.progress.scopes",
    "ProgressNotFoundError": "guardkit.errors",
    "ScopeError": "guardkit.errors",
    "Sink": "guardkit.progress.feeds",
    "Snapshot": "guardkit.progress.snapshot",
    "SystemClock": "guardkit.clock",
    "Turn": "guardkit.progress.scopes",
    "Verdict": "guardkit.progress.verdict",
    "assess": "guardkit.progress.verdict",
    "read_progress": "guardkit.progress.reader",
    "track_build": "guardkit.progress.tracker",
    "watch_progress": "guardkit.progress.reader",
}

__all__ = [
    "Build",
    "BuildAlreadyRunningError",
    "Clock",
    "GuardKitError",
    "InvalidProgressError",
    "InvalidTaskIdError",
    "MisuseError",
    "Phase",
    "ProgressNotFoundError",
    "ScopeError",
    "Sink",
    "Snapshot",
    "SystemClock",
    "Turn",
    "Verdict",
    "assess",
    "read_progress",
    "track_build",
    "watch_progress",
]


def __getattr__(name: str) -> object:
    """Load a public name on first use: a status line cannot wait for asyncio to be imported."""
    if name not in _HOMES:
        raise AttributeError(f"module 'guardkit' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__

"""Progress that you can trust, for builds that run for hours behind a silent shell."""

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
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
    from guardkit.monitor.builds import Builds, assess, watch_progress
    from guardkit.monitor.look import Look
    from guardkit.monitor.verdict import Verdict
    from guardkit.progress.build import Build, track_build
    from guardkit.progress.journal import read_events
    from guardkit.progress.reader import read_progress
    from guardkit.progress.scopes import Phase, Turn, Wave
    from guardkit.progress.sinks import Sink
    from guardkit.progress.snapshot import Event, Snapshot

__version__ = "0.1.0"
__all__ = ["Build", "BuildAlreadyRunningError", "Builds", "Clock", "Event", "GuardKitError"]
__all__ += ["InvalidProgressError", "InvalidTaskIdError", "Look", "MisuseError", "Phase"]
__all__ += ["ProgressNotFoundError", "ScopeError", "Sink", "Snapshot", "SystemClock", "Turn"]
__all__ += ["Verdict", "Wave", "assess", "read_events", "read_progress", "track_build"]
__all__ += ["watch_progress"]

_HOMES = (  # from the lightest: each needs little that the ones before it do not
    "errors",
    "clock",
    "monitor.verdict",
    "progress.snapshot",
    "progress.reader",
    "progress.journal",
    "monitor.look",
    "monitor.builds",
    "progress.sinks",
    "progress.scopes",
    "progress.build",
)


def __getattr__(name: str) -> object:
    """Load a public name on first use: a status line cannot wait for what only builds need."""
    if name in __all__:
        from importlib import import_module

        modules = (import_module(f"guardkit.{home}") for home in _HOMES)
        return next(getattr(module, name) for module in modules if hasattr(module, name))
    raise AttributeError(f"module 'guardkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__

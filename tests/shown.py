"""What a build shows: in memory, in its file, and in its journal."""

from collections.abc import Callable
from typing import Any

from guardkit import Build

OnDisk = Callable[[], dict[str, Any]]
Journal = Callable[[], list[dict[str, Any]]]


def shown(build: Build) -> tuple[int, str, str]:
    """Return the turn, the phase and its status."""
    return build.snapshot.turn, build.snapshot.phase, build.snapshot.phase_status


def seq(build: Build) -> int:
    return build.snapshot.tracker.seq

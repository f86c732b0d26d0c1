"""A build as a board shows it, and what of it is late."""

from __future__ import annotations

from typing import NamedTuple

from guardkit.monitor.verdict import Verdict
from guardkit.places.words import clean, duration, is_over
from guardkit.progress.snapshot import Snapshot

LATE = 2  # heartbeats that are missing, so that it is told
QUIET = 60.0  # seconds without activity, so that it is told


class Seen(NamedTuple):
    """A build as a board shows it.

    snapshot: None where none can be read. verdict: how it is.
    since: seconds for which it has gone on since its snapshot.
    """

    task_id: str
    snapshot: Snapshot | None
    verdict: Verdict
    since: float

    @property
    def elapsed(self) -> int:
        """For how many seconds the build has gone on."""
        return self.snapshot.metrics.elapsed_seconds + int(self.since) if self.snapshot else 0


class Size(NamedTuple):
    """How much room there is, in cells and lines."""

    width: int
    height: int


def said(seen: Seen) -> tuple[str, str]:
    """Return what is to be known of a build, and its style: what is wrong, late, or said last."""
    snapshot, (state, evidence) = seen.snapshot, seen.verdict
    if not snapshot or state != "running":
        return clean(evidence), ""
    if silent(seen):
        return f"no heartbeat for {duration(seen.since)}", "red"
    idle = idle_for(seen)
    quiet = f"no activity for {duration(idle)}" if idle >= QUIET else ""
    return "  ".join(filter(None, (quiet, clean(snapshot.message)))), "dim"


def silent(seen: Seen) -> bool:
    """Return whether heartbeats are missing of a build that is not over."""
    every = seen.snapshot.tracker.heartbeat_seconds if seen.snapshot else 0.0
    return bool(every) and not is_over(seen.verdict) and seen.since > LATE * every


def idle_for(seen: Seen) -> float:
    """Return for how many seconds a build has done nothing, as far as is known."""
    active = seen.snapshot.tracker.activity_at if seen.snapshot else None
    if not (seen.snapshot and active):
        return 0.0
    return (seen.snapshot.updated_at - active).total_seconds() + seen.since

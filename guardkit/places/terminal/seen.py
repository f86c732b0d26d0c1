"""A build as a board shows it, and what of it is late."""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from guardkit.monitor.verdict import Signs, Verdict, judge
from guardkit.places.plain import clean
from guardkit.places.words import age, between_phases, duration, is_over
from guardkit.progress.lock import Hold
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
    message = between_phases(snapshot) or clean(snapshot.message)
    return "  ".join(filter(None, (quiet, message))), "dim"


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


class Running(NamedTuple):
    """A build that is drawn: its snapshot, when that came, and the verdict that came with it.

    is_own: whether the build is one of this process, which knows how it is.
    stale: the message of the phase before, of which the one that is shown has said nothing.
    """

    task_id: str
    snapshot: Snapshot | None
    verdict: Verdict
    heard: float
    is_own: bool
    stale: str | None = None

    def still(self, now: Snapshot | None) -> str | None:
        """Return the message that is stale in the next snapshot, None where none is."""
        if not (self.snapshot and now):
            return None
        is_next = now.tracker.phase_number != self.snapshot.tracker.phase_number
        stale = self.snapshot.message if is_next else self.stale
        return stale if now.message == stale else None

    def at(self, now: float) -> Seen:
        """Return what is drawn of it, at an instant of the monotonic clock."""
        snapshot, since = self.snapshot, max(0.0, now - self.heard)
        if snapshot and self.stale:
            snapshot = replace(snapshot, message=None)
        if not snapshot or is_over(self.verdict):
            return Seen(self.task_id, snapshot, self.verdict, 0.0)
        if self.is_own:
            verdict = judge(snapshot, Signs(Hold.LIVES, since))
            return Seen(self.task_id, snapshot, verdict, since)
        return Seen(self.task_id, snapshot, self.verdict, age(snapshot, now) or since)

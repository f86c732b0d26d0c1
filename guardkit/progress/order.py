"""Where a build is: what tells a transition from an update.

A look in short starts with this module, so that it needs the standard library alone.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from guardkit.progress.snapshot import Snapshot


def place(snapshot: Snapshot) -> tuple[object, ...]:
    """Return what of a snapshot changes with transitions alone."""
    where = snapshot.wave, snapshot.turn, snapshot.tracker.phase_number
    phase = snapshot.phase, snapshot.phase_status
    ending = snapshot.status, snapshot.decision, snapshot.error
    return snapshot.tracker.run_id, *where, *phase, *ending


def moved(snapshot: Snapshot, since: Snapshot | None) -> bool:
    """Return whether a transition lies between two snapshots, as far as these can tell."""
    return since is None or place(snapshot) != place(since)

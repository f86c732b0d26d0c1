"""Which of two snapshots of a task shows the later point, and whether something lies between."""

from guardkit.progress.snapshot import Snapshot


def is_newer(snapshot: Snapshot, than: Snapshot | None) -> bool:
    """Return whether a snapshot shows a build at a later point than another one does."""
    if than is None:
        return True
    if snapshot.tracker.run_id != than.tracker.run_id:
        return (snapshot.started_at, snapshot.updated_at) >= (than.started_at, than.updated_at)
    new, old = snapshot.tracker.seq, than.tracker.seq
    return not than.terminal and (new, snapshot.updated_at) > (old, than.updated_at)


def moved(snapshot: Snapshot, since: Snapshot | None) -> bool:
    """Return whether there may have been a transition between two snapshots."""

    def place(of: Snapshot) -> tuple[object, ...]:
        run, phase_since = of.tracker.run_id, of.tracker.phase_started_at
        where = of.turn, of.phase, of.phase_status, phase_since
        return run, *where, of.status, of.decision, of.error

    return since is None or place(snapshot) != place(since)

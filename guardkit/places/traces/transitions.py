"""What the transitions of a run tell where there is no journal: which events there were."""

from guardkit.progress.snapshot import Snapshot

ENDS = frozenset({"completed", "failed", "cancelled"})


class Transitions:
    """The snapshots of one run, in order, of which each transition is one.

    They do not tell when a wave or a turn ends: that is left to the next one, or to the build.
    """

    def __init__(self) -> None:
        self._last: Snapshot | None = None
        self._phases = 0  # that have begun

    def take(self, now: Snapshot) -> list[str]:
        """Return the names of the events that the next snapshot shows, in order."""
        before, self._last = self._last, now
        number, status = now.tracker.phase_number, now.phase_status
        events = {
            "build.started": before is None,
            "wave.started": _has_begun(now) and _wave(now) != _wave(before),
            "turn.started": now.turn > (before.turn if before else 0),
            "phase.started": number > self._phases,
            "phase.ended": status in ENDS and _phase(now) != _phase(before),
            "decided": bool(now.decision) and now.decision != (before.decision if before else None),
            "build.ended": now.terminal,
        }
        self._phases = max(self._phases, number)
        return [name for name, is_shown in events.items() if is_shown]


def _has_begun(feature: Snapshot) -> bool:
    """Return whether a task of a feature has begun, or was adopted."""
    return feature.tasks is not None and feature.tasks.pending < feature.tasks.total


def _wave(now: Snapshot | None) -> int:
    return now.wave if now and _has_begun(now) else 0


def _phase(now: Snapshot | None) -> tuple[int, str]:
    return (now.tracker.phase_number, now.phase_status) if now else (0, "")

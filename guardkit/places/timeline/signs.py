"""Time in which nothing was seen: sleep of the machine, silence, idleness, a journal cut short."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from guardkit.places.timeline.model import Gap, Sign

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guardkit.places.runs import Run
    from guardkit.progress.snapshot import Snapshot

STEP = 10.0  # seconds by which two clocks must part: a time server slews, and seconds are whole
IDLE = 60.0  # seconds without activity that are worth a word
BEATS_MISSED = 3


def find_steps(known: Iterable[tuple[float, Snapshot]]) -> list[Gap]:
    """Return where the wall clock went another way than the monotonic one.

    A wall clock that has gone further tells of a sleep, or was set: nothing can tell these apart.

    known: snapshots of one machine, and seconds from the beginning until each, in that order.
    """
    found: list[Gap] = []
    for (start, before), (end, after) in pairwise(known):
        step = (after.updated_at - before.updated_at).total_seconds() - (end - start)
        if abs(step) > STEP:
            sign: Sign = "slept" if step > 0 else "set back"
            found.append(Gap(sign=sign, start=start, end=end, seconds=abs(step)))
    return found


def find_cut(run: Run, offset: float) -> list[Gap]:
    """Return the time before the oldest event of a run whose beginning is gone.

    offset: when the run has begun, as in the timeline.
    """
    first, end = run.times[0], offset + run.times[0]
    return [] if run.is_whole else [Gap(sign="unknown", start=offset, end=end, seconds=first)]


def find_silence(snapshot: Snapshot, at: float, since: float) -> list[Gap]:
    """Return the time since the newest snapshot of a build that runs, if its heartbeats are due."""
    if since < BEATS_MISSED * snapshot.tracker.heartbeat_seconds or not since:
        return []
    return [Gap(sign="silent", start=at, end=at + since, seconds=since)]


def find_idleness(snapshot: Snapshot, at: float, since: float) -> list[Gap]:
    """Return the time since a build that runs did something, if that is long."""
    active = snapshot.tracker.activity_at
    if not active:
        return []
    idle = max(0.0, (snapshot.updated_at - active).total_seconds())
    if idle + since < IDLE:
        return []
    return [Gap(sign="idle", start=max(0.0, at - idle), end=at + since, seconds=idle + since)]

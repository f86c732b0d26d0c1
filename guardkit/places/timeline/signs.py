"""Time in which nothing was seen: sleep of the machine, silence, idleness, a journal cut short."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from guardkit.places.timeline.model import Gap, Sign

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from guardkit.places.runs import Run
    from guardkit.places.timeline.model import Bar
    from guardkit.progress.snapshot import Snapshot

STEP = 10.0  # seconds by which two clocks must part: a time server slews, and seconds are whole
IDLE = 60.0  # seconds without activity that are worth a word
BEATS_MISSED = 3


def find_steps(known: Iterable[tuple[float, Snapshot]]) -> list[Gap]:
    """Return where the wall clock went another way than the monotonic one.

    A wall clock that has gone further tells of a sleep, or was set: nothing can tell these apart.

    known: snapshots of one machine, and seconds from the beginning until each, in that order; of
        several at one instant, those that agree with what was before come first.
    """
    found: list[Gap] = []
    last: tuple[float, float] | None = None  # an instant, and what the wall clock was ahead
    for at, together in groupby(known, key=itemgetter(0)):
        aheads = [snapshot.updated_at.timestamp() - at for _, snapshot in together]
        start, before = last or (at, aheads[0])
        after = max(aheads, key=lambda ahead: abs(ahead - before))
        if abs(after - before) > STEP:
            sign: Sign = "slept" if after > before else "set back"
            found.append(Gap(sign=sign, start=start, end=at, seconds=abs(after - before)))
        last = at, after  # not what it was at first: a time server slews for hours
    return found


def find_cut(run: Run, offset: float, bars: Sequence[Bar]) -> list[Gap]:
    """Return the time of a run whose beginning is gone before anything that is known of it.

    offset: when the run has begun, as in the timeline. bars: in the order of their beginnings.
    """
    if run.is_whole:
        return []
    end = max(offset, min([offset + run.times[0], *(bar.start for bar in bars[:1])]))
    return [Gap(sign="unknown", start=offset, end=end, seconds=end - offset)]


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

"""The runs in a journal: whose each event is, when it was, and how the run has ended.

When is told by the builder's monotonic clock, as `elapsed_seconds` is: no step of the wall clock
and no sleep of the machine is in it.
"""

from __future__ import annotations

from itertools import accumulate

import msgspec

from guardkit.progress.journal import ended_without_a_word
from guardkit.progress.snapshot import Event, Snapshot

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Literal

    Outcome = Literal["", "completed", "failed", "cancelled", "crashed"]

LONGEST = 1e8  # seconds, three years: what a run says beyond that is not believed


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a build, as its journal tells it.

    events: oldest first, one at least.
    began: what the builder's monotonic clock showed at the beginning, seconds.
    times: seconds from the beginning until each of the events, never falling.
    """

    events: tuple[Event, ...]
    began: float
    times: tuple[float, ...]

    @property
    def run_id(self) -> str:
        """The name of the run; empty where another program has written it."""
        return self.events[0].run_id

    @property
    def last(self) -> Snapshot:
        """The document of the newest event."""
        return self.events[-1].progress

    @property
    def is_whole(self) -> bool:
        """Whether the beginning is in the journal, which is bounded in size."""
        return self.events[0].event == "build.started"

    @property
    def is_feature(self) -> bool:
        """Whether it is the run of a feature, and not of a task."""
        return self.last.build_type == "feature" and self.last.tracker.parent_run is None

    @property
    def outcome(self) -> Outcome:
        """How it has ended; empty where the journal has no end of it."""
        end = self.last
        if self.events[-1].event != "build.ended" or end.status == "running":
            return ""
        return "crashed" if end.error == ended_without_a_word(end) else end.status

    def time_of(self, snapshot: Snapshot) -> float:
        """Return seconds from the beginning until a snapshot of this run was made."""
        return _bounded(_clock(snapshot, by_beat=self._has_beats) - self.began)

    @property
    def _has_beats(self) -> bool:
        return any(event.progress.tracker.beat for event in self.events)


def runs(events: Iterable[Event]) -> list[Run]:
    """Return the runs of a journal, in the order of their first events."""
    own: dict[str, list[Event]] = {}
    for event in events:
        own.setdefault(event.run_id, []).append(event)
    return [_run(tuple(each)) for each in own.values()]


def _run(events: tuple[Event, ...]) -> Run:
    """Return the run that some events are of."""
    documents = [event.progress for event in events]
    by_beat = any(document.tracker.beat for document in documents)
    clocks = [_clock(document, by_beat=by_beat) for document in documents]
    is_whole = events[0].event == "build.started"
    began = clocks[0] - (0 if is_whole else documents[0].metrics.elapsed_seconds)
    times = accumulate((_bounded(clock - began) for clock in clocks), max)
    return Run(events=events, began=began, times=tuple(times))


def _clock(document: Snapshot, *, by_beat: bool) -> float:
    return document.tracker.beat if by_beat else float(document.metrics.elapsed_seconds)


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), LONGEST)

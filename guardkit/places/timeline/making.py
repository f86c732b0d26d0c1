"""From journals and looks to a timeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from guardkit.places.plain import clean
from guardkit.places.runs import LONGEST, Run
from guardkit.places.timeline.model import Lane, Timeline
from guardkit.places.timeline.reading import Reader, read_counts, read_marks, sum_counts
from guardkit.places.timeline.signs import find_cut, find_idleness, find_silence, find_steps

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from guardkit.monitor.look import Look
    from guardkit.progress.snapshot import Snapshot

SILENT = frozenset({"unresponsive", "lost"})
OVER = frozenset({"completed", "failed", "cancelled", "crashed"})


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one run.

    run: its journal.
    look: the newest look at the build, or None; that at another run does not count.
    since: seconds for which the build has gone on since the look's snapshot.
    offset: of a feature's task, how many seconds after the feature it has begun.
    """

    run: Run
    look: Look | None = None
    since: float = 0.0
    offset: float = 0.0

    @property
    def newest(self) -> Snapshot | None:
        """The snapshot of the look, if it is of this run, of which the journal has no end."""
        found = self.look.snapshot if self.look and not self.run.outcome else None
        return found if found and found.tracker.run_id == self.run.run_id else None

    @property
    def state(self) -> str:
        """How the run is; `unknown` where nothing tells how it has ended."""
        found = self.look.verdict.state if self.look and self.newest else self.run.outcome
        return found or "unknown"

    @property
    def goes_on(self) -> bool:
        """Whether more may come of the run."""
        return bool(self.newest) and self.state not in OVER

    @property
    def times(self) -> list[float]:
        """When the events of the journal were, as in a timeline."""
        return [at + self.offset for at in self.run.times]

    @property
    def known(self) -> list[tuple[float, Snapshot]]:
        """Snapshots, and when each was made, as in a timeline; in order."""
        times = self.times
        documents = (event.progress for event in self.run.events)
        found = [*zip(times, documents, strict=True)]
        if newest := self.newest:
            found.append((max(times[-1], self.run.time_of(newest) + self.offset), newest))
        return found


def make_timeline(build: Seen, tasks: Iterable[Seen] = ()) -> Timeline:
    """Return the timeline of a build, and, where it is a feature, of its tasks."""
    seen = [replace(each, offset=_find_offset(build.run, each.run)) for each in tasks]
    lane = make_lane(build)
    lanes = sorted(map(make_lane, seen), key=lambda it: (it.wave, it.start, it.task_id))
    path = find_critical(lanes)
    points = sorted((point for each in (build, *seen) for point in each.known), key=_at)
    gaps = sorted((*lane.gaps, *find_steps(points)), key=lambda gap: gap.start)
    counts = sum_counts(lane.counts, [each.counts for each in lanes])
    return Timeline(
        build=replace(lane, counts=tuple(counts)),
        tasks=tuple(replace(each, is_critical=each in path) for each in lanes),
        gaps=tuple(gaps),
        is_live=build.goes_on,
    )


def make_lane(seen: Seen) -> Lane:
    """Return the lane of one run."""
    run, reader, known = seen.run, Reader(), seen.known
    for event, at in zip(run.events, seen.times, strict=True):
        reader.read(event, at)
    heard, newest = known[-1]
    end = heard + seen.since * seen.goes_on
    until = heard if seen.state in SILENT else end
    bars = reader.close(until, "in_progress" if seen.goes_on else seen.state, newest)
    gaps = find_cut(run, seen.offset, bars)
    if seen.goes_on:
        find = find_silence if seen.state in SILENT else find_idleness
        gaps += find(newest, heard, seen.since)
    evidence = seen.look.verdict.evidence if seen.look and seen.newest else newest.error
    return Lane(
        task_id=clean(newest.task_id),
        task_name=clean(newest.task_name),
        run_id=clean(run.run_id),
        wave=newest.wave,
        start=seen.offset,
        end=end,
        state=seen.state,
        evidence=clean(evidence),
        bars=tuple(bars),
        marks=tuple(read_marks(run, seen.offset)),
        gaps=tuple(gaps),
        counts=tuple(read_counts(known)),
    )


def find_critical(lanes: Sequence[Lane]) -> list[Lane]:
    """Return the tasks but for which a feature would have ended earlier, from the last one back.

    It is the one that ended last, then that which ended last before it began, and so on: what each
    has waited for.
    """
    path: list[Lane] = []
    rest: list[Lane] = [*lanes]
    while rest:
        latest = max(rest, key=lambda lane: (lane.end, -lane.start))
        path.append(latest)
        rest = [each for each in rest if each.end <= latest.start and each is not latest]
    return path


def _find_offset(feature: Run, task: Run) -> float:
    """Return how many seconds after a feature one of its tasks has begun."""
    mine, its = feature.events[0].progress, task.events[0].progress
    if mine.tracker.boot_id == its.tracker.boot_id:  # so that one clock has timed both
        return min(max(0.0, task.began - feature.began), LONGEST)
    return max(0.0, (its.started_at - mine.started_at).total_seconds())


def _at(point: tuple[float, Snapshot]) -> float:
    return point[0]

"""When a build may be expected to end: a range, from what earlier builds took from here on.

The builds that have passed the same point, such as the beginning of the Coach's phase in turn 2,
are the ground: how long each of them still took. The range is that in which the logarithm of one
more such time lies with a probability of 9 in 10, by Student's t, given that it is more than has
passed already: https://en.wikipedia.org/wiki/Prediction_interval#Unknown_mean,_unknown_variance.
Fewer than five builds are no ground, nor are builds that all took less than this one has taken, nor
those that differ so much that the range would tell nobody anything.
"""

from __future__ import annotations

import math

import msgspec

from guardkit.places.runs import Run, runs

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from guardkit.progress.snapshot import Event, Snapshot

Point = tuple[object, ...]

LEAST = 5  # builds
SURE = 0.9  # how likely the range is meant to hold the end
RARE = 1e-3  # what is less likely than that is beyond what a few builds tell
WIDEST = 100.0  # the longest time of a range by its shortest one
STEPS, HALVINGS, FARTHEST = 100, 40, 50.0  # of sums and searches in Student's t
ALIKE = 0.02  # the least deviation of logarithms: no two builds are as alike as a sample may seem
SETTLED = frozenset({"completed", "failed"})  # runs that have ended by themselves


class Expected(msgspec.Struct, frozen=True):
    """How much longer a build may take.

    low, high: seconds from now on.
    builds: how many earlier ones that is drawn from.
    """

    low: float
    high: float
    builds: int


class Past(msgspec.Struct, frozen=True):
    """What there is to learn from a run that has ended by itself.

    points: that it has passed, and when; end: when it was over; both in seconds.
    is_feature: whether it was that of a feature.
    """

    points: dict[Point, float]
    end: float
    is_feature: bool


def learn(journals: Iterable[Iterable[Event]]) -> Iterator[Past]:
    """Yield what there is to learn from journals, which are read as long as it is asked for."""
    for journal in journals:
        yield from map(_past, filter(_is_ground, runs(journal)))


def expect(
    snapshot: Snapshot,
    events: Iterable[Event],
    others: Iterable[Past] = (),
    since: float = 0.0,
) -> Expected | None:
    """Return how much longer a build may take, None where there is no ground to say so.

    snapshot: of a build that has not ended.
    events: of its journal. Its own earlier runs are the ground if there are enough of them,
    others: else with those of other tasks. Builds without turns, such as those of any command, have
        nothing in common that a time could be told from.
    since: seconds for which the build has gone on since its snapshot.
    """
    own = runs(events)
    run_id = snapshot.tracker.run_id
    current = next((run for run in own if run.run_id == run_id and run.is_whole), None)
    if snapshot.terminal or current is None or current.outcome:
        return None
    now = max(current.times[-1], current.time_of(snapshot)) + since
    earlier = [_past(run) for run in own if run is not current and _is_ground(run)]
    found = _expect(current, now, earlier)
    if found or not (snapshot.turn or current.is_feature):
        return found
    return _expect(current, now, [*earlier, *others])


def words(expected: Expected) -> str:
    """Return a range in words: `12 to 25 min more, from 9 builds`."""
    for unit, seconds, limit in (("s", 1, 90), ("min", 60, 90), ("h", 3600, math.inf)):
        if expected.high <= limit * seconds:
            grain = seconds * 10 if unit == "s" else seconds / 10 if unit == "h" else seconds
            low = math.floor(expected.low / grain) * grain / seconds
            high = max(math.ceil(expected.high / grain), 1) * grain / seconds
            span = f"{low:g} to {high:g}" if low else f"up to {high:g}"
            return f"{span} {unit} more, from {expected.builds} builds"
    raise AssertionError


def predict(past: Iterable[float], elapsed: float) -> Expected | None:
    """Return how much longer something may take that has taken `elapsed` seconds.

    past: how long it has taken before, in seconds.
    """
    logs = [math.log(max(seconds, 0.001)) for seconds in past]
    if len(logs) < LEAST or (elapsed and math.log(elapsed) >= max(logs)):
        return None
    middle, freedom = math.fsum(logs) / len(logs), len(logs) - 1
    deviation = math.sqrt(math.fsum((log - middle) ** 2 for log in logs) / freedom)
    spread = max(deviation, ALIKE) * math.sqrt(1 + 1 / len(logs))
    gone = _t_below((math.log(elapsed) - middle) / spread, freedom) if elapsed else 0.0

    if gone > 1 - RARE:
        return None

    def left(part: float) -> float:
        quantile = _t_at(gone + part * (1 - gone), freedom)
        return max(0.0, math.exp(middle + quantile * spread) - elapsed)

    low, high = left((1 - SURE) / 2), left((1 + SURE) / 2)
    if elapsed + high > WIDEST * (elapsed + low):
        return None
    return Expected(low, high, len(logs))


def _is_ground(run: Run) -> bool:
    return run.is_whole and run.outcome in SETTLED


def _past(run: Run) -> Past:
    return Past(dict(_points(run)), run.times[-1], run.is_feature)


def _expect(current: Run, now: float, earlier: Iterable[Past]) -> Expected | None:
    """Return how much longer a run may take, from the newest point at which others were, too."""
    ground = [past for past in earlier if past.is_feature == current.is_feature]
    for point, at in reversed([*_points(current)]):
        past = [each.end - each.points[point] for each in ground if point in each.points]
        if len(past) >= LEAST:
            return predict(past, now - at)
        if point[0] != "phase":  # further back, it is another turn
            return None
    return None


def _points(run: Run) -> Iterator[tuple[Point, float]]:
    """Yield the points that a run has passed, each once, and when, in seconds."""
    seen: dict[Point, int] = {}
    for event, at in zip(run.events, run.times, strict=True):
        kind, _, change = event.event.partition(".")
        now = event.progress
        wave = (now.wave, now.wave_total) if run.is_feature else ()
        where = (kind, change, *wave, now.turn, now.phase if kind == "phase" else "")
        if kind in {"build", "wave", "turn", "phase"}:
            seen[where] = seen.get(where, 0) + 1
            yield (*where, seen[where]), at


def _t_below(t: float, freedom: int) -> float:
    """Return how likely a value of Student's t is below `t`: its density, added up by Simpson."""
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)
    width = math.atan(t / math.sqrt(freedom)) / STEPS  # t = sqrt(freedom) * tan(angle)
    weights = [1, *(4, 2) * (STEPS // 2 - 1), 4, 1]
    area = sum(by * math.pow(math.cos(n * width), freedom - 1) for n, by in enumerate(weights))
    return 0.5 + scale * area * width / 3


def _t_at(part: float, freedom: int) -> float:
    """Return the value of Student's t below which another one is so likely; by halving."""
    low, high = -FARTHEST, FARTHEST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_below(middle, freedom) < part else (low, middle)
    return high

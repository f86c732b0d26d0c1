"""Where the time of a build went: how long each phase was the one shown, all in all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guardkit.places.timeline.model import Lane, Timeline

BETWEEN, GONE = "between phases", "no longer in the journal"
LEAST = 0.5  # seconds that are worth a line, or else a hundredth of all


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """What a phase took of a build.

    name: of the phase, or what else the time was.
    seconds: for which it was shown; those of phases within it are theirs.
    times: how often it was entered.
    part: of all the time, from 0 to 1.
    """

    name: str
    seconds: float
    times: int = 0
    part: float = 0.0


def find_shares(timeline: Timeline) -> list[Share]:
    """Return where the time of a build went, the largest part first.

    Of a feature: where that of its tasks went, which add up, and of its own phases.
    """
    if not timeline.tasks:
        return add_up([timeline.build])
    phases = timeline.build.of_kind("phase")
    own = [replace(timeline.build, bars=(bar,), start=0.0, end=bar.own, gaps=()) for bar in phases]
    return add_up([*own, *timeline.tasks])


def add_up(lanes: Iterable[Lane]) -> list[Share]:
    """Return where the time of some builds went, the largest part first."""
    seconds, times = dict[str, float](), dict[str, int]()
    between, gone, whole = 0.0, 0.0, 0.0
    for lane in lanes:
        for bar in lane.of_kind("phase"):
            seconds[bar.name] = seconds.get(bar.name, 0.0) + bar.own
            times[bar.name] = times.get(bar.name, 0) + 1
        cut = sum(gap.seconds for gap in lane.gaps if gap.sign == "unknown")
        own = sum(bar.own for bar in lane.of_kind("phase"))
        gone += cut
        between += max(0.0, lane.seconds - own - cut)
        whole += lane.seconds
    found = [(name, took, times[name]) for name, took in seconds.items()]
    others, least = ((BETWEEN, between), (GONE, gone)), min(LEAST, whole / 100)
    found += [(name, took, 0) for name, took in others if took >= least > 0]
    found.sort(key=lambda it: -it[1])
    part = 1 / whole if whole else 0.0
    return [Share(name=name, seconds=s, times=n, part=s * part) for name, s, n in found]

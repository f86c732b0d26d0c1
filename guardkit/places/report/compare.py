"""Which phase of a run took longer than in other runs."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

import msgspec

from guardkit.places.timeline.shares import find_shares

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guardkit.places.timeline.model import Timeline

WHOLE = "all in all"


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """How long something took, beside other runs.

    name: of a phase, all of its times in the run together, or that of the whole run.
    seconds: in this run. median: of the others that had it, seconds. runs: how many these are.
    """

    name: str
    seconds: float
    median: float
    runs: int

    @property
    def more(self) -> float:
        """How many seconds longer it took than usual; below zero: shorter."""
        return self.seconds - self.median


def compare(timeline: Timeline, others: Iterable[Timeline]) -> list[Compared]:
    """Return the whole run, then its phases, what took most longer first.

    Only runs that have ended by themselves are to be given. Of none, nothing is returned.
    """
    known = [_seconds(each) for each in others]
    found: list[Compared] = []
    for name, seconds in _seconds(timeline).items():
        past = [each[name] for each in known if name in each]
        if past:
            found.append(Compared(name=name, seconds=seconds, median=median(past), runs=len(past)))
    return [*found[:1], *sorted(found[1:], key=lambda it: -it.more)]


def _seconds(timeline: Timeline) -> dict[str, float]:
    phases = {share.name: share.seconds for share in find_shares(timeline) if share.times}
    return {WHOLE: timeline.build.seconds, **phases}

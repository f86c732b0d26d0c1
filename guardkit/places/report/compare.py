"""Which phase of a run took longer than in other runs."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

import msgspec

from guardkit.places.timeline.shares import GONE, find_shares

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guardkit.places.timeline.model import Timeline

WHOLE = "all in all"


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """How long something took, beside other runs.

    name: of a phase, all of its times in the run together, or that of the whole run.
    seconds: in this run. median: of the others, seconds. runs: how many these are.
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
    """Return the whole run, then its phases and theirs, what took most longer first.

    A run that had no such phase spent no time in it, so that all rows are of the same runs.
    Only runs that have ended by themselves are to be given. Of none, nothing is returned.
    """
    known, own = [_seconds(each) for each in others], _seconds(timeline)
    if not known:
        return []
    names = dict.fromkeys(name for each in (own, *known) for name in each)
    whole, *phases = (
        Compared(
            name=name,
            seconds=own.get(name, 0.0),
            median=median(each.get(name, 0.0) for each in known),
            runs=len(known),
        )
        for name in names
    )
    told = [it for it in phases if it.seconds or it.median]
    return [whole, *sorted(told, key=lambda it: -it.more)]


def _seconds(timeline: Timeline) -> dict[str, float]:
    shares = {share.name: share.seconds for share in find_shares(timeline) if share.name != GONE}
    return {WHOLE: timeline.build.seconds, **shares}

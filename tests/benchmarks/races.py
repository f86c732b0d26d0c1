"""Contestants take turns, A B C A B C, in many small rounds: what disturbs one disturbs all."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from statistics import median, quantiles
from time import perf_counter
from typing import TypedDict

from .bounds import BOUNDS, ON_NATS

OURS = "guardkit"

Round = Callable[[], Awaitable[float]]  # runs once, and returns what one operation has cost
Costs = Mapping[str, list[float]]


class Row(TypedDict):
    """One line of the table: what we cost against what another costs, less being better.

    `ours` and `theirs` are medians in `unit` (s: seconds, B: bytes, empty: a number); `ratio` is
    the median of all rounds, `low` and `high` are its quartiles. `absolute`: a time that is held
    against a fixed one, and so depends on the machine.
    """

    subject: str
    against: str
    unit: str
    ours: float
    theirs: float
    ratio: float
    low: float
    high: float
    bound: float | None
    absolute: bool


async def race(contestants: Mapping[str, Round], rounds: int) -> dict[str, list[float]]:
    """Let each run once unmeasured and then in turn; return what each round of each has cost."""
    for each in contestants.values():
        await each()
    costs: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, each in contestants.items():
            await asyncio.sleep(0)  # what is due on the loop is nobody's cost
            costs[name].append(await each())
    return costs


def timed(loop: Callable[[int], object], times: int) -> Round:
    """Return a round that has `loop` do something `times` times, in seconds for each."""

    async def run() -> float:
        start = perf_counter()
        loop(times)
        return (perf_counter() - start) / times

    return run


def timed_calls(call: Callable[[], object], times: int) -> Round:
    """Return a round of `times` calls, in seconds for each."""

    def loop(times: int) -> None:
        for _ in range(times):
            call()

    return timed(loop, times)


def timed_awaits(call: Callable[[], Awaitable[object]], times: int, *, each: int = 1) -> Round:
    """Return a round of `times` awaited calls that do `each` operations, in seconds for one."""

    async def run() -> float:
        start = perf_counter()
        for _ in range(times):
            await call()
        return (perf_counter() - start) / times / each

    return run


def compare(subject: str, costs: Costs, *, unit: str = "s") -> list[Row]:
    """Return a row for each contestant that ours is held against, round by round."""
    ours = costs[OURS]
    return [_row(subject, name, unit, ours, costs[name]) for name in costs if name != OURS]


def limit(subject: str, against: str, ours: list[float], fixed: float, *, unit: str = "s") -> Row:
    """Return the row that holds ours against a fixed limit."""
    row = _row(subject, against, unit, ours, [fixed] * len(ours))
    return {**row, "absolute": unit == "s"}


def _row(subject: str, against: str, unit: str, ours: list[float], theirs: list[float]) -> Row:
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    low, middle, high = quantiles(ratios * (1 if len(ratios) > 1 else 2), method="inclusive")
    return Row(
        subject=subject,
        against=against,
        unit=unit,
        ours=median(ours),
        theirs=median(theirs),
        ratio=middle,
        low=low,
        high=high,
        bound=(BOUNDS | ON_NATS).get((subject, against)),
        absolute=False,
    )

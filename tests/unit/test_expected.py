"""When a build may be expected to end, from what earlier builds took from the same point on."""

import random
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from msgspec.structs import replace

from guardkit import Event, Snapshot
from guardkit.places.expected import LEAST, Expected, expect
from guardkit.progress.snapshot import Metrics

from ..looks import START, TRACKER, document

PLAYER, COACH = "Player Implementation", "Coach Validation"
Roll = Callable[[random.Random], float]


class Simulated:
    """A run whose turns take so many seconds in each phase: (Player, Coach)."""

    def __init__(self, run_id: str, turns: list[tuple[float, float]]) -> None:
        self.run_id, self.time, self.seq, self.number = run_id, 0.0, 0, 0
        self.events: list[Event] = []
        self._tell("build.started", 0)
        for turn, took in enumerate(turns, 1):
            self._tell("turn.started", turn)
            for phase, seconds in zip((PLAYER, COACH), took, strict=True):
                self.number += 1
                self._tell("phase.started", turn, phase)
                self.time += seconds
                self._tell("phase.ended", turn, phase)
            self._tell("turn.ended", turn, COACH)
        self._tell("build.ended", len(turns), COACH, status="completed")

    def at(self, time: float) -> tuple[list[Event], Snapshot]:
        """Return what the journal holds after so many seconds, and the document of then."""
        events = [event for event in self.events if event.progress.tracker.beat <= time + 1]
        return events, self._shift(events[-1].progress, time)

    def _tell(self, name: str, turn: int, phase: str = "", status: str = "running") -> None:
        self.seq += 1
        tracker = replace(
            TRACKER, run_id=self.run_id, seq=self.seq, phase_number=self.number, boot_id="b"
        )
        seen = document(turn=turn, phase=phase, status=status, tracker=tracker)
        seen = self._shift(seen, self.time)
        self.events.append(
            Event(event=name, at="", run_id=self.run_id, seq=self.seq, progress=seen)
        )

    @staticmethod
    def _shift(seen: Snapshot, time: float) -> Snapshot:
        return replace(
            seen,
            updated_at=START + timedelta(seconds=int(time)),
            metrics=Metrics(elapsed_seconds=int(time)),
            tracker=replace(seen.tracker, beat=time + 1),
        )


def simulate(roll: Roll, dice: random.Random, run_id: str, more: float) -> Simulated:
    """Return a run of turns, after each of which there is another one with a probability."""
    turns = 1
    while turns < 5 and dice.random() < more:
        turns += 1
    return Simulated(run_id, [(60 * roll(dice), 10 * roll(dice)) for _ in range(turns)])


def bimodal(dice: random.Random) -> float:
    return dice.gauss(4, 0.4) if dice.random() < 0.5 else dice.gauss(20, 2)


KINDS: dict[str, tuple[Roll, float]] = {
    "lognormal": (lambda dice: dice.lognormvariate(2, 0.5), 0.0),
    "lognormal, several turns": (lambda dice: dice.lognormvariate(2, 0.5), 0.5),
    "exponential": (lambda dice: dice.expovariate(0.1) + 0.1, 0.0),
    "gamma, several turns": (lambda dice: dice.gammavariate(3, 3), 0.3),
    "uniform": (lambda dice: dice.uniform(5, 15), 0.4),
    "nearly the same": (lambda dice: dice.gauss(10, 0.1), 0.0),
    "two kinds of builds": (bimodal, 0.2),
    "heavy tail": (lambda dice: dice.paretovariate(2), 0.2),
    "drifting": (lambda dice: dice.weibullvariate(10, 1.5), 0.3),
}


def cases(roll: Roll, more: float, count: int) -> Iterator[tuple[Expected | None, float]]:
    """Yield what is expected somewhere within a build, and how long the build really took then."""
    dice = random.Random(16)  # noqa: S311 - the same each time
    for _ in range(count):
        past = [
            event
            for n in range(dice.randint(LEAST, 25))
            for event in simulate(roll, dice, f"past-{n}", more).events
        ]
        build = simulate(roll, dice, "now", more)
        time = dice.uniform(0, build.time)
        events, seen = build.at(time)
        yield expect(seen, [*past, *events]), build.time - time


@pytest.mark.parametrize(("roll", "more"), KINDS.values(), ids=KINDS)
def test_the_range_holds_the_true_end_in_eight_of_ten_cases(roll: Roll, more: float) -> None:
    found = [(it, left) for it, left in cases(roll, more, 300) if it]
    held = sum(it.low <= left <= it.high for it, left in found)
    print(len(found), held / len(found))
    assert len(found) > 150
    assert held >= 0.8 * len(found)

"""When a build may be expected to end, from what earlier builds took from the same point on."""

import random
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from msgspec.structs import replace

from guardkit.places.expected import LEAST, Expected, expect, learn, predict, words

from ..simulated import Simulated, read_recorded

SAMPLES = Path(__file__).parents[3] / "shared" / "samples" / "autobuild"
PLAYER, COACH = "Player Implementation", "Coach Validation"
Roll = Callable[[random.Random], float]


def simulate(roll: Roll, dice: random.Random, run_id: str, more: float) -> Simulated:
    """Return a run of turns, after each of which there is another one with a probability."""
    turns = 1
    while turns < 5 and dice.random() < more:
        turns += 1
    return Simulated(run_id, [_turn(60 * roll(dice), 10 * roll(dice)) for _ in range(turns)])


def _turn(player: float, coach: float) -> list[tuple[str, float]]:
    return [(PLAYER, player), (COACH, coach)]


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
    "ageing": (lambda dice: dice.weibullvariate(10, 1.5), 0.3),
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
    assert len(found) > 150
    assert held >= 0.8 * len(found)


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="there are no recorded builds here")
def test_the_range_holds_the_end_of_recorded_builds() -> None:
    """Each run that was recorded, at three points of its time, by all runs of the other tasks."""
    tasks = {path: read_recorded(path) for path in sorted(SAMPLES.rglob("progress.log"))}
    built = {path: [*map(Simulated.of, runs)] for path, runs in tasks.items()}
    cases, held = 0, 0
    for path, own in built.items():
        others = [run.events for it, runs in built.items() if it != path for run in runs]
        for run in own:
            for part in (0.1, 0.5, 0.9):
                events, seen = run.at(run.time * part)
                if found := expect(seen, events, learn(others)):
                    cases += 1
                    held += found.low <= run.time * (1 - part) <= found.high
    assert cases > 100
    assert held >= 0.8 * cases


def expected(
    past: list[list[tuple[float, float]]], at: float, *, own: bool = True
) -> Expected | None:
    """Return what is expected of a build of two turns of 100 + 20 s, after so many seconds."""
    runs = [Simulated(f"p{n}", [_turn(*it) for it in turns]) for n, turns in enumerate(past)]
    events, seen = Simulated("now", [_turn(100, 20), _turn(100, 20)]).at(at)
    journals = [run.events for run in runs]
    before = [event for journal in journals for event in journal] if own else []
    return expect(seen, [*before, *events], learn([] if own else journals))


ONE, TWO = [(100.0, 20.0)], [(100.0, 20.0), (100.0, 20.0)]


def test_fewer_than_five_builds_are_no_ground() -> None:
    assert expected([ONE] * 4, 10.0) is None
    assert (found := expected([ONE] * 5, 10.0))
    assert found.builds == 5
    assert found.low < 110.0 < found.high


def test_builds_of_other_tasks_count_where_its_own_are_too_few() -> None:
    found = expected([ONE] * 6, 10.0, own=False)
    assert found
    assert found.builds == 6


def test_builds_of_other_tasks_tell_nothing_of_a_build_without_turns() -> None:
    journals = [Simulated(f"p{n}", [_turn(100, 20)]).events for n in range(6)]
    events, seen = Simulated("now", [_turn(100, 20)]).at(10.0)
    alone = replace(seen, turn=0)
    assert expect(seen, events, learn(journals))
    assert expect(alone, events, learn(journals)) is None
    assert expect(alone, [*(event for journal in journals for event in journal), *events])


def test_only_builds_that_came_as_far_count() -> None:
    found = expected([ONE] * 20 + [TWO] * 5, 150.0)  # it is in turn 2
    assert found
    assert found.builds == 5
    assert found.low < 90.0 < found.high
    assert expected([ONE] * 20 + [TWO] * 4, 150.0) is None


def test_a_build_that_outlasts_all_others_is_beyond_what_is_known() -> None:
    assert expected([[(20.0, 5.0)]] * 9, 24.0)
    assert expected([[(20.0, 5.0)]] * 9, 26.0) is None


def test_builds_that_did_not_end_by_themselves_are_no_ground() -> None:
    runs = [Simulated(f"p{n}", [_turn(100, 20)], status="cancelled") for n in range(9)]
    events, seen = Simulated("now", [_turn(100, 20)]).at(10.0)
    assert expect(seen, [*(event for run in runs for event in run.events), *events]) is None


def test_nothing_is_expected_of_a_build_that_has_ended_or_whose_beginning_is_gone() -> None:
    past = [event for n in range(9) for event in Simulated(f"p{n}", [_turn(9, 2)]).events]
    run = Simulated("now", [_turn(9, 2)])
    ended, seen = run.at(run.time)
    assert expect(seen, [*past, *ended]) is None
    events, seen = run.at(5.0)
    assert expect(seen, [*past, *events])
    assert expect(seen, [*past, *events[1:]]) is None
    assert expect(seen, past) is None


def test_builds_that_have_nothing_in_common_are_no_ground() -> None:
    assert predict([60.0, 90.0, 200.0, 60.0, 300.0], 0.0)
    assert predict([1.0, 60.0, 7200.0, 3.0, 86400.0], 0.0) is None


def test_time_that_passes_makes_less_of_what_is_left() -> None:
    past = [80.0, 95.0, 100.0, 110.0, 130.0, 90.0]
    found = [predict(past, elapsed) for elapsed in (0.0, 40.0, 60.0, 80.0)]
    highs = [it.high for it in found if it]
    assert len(highs) == 4
    assert all(before > after for before, after in pairwise(highs))


def test_the_range_is_that_of_students_t() -> None:
    """Held against a table: for five values, t is 2.132 at 95 %."""
    found = predict([100.0 * 2 ** (n / 2) for n in range(5)], 0.0)
    assert found
    # logarithms to base 2, less that of 100, are 0 to 2: a mean of 1, a deviation of 0.79057
    assert found.high == pytest.approx(100 * 2 ** (1 + 2.1318 * 0.79057 * (6 / 5) ** 0.5), rel=1e-3)
    assert found.low == pytest.approx(100 * 2 ** (1 - 2.1318 * 0.79057 * (6 / 5) ** 0.5), rel=1e-3)


def test_many_builds_and_extreme_times_are_borne() -> None:
    assert predict([10.0] * 2000, 5.0)
    assert predict([0.0, 1e-9, 1e8, 1e8, 1e8], 0.0) is None
    wide = predict([1.0] * 99 + [1e8], 1e7)
    assert wide is None or wide.low <= wide.high


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.0, 0.4, "up to 10 s more"),
        (31.0, 85.0, "30 to 90 s more"),
        (95.0, 240.0, "1 to 4 min more"),
        (12.9 * 60, 24.1 * 60, "12 to 25 min more"),
        (20.0, 4000.0, "up to 67 min more"),
        (3599.0, 5401.0, "0.9 to 1.6 h more"),
        (7200.0, 90_000.0, "2 to 25 h more"),
    ],
)
def test_a_range_is_told_in_round_numbers_that_hold_it(low: float, high: float, said: str) -> None:
    assert words(Expected(low, high, 9)) == f"{said}, from 9 builds"

"""Turns: their numbers, and one at a time."""

from typing import Any

import pytest

from guardkit import (
    MisuseError,
    ScopeError,
    track_build,
)
from guardkit.testing import FakeClock

from ..shown import seq

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


async def test_a_second_turn_is_refused_while_one_is_open(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        async with build.turn():
            with pytest.raises(ScopeError, match="turn 1 is open: leave it before turn 2"):
                build.turn()
            assert (build.snapshot.turn, seq(build)) == (1, 2)


async def test_a_turn_that_was_made_before_another_one_is_not_entered_in_it(
    clock: FakeClock,
) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        other = build.turn()
        async with build.turn():
            with pytest.raises(ScopeError, match="turn 1 is open: leave it"):
                await other.__aenter__()
            assert (build.snapshot.turn, seq(build)) == (1, 2)


async def test_a_turn_beyond_the_last_is_refused(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock, turn_max=2) as build:
        for _ in range(2):
            async with build.turn():
                pass
        with pytest.raises(MisuseError, match="turn 3 is beyond turn_max=2: pass a larger"):
            build.turn()
        assert build.snapshot.turn == 2


@pytest.mark.parametrize("number", [0, -1, 1.5, True, "1"], ids=repr)
async def test_what_is_no_number_of_a_turn_is_refused(clock: FakeClock, number: Any) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        with pytest.raises(MisuseError, match=f"turn {number!r} cannot follow turn 0: pass 1"):
            build.turn(number)


async def test_a_turn_that_is_given_a_number_beyond_the_last_is_refused(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        with pytest.raises(MisuseError, match="turn 6 is beyond turn_max=5: pass a larger"):
            build.turn(6)


async def test_turns_number_themselves_from_one(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        for number in (1, 2, 3):
            async with build.turn() as turn:
                assert turn.number == build.snapshot.turn == number


async def test_a_build_that_resumes_counts_on_from_the_given_turn(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        async with build.turn(3):
            pass
        async with build.turn() as turn:
            assert turn.number == 4
        with pytest.raises(MisuseError, match="turn 4 cannot follow turn 4: pass 5"):
            build.turn(4)


async def test_a_turn_that_was_made_but_not_entered_uses_up_no_number(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        with pytest.warns(RuntimeWarning, match="turn 1 was never entered: use `async with`"):
            build.turn()
        async with build.turn() as turn:
            assert turn.number == 1

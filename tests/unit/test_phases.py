"""Phases: which one is shown."""

import pytest

from guardkit import (
    ScopeError,
    track_build,
)
from guardkit.testing import FakeClock

from ..shown import shown

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


async def test_a_phase_of_a_turn_is_entered_only_inside_it(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        turn = build.turn()
        with pytest.raises(ScopeError, match="turn 1 is not entered: use `async with`"):
            await turn.phase("Setup").__aenter__()
        async with turn:
            pass
        with pytest.raises(ScopeError, match="turn 1 has ended"):
            await turn.phase("Setup").__aenter__()
        assert build.snapshot.phase == ""


async def test_phases_that_end_out_of_order_show_the_latest_that_is_open(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        first, second, third = (build.phase(name) for name in ("First", "Second", "Third"))
        for phase in (first, second, third):
            await phase.__aenter__()
        await second.__aexit__(None, None, None)
        assert shown(build) == (0, "Third", "in_progress")
        await third.__aexit__(None, None, None)
        assert shown(build) == (0, "First", "in_progress")
        await first.__aexit__(None, None, None)
        assert shown(build) == (0, "First", "completed")


async def test_a_turn_inside_a_phase_leaves_the_phase_shown(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        async with build.phase("Everything", budget=60), build.turn():
            assert shown(build) == (1, "Everything", "in_progress")
            assert build.snapshot.tracker
            assert build.snapshot.tracker.budget_seconds == 60
        assert shown(build) == (1, "Everything", "completed")

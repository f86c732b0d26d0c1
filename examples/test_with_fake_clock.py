"""Test what you track, hours of it in a moment: the clock moves when the test says so.

Run:    python -m pytest examples/test_with_fake_clock.py
Prints: 2 passed
"""

import pytest

from guardkit import track_build
from guardkit.testing import FakeClock, MemorySink

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_an_hour_of_work_is_an_hour_of_heartbeats() -> None:
    clock, sink = FakeClock(), MemorySink()
    async with track_build("TASK-1", root=None, clock=clock, sinks=[sink], heartbeat=60):
        await clock.advance(3600)
        assert len(sink.snapshots) == 61
        assert sink.snapshots[-1].metrics.elapsed_seconds == 3600


async def test_a_rejected_turn_is_followed_by_another_one() -> None:
    clock, sink = FakeClock(), MemorySink(transitions=True)
    async with track_build("TASK-1", root=None, clock=clock, sinks=[sink]) as build:
        for decision in ("feedback", "approve"):
            async with build.turn() as turn:
                await clock.advance(600)
                turn.decide(decision)
    assert [s.turn for s in sink.snapshots if s.decision == "approve"] == [2, 2, 2]
    assert sink.snapshots[-1].status == "completed"

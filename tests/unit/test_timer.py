"""The timer that builds share, at exact virtual times."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

import pytest

from guardkit import track_build
from guardkit.progress.timer import Timer
from guardkit.testing import FakeClock

from ..doubles import TimedSink, tasks_of_ours

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


@pytest.fixture
async def timer(clock: FakeClock) -> AsyncGenerator[Timer]:
    timer = Timer.join(clock)
    yield timer
    await timer.leave()


async def test_calls_are_made_in_time_whatever_the_order_in_which_they_were_asked_for(
    timer: Timer, clock: FakeClock
) -> None:
    calls = list[tuple[str, float]]()

    def note(name: str) -> None:
        calls.append((name, clock.monotonic()))

    for name, when in (("c", 3.0), ("a", 1.0), ("b", 2.0), ("a too", 1.0)):
        timer.call_at(when, lambda name=name: note(name))  # type: ignore[misc]
    await clock.advance(5.0)
    timer.call_at(6.0, lambda: note("later"))
    await clock.advance(5.0)
    assert calls == [("a", 1.0), ("a too", 1.0), ("b", 2.0), ("c", 3.0), ("later", 6.0)]


async def test_a_call_in_some_seconds_is_made_so_long_after_now(
    timer: Timer, clock: FakeClock
) -> None:
    calls = list[float]()
    await clock.advance(1.0)
    timer.call_in(0.5, lambda: calls.append(clock.monotonic()))
    await clock.advance(5.0)
    assert calls == [1.5]


async def test_a_call_may_ask_for_another_one_that_is_due_at_once(
    timer: Timer, clock: FakeClock
) -> None:
    calls = list[float]()
    timer.call_at(1.0, lambda: timer.call_at(0.0, lambda: calls.append(clock.monotonic())))
    timer.call_at(9.0, list)
    await clock.advance(1.0)
    assert calls == [1.0]


async def test_what_may_come_early_comes_along_with_what_is_due(
    timer: Timer, clock: FakeClock
) -> None:
    calls = list[float]()
    for when in (5.0, 5.4, 5.5, 5.6):
        timer.call_at(when, lambda: calls.append(clock.monotonic()), slack=0.5)
    await clock.advance(4.999)
    assert calls == []
    await clock.advance(5.0)
    assert calls == [5.0, 5.0, 5.0, 5.6]


async def test_what_may_come_early_lets_nothing_come_late(timer: Timer, clock: FakeClock) -> None:
    calls = list[float]()
    timer.call_at(5.0, lambda: calls.append(clock.monotonic()), slack=4.0)
    timer.call_at(5.5, lambda: calls.append(clock.monotonic()))
    await clock.advance(10.0)
    assert calls == [5.0, 5.5]


async def test_a_call_that_was_taken_back_is_not_made(timer: Timer, clock: FakeClock) -> None:
    calls = list[float]()
    timer.call_at(1.0, lambda: calls.append(1.0)).cancel()
    timer.call_at(2.0, lambda: calls.append(2.0))
    await clock.advance(3.0)
    assert calls == [2.0]


async def test_work_that_takes_long_is_told_from_work_that_is_done(
    timer: Timer, clock: FakeClock
) -> None:
    done, never = asyncio.create_task(asyncio.sleep(0)), asyncio.Event()
    assert not await timer.hangs(done, 1.0)
    waiting = asyncio.create_task(never.wait())
    looking = asyncio.create_task(timer.hangs(waiting, 3.0))
    await clock.advance(2.999)
    assert not looking.done()
    await clock.advance(0.001)
    assert await looking
    waiting.cancel()


async def test_calls_are_made_though_somebody_has_cancelled_all_tasks(
    timer: Timer, clock: FakeClock
) -> None:
    calls = list[float]()
    timer.call_at(1.0, lambda: calls.append(clock.monotonic()))
    await clock.advance(0.5)
    for task in tasks_of_ours():
        task.cancel()
    await clock.advance(1.0)
    assert calls == [1.0]


async def test_the_heartbeats_of_a_thousand_builds_that_began_apart_share_their_times(
    clock: FakeClock,
) -> None:
    sink = TimedSink(clock)
    async with AsyncExitStack() as stack:
        for number in range(1000):
            await clock.advance(0.0004)
            build = track_build(f"TASK-{number}", root=None, clock=clock, sinks=[sink])
            await stack.enter_async_context(build)
        await clock.advance(0.0)
        sink.writes.clear()
        await clock.advance(20.0)
        assert len(sink.writes) == 4000
        assert len(set(sink.times)) == 4


async def test_a_heartbeat_is_a_tenth_of_it_early_at_most(clock: FakeClock) -> None:
    sinks = TimedSink(clock), TimedSink(clock)
    async with track_build("A", root=None, clock=clock, sinks=[sinks[0]]):
        await clock.advance(0.5)
        async with track_build("B", root=None, clock=clock, sinks=[sinks[1]]):
            await clock.advance(5.0)
        async with track_build("C", root=None, clock=clock, sinks=[sinks[1]]):
            await clock.advance(5.0)
    assert sinks[0].times[:3] == [0.0, 5.0, 10.0]
    assert sinks[1].times == [0.5, 5.0, 5.5, 5.5, 10.0, 10.5]

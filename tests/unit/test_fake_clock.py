"""The public clock for tests: exact times, in order, writes in flight included."""

import asyncio
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from guardkit import Clock, SystemClock, read_progress, track_build
from guardkit.testing import FakeClock

pytestmark = pytest.mark.anyio


class Log:
    """What has slept until when."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.woken: list[tuple[str, float]] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, *seconds: float) -> None:
        self.tasks[name] = asyncio.create_task(self._sleep(name, *seconds))

    async def _sleep(self, name: str, *seconds: float) -> None:
        for second in seconds:
            await self.clock.sleep(second)
            self.woken.append((name, self.clock.monotonic()))


async def test_time_stands_still_until_it_is_moved(clock: FakeClock) -> None:
    assert clock.monotonic() == 0.0
    assert clock.now() == datetime(2025, 1, 31, 12, 34, 56, tzinfo=UTC)
    await clock.advance(1.5)
    assert clock.monotonic() == 1.5
    assert clock.now() == datetime(2025, 1, 31, 12, 34, 57, 500_000, tzinfo=UTC)


async def test_sleepers_wake_at_their_exact_times_and_in_their_order(clock: FakeClock) -> None:
    log = Log(clock)
    for name, seconds in (("late", 3.0), ("early", 1.0), ("middle", 2.0)):
        log.start(name, seconds)
    await clock.advance(2.0)
    assert log.woken == [("early", 1.0), ("middle", 2.0)]
    await clock.advance(1.0)
    assert log.woken[2:] == [("late", 3.0)]


async def test_sleepers_of_the_same_instant_wake_in_the_order_of_falling_asleep(
    clock: FakeClock,
) -> None:
    log = Log(clock)
    for name in "abc":
        log.start(name, 1.0)
    await clock.advance(1.0)
    assert [name for name, _ in log.woken] == ["a", "b", "c"]


async def test_a_sleeper_that_sleeps_again_wakes_within_the_same_advance(clock: FakeClock) -> None:
    log = Log(clock)
    log.start("a", 1.0, 1.0, 1.0)
    await clock.advance(2.5)
    assert log.woken == [("a", 1.0), ("a", 2.0)]
    await clock.advance(0.5)
    assert log.tasks["a"].done()


async def test_a_sleeper_is_not_woken_a_moment_early(clock: FakeClock) -> None:
    task = asyncio.create_task(clock.sleep(1.0))
    await clock.advance(0.999)
    assert not task.done()
    await clock.advance(0.001)
    assert task.done()


@pytest.mark.parametrize("seconds", [0.0, -1.0], ids=["no time", "less than none"])
async def test_sleeping_for_no_time_returns_at_once(clock: FakeClock, seconds: float) -> None:
    await clock.sleep(seconds)
    assert clock.monotonic() == 0.0


async def test_a_jump_moves_the_wall_clock_only(clock: FakeClock) -> None:
    task = asyncio.create_task(clock.sleep(10.0))
    await clock.advance(1.0)
    clock.jump(-3600)
    assert clock.now() == datetime(2025, 1, 31, 11, 34, 57, tzinfo=UTC)
    clock.jump(7200)
    assert clock.now() == datetime(2025, 1, 31, 13, 34, 57, tzinfo=UTC)
    assert clock.monotonic() == 1.0
    assert not task.done()
    await clock.advance(9.0)
    assert task.done()


async def test_a_sleeper_that_is_cancelled_does_not_disturb_the_others(clock: FakeClock) -> None:
    log = Log(clock)
    log.start("cancelled", 1.0)
    log.start("other", 2.0)
    await clock.advance(0.5)
    log.tasks["cancelled"].cancel()
    await clock.advance(1.5)
    assert log.tasks["cancelled"].cancelled()
    assert log.woken == [("other", 2.0)]


async def test_advance_returns_when_a_write_in_flight_has_landed(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        for _ in range(100):
            await clock.advance(5.0)
            assert read_progress("TASK-1", root=tmp_path).updated_at == clock.now()


async def test_time_does_not_run_backwards(clock: FakeClock) -> None:
    await clock.advance(5.0)
    with pytest.raises(ValueError, match="-1"):
        await clock.advance(-1.0)
    assert clock.monotonic() == 5.0


@pytest.mark.parametrize("clock", [FakeClock(), SystemClock()], ids=["fake", "system"])
async def test_each_clock_keeps_the_protocol(clock: Clock) -> None:
    before = clock.monotonic()
    assert clock.now().utcoffset() == datetime.now(UTC).utcoffset()
    await clock.sleep(0.0)
    assert clock.monotonic() >= before


async def test_advance_waits_for_what_is_busy(clock: FakeClock) -> None:
    async def work() -> None:
        with clock.busy():
            await asyncio.to_thread(go_on.wait)
        done.append(clock.monotonic())

    go_on, done = threading.Event(), list[float]()
    working = asyncio.create_task(work())
    advancing = asyncio.create_task(clock.advance(5.0))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not advancing.done()
    go_on.set()
    await advancing
    assert done == [0.0]
    await working


async def test_advance_waits_no_longer_for_what_hangs() -> None:
    clock, never = FakeClock(hung_after=0.01), asyncio.Event()

    async def hang() -> None:
        with clock.busy():
            await never.wait()

    hanging = asyncio.create_task(hang())
    await clock.advance(5.0)
    assert clock.monotonic() == 5.0
    never.set()
    await hanging


async def test_what_is_busy_may_nest_and_may_fail(clock: FakeClock) -> None:
    with pytest.raises(ValueError, match="no"):
        with clock.busy(), clock.busy():
            raise ValueError("no")
    await clock.advance(5.0)
    assert clock.monotonic() == 5.0


async def test_nothing_waits_for_what_is_busy_on_the_clock_of_the_system() -> None:
    with SystemClock().busy():
        await SystemClock().sleep(0.0)

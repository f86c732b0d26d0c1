"""The timer that builds share, at exact virtual times."""

import asyncio

import pytest

from guardkit.progress.hub import Hub
from guardkit.testing import FakeClock

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


async def test_calls_are_made_in_time_whatever_the_order_in_which_they_were_asked_for(
    clock: FakeClock,
) -> None:
    hub, calls = Hub.enter(None, clock), list[tuple[str, float]]()

    def note(name: str) -> None:
        calls.append((name, clock.monotonic()))

    for name, when in (("c", 3.0), ("a", 1.0), ("b", 2.0), ("a too", 1.0)):
        hub.timer.call_at(when, lambda name=name: note(name))  # type: ignore[misc]
    await clock.advance(5.0)
    hub.timer.call_at(6.0, lambda: note("later"))
    await clock.advance(5.0)
    assert calls == [("a", 1.0), ("a too", 1.0), ("b", 2.0), ("c", 3.0), ("later", 6.0)]
    await hub.leave()


async def test_a_call_may_ask_for_another_one_that_is_due_at_once(clock: FakeClock) -> None:
    hub, calls = Hub.enter(None, clock), list[float]()
    hub.timer.call_at(1.0, lambda: hub.timer.call_at(0.0, lambda: calls.append(clock.monotonic())))
    hub.timer.call_at(9.0, list)
    await clock.advance(1.0)
    assert calls == [1.0]
    await hub.leave()


async def test_what_may_come_early_comes_along_with_what_is_due(clock: FakeClock) -> None:
    hub, calls = Hub.enter(None, clock), list[float]()
    for when in (5.0, 5.4, 5.5, 5.6):
        hub.timer.call_at(when, lambda: calls.append(clock.monotonic()), slack=0.5)
    await clock.advance(4.999)
    assert calls == []
    await clock.advance(5.0)
    assert calls == [5.0, 5.0, 5.0, 5.6]
    await hub.leave()


async def test_a_call_that_was_taken_back_is_not_made(clock: FakeClock) -> None:
    hub, calls = Hub.enter(None, clock), list[float]()
    hub.timer.call_at(1.0, lambda: calls.append(1.0)).cancel()
    hub.timer.call_at(2.0, lambda: calls.append(2.0))
    await clock.advance(3.0)
    assert calls == [2.0]
    await hub.leave()


async def test_work_that_takes_long_is_told_from_work_that_is_done(clock: FakeClock) -> None:
    hub = Hub.enter(None, clock)
    done, never = asyncio.create_task(asyncio.sleep(0)), asyncio.Event()
    assert not await hub.timer.hangs(done, 1.0)
    waiting = asyncio.create_task(never.wait())
    looking = asyncio.create_task(hub.timer.hangs(waiting, 3.0))
    await clock.advance(2.999)
    assert not looking.done()
    await clock.advance(0.001)
    assert await looking
    waiting.cancel()
    await hub.leave()


async def test_builds_share_a_hub_by_their_root_and_clock(clock: FakeClock) -> None:
    hub = Hub.enter("/a", clock)
    others = [Hub.enter("/b", clock), Hub.enter(None, clock), Hub.enter("/a", FakeClock())]
    assert hub not in others
    assert Hub.enter("/a", clock) is hub
    for each in (hub, hub, *others):
        await each.leave()
    assert Hub.enter("/a", clock) is not hub
    await Hub.enter("/a", clock).leave()
    await Hub.enter("/a", clock).leave()

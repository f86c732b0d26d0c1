"""What the builds of one event loop share, from the first to the last of them."""

import asyncio

import pytest

from guardkit.progress.shared import Shared
from guardkit.progress.timer import Timer
from guardkit.testing import FakeClock

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


class Thing(Shared):
    """A thing that knows whether it was closed."""

    def __init__(self, *key: object) -> None:
        self.key = key
        self.closed = 0

    async def close(self) -> None:
        self.closed += 1


class OtherThing(Thing):
    pass


async def test_who_joins_with_the_same_key_shares_one_object(clock: FakeClock) -> None:
    thing = Thing.join("/a", clock)
    assert Thing.join("/a", clock) is thing
    assert thing.key == ("/a", clock)
    for _ in range(2):
        await thing.leave()


async def test_another_key_or_kind_is_another_object(clock: FakeClock) -> None:
    things = [
        Thing.join("/a", clock),
        Thing.join("/b", clock),
        Thing.join(None, clock),
        Thing.join("/a", FakeClock()),
        OtherThing.join("/a", clock),
    ]
    assert len({id(thing) for thing in things}) == 5
    for thing in things:
        await thing.leave()


async def test_texts_are_told_apart_by_value() -> None:
    thing = Thing.join("".join(["/", "a"]))
    assert Thing.join("".join(["/", "a"])) is thing
    for _ in range(2):
        await thing.leave()


async def test_the_last_one_to_leave_closes_it() -> None:
    thing = Thing.join()
    Thing.join()
    await thing.leave()
    assert thing.closed == 0
    await thing.leave()
    assert thing.closed == 1


async def test_who_joins_after_it_was_closed_has_a_new_one() -> None:
    thing = Thing.join()
    await thing.leave()
    other = Thing.join()
    assert other is not thing
    await other.leave()


async def test_another_event_loop_has_its_own(clock: FakeClock) -> None:
    timer = Timer.join(clock)

    async def elsewhere() -> bool:
        other = Timer.join(clock)
        await other.leave()
        return other is timer

    assert not await asyncio.to_thread(asyncio.run, elsewhere())
    await timer.leave()

"""What waits for one browser: bounded, in order, and whole again after it was too slow."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from guardkit.places.web.limits import ADDRESSES_MAX, Allowance
from guardkit.places.web.stream import PIECE, WAITING_MAX, Browser, encode, pieces
from guardkit.testing import FakeClock

pytestmark = pytest.mark.anyio


async def taken(events: AsyncGenerator[bytes]) -> bytes:
    """Return what is there to be sent, without waiting for more."""
    found = b""
    while True:
        getting = asyncio.ensure_future(anext(events))
        for _ in range(3):
            await asyncio.sleep(0)
        if not getting.done():
            getting.cancel()
            await asyncio.wait({getting})
            return found
        found += getting.result()


async def first(browser: Browser) -> tuple[AsyncGenerator[bytes], bytes]:
    """Return the events of a browser, and how they begin."""
    events = browser.events()
    return events, await anext(events) + await anext(events)


def test_lines_of_html_are_lines_of_one_event() -> None:
    assert encode([b"<p>a\nb</p>", b"<i></i>"]) == (
        b"event: put\ndata: <p>a\ndata: b</p><i></i>\n\n"
    )
    assert encode([]) == b""


async def test_first_comes_all_of_the_page() -> None:
    _, begin = await first(Browser(None, lambda: b"whole"))
    assert begin == b"retry: 1000\n\nwhole"


async def test_then_comes_what_is_new_in_order() -> None:
    browser = Browser(None, lambda: b"whole")
    events, _ = await first(browser)
    browser.put(b"one")
    browser.put(b"")
    browser.put(b"two")
    assert [await anext(events), await anext(events)] == [b"one", b"two"]


async def test_what_is_new_before_the_first_is_in_that() -> None:
    page = b"old"
    browser = Browser(None, lambda: page)
    browser.put(b"new")
    page = b"new page"
    events, begin = await first(browser)
    assert begin.endswith(b"new page")
    assert await taken(events) == b""


async def test_one_that_takes_nothing_costs_no_memory_and_gets_all_anew() -> None:
    browser = Browser(None, lambda: b"whole")
    events, _ = await first(browser)
    event = b"x" * 1000
    for _ in range(10 * WAITING_MAX // len(event)):
        browser.put(event)
    assert browser._size <= WAITING_MAX
    assert await anext(events) == b"whole"
    browser.put(b"next")
    assert await anext(events) == b"next"


async def test_nothing_is_sent_in_large_pieces() -> None:
    page = b"y" * (3 * PIECE + 1)
    events = Browser(None, lambda: page).events()
    await anext(events)
    found = [await anext(events) for _ in range(4)]
    assert b"".join(found) == page
    assert max(map(len, found)) == PIECE
    assert [*pieces(b"")] == []


def test_an_address_may_do_so_much_at_once_and_so_much_each_second(clock: FakeClock) -> None:
    allowance = Allowance(clock, burst=3, rate=0.5)
    assert [allowance.take("a") for _ in range(5)] == [True, True, True, False, False]
    assert allowance.take("b")
    clock._monotonic += 2.0
    assert [allowance.take("a") for _ in range(2)] == [True, False]
    clock._monotonic += 1e6
    assert [allowance.take("a") for _ in range(4)] == [True, True, True, False]


def test_no_more_than_some_addresses_are_remembered(clock: FakeClock) -> None:
    allowance = Allowance(clock, burst=1, rate=0.5)
    for number in range(10 * ADDRESSES_MAX):
        assert allowance.take(f"{number}")
    assert len(allowance._left) == ADDRESSES_MAX

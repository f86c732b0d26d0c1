"""A NATS server that is killed, stopped and absent at random while builds publish to it."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from guardkit import track_build
from guardkit.nats import NatsSink, Relay
from guardkit.nats.settings import find_settings

from ..nats_server import NatsServer
from ..nats_stream import until_whole
from .publishing import build_on
from .tally import Tally

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]

BUILDS = 3
OUTAGE_MAX = 0.5  # seconds, of a short one; each eighth lasts longer than the clients wait
LONG_OUTAGE = 3.0


async def break_server(server: NatsServer, number: int) -> None:
    """Kill or stop the server at a random instant, for a while."""
    await asyncio.sleep(random.uniform(0.0, 0.7))  # noqa: S311
    long = number % 8 == 7
    seconds = LONG_OUTAGE if long else random.uniform(0.0, OUTAGE_MAX)  # noqa: S311
    if number % 2:
        server.hang()
        await asyncio.sleep(seconds)
        server.go_on()
    else:
        server.kill()
        await asyncio.sleep(seconds)
        await asyncio.to_thread(server.start)


@pytest.mark.parametrize("relayed", [False, True], ids=["sink alone", "a relay beside it"])
async def test_no_transition_is_lost_or_doubled_by_outages(
    relayed: bool,
    nats_server: NatsServer,
    tmp_path: Path,
    tally: Tally,
    trials: Callable[[int, int], int],
) -> None:
    row = tally("On NATS", "NATS server killed or stopped")
    sink, over = NatsSink(nats_server.url, root=tmp_path), asyncio.Event()
    builds = [
        asyncio.create_task(build_on(tmp_path, sink, f"TASK-{n}", over)) for n in range(BUILDS)
    ]
    relays = [Relay(find_settings(nats_server.url), root=str(tmp_path))] if relayed else []
    relaying = {asyncio.create_task(relay.run()) for relay in relays}
    for number in range(trials(3, 100)):
        await break_server(nats_server, number)
        row["trials"] += 1
        row["faults"] += 1
    over.set()
    await asyncio.gather(*builds)
    async with track_build("TASK-0", root=tmp_path, sinks=[sink]):  # which delivers what is left
        messages = await until_whole(nats_server, tmp_path)
    assert {each.task_id for each in messages} == {f"TASK-{n}" for n in range(BUILDS)}
    for task in relaying:
        task.cancel()
    await asyncio.gather(*relaying, return_exceptions=True)

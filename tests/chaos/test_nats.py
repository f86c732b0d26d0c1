"""A NATS server that is killed, stopped and absent at random while two machines publish to it."""

import asyncio
import random
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from ..nats_server import NatsServer
from .publishing import building, deliver_the_rest, relays, two_machines
from .tally import Tally

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]

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


@pytest.mark.parametrize("relayed", [False, True], ids=["sinks alone", "relays beside them"])
async def test_no_event_is_lost_or_doubled_by_outages_and_the_last_build_is_shown(
    relayed: bool,
    nats_server: NatsServer,
    tmp_path: Path,
    tally: Tally,
    trials: Callable[[int, int], int],
) -> None:
    row = tally("On NATS", "NATS server killed or stopped")
    machines = two_machines(tmp_path, nats_server.url)
    async with relays(machines) if relayed else nullcontext():
        async with building(machines, kills=True):
            for number in range(trials(3, 100)):
                await break_server(nats_server, number)
                row["trials"] += 1
                row["faults"] += 1
        await deliver_the_rest(nats_server, machines)

"""A cluster of three NATS servers, of which one is killed while two machines publish to it."""

import asyncio
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import nats
import nats.errors
import pytest

from guardkit.clock import SYSTEM_CLOCK
from guardkit.errors import NatsError
from guardkit.nats.line import connected
from guardkit.nats.settings import find_settings
from guardkit.nats.streams import Limits, ensure_streams

from ..nats_server import NatsCluster
from ..nats_stream import DOCUMENTS, EVENTS, until
from .publishing import building, deliver_the_rest, relays, two_machines
from .tally import Tally

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]

REPLICAS = 3


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsCluster]:
    """Start three servers; they are killed in the end."""
    cluster = NatsCluster(tmp_path_factory.mktemp("cluster"))
    try:
        for server in cluster.servers.values():
            server.start()
        yield cluster
    finally:
        for server in cluster.servers.values():
            server.kill()


async def has_leader(cluster: NatsCluster) -> bool:
    """Return whether the servers have agreed on who may make streams."""
    client = await nats.connect(cluster.url.split(","))
    try:
        await client.jetstream(timeout=0.1).account_info()
    except nats.errors.Error:
        return False
    finally:
        await client.close()
    return True


async def make_streams(cluster: NatsCluster) -> bool:
    """Return whether the streams are there, on all servers."""
    try:
        async with connected(find_settings(cluster.url), SYSTEM_CLOCK) as client:
            await ensure_streams(client, Limits(replicas=REPLICAS))
    except NatsError:
        return False
    return True


async def members(cluster: NatsCluster, stream: str) -> list[str]:
    """Return the servers that have a whole stream, the leader first; none if there is none."""
    client = await nats.connect(cluster.url.split(","))
    try:
        state = (await client.jetstream(timeout=1.0).stream_info(stream)).cluster
    except nats.errors.Error:
        return []
    finally:
        await client.close()
    if not state or not state.leader:
        return []
    return [state.leader, *(str(each.name) for each in state.replicas or [] if each.current)]


async def is_whole(cluster: NatsCluster) -> bool:
    return all([len(await members(cluster, each)) == REPLICAS for each in (EVENTS, DOCUMENTS)])


async def kill_one(cluster: NatsCluster, stream: str, place: int) -> None:
    """Kill the leader of a stream (place 0) or a follower for a while, once all have both."""
    await asyncio.sleep(random.uniform(0.2, 1.0))  # noqa: S311
    await until(lambda: is_whole(cluster))
    server = cluster.servers[(await members(cluster, stream))[place]]
    server.kill()
    await asyncio.sleep(random.uniform(0.0, 3.0))  # noqa: S311
    await asyncio.to_thread(server.start)


async def test_nothing_is_lost_or_doubled_when_one_of_three_is_killed(
    cluster: NatsCluster,
    tmp_path: Path,
    tally: Tally,
    trials: Callable[[int, int], int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    await until(lambda: has_leader(cluster))
    await until(lambda: make_streams(cluster))
    row = tally("On NATS", "one of three NATS servers killed")
    machines = two_machines(tmp_path, cluster.url)
    async with relays(machines):
        async with building(machines, kills=False):
            for number in range(trials(1, 20)):
                await kill_one(cluster, (EVENTS, DOCUMENTS)[number // 2 % 2], (number + 1) % 2)
                row["trials"] += 1
                row["faults"] += 1
        await until(lambda: is_whole(cluster))
        await deliver_the_rest(next(iter(cluster.servers.values())), machines)
    assert "refuses" not in caplog.text

"""A cluster of three NATS servers, of which one is killed while builds publish to it."""

import asyncio
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import nats
import nats.errors
import pytest

from guardkit import track_build
from guardkit.errors import NatsError
from guardkit.nats import NatsSink, Relay
from guardkit.nats.connection import connected
from guardkit.nats.settings import find_settings
from guardkit.nats.stream import STREAM, Limits, ensure_stream, explained

from ..nats_server import NatsCluster
from ..nats_stream import until, until_whole
from .publishing import build_on
from .tally import Tally

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]

BUILDS = 3
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


async def make_stream(cluster: NatsCluster) -> bool:
    """Return whether the stream is there, on all servers."""
    try:
        async with connected(find_settings(cluster.url)) as client:
            await ensure_stream(client, Limits(replicas=REPLICAS))
    except NatsError:
        return False
    return True


async def members(cluster: NatsCluster) -> list[str]:
    """Return the servers that have the whole stream, the leader first; none if there is none."""
    try:
        async with connected(find_settings(cluster.url)) as client, explained(client):
            state = (await client.js.stream_info(STREAM)).cluster
    except NatsError:
        return []
    if not state or not state.leader:
        return []
    return [state.leader, *(str(each.name) for each in state.replicas or [] if each.current)]


async def is_whole(cluster: NatsCluster) -> bool:
    return len(await members(cluster)) == REPLICAS


async def kill_one(cluster: NatsCluster, place: int) -> None:
    """Kill the leader (place 0) or a follower for a while, as soon as all have the stream."""
    await asyncio.sleep(random.uniform(0.2, 1.0))  # noqa: S311
    await until(lambda: is_whole(cluster))
    server = cluster.servers[(await members(cluster))[place]]
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
    await until(lambda: make_stream(cluster))
    row, over = tally("On NATS", "one of three NATS servers killed"), asyncio.Event()
    builds = [
        asyncio.create_task(
            build_on(tmp_path, NatsSink(cluster.url, root=tmp_path), f"TASK-{number}", over)
        )
        for number in range(BUILDS)
    ]
    relay = asyncio.create_task(Relay(find_settings(cluster.url), root=str(tmp_path)).run())
    for number in range(trials(1, 20)):
        await kill_one(cluster, (number + 1) % 2)
        row["trials"] += 1
        row["faults"] += 1
    over.set()
    await asyncio.gather(*builds)
    await until(lambda: is_whole(cluster))
    sink = NatsSink(cluster.url, root=tmp_path)
    async with track_build("TASK-0", root=tmp_path, sinks=[sink]):  # which delivers what is left
        messages = await until_whole(next(iter(cluster.servers.values())), tmp_path)
    assert {each.task_id for each in messages} == {f"TASK-{n}" for n in range(BUILDS)}
    assert "refuses" not in caplog.text
    relay.cancel()
    await asyncio.wait({relay})

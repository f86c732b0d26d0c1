"""Three NATS servers that keep the stream together, of which one is killed."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from guardkit import track_build
from guardkit.errors import NatsError
from guardkit.progress.nats import NatsSink
from guardkit.progress.nats.connection import connected
from guardkit.progress.nats.settings import find_settings
from guardkit.progress.nats.stream import Limits, ensure_stream

from ..nats_server import NatsServer, free_port
from ..nats_stream import differences, read_stream, until, until_whole

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


@pytest.fixture
def cluster(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[list[NatsServer]]:
    """Start three servers that know of each other; they are killed in the end."""
    if not pytestconfig.getoption("long"):
        pytest.skip("three servers take their time to agree: run it with --long")
    ports = [free_port() for _ in range(3)]
    routes = ", ".join(f"nats://127.0.0.1:{port}" for port in ports)
    servers: list[NatsServer] = []
    for number, port in enumerate(ports):
        lines = (
            f"server_name: s{number}",
            f"cluster {{ name: test, listen: '127.0.0.1:{port}', routes: [{routes}] }}",
        )
        servers.append(NatsServer(tmp_path_factory.mktemp(f"nats{number}"), *lines))
    for server in servers:
        server.start()
    yield servers
    for server in servers:
        server.kill()


async def test_a_cluster_of_three_loses_nothing_with_one_of_them(
    cluster: list[NatsServer], tmp_path: Path
) -> None:
    url = ",".join(server.url for server in cluster)

    async def has_stream() -> bool:
        try:
            async with connected(find_settings(url)) as client:
                return (await ensure_stream(client, Limits(replicas=3))).config.num_replicas == 3
        except NatsError:  # they have not found each other yet
            return False

    await until(has_stream)
    async with connected(find_settings(url)) as client:
        state = (await ensure_stream(client)).cluster
    assert state
    assert state.leader
    sink = NatsSink(url, root=tmp_path)
    async with track_build("TASK-1", root=tmp_path, sinks=[sink], turn_max=99) as build:
        for number in range(60):
            async with build.turn() as turn, turn.phase("Player Implementation"):
                await asyncio.sleep(0.01)
            if number == 20:
                cluster[int(state.leader.removeprefix("s"))].kill()
        left = next(server for server in cluster if server.runs)
        await until_whole(left, tmp_path)
    assert differences(await read_stream(left), tmp_path) == []

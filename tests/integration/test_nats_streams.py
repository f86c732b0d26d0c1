"""The two streams of builds on a real server: made, checked, and what their subjects mean."""

import asyncio
from collections.abc import AsyncGenerator, Callable

import nats
import pytest
from nats.js import JetStreamContext
from nats.js.api import StreamConfig

from guardkit.clock import SYSTEM_CLOCK
from guardkit.errors import NatsError
from guardkit.nats.client import Client
from guardkit.nats.jetstream import Config, publish
from guardkit.nats.line import connected
from guardkit.nats.settings import find_settings
from guardkit.nats.streams import (
    DOCUMENTS,
    STREAMS,
    Limits,
    Stream,
    ensure_streams,
    events_subject,
    find_stream,
    read_subject,
    status_subject,
)

from ..nats_server import NatsServer

pytestmark = pytest.mark.anyio

StartServer = Callable[..., NatsServer]

DAY, GIB = 86400, 2**30


@pytest.fixture
async def client(nats_server: NatsServer, no_task_is_left: None) -> AsyncGenerator[Client]:
    async with connected(find_settings(nats_server.url), SYSTEM_CLOCK) as client:
        yield client


@pytest.fixture
async def js(nats_server: NatsServer) -> AsyncGenerator[JetStreamContext]:
    peer = await nats.connect(nats_server.url)
    yield peer.jetstream()
    await peer.close()


async def configs(client: Client) -> list[Config]:
    found = [await find_stream(client, stream) for stream in STREAMS]
    return [each.config for each in found if each]


@pytest.mark.parametrize(
    ("task_id", "project", "token"),
    [
        ("TASK-1", "", "TASK-1"),
        ("a.b..c", "", "a%2Eb%2E%2Ec"),
        ("X_2.", "", "X_2%2E"),
        ("TASK-1", "shop", "shop:TASK-1"),
        ("v1.2", "my.app", "my%2Eapp:v1%2E2"),
    ],
)
def test_a_subject_has_one_token_per_task_and_leads_back(
    task_id: str, project: str, token: str
) -> None:
    assert status_subject(task_id, project) == f"guardkit.builds.{token}.status"
    assert read_subject(status_subject(task_id, project)) == (project, task_id, "")
    events = events_subject(task_id, "0123456789abcdef", project)
    assert events == f"guardkit.builds.{token}.events.0123456789abcdef"
    assert read_subject(events) == (project, task_id, "0123456789abcdef")


@pytest.mark.parametrize(
    "other",
    ["guardkit.builds.%2Ea.status", "guardkit.builds.a b.status", "pipeline.builds.a", "a", ""],
)
def test_another_subject_is_of_no_task(other: str) -> None:
    assert read_subject(other) == ("", "", "")


async def test_the_first_one_makes_the_streams_and_the_others_find_them(client: Client) -> None:
    await asyncio.gather(*(ensure_streams(client) for _ in range(5)))
    documents, events = await configs(client)
    assert documents == Config(["guardkit.builds.*.status"], 1, 7 * DAY * 10**9, GIB // 8, 1)
    assert events == Config(["guardkit.builds.*.events.*"], -1, 7 * DAY * 10**9, GIB // 8 * 7, 1)


async def test_of_a_task_the_last_document_is_kept_and_of_a_run_all_events(
    client: Client, js: JetStreamContext
) -> None:
    await ensure_streams(client)
    for number in range(3):
        await js.publish(status_subject("TASK-1"), b"%d" % number)
        await js.publish(events_subject("TASK-1", "a"), b"%d" % number)
    kept = [(await js.stream_info(stream.name)).state.messages for stream in STREAMS]
    assert kept == [1, 3]
    assert (await js.get_last_msg(DOCUMENTS.name, status_subject("TASK-1"))).data == b"2"


async def test_limits_are_set_anew_and_stay(client: Client) -> None:
    await ensure_streams(client, Limits(max_age=60.0))
    await ensure_streams(client, Limits(max_age=120.0, max_bytes=8 * 10**6))
    await ensure_streams(client)
    found = [(each.max_age, each.max_bytes) for each in await configs(client)]
    assert found == [(120 * 10**9, 10**6), (120 * 10**9, 7 * 10**6)]


async def test_a_limit_that_is_none_is_no_limit(client: Client) -> None:
    unlimited = Limits(max_age=0.0, max_bytes=-1)
    await ensure_streams(client, unlimited)
    assert [(each.max_age, each.max_bytes) for each in await configs(client)] == [(0, -1)] * 2


async def test_two_that_make_the_streams_at_once_agree(client: Client) -> None:
    limits = (Limits(max_age=age) for age in (60.0, 120.0))
    await asyncio.gather(*(ensure_streams(client, each) for each in limits))
    assert {each.max_age for each in await configs(client)} <= {60 * 10**9, 120 * 10**9}


async def test_what_a_person_has_changed_otherwise_stays(
    client: Client, js: JetStreamContext
) -> None:
    await ensure_streams(client)
    for stream in STREAMS:
        config = (await js.stream_info(stream.name)).config
        await js.update_stream(config.evolve(description="of the team", max_msgs=10**6))
    await ensure_streams(client, Limits(max_age=60.0))
    for stream in STREAMS:
        config = (await js.stream_info(stream.name)).config
        assert (config.description, config.max_msgs) == ("of the team", 10**6)
        assert config.max_age == 60.0


async def test_limits_that_the_server_cannot_keep_are_refused_in_its_words(client: Client) -> None:
    with pytest.raises(NatsError, match=r"nats://127.0.0.1:.* refuses: replicas > 1 not supported"):
        await ensure_streams(client, Limits(replicas=3))


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
async def test_a_stream_of_that_name_with_other_subjects_is_refused(
    client: Client, js: JetStreamContext, stream: Stream
) -> None:
    await js.add_stream(name=stream.name, subjects=["orders.>"])
    with pytest.raises(
        NatsError, match=rf"{stream.name} on .* is for orders.>, not for guardkit.* delete it"
    ):
        await ensure_streams(client)


async def test_a_stream_with_more_subjects_than_ours_will_do(
    client: Client, js: JetStreamContext
) -> None:
    await js.add_stream(
        StreamConfig(
            name=DOCUMENTS.name,
            subjects=["orders", DOCUMENTS.subjects],
            max_msgs_per_subject=1,
        )
    )
    await ensure_streams(client)


async def test_a_stream_of_another_name_with_our_subjects_is_refused(
    client: Client, js: JetStreamContext
) -> None:
    await js.add_stream(name="OTHER", subjects=["guardkit.>"])
    with pytest.raises(NatsError, match="refuses: subjects overlap with an existing stream"):
        await ensure_streams(client)


async def test_a_stream_that_keeps_old_documents_is_refused_with_what_mends_it(
    client: Client, js: JetStreamContext
) -> None:
    await js.add_stream(name=DOCUMENTS.name, subjects=[DOCUMENTS.subjects])
    with pytest.raises(NatsError, match=r"keeps old documents: `guardkit nats init .*` mends it"):
        await ensure_streams(client)
    await ensure_streams(client, Limits(replicas=1))
    await ensure_streams(client)
    assert (await configs(client))[0].max_msgs_per_subject == 1


async def test_a_server_without_jetstream_is_refused_with_the_remedy(
    start_server: StartServer,
) -> None:
    server = start_server(jetstream=False)
    async with connected(find_settings(server.url), SYSTEM_CLOCK) as client:
        with pytest.raises(NatsError, match=r"has no JetStream .* `nats-server -js`"):
            await ensure_streams(client)


async def test_an_account_without_jetstream_is_refused_with_the_remedy(
    start_server: StartServer,
) -> None:
    server = start_server(
        "accounts { A { jetstream: enabled, users: [ { user: a, password: p } ] }",
        "B { users: [ { user: me, password: secret } ] } }",
    )
    settings = find_settings(server.url.replace("//", "//me:secret@"))
    async with connected(settings, SYSTEM_CLOCK) as client:
        with pytest.raises(NatsError, match=r"has no JetStream .* JetStream for the account"):
            await ensure_streams(client)


async def test_an_account_with_little_room_is_refused_with_the_remedy(
    start_server: StartServer,
) -> None:
    server = start_server(
        "accounts { A { jetstream { max_mem: 1M, max_file: 100M }",
        "users: [ { user: me, password: secret } ] } }",
    )
    settings = find_settings(server.url.replace("//", "//me:secret@"))
    async with connected(settings, SYSTEM_CLOCK) as client:
        with pytest.raises(NatsError, match=r"guardkit nats init --max-bytes 100MiB, or the acc"):
            await ensure_streams(client)
        await ensure_streams(client, Limits(max_bytes=80 * 10**6))


async def test_where_no_room_is_left_the_remedy_is_told(start_server: StartServer) -> None:
    server = start_server(
        "accounts { A { jetstream { max_mem: 1M, max_file: 100K }",
        "users: [ { user: me, password: secret } ] } }",
    )
    settings = find_settings(server.url.replace("//", "//me:secret@"))
    async with connected(settings, SYSTEM_CLOCK) as client:
        await ensure_streams(client, Limits(max_bytes=-1))
        with pytest.raises(NatsError, match=r"give the streams of builds less room, as guardkit"):
            for number in range(20):
                subject = status_subject(f"TASK-{number}")
                await publish(client, DOCUMENTS.name, subject, bytes(10_000), {}, last=0)

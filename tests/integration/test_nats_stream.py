"""The stream of builds on a real server: made, checked, and what its subjects mean."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta

import pytest

from guardkit.errors import InvalidTaskIdError, NatsError
from guardkit.nats.connection import Client, connected
from guardkit.nats.settings import find_settings
from guardkit.nats.stream import (
    STREAM,
    SUBJECTS,
    Limits,
    configuration,
    ensure_stream,
    keeps_since,
    subject,
    task_of,
)

from ..nats_server import NatsServer

pytestmark = pytest.mark.anyio

NOW = datetime.now(UTC)


@pytest.fixture
async def client(nats_server: NatsServer, no_task_is_left: None) -> AsyncGenerator[Client]:
    async with connected(find_settings(nats_server.url)) as client:
        yield client


@pytest.mark.parametrize(
    ("task_id", "token"),
    [("TASK-1", "TASK-1"), ("a.b..c", "a%2Eb%2E%2Ec"), ("X_2.", "X_2%2E")],
)
def test_a_subject_is_one_token_per_task_and_leads_back(task_id: str, token: str) -> None:
    assert subject(task_id) == f"guardkit.builds.{token}.status"
    assert task_of(subject(task_id)) == task_id


@pytest.mark.parametrize("task_id", ["*", ">", "a b", "", "a%2Eb"])
def test_what_is_no_task_id_has_no_subject(task_id: str) -> None:
    with pytest.raises(InvalidTaskIdError):
        subject(task_id)


@pytest.mark.parametrize(
    "other",
    ["guardkit.builds.a.b.status", "guardkit.builds.%2Ea.status", "guardkit.builds.a", "a", ""],
)
def test_another_subject_is_none_of_ours(other: str) -> None:
    assert task_of(other) is None


async def test_the_first_one_makes_the_stream_and_the_others_find_it(client: Client) -> None:
    made = await asyncio.gather(*(ensure_stream(client) for _ in range(5)))
    assert {info.config.name for info in made} == {STREAM}
    config = made[0].config
    assert (config.subjects, config.max_age, config.max_bytes) == ([SUBJECTS], 7 * 86400, 2**30)


async def test_limits_are_set_anew_and_stay(client: Client) -> None:
    await ensure_stream(client, Limits(max_age=60.0))
    await ensure_stream(client, Limits(max_age=120.0, max_bytes=10**6))
    config = (await ensure_stream(client)).config
    assert (config.max_age, config.max_bytes) == (120.0, 10**6)


async def test_one_that_comes_late_takes_the_limits_of_the_first(client: Client) -> None:
    both = (ensure_stream(client, Limits(max_age=age)) for age in (60.0, 120.0))
    first, second = await asyncio.gather(*both)
    assert first.config.max_age == second.config.max_age


async def test_limits_that_the_server_cannot_keep_are_refused_in_its_words(client: Client) -> None:
    with pytest.raises(NatsError, match=r"nats://127.0.0.1:.* refuses: replicas > 1 not supported"):
        await ensure_stream(client, Limits(replicas=3))


async def test_a_stream_of_which_nothing_may_be_deleted_is_refused(client: Client) -> None:
    await client.js.add_stream(configuration(Limits()).evolve(deny_delete=True))
    with pytest.raises(NatsError, match=r"lets no message be deleted: .* without deny_delete"):
        await ensure_stream(client)


async def test_a_stream_without_an_end_keeps_all(client: Client) -> None:
    await ensure_stream(client, Limits(max_age=0.0))
    assert await keeps_since(client, NOW) is None
    await ensure_stream(client, Limits(max_age=60.0))
    since = await keeps_since(client, NOW)
    assert since == NOW - timedelta(seconds=60)


async def test_a_full_stream_keeps_what_is_not_older_than_its_oldest_message(
    client: Client,
) -> None:
    await ensure_stream(client, Limits(max_bytes=10_000))
    for _ in range(5):
        await client.js.publish(subject("TASK-1"), bytes(3000))
    since = await keeps_since(client, NOW)
    oldest = await client.js.get_msg(STREAM, (await ensure_stream(client)).state.first_seq)
    assert since == oldest.time


async def test_a_stream_of_that_name_with_other_subjects_is_refused(client: Client) -> None:
    await client.js.add_stream(name=STREAM, subjects=["orders.>"])
    with pytest.raises(
        NatsError, match=r"GUARDKIT_BUILDS on .* is for orders.>, not for guardkit.* delete it"
    ):
        await ensure_stream(client)


async def test_a_stream_of_another_name_with_our_subjects_is_refused(client: Client) -> None:
    await client.js.add_stream(name="OTHER", subjects=["guardkit.>"])
    with pytest.raises(NatsError, match="refuses: subjects overlap with an existing stream"):
        await ensure_stream(client)


async def test_a_server_without_jetstream_is_refused_with_the_remedy(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    server = NatsServer(tmp_path_factory.mktemp("nats"), jetstream=False)
    server.start()
    try:
        async with connected(find_settings(server.url)) as client:
            with pytest.raises(NatsError, match=r"has no JetStream .* `nats-server -js`"):
                await ensure_stream(client)
    finally:
        server.kill()

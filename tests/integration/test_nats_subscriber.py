"""Watching builds over a real NATS server, which comes and goes."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator
from datetime import datetime
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from guardkit import ProgressNotFoundError, Snapshot, read_events, read_progress, track_build
from guardkit.errors import NatsError
from guardkit.nats import NatsSink, follow
from guardkit.nats.connection import Client, connected
from guardkit.nats.messages import News
from guardkit.nats.settings import find_settings
from guardkit.nats.stream import (
    AT,
    EVENT,
    STREAM,
    delete_message,
    ensure_stream,
    subject,
)
from guardkit.nats.subscriber import Subscription
from guardkit.progress.snapshot import Tracker

from ..nats_server import NatsServer
from ..nats_stream import until_whole

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]

EARLY = datetime.fromisoformat("2025-01-31T12:00:00Z")
LATE = datetime.fromisoformat("2025-01-31T12:00:05Z")


def shown(task_id: str = "TASK-1", seq: int = 1, run: str = "run", **fields: object) -> Snapshot:
    """Return a state of a build."""
    about = {"build_id": task_id, "task_id": task_id, "turn_max": 5, "started_at": EARLY}
    tracker = Tracker(run_id=run, seq=seq)
    return Snapshot(**about | {"updated_at": EARLY, "tracker": tracker} | fields)  # type: ignore[arg-type]


@pytest.fixture
async def client(nats_server: NatsServer, no_task_is_left: None) -> AsyncGenerator[Client]:
    async with connected(find_settings(nats_server.url)) as client:
        await ensure_stream(client)
        yield client


async def publish(client: Client, *snapshots: Snapshot, **headers: str) -> None:
    for each in snapshots:
        await client.js.publish(subject(each.task_id), msgspec.json.encode(each), headers=headers)


class Watching(Subscription):
    """Takes what a subscription tells, one after the other."""

    def __init__(self, server: NatsServer, *task_ids: str, history: bool = False) -> None:
        super().__init__(find_settings(server.url), task_ids, history=history)

    async def next(self) -> News | None:
        async with asyncio.timeout(30):
            return await super().next()

    async def snapshot(self) -> Snapshot:
        news = await self.next()
        assert news
        return news[0]

    async def all(self) -> list[News]:
        """Return what is there at the beginning."""
        found: list[News] = []
        while news := await self.next():
            found.append(news)
        return found


async def build(root: Path, sink: NatsSink, task_id: str = "TASK-1") -> None:
    async with track_build(task_id, root=root, sinks=[sink]) as building, building.turn() as turn:
        turn.decide("approve")


async def test_where_nothing_was_built_there_is_nothing_at_first(nats_server: NatsServer) -> None:
    async with Watching(nats_server) as watching:
        assert await watching.all() == []


async def test_one_that_comes_late_is_told_the_newest_of_each_build_at_once(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    sink, ids = NatsSink(nats_server.url, root=tmp_path), {"TASK-1", "TASK-2", "v1.2"}
    await asyncio.gather(*(build(tmp_path, sink, each) for each in ids))
    async with Watching(nats_server) as watching:
        found = {news[0].task_id: news[0] for news in await watching.all()}
    assert found == {each: read_progress(each, root=tmp_path) for each in ids}


async def test_one_that_comes_while_states_are_replaced_is_told_of_all_builds(
    client: Client, nats_server: NatsServer
) -> None:
    ids = [f"TASK-{number}" for number in range(20)]
    await publish(client, *map(shown, ids))

    async def replace() -> None:
        for number in range(len(ids) + 1, 1_000_000):  # the stream has as many before
            await publish(client, shown(ids[(number - 1) % len(ids)], number))
            await delete_message(client, number - len(ids))

    replacing = asyncio.create_task(replace())
    for _ in range(40):
        async with Watching(nats_server) as watching:
            assert {news[0].task_id for news in await watching.all()} == {*ids}
    replacing.cancel()
    await asyncio.wait({replacing})


@pytest.mark.parametrize("more", [0, 200], ids=["a few", "many"])
async def test_with_ids_one_is_told_of_these_builds_alone(
    client: Client, nats_server: NatsServer, more: int
) -> None:
    wanted = ["a.b", "TASK-1", *(f"nothing-{number}" for number in range(more))]
    await publish(client, *map(shown, ("TASK-1", "TASK-2", "TASK-10", "a.b")))
    async with Watching(nats_server, *wanted) as watching:
        assert {news[0].task_id for news in await watching.all()} == {"TASK-1", "a.b"}
        await publish(client, shown("TASK-2", 2), shown("TASK-1", 2))
        assert await watching.snapshot() == shown("TASK-1", 2)


async def test_the_history_has_all_events_as_the_journal_has_them(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    for _ in range(2):
        await build(tmp_path, NatsSink(nats_server.url, root=tmp_path))
    async with Watching(nats_server, history=True) as watching:
        found = await watching.all()
    events = read_events("TASK-1", root=tmp_path)
    assert [news[0] for news in found] == [event.progress for event in events]
    told = [(name, at.isoformat("T", "milliseconds")) for _, name, at, _ in found]
    assert told == [(event.event, event.at.replace("Z", "+00:00")) for event in events]


async def test_what_happens_later_is_told_as_it_happens(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with Watching(nats_server) as watching:
        assert await watching.all() == []
        await build(tmp_path, NatsSink(nats_server.url, root=tmp_path))
        events = read_events("TASK-1", root=tmp_path)
        assert [(await watching.snapshot()) for _ in events] == [each.progress for each in events]


async def test_after_an_outage_it_goes_on_where_it_was(
    nats_server: NatsServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sink = NatsSink(nats_server.url, root=tmp_path)
    async with Watching(nats_server, history=True) as watching:
        assert await watching.all() == []
        await build(tmp_path, sink)
        events = read_events("TASK-1", root=tmp_path)
        found = [await watching.snapshot() for _ in events]
        first = asyncio.create_task(watching.snapshot())
        nats_server.kill()
        await asyncio.sleep(0.5)  # in which it tries in vain
        nats_server.start()
        await build(tmp_path, sink)
        events = read_events("TASK-1", root=tmp_path)
        found += [await first, *[await watching.snapshot() for _ in events[len(found) + 1 :]]]
    assert found == [event.progress for event in events]
    lost, back = [each for each in caplog.messages if each.startswith("watching ")]
    assert lost.startswith("watching has to wait, and goes on by itself: ")
    assert back == f"watching goes on, over {nats_server.url}"


async def test_a_consumer_that_is_gone_is_noticed_by_its_silence(
    client: Client, nats_server: NatsServer
) -> None:
    async with Watching(nats_server) as watching:
        assert await watching.all() == []
        first = asyncio.create_task(watching.snapshot())
        [consumer] = await client.js.consumers_info(STREAM)
        await client.js.delete_consumer(STREAM, consumer.name)
        await publish(client, shown())
        assert await first == shown()


async def test_what_was_left_out_is_asked_for_again(
    client: Client, nats_server: NatsServer
) -> None:
    async with Watching(nats_server) as watching:
        assert await watching.all() == []
        [consumer] = await client.js.consumers_info(STREAM)
        assert consumer.config.deliver_subject
        missed = {"Nats-Last-Consumer": "7"}
        await client.publish(consumer.config.deliver_subject, b"", headers=missed)
        first = asyncio.create_task(watching.snapshot())
        await asyncio.sleep(0.1)
        await publish(client, shown())
        assert await first == shown()


async def test_a_server_that_asks_whether_it_follows_is_answered(
    client: Client, nats_server: NatsServer
) -> None:
    async with Watching(nats_server) as watching:
        assert await watching.all() == []
        first = asyncio.create_task(watching.snapshot())
        [consumer] = await client.js.consumers_info(STREAM)
        assert consumer.config.deliver_subject
        await client.publish(consumer.config.deliver_subject)  # a sign of life asks for nothing
        answer = await client.request(consumer.config.deliver_subject)
        assert (answer.data, answer.headers) == (b"", None)
        await publish(client, shown())
        assert await first == shown()


async def test_a_stream_that_was_made_anew_is_read_from_its_beginning(
    client: Client, nats_server: NatsServer
) -> None:
    await publish(client, *(shown(seq=seq) for seq in range(1, 4)))
    async with Watching(nats_server) as watching:
        assert await watching.all()
        next_one = asyncio.create_task(watching.snapshot())
        await client.js.delete_stream(STREAM)
        await ensure_stream(client)
        await publish(client, shown(seq=2), shown(seq=4))
        assert await next_one == shown(seq=4)


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff{", id="not JSON"),
        pytest.param(b"[]", id="another document"),
        pytest.param(msgspec.json.encode(shown("../x")), id="of another task"),
        pytest.param(msgspec.json.encode(shown(message="x" * 40_000)), id="too large"),
    ],
)
async def test_what_is_none_of_ours_is_passed_over(
    client: Client, nats_server: NatsServer, payload: bytes
) -> None:
    await client.js.publish(subject("TASK-1"), payload)
    await client.js.publish("guardkit.builds.%2E%2E.status", payload)
    async with Watching(nats_server, history=True) as watching:
        assert await watching.all() == []
        await client.js.publish(subject("TASK-1"), payload, headers={"Status": "100"})
        await publish(client, shown())
        assert await watching.snapshot() == shown()


async def test_nothing_older_follows_what_is_newer(client: Client, nats_server: NatsServer) -> None:
    beat, end = shown(seq=2, updated_at=LATE), shown(seq=3, status="completed")
    older, newer = shown(run="older"), shown(run="newer", started_at=LATE)
    told = [shown(seq=2), beat, end, newer]
    not_told = [shown(seq=1), shown(seq=2), shown(seq=4), older]
    async with Watching(nats_server, history=True) as watching:
        assert await watching.all() == []
        for each, other in zip(told, not_told, strict=True):
            await publish(client, each, other)
        assert [await watching.snapshot() for _ in told] == told


async def test_the_history_has_each_run_whenever_it_began(
    client: Client, nats_server: NatsServer
) -> None:
    """... as clocks differ, and what happened during an outage comes late."""
    late, early = shown(run="late", started_at=LATE), shown(run="early")
    for each in (late, early):
        await publish(client, each, **{EVENT: "build.started"})
    state = replace(early, tracker=Tracker(run_id="early", seq=2))
    end = replace(early, status="completed", tracker=Tracker(run_id="early", seq=3))
    await publish(client, state)
    await publish(client, end, end, **{EVENT: "build.ended"})
    async with Watching(nats_server, history=True) as watching:
        assert [news[0] for news in await watching.all()] == [late, early, end]


@pytest.mark.parametrize("at", ["soon", "2025-01-31T12:00:00", ""])
async def test_an_event_at_no_time_was_when_its_document_was_written(
    client: Client, nats_server: NatsServer, at: str
) -> None:
    await publish(client, shown(), **{EVENT: "failed", AT: at})
    async with Watching(nats_server) as watching:
        news = await watching.next()
        assert news
        assert news[:3] == (shown(), "failed", EARLY)


async def test_where_it_cannot_begin_it_says_why(nats_server: NatsServer) -> None:
    nats_server.kill()
    with pytest.raises(NatsError, match=r"no server answers at nats://127.0.0.1"):
        async with Watching(nats_server) as watching:
            await watching.next()


async def test_where_it_is_not_told_of_all_in_time_it_says_so(nats_server: NatsServer) -> None:
    subscription = Subscription(find_settings(nats_server.url), patience=0.0)
    with pytest.raises(NatsError, match=r"127.0.0.1:\d+ did not tell of all builds in 0 s"):
        async with subscription:
            await subscription.next()


async def test_a_build_is_followed_to_its_end(
    nats_server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NATS_URL", nats_server.url)
    watching = follow("TASK-1")
    async with track_build("TASK-1", root=tmp_path, sinks=[NatsSink(root=tmp_path)]) as building:
        await until_whole(nats_server, tmp_path)
        seen = [await anext(watching)]
        async with building.phase("Setup"):
            pass
    seen += [snapshot async for snapshot in watching]
    assert seen == [event.progress for event in read_events("TASK-1", root=tmp_path)]


async def test_a_build_that_is_not_known_is_not_found(nats_server: NatsServer) -> None:
    watching = follow("TASK-1", nats_server.url)
    with pytest.raises(ProgressNotFoundError, match=f"no build of TASK-1 .* {nats_server.url}"):
        await anext(watching)


LOOK_ONCE = """
import asyncio, sys
from guardkit.nats import follow

async def main():
    async for snapshot in follow("TASK-1", sys.argv[1]):
        print(snapshot.task_id)
        break

asyncio.run(main())
"""


async def test_one_that_breaks_off_and_ends_leaves_nothing_to_complain_of(
    client: Client, nats_server: NatsServer
) -> None:
    await publish(client, shown())
    command = [sys.executable, "-W", "always", "-c", LOOK_ONCE, nats_server.url]
    async with asyncio.timeout(30):
        looking = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
        assert await looking.communicate() == (b"TASK-1\n", b"")

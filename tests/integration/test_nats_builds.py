"""Looking at builds on a real NATS server, which comes and goes."""

import asyncio
import re
import subprocess
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import nats
import pytest
from msgspec.structs import replace
from nats.aio.client import Client as NatsClient
from nats.js import JetStreamContext

from guardkit import (
    Event,
    InvalidTaskIdError,
    Look,
    Snapshot,
    read_events,
    read_progress,
    track_build,
)
from guardkit.clock import SYSTEM_CLOCK, Clock
from guardkit.errors import NatsError
from guardkit.nats import NatsBuilds, NatsSink
from guardkit.nats.feed import FILTERS_MAX
from guardkit.nats.line import connected
from guardkit.nats.settings import find_settings
from guardkit.nats.streams import (
    DOCUMENTS,
    STREAMS,
    ensure_streams,
    events_subject,
    status_subject,
)
from guardkit.progress.snapshot import make_event
from guardkit.testing import FakeClock

from ..looks import START, TRACKER, document, feature, task, told
from ..nats_server import NatsServer
from ..nats_stream import until

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]

StartServer = Callable[..., NatsServer]


class Peer:
    """Anybody who may publish: a client of nats-py, and nothing of ours."""

    def __init__(self, client: NatsClient) -> None:
        self.client = client
        self.js: JetStreamContext = client.jetstream()

    async def put(self, *documents: Snapshot, project: str = "", **headers: str) -> None:
        """Publish documents of tasks; `_` in the name of a header stands for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        for each in documents:
            subject = status_subject(each.task_id, project)
            await self.js.publish(subject, msgspec.json.encode(each), headers=named)

    async def tell(self, *events: Event) -> None:
        """Publish events of runs."""
        for each in events:
            subject = events_subject(each.progress.task_id, each.run_id)
            await self.js.publish(subject, msgspec.json.encode(each))

    async def consumers(self) -> int:
        """Return how many consumers both streams have."""
        return sum([len(await self.js.consumers_info(stream.name)) for stream in STREAMS])

    async def inbox(self) -> str:
        """Return to where the only consumer of documents delivers."""
        [consumer] = await self.js.consumers_info(DOCUMENTS.name)
        assert consumer.config.deliver_subject
        return consumer.config.deliver_subject


@asynccontextmanager
async def peering(server: NatsServer) -> AsyncIterator[Peer]:
    async with connected(find_settings(server.url), SYSTEM_CLOCK) as client:
        await ensure_streams(client)
    peer = await nats.connect(server.url, reconnect_time_wait=0.05, max_reconnect_attempts=-1)
    try:
        yield Peer(peer)
    finally:
        await peer.close()


@pytest.fixture
async def peer(nats_server: NatsServer, no_task_is_left: None) -> AsyncGenerator[Peer]:
    async with peering(nats_server) as peer:
        yield peer


@pytest.fixture
def builds(nats_server: NatsServer) -> NatsBuilds:
    return NatsBuilds(nats_server.url)


def step(seq: int, run: str = "r", task_id: str = "TASK-1", **changes: Any) -> Snapshot:
    """Return a state of a build on another machine."""
    return document(task_id, tracker=replace(TRACKER, run_id=run, seq=seq), **changes)


def event(seq: int, name: str = "decided", run: str = "r", **changes: Any) -> Event:
    return make_event(name, START, step(seq, run, **changes))


async def holds(condition: object) -> object:
    """Return a condition, for `until`."""
    return condition


class Watching:
    """The looks that a watch yields."""

    def __init__(self, clock: Clock) -> None:
        self.looks: list[Look] = []
        self._clock = clock
        self._watching: asyncio.Task[None] | None = None

    def start(self, builds: NatsBuilds, *ids: str, past: bool) -> asyncio.Task[None]:
        async def watch() -> None:
            async with aclosing(builds.watch(ids, past=past)) as looks:
                async for look in looks:
                    self.looks.append(look)

        self._watching = asyncio.create_task(watch())
        return self._watching

    async def next(self) -> Look:
        """Return the next look; a clock that stands still is moved on until it has come."""
        await self.until(lambda: self.looks)
        return self.looks.pop(0)

    async def until_state(self, state: str, task_id: str = "TASK-1") -> list[Look]:
        """Return the next looks, up to the first that has that verdict on a task."""
        looks = [await self.next()]
        while told(looks[-1:]) != [(task_id, state)]:
            looks.append(await self.next())
        return looks

    async def until(self, condition: Callable[[], object]) -> None:
        async def holds() -> object:
            assert self._watching
            if self._watching.done():
                self._watching.result()
            if isinstance(self._clock, FakeClock):
                await self._clock.advance(0.0 if condition() else 0.02)
            return condition()

        await until(holds)

    async def until_it_watches(self, peer: Peer) -> None:
        """Return when the server delivers to it."""

        async def watches() -> bool:
            return await peer.consumers() == 2

        await until(watches)


@asynccontextmanager
async def watching(builds: NatsBuilds, *ids: str, past: bool = False) -> AsyncIterator[Watching]:
    """Watch builds in a task, which is ended at last."""
    watched = Watching(builds.clock)
    task = watched.start(builds, *ids, past=past)
    try:
        yield watched
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled() or task.result() is None


async def build(root: Path, sink: NatsSink, task_id: str = "TASK-1", ending: str = "") -> None:
    async with track_build(task_id, root=root, sinks=[sink]) as building:
        async with building.turn() as turn, turn.phase("Player Implementation"):
            turn.decide("approve")
        if ending:
            building.fail(ending)


@asynccontextmanager
async def later(server: NatsServer, seconds: float) -> AsyncIterator[str]:
    """Give the URL of a server for whose clients it is some seconds later: as if it had waited."""

    def move(line: bytes) -> bytes:
        def shift(found: re.Match[bytes]) -> bytes:
            moved = datetime.fromisoformat(found[1].decode()) + timedelta(seconds=seconds)
            return b'"ts":"' + moved.isoformat().encode()

        return re.sub(rb'"ts":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)', shift, line)

    async def pump(
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        change: Callable[[bytes], bytes] = bytes,
    ) -> None:
        with suppress(ConnectionError):
            while line := await reader.readline():
                writer.write(change(line))
                await writer.drain()
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection("127.0.0.1", server.port, limit=2**20)
        await asyncio.gather(pump(reader, ours), pump(theirs, writer, move))

    async with await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**20) as proxy:
        yield f"nats://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"


# One look.


async def test_where_nothing_was_built_there_is_no_look(builds: NatsBuilds) -> None:
    assert await builds.look() == []
    assert await builds.look(["TASK-1"]) == []
    assert await builds.events("TASK-1") == []


async def test_a_look_has_the_document_the_verdict_and_the_server(
    builds: NatsBuilds, nats_server: NatsServer, tmp_path: Path
) -> None:
    sink = NatsSink(nats_server.url)
    await asyncio.gather(*(build(tmp_path, sink, each) for each in ("TASK-1", "v1.2")))
    async with track_build("TASK-2", root=tmp_path, sinks=[sink]):
        await until(lambda: builds.look("TASK-2"))
        looks = await builds.look()
        shown = read_progress("TASK-2", root=tmp_path)
        assert looks[1] == Look("TASK-2", shown, looks[1].verdict, nats_server.url)
    states = [("TASK-1", "completed"), ("TASK-2", "running"), ("v1.2", "completed")]
    assert told(looks) == states


async def test_builds_are_looked_at_in_the_order_of_the_ids_or_of_their_names(
    builds: NatsBuilds, peer: Peer
) -> None:
    await peer.put(*(document(task_id) for task_id in ("TASK-2", "TASK-10", "TASK-1")))
    assert [look.task_id for look in await builds.look()] == ["TASK-1", "TASK-10", "TASK-2"]
    ids = ["TASK-2", "TASK-1", "TASK-2", "TASK-3"]
    assert [look.task_id for look in await builds.look(ids)] == ["TASK-2", "TASK-1"]


@pytest.mark.parametrize("more", [0, 200], ids=["a few", "many"])
async def test_with_ids_one_is_told_of_these_builds_alone(
    builds: NatsBuilds, peer: Peer, more: int
) -> None:
    wanted = ["a.b", "TASK-1", *(f"nothing-{number}" for number in range(more))]
    await peer.put(*map(document, ("TASK-1", "TASK-2", "TASK-10", "a.b")))
    assert [look.task_id for look in await builds.look(wanted)] == ["a.b", "TASK-1"]
    async with watching(builds, *wanted) as watched:
        assert {(await watched.next()).task_id for _ in range(2)} == {"a.b", "TASK-1"}
        await watched.until_it_watches(peer)
        await peer.put(step(2, task_id="TASK-2"), step(2))
        assert (await watched.next()).task_id == "TASK-1"


async def test_what_is_no_task_id_is_refused_at_once(builds: NatsBuilds) -> None:
    for refused in (builds.look, builds.events, builds.watch):
        with pytest.raises(InvalidTaskIdError):
            found = refused("../TASK-1")
            await anext(found) if isinstance(found, AsyncGenerator) else await found


async def test_each_project_has_builds_of_its_own(
    nats_server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for project, name in (("", ""), ("shop", "shop"), ("my.app", "app")):
        sink = NatsSink(nats_server.url, project=project)
        await asyncio.to_thread((tmp_path / name).mkdir, exist_ok=True)
        await build(tmp_path / name, sink, f"TASK-{name or 1}")
        await build(tmp_path / name, sink, "v1.2")
    found: list[list[str]] = []
    for name in ("", "shop", "my.app", "none"):
        builds = NatsBuilds(nats_server.url, project=name)
        found.append([look.task_id for look in await builds.look()])
    assert found == [["TASK-1", "v1.2"], ["TASK-shop", "v1.2"], ["TASK-app", "v1.2"], []]
    monkeypatch.setenv("GUARDKIT_PROJECT", "shop")
    builds = NatsBuilds(nats_server.url)
    assert await builds.events("v1.2") == read_events("v1.2", root=tmp_path / "shop")


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff{", id="not JSON"),
        pytest.param(b"[" * 5000, id="deep nesting"),
        pytest.param(b"[]", id="another document"),
        pytest.param(msgspec.json.encode(document("TASK-2")), id="of another task"),
        pytest.param(b'{"task_id": "TASK-1", "turn": 1' + b"0" * 4000 + b"}", id="a number"),
    ],
)
async def test_what_is_no_document_of_the_task_is_unreadable_and_hides_none(
    builds: NatsBuilds, peer: Peer, payload: bytes
) -> None:
    await peer.js.publish(status_subject("TASK-1"), payload)
    await peer.js.publish("guardkit.builds.%2E%2E.status", payload)
    [look] = await builds.look()
    assert (look.task_id, look.snapshot, look.verdict.state) == ("TASK-1", None, "unreadable")
    async with watching(builds) as watched:
        assert await watched.next() == look
        await watched.until_it_watches(peer)
        await peer.put(step(2))
        assert (await watched.next()).snapshot == step(2)
        await peer.js.publish(status_subject("TASK-1"), payload)
        await peer.put(step(3))
        assert (await watched.next()).snapshot == step(3)


async def test_what_is_no_event_of_the_run_is_passed_over(builds: NatsBuilds, peer: Peer) -> None:
    subject = events_subject("TASK-1", "r")
    for wrong in (b"", b"{}", b"[" * 5000, b"\xff"):
        await peer.js.publish(subject, wrong)
    for alien in (event(1, run="other"), event(1, task_id="TASK-2")):
        await peer.js.publish(subject, msgspec.json.encode(alien))
    await peer.tell(event(1))
    assert await builds.events("TASK-1") == [event(1)]


async def test_the_events_are_those_of_the_journal_run_by_run(
    builds: NatsBuilds, nats_server: NatsServer, tmp_path: Path
) -> None:
    for ending in ("", "out of ideas"):
        await build(tmp_path, NatsSink(nats_server.url), "v1.2", ending)
    assert await builds.events("v1.2") == read_events("v1.2", root=tmp_path)


async def test_the_events_of_two_runs_at_once_are_told_run_by_run(
    builds: NatsBuilds, peer: Peer
) -> None:
    await peer.tell(event(1, run="a"), event(1, run="b"), event(2, run="a"), event(2, run="b"))
    found = [(each.run_id, each.seq) for each in await builds.events("TASK-1")]
    assert found == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]


@pytest.mark.parametrize(
    ("ago", "state"),
    [(timedelta(days=2), "lost"), (timedelta(minutes=1), "running")],
    ids=["two days", "a minute"],
)
async def test_a_document_that_is_found_is_as_old_as_the_server_says_less_ten_minutes(
    peer: Peer, nats_server: NatsServer, ago: timedelta, state: str
) -> None:
    """A server that was away can have had no heartbeats meanwhile."""
    await peer.put(step(1))
    async with later(nats_server, ago.total_seconds()) as url:
        [look] = await NatsBuilds(url).look()
    assert look.verdict.state == state
    assert "by the wall clock" in look.verdict.evidence


async def test_a_build_that_has_ended_is_never_lost(peer: Peer, nats_server: NatsServer) -> None:
    await peer.put(step(1, status="completed"))
    async with later(nats_server, 172_800.0) as url:
        assert told(await NatsBuilds(url).look()) == [("TASK-1", "completed")]


async def test_a_build_that_does_nothing_for_long_is_stalled(
    peer: Peer, nats_server: NatsServer
) -> None:
    await peer.put(task("TASK-1", 100.0, run=None))
    for stall_after, state in ((10.0, "stalled"), (1000.0, "running")):
        found = await NatsBuilds(nats_server.url, stall_after=stall_after).look()
        assert told(found) == [("TASK-1", state)]


async def test_a_phase_that_outruns_its_budget_is_overdue(builds: NatsBuilds, peer: Peer) -> None:
    tracker = replace(TRACKER, phase_started_at=START - timedelta(seconds=100), budget_seconds=9.0)
    await peer.put(document(phase="Setup", phase_status="in_progress", tracker=tracker))
    assert told(await builds.look()) == [("TASK-1", "overdue")]


async def test_a_feature_is_as_its_worst_task_whether_or_not_that_is_asked_for(
    builds: NatsBuilds, peer: Peer
) -> None:
    await peer.put(feature(), task("TASK-1", 10.0), task("TASK-2", 3600.0), task("TASK-3", 9999.0))
    await peer.put(task("TASK-3", 9999.0, run="another"))
    for look in (*await builds.look("FEAT-1"), (await builds.look())[0]):
        assert (look.task_id, look.verdict.state) == ("FEAT-1", "stalled")
        assert look.verdict.evidence == "TASK-2: no activity for 3600 s"


async def test_another_builder_of_the_task_is_named_until_it_has_an_end(
    builds: NatsBuilds, peer: Peer
) -> None:
    await peer.put(step(1), Guardkit_Beside="beef 99 far.example")
    [look] = await builds.look()
    assert look.verdict.state == "running"
    said = "; process 99 on far.example has taken TASK-1, too, and left no end"
    assert look.verdict.evidence.endswith(said)
    await peer.tell(event(7, "build.ended", "beef", status="failed"))
    [look] = await builds.look()
    assert "far.example" not in look.verdict.evidence


@pytest.mark.parametrize(
    "text", ["", "beef", "beef x host", "* 99 host", "beef 4\u0663 host", "a.b 9 c"]
)
async def test_what_names_no_other_builder_is_passed_over(
    builds: NatsBuilds, peer: Peer, text: str
) -> None:
    await peer.put(step(1), Guardkit_Beside=text)
    [look] = await builds.look()
    assert "has taken" not in look.verdict.evidence


async def test_of_more_than_ten_thousand_builds_it_asks_for_ids(
    builds: NatsBuilds, peer: Peer, nats_server: NatsServer
) -> None:
    await put_many(peer, 10_001)
    with pytest.raises(NatsError, match=rf"10001 builds are on {nats_server.url}: give the ids"):
        await builds.look()
    with pytest.raises(NatsError, match="or a project"):
        await anext(builds.watch())
    assert told(await builds.look("TASK-7")) == [("TASK-7", "running")]
    many = [f"TASK-{number}" for number in range(FILTERS_MAX + 1)]  # which are picked out here
    assert [look.task_id for look in await builds.look(many)] == many
    await peer.put(document("TASK-7"), project="shop")
    of_project = NatsBuilds(nats_server.url, project="shop")
    assert told(await of_project.look()) == [("TASK-7", "running")]
    assert await peer.consumers() == 0


async def put_many(peer: Peer, number: int) -> None:
    """Publish documents of so many tasks, without waiting for each."""
    template = msgspec.json.encode(document("TASK-X"))
    for each in range(number):
        payload = template.replace(b"TASK-X", b"TASK-%d" % each)
        await peer.client.publish(status_subject(f"TASK-{each}"), payload)
        if each % 1000 == 0:
            await peer.client.flush()

    async def are_there() -> bool:
        return (await peer.js.stream_info(DOCUMENTS.name)).state.messages == number

    await until(are_there)


async def test_ten_thousand_builds_are_looked_at(builds: NatsBuilds, peer: Peer) -> None:
    await put_many(peer, 10_000)
    assert len(await builds.look()) == 10_000


async def test_a_look_while_documents_are_replaced_has_all_builds(
    builds: NatsBuilds, peer: Peer
) -> None:
    ids = [f"TASK-{number}" for number in range(20)]
    await peer.put(*map(document, ids))

    looking = True

    async def renew() -> None:
        for number in count(1):
            await peer.put(step(number, task_id=ids[number % len(ids)]))
            if not looking:  # nats-py may swallow a cancellation
                return

    renewing = asyncio.create_task(renew())
    for _ in range(40):
        assert {look.task_id for look in await builds.look()} == {*ids}
    looking = False
    await renewing


async def test_no_look_leaves_a_consumer(builds: NatsBuilds, peer: Peer) -> None:
    await peer.put(feature(), task("TASK-1", 1.0))
    await peer.tell(event(1))
    for look in (builds.look(), builds.look("TASK-1"), builds.look("FEAT-1"), builds.look("no")):
        await look
        assert await peer.consumers() == 0
    assert await builds.events("TASK-1")
    assert await peer.consumers() == 0
    for past in (False, True):
        async with aclosing(builds.watch(past=past)) as looks:
            await anext(looks)
        assert await peer.consumers() == 0


async def test_where_no_server_is_a_look_says_so(
    builds: NatsBuilds, nats_server: NatsServer
) -> None:
    nats_server.kill()
    for look in (builds.look(), builds.events("TASK-1"), anext(builds.watch())):
        with pytest.raises(NatsError, match=rf"no server answers at {nats_server.url}: "):
            await look


async def test_a_server_that_hangs_is_not_waited_for(
    builds: NatsBuilds, nats_server: NatsServer
) -> None:
    nats_server.hang()
    with pytest.raises(NatsError, match=r"accepts, but does not answer: it may hang"):
        await builds.look()


async def test_an_account_without_memory_can_be_looked_at(start_server: StartServer) -> None:
    server = start_server(
        "accounts { A { jetstream { max_mem: 0, max_file: 2G }",
        "users: [ { user: me, password: secret } ] } }",
    )
    server.url = server.url.replace("//", "//me:secret@")
    async with peering(server) as peer:
        await peer.put(step(1))
        assert told(await NatsBuilds(server.url).look()) == [("TASK-1", "running")]


LOOK_ONCE = """
import asyncio, sys
from guardkit.nats import NatsBuilds

async def main():
    async for look in NatsBuilds(sys.argv[1]).watch():
        print(look.task_id)
        break

asyncio.run(main())
"""


async def test_one_that_breaks_off_and_ends_leaves_nothing_to_complain_of(
    peer: Peer, nats_server: NatsServer
) -> None:
    await peer.put(step(1))
    command = [sys.executable, "-W", "always", "-c", LOOK_ONCE, nats_server.url]
    async with asyncio.timeout(30):
        looking = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
        assert await looking.communicate() == (b"TASK-1\n", b"")


# A watch.


async def test_a_build_is_told_of_at_once_and_then_as_it_goes_on_to_its_end(
    builds: NatsBuilds, nats_server: NatsServer, tmp_path: Path
) -> None:
    over = asyncio.Event()

    async def work() -> None:
        sink = NatsSink(nats_server.url)
        async with track_build("TASK-1", root=tmp_path, sinks=[sink]) as building:
            await over.wait()
            async with building.phase("Setup"):
                pass

    working = asyncio.create_task(work())
    await until(lambda: builds.look("TASK-1"))
    async with watching(builds, "TASK-1") as watched:
        first = await watched.next()
        assert (first.verdict.state, first.events) == ("running", ())
        over.set()
        await working
        looks = await watched.until_state("completed")
    began, *happened = read_events("TASK-1", root=tmp_path)
    assert first.snapshot == began.progress
    assert [each for look in looks for each in look.events] == happened
    assert looks[-1].snapshot == happened[-1].progress


async def test_the_past_of_a_build_comes_with_the_first_look_at_it(
    builds: NatsBuilds, nats_server: NatsServer, tmp_path: Path
) -> None:
    await build(tmp_path, NatsSink(nats_server.url))
    await build(tmp_path, NatsSink(nats_server.url))
    async with watching(builds, "TASK-1", past=True) as watched:
        look = await watched.next()
    assert look.snapshot
    latest = look.snapshot.tracker.run_id
    of_run = [each for each in read_events("TASK-1", root=tmp_path) if each.run_id == latest]
    assert look.events == tuple(of_run)


async def test_without_ids_the_past_is_that_of_builds_that_run(
    builds: NatsBuilds, peer: Peer
) -> None:
    await peer.tell(event(1), event(1, task_id="TASK-2"))
    await peer.put(step(1), step(1, task_id="TASK-2", status="completed"))
    async with watching(builds, past=True) as watched:
        looks = [await watched.next() for _ in range(2)]
    assert [(look.task_id, look.events) for look in looks] == [
        ("TASK-1", (event(1),)),
        ("TASK-2", ()),
    ]


@pytest.mark.parametrize("ids", [[], ["TASK-1"]], ids=["all", "one"])
async def test_a_build_that_begins_later_is_told_of_from_its_beginning(
    builds: NatsBuilds, nats_server: NatsServer, tmp_path: Path, ids: list[str], peer: Peer
) -> None:
    async with watching(builds, *ids) as watched:
        await watched.until_it_watches(peer)
        await build(tmp_path, NatsSink(nats_server.url))
        looks = await watched.until_state("completed")
    assert [each for look in looks for each in look.events] == read_events("TASK-1", root=tmp_path)


async def test_heartbeats_are_no_changes(peer: Peer, nats_server: NatsServer) -> None:
    async with watching(NatsBuilds(nats_server.url)) as watched:
        await watched.until_it_watches(peer)
        await peer.put(step(1))
        assert (await watched.next()).snapshot == step(1)
        beat = START + timedelta(seconds=5)
        await peer.put(step(1, updated_at=beat), step(2))
        assert (await watched.next()).snapshot == step(2)


async def test_what_another_run_says_that_claims_the_task_is_shown(
    builds: NatsBuilds, peer: Peer
) -> None:
    """The order of the server counts, and not what documents say of themselves."""
    states = [step(9), step(1, "a"), step(3, "b", started_at=START - timedelta(days=1))]
    async with watching(builds) as watched:
        await watched.until_it_watches(peer)
        for each in states:
            await peer.put(each)
            assert (await watched.next()).snapshot == each


async def test_a_document_waits_for_the_events_that_came_before_it(
    peer: Peer, nats_server: NatsServer
) -> None:
    clock = FakeClock(hung_after=0.2)
    async with watching(NatsBuilds(nats_server.url, clock=clock)) as watched:
        await watched.until_it_watches(peer)
        await peer.put(step(3), Guardkit_After="2")
        await clock.advance(0.9)
        assert watched.looks == []
        await peer.tell(event(1), event(2))
        look = await watched.next()
        assert (look.snapshot, look.events) == (step(3), (event(1), event(2)))


async def test_a_document_waits_for_its_events_no_longer_than_a_second(
    peer: Peer, nats_server: NatsServer
) -> None:
    clock = FakeClock(hung_after=0.2)
    async with watching(NatsBuilds(nats_server.url, clock=clock)) as watched:
        await watched.until_it_watches(peer)
        before = clock.monotonic()
        await peer.put(step(3), Guardkit_After="2")
        assert (await watched.next()).snapshot == step(3)
        assert 1.0 <= clock.monotonic() - before <= 1.6


async def test_events_without_a_document_show_the_build_after_a_second(
    peer: Peer, nats_server: NatsServer
) -> None:
    clock = FakeClock(hung_after=0.2)
    async with watching(NatsBuilds(nats_server.url, clock=clock)) as watched:
        await watched.until_it_watches(peer)
        before = clock.monotonic()
        await peer.tell(event(1), event(2))
        look = await watched.next()
        assert (look.snapshot, look.events) == (step(2), (event(1), event(2)))
        assert 1.0 <= clock.monotonic() - before <= 1.6


async def test_an_event_shows_its_build_before_the_next_document(
    builds: NatsBuilds, peer: Peer
) -> None:
    await peer.put(step(1))
    async with watching(builds) as watched:
        assert (await watched.next()).snapshot == step(1)
        await watched.until_it_watches(peer)
        await peer.tell(event(2, phase="Setup"))
        look = await watched.next()
        assert (look.snapshot, look.events) == (
            step(2, phase="Setup"),
            (event(2, phase="Setup"),),
        )


async def test_a_watch_goes_on_when_the_server_is_back(
    builds: NatsBuilds, nats_server: NatsServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sink = NatsSink(nats_server.url)
    async with watching(builds) as watched:
        await build(tmp_path, sink)
        looks = await watched.until_state("completed")
        nats_server.kill()
        await watched.until(lambda: "watching waits" in caplog.text)
        nats_server.start()
        await build(tmp_path, sink, "TASK-2")
        looks += await watched.until_state("completed", "TASK-2")
    happened = [each for name in ("TASK-1", "TASK-2") for each in read_events(name, root=tmp_path)]
    assert [each for look in looks for each in look.events] == happened
    lost, back = [each for each in caplog.messages if each.startswith("watching ")]
    assert lost.startswith("watching waits, and continues by itself: ")
    assert back == f"watching again, over {nats_server.url}"


async def test_what_happened_while_nobody_was_connected_is_told_afterwards(
    peer: Peer, builds: NatsBuilds, nats_server: NatsServer
) -> None:
    await peer.put(step(1))
    async with watching(builds) as watched:
        assert (await watched.next()).snapshot == step(1)
        nats_server.restart()
        async with peering(nats_server) as again:
            await again.tell(event(2), event(3))
            await again.put(step(4, status="completed"), Guardkit_After="3")
        looks = await watched.until_state("completed")
        assert [each for look in looks for each in look.events] == [event(2), event(3)]


async def test_a_server_that_is_away_makes_no_build_lost(
    peer: Peer, nats_server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock(hung_after=0.2)
    await peer.put(step(1))
    async with watching(NatsBuilds(nats_server.url, clock=clock)) as watched:
        assert (await watched.next()).verdict.state == "running"
        await watched.until_it_watches(peer)
        nats_server.kill()
        await watched.until(lambda: "watching waits" in caplog.text)
        await clock.advance(3600.0)
        nats_server.start()
        await watched.until(lambda: "watching again" in caplog.text)
        async with peering(nats_server) as again:
            await again.put(step(2))
        look = await watched.next()
        assert (look.snapshot, look.verdict.state) == (step(2), "running")


async def test_a_builder_that_died_while_the_server_was_away_is_lost_some_time_after_that(
    peer: Peer, nats_server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock(hung_after=0.2)
    await peer.put(beating(0.8))
    async with watching(NatsBuilds(nats_server.url, clock=clock)) as watched:
        assert (await watched.next()).verdict.state == "running"
        await watched.until_it_watches(peer)
        nats_server.kill()
        await watched.until(lambda: "watching waits" in caplog.text)
        await clock.advance(60.0)
        nats_server.start()
        await watched.until(lambda: "watching again" in caplog.text)
        assert watched.looks == []
        assert (await watched.next()).verdict.state == "lost"


class Stoppable(FakeClock):
    """A clock that moves on while nothing runs by it, as for a process that was stopped."""

    stopped = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.stopped


async def test_a_watcher_that_was_stopped_takes_that_for_no_silence(
    peer: Peer, nats_server: NatsServer
) -> None:
    clock = Stoppable(hung_after=0.2)
    await peer.put(step(1))
    async with watching(NatsBuilds(nats_server.url, clock=clock)) as watched:
        assert (await watched.next()).verdict.state == "running"
        await watched.until_it_watches(peer)
        clock.stopped = 3600.0
        await clock.advance(5.0)
        await peer.put(step(2))
        look = await watched.next()
        assert (look.snapshot, look.verdict.state) == (step(2), "running")


def beating(heartbeat: float) -> Snapshot:
    return document(tracker=replace(TRACKER, heartbeat_seconds=heartbeat))


async def test_a_stream_that_was_made_anew_is_read_from_its_beginning(
    builds: NatsBuilds, peer: Peer, nats_server: NatsServer
) -> None:
    await peer.put(*(step(seq) for seq in range(1, 4)))
    async with watching(builds) as watched:
        assert (await watched.next()).snapshot == step(3)
        await watched.until_it_watches(peer)
        for stream in STREAMS:
            await peer.js.delete_stream(stream.name)
        async with peering(nats_server):
            await peer.tell(event(1, run="anew"))
            await peer.put(step(1, "anew", status="completed"))
        looks = await watched.until_state("completed")
        assert [each for look in looks for each in look.events] == [event(1, run="anew")]


async def test_events_that_come_again_into_a_stream_that_was_made_anew_are_not_told_again(
    builds: NatsBuilds, peer: Peer, nats_server: NatsServer
) -> None:
    async with watching(builds) as watched:
        await watched.until_it_watches(peer)
        await peer.tell(event(1), event(2))
        await peer.put(step(2), Guardkit_After="2")
        assert (await watched.next()).snapshot == step(2)
        for stream in STREAMS:
            await peer.js.delete_stream(stream.name)
        async with peering(nats_server):
            await peer.tell(event(1), event(2), event(3))
            await peer.put(step(4, status="completed"), Guardkit_After="3")
        looks = await watched.until_state("completed")
        assert [each for look in looks for each in look.events] == [event(3)]


async def test_a_consumer_that_is_gone_is_noticed_by_its_silence(
    builds: NatsBuilds, peer: Peer
) -> None:
    async with watching(builds) as watched:
        await watched.until_it_watches(peer)
        [consumer] = await peer.js.consumers_info(DOCUMENTS.name)
        await peer.js.delete_consumer(DOCUMENTS.name, consumer.name)
        await peer.put(step(1))
        assert (await watched.next()).snapshot == step(1)


async def test_what_was_left_out_is_asked_for_again(
    builds: NatsBuilds, peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    async with watching(builds) as watched:
        await watched.until_it_watches(peer)
        await peer.client.publish(await peer.inbox(), headers={"Nats-Last-Consumer": "7"})
        await watched.until(lambda: "has left something out" in caplog.text)
        await peer.put(step(1))
        assert (await watched.next()).snapshot == step(1)


async def test_a_server_that_asks_whether_it_follows_is_answered(
    builds: NatsBuilds, peer: Peer
) -> None:
    async with watching(builds) as watched:
        await watched.until_it_watches(peer)
        inbox = await peer.inbox()
        await peer.client.publish(inbox)  # a sign of life asks for nothing
        answer = await peer.client.request(inbox)
        assert (answer.data, answer.headers) == (b"", None)
        reply = peer.client.new_inbox()
        heard = await peer.client.subscribe(reply)
        await peer.client.publish(inbox, headers={"Nats-Consumer-Stalled": reply})
        assert (await heard.next_msg(5)).data == b""
        await peer.put(step(1))
        assert (await watched.next()).snapshot == step(1)


async def test_of_a_feature_alone_its_tasks_are_watched_as_well(
    builds: NatsBuilds, peer: Peer
) -> None:
    await peer.put(task("TASK-1", 10.0), feature())
    async with watching(builds, "FEAT-1") as watched:
        assert told([await watched.next()]) == [("FEAT-1", "running")]
        await watched.until_it_watches(peer)
        await peer.put(task("TASK-1", 3600.0))
        look = await watched.next()
        assert told([look]) == [("FEAT-1", "stalled")]
        assert look.verdict.evidence == "TASK-1: no activity for 3600 s"


# Builders that die.

BUILD = """
import asyncio, sys
from guardkit import track_build
from guardkit.nats import NatsSink

async def main(url, root, heartbeat):
    every = float(heartbeat)
    sinks = [NatsSink(url)]
    async with track_build("TASK-1", root=root, heartbeat=every, sinks=sinks):
        await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


@asynccontextmanager
async def building(
    server: NatsServer, root: Path, heartbeat: float
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a build that does nothing in a process of its own, until the server knows of it."""
    words = (server.url, str(root), str(heartbeat))
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", BUILD, *words)
    try:
        await until(lambda: NatsBuilds(server.url).look("TASK-1"))
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_a_builder_that_is_killed_is_lost_after_three_heartbeats(
    nats_server: NatsServer, tmp_path: Path, peer: Peer
) -> None:
    clock = FakeClock(hung_after=0.2)
    async with building(nats_server, tmp_path, 1.0) as builder:
        builder.kill()
        await builder.wait()
        async with watching(NatsBuilds(nats_server.url, clock=clock)) as watched:
            assert (await watched.next()).verdict.state == "running"
            await watched.until_it_watches(peer)
            began = clock.monotonic()
            look = await watched.next()
    assert look.verdict.state == "lost"
    assert look.verdict.evidence.startswith("no heartbeat for ")
    assert f"process {builder.pid} on " in look.verdict.evidence
    assert 2.5 < clock.monotonic() - began < 4.0


@pytest.mark.parametrize("heartbeat", [0.1, 1.0], ids=["often", "each second"])
async def test_a_build_that_does_nothing_but_lives_is_never_lost(
    nats_server: NatsServer, tmp_path: Path, heartbeat: float, peer: Peer
) -> None:
    async def heard() -> bool:
        return (await peer.js.stream_info(DOCUMENTS.name)).state.last_seq >= 6

    async with building(nats_server, tmp_path, heartbeat):
        async with watching(NatsBuilds(nats_server.url)) as watched:
            await until(heard)
            assert told(watched.looks) == [("TASK-1", "running")]


async def test_a_watch_that_is_killed_leaves_consumers_for_two_seconds_at_most(
    peer: Peer, nats_server: NatsServer
) -> None:
    await peer.put(step(1))
    command = [sys.executable, "-m", "guardkit.cli.main", "watch", "--nats", nats_server.url]
    watching = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)

    async def are(number: int) -> bool:
        return await peer.consumers() == number

    await until(lambda: are(2))
    watching.kill()
    await watching.wait()
    began = time.monotonic()
    await until(lambda: are(0))
    assert time.monotonic() - began < 4.0

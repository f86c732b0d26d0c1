"""Two outboxes of one build, each of which believes to know the last message."""

import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from msgspec.structs import replace
from nats.aio.msg import Msg

from guardkit import Build, Snapshot, track_build
from guardkit.nats.connection import Client, connected
from guardkit.nats.mark import Mark, make_headers
from guardkit.nats.outbox import YIELD, YIELD_MAX, Outbox
from guardkit.nats.settings import find_settings
from guardkit.nats.source import Source
from guardkit.nats.stream import ensure_stream, subject
from guardkit.progress.snapshot import Event, encode
from guardkit.progress.worker import Worker
from guardkit.testing import FakeClock

from ..nats_server import NatsServer
from ..nats_stream import differences, read_stream, until

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


@pytest.fixture
async def client(nats_server: NatsServer) -> AsyncGenerator[Client]:
    async with connected(find_settings(nats_server.url)) as client:
        await ensure_stream(client)
        yield client


def make_outbox(
    client: Client, source: Source | None, told: dict[str, float] | None = None
) -> Outbox:
    async def always() -> None:
        return None

    warned: list[Exception] = []
    return Outbox(
        client,
        "TASK-1",
        source=source,
        keeps_since=always,
        warn=warned.append,
        told=told,
    )


async def test_the_slower_one_leaves_transitions_to_the_faster_one_and_goes_on(
    nats_server: NatsServer, client: Client, tmp_path: Path
) -> None:
    fast, slow = (make_outbox(client, Source(tmp_path, "TASK-1", Worker())) for _ in range(2))
    async with track_build("TASK-1", root=tmp_path) as build:
        for outbox in (fast, slow):
            await outbox.deliver(build.snapshot)
        async with build.turn():
            pass
        await fast.deliver(build.snapshot)
        assert await slow.deliver(build.snapshot) <= 2 * YIELD
        assert differences(await read_stream(nats_server), tmp_path) == []
        async with build.turn():
            pass
        await slow.deliver(build.snapshot)
        assert differences(await read_stream(nats_server), tmp_path) == []
        assert await fast.deliver(build.snapshot) <= YIELD_MAX


class SlowSource(Source):
    """Files of which the one shows a build late, and before the other is there a thing happens."""

    def __init__(
        self, root: Path, shown: Snapshot, happens: Callable[[], Awaitable[object]] | None = None
    ) -> None:
        super().__init__(root, "TASK-1", Worker())
        self._shown, self._happens = shown, happens

    async def newest(self) -> Snapshot:
        return self._shown

    async def all_events(self) -> list[Event]:
        events = await super().all_events()
        happens, self._happens = self._happens, None
        if happens:
            await happens()
        return events


async def test_the_neighbours_are_told_of_nothing_twice_after_another_connect(
    nats_server: NatsServer, client: Client, tmp_path: Path
) -> None:
    heard: list[str] = []

    async def hear(message: Msg) -> None:
        heard.append(message.subject)

    await client.subscribe("pipeline.>", cb=hear)
    told: dict[str, float] = {}
    async with track_build("TASK-1", root=tmp_path) as build:
        for _ in range(2):
            outbox = make_outbox(client, Source(tmp_path, "TASK-1", Worker()), told)
            await outbox.deliver(build.snapshot)
    await outbox.deliver(build.snapshot)
    assert len(await read_stream(nats_server)) == 2

    async def are_heard() -> bool:
        return len(heard) >= 2

    await until(are_heard)
    assert heard == ["pipeline.build-started.TASK-1", "pipeline.build-complete.TASK-1"]


async def test_a_state_is_not_published_after_a_run_that_began_while_the_journal_was_read(
    nats_server: NatsServer, client: Client, tmp_path: Path
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=FakeClock()) as earlier:
        shown = earlier.snapshot
    async with AsyncExitStack() as stack:

        async def begin() -> None:
            later = track_build("TASK-1", root=tmp_path, clock=FakeClock())
            build = await stack.enter_async_context(later)
            await make_outbox(client, Source(tmp_path, "TASK-1", Worker())).deliver(build.snapshot)

        late = make_outbox(client, SlowSource(tmp_path, shown, begin))
        for _ in range(3):
            await late.deliver(None)
        messages = await read_stream(nats_server)
        assert messages[-1].run_id != shown.tracker.run_id
        assert differences(messages, tmp_path) == []


async def test_a_state_is_not_published_after_the_next_run_of_the_same_second(
    nats_server: NatsServer, client: Client, tmp_path: Path
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=FakeClock()) as earlier:
        shown = replace(earlier.snapshot, message="newer than the last transition")
        shown = replace(shown, tracker=replace(shown.tracker, seq=2))
        outbox = make_outbox(client, SlowSource(tmp_path, shown))
        await outbox.deliver(None)
    async with track_build("TASK-1", root=tmp_path, clock=FakeClock()):
        await outbox.deliver(None)
        messages = await read_stream(nats_server)
        assert messages[-1].run_id != shown.tracker.run_id
        assert differences(messages, tmp_path) == []


async def test_two_machines_that_build_the_same_task_at_once_lose_and_double_nothing(
    nats_server: NatsServer, client: Client, tmp_path: Path
) -> None:
    roots = tmp_path / "a", tmp_path / "b"
    outboxes: list[Outbox] = []
    async with AsyncExitStack() as stack:
        builds: list[Build] = []
        for root in roots:
            root.mkdir()
            builds.append(await stack.enter_async_context(track_build("TASK-1", root=root)))
            outboxes.append(make_outbox(client, Source(root, "TASK-1", Worker())))
        for _ in range(5):
            for build, outbox in zip(builds, outboxes, strict=True):
                async with build.turn():
                    await outbox.deliver(None)
                await outbox.deliver(None)
    for _ in range(3):
        for outbox in outboxes:
            await outbox.deliver(None)
    assert differences(await read_stream(nats_server), *roots) == []


async def test_what_a_machine_delivers_late_is_not_the_last_that_is_seen(
    nats_server: NatsServer, client: Client, tmp_path: Path
) -> None:
    roots, clock, ended = (tmp_path / "a", tmp_path / "b"), FakeClock(), list[Snapshot]()
    for root in roots:
        root.mkdir()
        async with track_build("TASK-1", root=root, clock=clock) as build:
            pass
        ended.append(build.snapshot)
        clock.jump(2.0)
    for root in reversed(roots):
        outbox = make_outbox(client, Source(root, "TASK-1", Worker()))
        for _ in range(3):
            await outbox.deliver(None)
    messages = await read_stream(nats_server)
    assert messages[-1].snapshot == ended[-1]
    assert differences(messages, *roots) == []


async def test_of_two_runs_of_one_second_on_two_machines_none_is_taken_for_the_newer_one(
    nats_server: NatsServer, client: Client, tmp_path: Path
) -> None:
    roots = tmp_path / "a", tmp_path / "b"
    for root in roots:
        root.mkdir()
        async with track_build("TASK-1", root=root, clock=FakeClock()):
            pass
    for root in (*roots, *roots):
        outbox = make_outbox(client, Source(root, "TASK-1", Worker()))
        for _ in range(3):
            await outbox.deliver(None)
    assert [each.event for each in await read_stream(nats_server)] == [
        *("build.started", "build.ended") * 2
    ]


async def test_the_end_of_a_run_comes_though_a_state_of_the_next_one_is_there_before_it(
    nats_server: NatsServer, client: Client, tmp_path: Path
) -> None:
    clock = FakeClock()
    async with track_build("TASK-1", root=tmp_path, clock=clock) as earlier:
        await make_outbox(client, Source(tmp_path, "TASK-1", Worker())).deliver(earlier.snapshot)
    clock.jump(2.0)
    async with track_build("TASK-1", root=tmp_path, clock=clock) as later:
        hasty = make_outbox(client, None)  # as if the journal hung
        for _ in range(2):
            await hasty.deliver(later.snapshot)
    assert (await read_stream(nats_server))[-1].run_id == later.snapshot.tracker.run_id
    outbox = make_outbox(client, Source(tmp_path, "TASK-1", Worker()))
    for _ in range(3):
        await outbox.deliver(None)
    assert differences(await read_stream(nats_server), tmp_path) == []


async def test_what_the_stream_has_behind_a_last_message_of_an_earlier_run_is_not_doubled(
    nats_server: NatsServer, client: Client, tmp_path: Path
) -> None:
    async with track_build("TASK-1", root=tmp_path) as earlier:
        pass
    async with track_build("TASK-1", root=tmp_path) as later:
        await make_outbox(client, Source(tmp_path, "TASK-1", Worker())).deliver(later.snapshot)
        shown = earlier.snapshot
        headers = make_headers(shown, None, after=shown.tracker.seq, last=Mark())
        del headers["Nats-Expected-Last-Subject-Sequence"]
        await client.js.publish(subject("TASK-1"), encode(shown), headers=headers)
        outbox = make_outbox(client, Source(tmp_path, "TASK-1", Worker()))
        assert 0 < await outbox.deliver(later.snapshot) <= 2 * YIELD
        async with later.turn():
            pass
        await outbox.deliver(later.snapshot)
        assert differences(await read_stream(nats_server), tmp_path) == []


async def test_the_slower_one_leaves_the_state_to_the_faster_one(
    nats_server: NatsServer, client: Client
) -> None:
    shown: list[Snapshot] = []
    async with track_build("TASK-1", root=None) as build:
        shown.append(build.snapshot)
    later = replace(shown[0], message="later", tracker=replace(shown[0].tracker, seq=2))
    fast, slow = make_outbox(client, None), make_outbox(client, None)
    await fast.deliver(shown[0])
    await slow.deliver(later)
    await fast.deliver(shown[0])
    assert await slow.deliver(later) <= 2 * YIELD
    [state] = await read_stream(nats_server)
    assert state.seq == 1


async def test_a_state_that_was_left_when_its_publisher_died_is_deleted_by_the_next_one(
    nats_server: NatsServer, client: Client
) -> None:
    async with track_build("TASK-1", root=None) as build:
        shown = build.snapshot
    states = [replace(shown, tracker=replace(shown.tracker, seq=seq)) for seq in (1, 2)]
    for state in states:
        outbox = make_outbox(client, None)
        for _ in range(2):
            await outbox.deliver(state)
    [left] = await read_stream(nats_server)
    headers = left.headers | {"Guardkit-Seq": "3", "Guardkit-Replaces": "2"}
    for name in ("Nats-Expected-Last-Subject-Sequence", "Nats-Msg-Id"):
        headers.pop(name, None)
    await client.js.publish(subject("TASK-1"), encode(states[1]), headers=headers)
    await make_outbox(client, None).deliver(states[1])
    [last] = await read_stream(nats_server)
    assert last.seq == 3


async def test_states_are_published_while_the_disk_hangs_and_transitions_after_it(
    nats_server: NatsServer, client: Client, tmp_path: Path
) -> None:
    files, free = Worker(), threading.Event()
    outbox = make_outbox(client, Source(tmp_path, "TASK-1", files))
    async with track_build("TASK-1", root=tmp_path) as build:
        await outbox.deliver(build.snapshot)
        hanging = files.submit(free.wait)
        async with build.turn():
            await outbox.deliver(build.snapshot)
            await outbox.deliver(build.snapshot)
            last = (await read_stream(nats_server))[-1]
            assert (last.event, last.seq, last.headers["Guardkit-After"]) == (None, 2, "1")
            free.set()
            await hanging
            await outbox.deliver(build.snapshot)
        await outbox.deliver(build.snapshot)
    await outbox.deliver(None)
    files.shutdown()
    assert differences(await read_stream(nats_server), tmp_path) == []

"""What a server did not get, or has lost, is delivered by who comes next; nothing comes twice."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import nats
import pytest

from guardkit import Build, read_events, track_build
from guardkit.clock import SYSTEM_CLOCK
from guardkit.nats import NatsSink
from guardkit.nats.client import Client
from guardkit.nats.courier import Courier
from guardkit.nats.events import EventOutbox
from guardkit.nats.line import connected
from guardkit.nats.notes import Step, note, read_notes
from guardkit.nats.run import Run
from guardkit.nats.settings import find_settings
from guardkit.nats.source import Source, Told
from guardkit.nats.streams import ensure_streams, events_subject
from guardkit.progress.folder import open_builds
from guardkit.progress.journal import Spot
from guardkit.progress.timer import Timer
from guardkit.testing import FakeClock

from ..doubles import HungDisk
from ..nats_builds import crash, on_clock, put, run_build, work
from ..nats_server import NatsServer
from ..nats_stream import DOCUMENTS, EVENTS, differences, read_streams, until, until_whole

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


async def lose(server: NatsServer, *, last: int | None = None, stream: str = EVENTS) -> None:
    """Have a stream lose its last messages, or all of them."""
    client = await nats.connect(server.url)
    js = client.jetstream()
    if last is None:
        await js.purge_stream(stream)
    else:
        end = (await js.stream_info(stream)).state.last_seq
        for number in range(end, end - last, -1):
            await js.delete_msg(stream, number)
    await client.close()


def notes_of(root: Path, task_id: str = "TASK-1") -> Path:
    return root / ".guardkit/autobuild" / task_id / "published.jsonl"


async def fail_to_deliver(how: str, server: NatsServer, root: Path) -> str:
    """Have a build whose events do not come to the server, which is there afterwards."""
    if how == "absent":
        server.kill()
        await run_build(root, NatsSink(server.url))
        server.start()
    else:
        server.hang()
        await asyncio.to_thread(crash, root, server.url)
        server.go_on()
    [run_id] = {event.run_id for event in read_events("TASK-1", root=root)}
    return run_id


HOW = pytest.mark.parametrize("how", ["absent", "killed"])


@HOW
@pytest.mark.parametrize("task_id", ["TASK-1", "TASK-2"], ids=["same task", "another task"])
async def test_the_next_build_delivers_what_is_left(
    how: str, task_id: str, nats_server: NatsServer, tmp_path: Path
) -> None:
    left = await fail_to_deliver(how, nats_server, tmp_path)
    assert (await read_streams(nats_server)).events == []
    await run_build(tmp_path, NatsSink(nats_server.url), task_id=task_id)
    found = await read_streams(nats_server)
    assert differences(found, tmp_path) == []
    assert left in found.runs("TASK-1")


@HOW
async def test_no_sink_to_another_server_or_project_delivers_what_is_left(
    how: str, nats_server: NatsServer, start_server: Callable[..., NatsServer], tmp_path: Path
) -> None:
    left, other = await fail_to_deliver(how, nats_server, tmp_path), start_server()
    await run_build(tmp_path, NatsSink(other.url), task_id="TASK-2")
    await run_build(tmp_path, NatsSink(nats_server.url, project="shop"), task_id="TASK-3")
    await run_build(tmp_path, task_id="TASK-4")
    for server, task_id in ((other, "TASK-2"), (nats_server, "TASK-3")):
        found = await read_streams(server)
        assert {each.task_id for each in found.events} == {task_id}
        assert {name for _, name in found.documents} == {task_id}
    await run_build(tmp_path, NatsSink(nats_server.url), task_id="TASK-5")
    assert left in (await read_streams(nats_server)).runs("TASK-1")


async def test_a_run_is_noted_as_due_before_it_has_a_folder_though_nobody_waits_any_longer(
    tmp_path: Path, clock: FakeClock
) -> None:
    courier = Courier(find_settings("nats://127.0.0.1:1"), "", clock)
    courier.add("TASK-1", "0123456789abcdef", str(tmp_path), is_due=False, lives=True)
    await courier.close()
    assert json.loads(notes_of(tmp_path).read_bytes()) == {
        "run": "0123456789abcdef",
        "to": "nats://127.0.0.1:1",
        "step": "due",
    }


async def test_that_nothing_can_be_noted_is_warned_of(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    courier = Courier(find_settings("nats://127.0.0.1:1"), "", clock)
    (tmp_path / ".guardkit").write_text("no folder")
    courier.add("TASK-1", "0123456789abcdef", str(tmp_path), is_due=False, lives=True)

    async def is_warned_of() -> bool:
        return any("NotADirectoryError" in each for each in caplog.messages)

    await until(is_warned_of)
    await courier.close()


async def test_the_shortest_build_is_noted_though_nobody_waits_for_the_server(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    nats_server.kill()
    for number in range(20):
        sink = NatsSink(nats_server.url)
        async with track_build(f"TASK-{number}", root=tmp_path, sinks=[sink]):
            pass
    nats_server.start()
    async with track_build("LAST", root=tmp_path, sinks=[NatsSink(nats_server.url)]):
        await until_whole(nats_server, tmp_path)


@pytest.mark.parametrize("server", ["absent", "hung"])
async def test_the_shortest_builds_of_a_shared_sink_are_noted_and_delivered_by_the_next_one(
    server: str, nats_server: NatsServer, tmp_path: Path
) -> None:
    sink = NatsSink(nats_server.url)
    (nats_server.kill if server == "absent" else nats_server.hang)()

    async def build(task_id: str) -> None:
        for _ in range(2):
            async with track_build(task_id, root=tmp_path, sinks=[sink]):
                pass

    tasks = [f"TASK-{number}" for number in range(5)]
    await asyncio.gather(*map(build, tasks))
    (nats_server.start if server == "absent" else nats_server.go_on)()
    async with track_build("LAST", root=tmp_path, sinks=[sink]):
        found = await until_whole(nats_server, tmp_path)
    assert {each.task_id for each in found.events} == {*tasks, "LAST"}


async def test_two_sinks_of_a_build_deliver_each_to_its_server(
    nats_server: NatsServer, start_server: Callable[..., NatsServer], tmp_path: Path
) -> None:
    other = start_server()
    other.kill()
    sinks = [NatsSink(nats_server.url), NatsSink(other.url)]
    await run_build(tmp_path, *sinks)
    other.start()
    await run_build(tmp_path, *sinks)
    for server in (nats_server, other):
        assert differences(await read_streams(server), tmp_path) == []


async def test_what_was_killed_is_closed_by_the_next_build_of_it(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    await asyncio.to_thread(crash, tmp_path, nats_server.url)
    await run_build(tmp_path, NatsSink(nats_server.url))
    found = await read_streams(nats_server)
    assert differences(found, tmp_path) == []
    [end] = [each.event for each in found.events if each.event.progress.status == "failed"]
    assert "ended without a word" in str(end.progress.error)


async def test_what_was_killed_is_closed_by_a_sink_that_has_been_at_work_before(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    await asyncio.to_thread(crash, tmp_path, nats_server.url)
    sink = NatsSink(nats_server.url)
    async with track_build("TASK-0", root=tmp_path, sinks=[sink]):
        await until_whole(nats_server, tmp_path)
        await run_build(tmp_path, sink)
        await until_whole(nats_server, tmp_path)


async def test_what_is_being_built_is_left_to_its_own_sink(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    sink = NatsSink(nats_server.url)
    async with track_build("TASK-1", root=tmp_path, sinks=[sink], turn_max=99) as build:
        await until_whole(nats_server, tmp_path)
        for _ in range(3):
            await run_build(tmp_path, NatsSink(nats_server.url), task_id="TASK-2")
            await work(build, 5)
    assert differences(await read_streams(nats_server), tmp_path) == []


async def test_what_was_delivered_never_comes_back_though_the_stream_has_let_go_of_it(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    for _ in range(2):
        await run_build(tmp_path, NatsSink(nats_server.url))
    for stream in (EVENTS, DOCUMENTS):
        await lose(nats_server, stream=stream)
    last = await run_build(tmp_path, NatsSink(nats_server.url))
    await run_build(tmp_path, NatsSink(nats_server.url), task_id="TASK-2")
    assert (await read_streams(nats_server)).runs("TASK-1") == [last]


@pytest.mark.parametrize("last", [None, 1, 4], ids=["all", "the last one", "the last ones"])
async def test_what_the_stream_has_lost_comes_again_before_the_run_goes_on(
    last: int | None, nats_server: NatsServer, tmp_path: Path
) -> None:
    sink = NatsSink(nats_server.url)
    async with track_build("TASK-1", root=tmp_path, sinks=[sink]) as build:
        await work(build)
        await until_whole(nats_server, tmp_path)
        await lose(nats_server, last=last)
        await work(build)
        await until_whole(nats_server, tmp_path)
    assert differences(await read_streams(nats_server), tmp_path) == []


async def test_documents_that_the_stream_has_lost_are_replaced(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    sink = NatsSink(nats_server.url)
    async with track_build("TASK-1", root=tmp_path, sinks=[sink], heartbeat=0.2):
        await until_whole(nats_server, tmp_path)
        await lose(nats_server, stream=DOCUMENTS)
        await until_whole(nats_server, tmp_path)


@pytest.mark.parametrize("stream", [EVENTS, DOCUMENTS])
async def test_a_stream_that_is_deleted_is_made_again(
    stream: str, nats_server: NatsServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = await nats.connect(nats_server.url)
    sink = NatsSink(nats_server.url)
    async with track_build("TASK-1", root=tmp_path, sinks=[sink], heartbeat=0.2) as build:
        await until_whole(nats_server, tmp_path)
        await client.jetstream().delete_stream(stream)
        async with build.turn():
            await until_whole(nats_server, tmp_path)
    await client.close()
    assert differences(await read_streams(nats_server), tmp_path) == []
    assert caplog.messages == []


@pytest.fixture
async def client(nats_server: NatsServer) -> AsyncGenerator[Client]:
    """Give a connection to a server that has the streams."""
    async with connected(find_settings(nats_server.url), SYSTEM_CLOCK) as client:
        await ensure_streams(client)
        yield client


async def deliver(outbox: EventOutbox, client: Client, source: Source) -> bool:
    """Deliver what there is, once; return whether the stream has it, as far as that is known."""
    last = await outbox.look(client)
    return await outbox.send(client, source.read(outbox.spot), last)


@pytest.mark.parametrize("last", [None, 1, 3], ids=["all", "the last one", "the last ones"])
async def test_a_run_is_not_delivered_before_the_stream_was_seen_to_have_its_end(
    last: int | None, nats_server: NatsServer, client: Client, tmp_path: Path
) -> None:
    run_id = await run_build(tmp_path)
    outbox = EventOutbox(events_subject("TASK-1", run_id))
    source = Source(str(tmp_path), "TASK-1", run_id)
    for _ in range(2):
        assert not await deliver(outbox, client, source)  # the end is sent, and has to be looked at
        assert not outbox.whole
        await lose(nats_server, last=last)  # what a server that was lost had confirmed
    while not await deliver(outbox, client, source):
        assert not outbox.whole
    assert outbox.whole
    found = [each.event for each in (await read_streams(nats_server)).events]
    assert found == read_events("TASK-1", root=tmp_path)


async def test_what_is_left_is_not_given_up_because_the_disk_is_late(
    client: Client, nats_server: NatsServer, tmp_path: Path
) -> None:
    run_id = await run_build(tmp_path)
    source, late = Source(str(tmp_path), "TASK-1", run_id), [TimeoutError()] * 3

    async def read(source: Source, spot: Spot | None) -> Told:
        if late:
            raise late.pop()
        return source.read(spot)

    timer = Timer.join(SYSTEM_CLOCK)
    run = Run("TASK-1", run_id, "", timer, source)
    while not run.over:
        await run.deliver(client, read)
    assert run.delivered
    await timer.leave()
    assert differences(await read_streams(nats_server), tmp_path) == []


async def test_two_who_publish_a_run_at_once_double_nothing(
    nats_server: NatsServer, client: Client, tmp_path: Path
) -> None:
    async with track_build("TASK-1", root=tmp_path, turn_max=99) as build:
        run_id = build.snapshot.tracker.run_id
        source = Source(str(tmp_path), "TASK-1", run_id)
        outboxes = [EventOutbox(events_subject("TASK-1", run_id)) for _ in range(2)]
        for _ in range(5):
            await work(build)
            for outbox in outboxes:
                while not await deliver(outbox, client, source):
                    pass
            outboxes.reverse()
    found = [each.event for each in (await read_streams(nats_server)).events]
    assert found == read_events("TASK-1", root=tmp_path)[:-1]


async def test_who_is_overtaken_by_another_one_goes_on_without_reading_the_journal_anew(
    nats_server: NatsServer, client: Client, tmp_path: Path
) -> None:
    async with track_build("TASK-1", root=tmp_path, turn_max=99) as build:
        run_id = build.snapshot.tracker.run_id
        source = Source(str(tmp_path), "TASK-1", run_id)
        fast, slow = [EventOutbox(events_subject("TASK-1", run_id)) for _ in range(2)]
        for outbox in (fast, slow):
            await deliver(outbox, client, source)
        for _ in range(5):
            await work(build)
            assert await deliver(fast, client, source)
            assert not await deliver(slow, client, source)
            assert slow.spot == fast.spot
            assert await deliver(slow, client, source)
            fast, slow = slow, fast
    found = [each.event for each in (await read_streams(nats_server)).events]
    assert found == read_events("TASK-1", root=tmp_path)[:-1]


@pytest.mark.parametrize(
    "garbage",
    [b"", b"{", b"\xff", b'{"event": "x"}', b"x" * 10_000],
    ids=["nothing", "half", "no text", "no event", "much"],
)
async def test_garbage_in_the_events_neither_stops_nor_doubles_anything(
    garbage: bytes, nats_server: NatsServer, client: Client, tmp_path: Path
) -> None:
    sink = NatsSink(nats_server.url)
    async with track_build("TASK-1", root=tmp_path, sinks=[sink], turn_max=99) as build:
        subject = events_subject("TASK-1", build.snapshot.tracker.run_id)
        for _ in range(2):
            await put(nats_server, subject, garbage)
            await work(build)
            await put(nats_server, subject, garbage)
            await until_whole(nats_server, tmp_path)
        await put(nats_server, subject, garbage)
    assert differences(await read_streams(nats_server), tmp_path) == []


def rotate(root: Path) -> None:
    """Do what the journal does when it is full."""
    folder = root / ".guardkit/autobuild/TASK-1"
    (folder / "events.jsonl").replace(folder / "events.jsonl.1")


async def test_a_journal_that_is_rotated_is_delivered_whole(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    sink = NatsSink(nats_server.url)
    async with track_build("TASK-1", root=tmp_path, sinks=[sink], turn_max=99) as build:
        await work(build)
        await until_whole(nats_server, tmp_path)
        rotate(tmp_path)
        await work(build)
        await until_whole(nats_server, tmp_path)
    found = await read_streams(nats_server)
    assert differences(found, tmp_path) == []
    assert len(found.events) == 12


async def test_a_journal_that_is_rotated_in_an_outage_is_delivered_whole(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    sink = NatsSink(nats_server.url)
    async with track_build("TASK-1", root=tmp_path, sinks=[sink], turn_max=99) as build:
        await work(build)
        await until_whole(nats_server, tmp_path)
        nats_server.kill()
        await work(build)
        rotate(tmp_path)
        await work(build)
        nats_server.start()
        found = await until_whole(nats_server, tmp_path)
        assert len(found.events) == 16


async def test_of_lines_that_the_journal_has_lost_the_rest_is_delivered_in_order(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    sink = NatsSink(nats_server.url)
    async with track_build("TASK-1", root=tmp_path, sinks=[sink], turn_max=99) as build:
        await work(build)
        before = await until_whole(nats_server, tmp_path)
        nats_server.kill()
        for _ in range(3):
            await work(build)
            rotate(tmp_path)
        await work(build)
        nats_server.start()
        kept = read_events("TASK-1", root=tmp_path)

        async def is_there() -> bool:
            heard = [each.event for each in (await read_streams(nats_server)).events]
            return heard == [*(each.event for each in before.events), *kept]

        await until(is_there)


async def test_the_end_of_a_run_comes_though_the_disk_was_late_with_it(
    nats_server: NatsServer, tmp_path: Path, clock: FakeClock, disk: HungDisk
) -> None:
    sink, elsewhere = NatsSink(nats_server.url, clock=clock), tmp_path / "elsewhere"
    elsewhere.mkdir()

    def build(root: Path, task_id: str) -> AbstractAsyncContextManager[Build]:
        build = track_build(task_id, root=root, sinks=[sink], clock=clock)
        return on_clock(build, clock, step=0.2)

    async def is_written() -> bool:
        return read_events("TASK-1", root=tmp_path)[-1].event == "build.ended"

    async with build(elsewhere, "TASK-2"):  # which goes on, so that the sink does
        async with build(tmp_path, "TASK-1"):
            await until_whole(nats_server, tmp_path, clock=clock)
            disk.hang()
        await clock.advance(2.0)
        assert (await read_streams(nats_server)).snapshot().status == "completed"
        disk.come_back()
        await until(is_written)
    await run_build(tmp_path, NatsSink(nats_server.url), task_id="TASK-3")
    assert differences(await read_streams(nats_server), tmp_path) == []


@pytest.mark.parametrize(
    "notes",
    [
        b"garbage\n" * 10,
        b"\xff\n\x00\n",
        b'{"run": "*", "to": "nats://x", "step": "due"}\n' * 1000,
        b"x" * 2**20,
    ],
    ids=["garbage", "no text", "of others", "a long line"],
)
async def test_notes_that_are_none_cost_nothing(
    notes: bytes, nats_server: NatsServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await run_build(tmp_path, NatsSink(nats_server.url))
    notes_of(tmp_path).write_bytes(notes)
    await run_build(tmp_path, NatsSink(nats_server.url))
    nats_server.kill()
    await run_build(tmp_path, NatsSink(nats_server.url))
    nats_server.start()
    await run_build(tmp_path, NatsSink(nats_server.url), task_id="TASK-2")
    assert differences(await read_streams(nats_server), tmp_path) == []
    assert all("no server answers at" in message for message in caplog.messages)


async def test_what_is_due_is_not_forgotten_however_much_is_delivered_after_it(
    tmp_path: Path,
) -> None:
    with open_builds(tmp_path, make=True) as builds, builds.folder("TASK-1", make=True) as folder:
        note(folder, "left", "nats://a:1", "due")
        steps: list[Step] = ["due", "done"]
        for number in range(2000):
            for step in steps:
                note(folder, f"{number:016x}", "nats://b:1", step)
        assert read_notes(folder, "nats://a:1") == {"left": "due"}
        assert read_notes(folder, "nats://b:1")[f"{1999:016x}"] == "done"


async def test_notes_are_bounded_in_size(nats_server: NatsServer, tmp_path: Path) -> None:
    await run_build(tmp_path, NatsSink(nats_server.url))
    note = notes_of(tmp_path).read_bytes().splitlines(keepends=True)[-1]
    notes_of(tmp_path).write_bytes(note * (2**16 // len(note)))
    await run_build(tmp_path, NatsSink(nats_server.url))
    assert notes_of(tmp_path).stat().st_size < 2**16
    runs = {json.loads(line)["run"] for line in notes_of(tmp_path).read_bytes().splitlines()}
    assert runs == set((await read_streams(nats_server)).runs())

"""Builds that publish to a real NATS server, which comes and goes."""

import asyncio
import shutil
import threading
from pathlib import Path

import nats
import pytest
from nats.aio.msg import Msg

from guardkit import Sink, Snapshot, read_events, read_progress, track_build
from guardkit.nats import NatsBuilds, NatsSink
from guardkit.progress.snapshot import decode, decode_event
from guardkit.testing import FakeClock, MemorySink

from ..doubles import tasks_of_ours
from ..nats_builds import TURN, on_clock, run_build, work
from ..nats_server import NatsServer
from ..nats_stream import DOCUMENTS, differences, read_streams, until, until_whole

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


async def warned(caplog: pytest.LogCaptureFixture) -> bool:
    return bool(caplog.records)


async def test_a_sink_that_was_given_nothing_has_nothing_to_close() -> None:
    sink = NatsSink("nats://me:secret@a,b:1")
    assert str(sink) == "NatsSink(nats://a:4222, nats://b:1)"
    await sink.aclose()


async def test_every_event_is_published_once_and_in_order_and_the_last_document(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    await run_build(tmp_path, NatsSink(nats_server.url), task_id="v1.2")
    found = await read_streams(nats_server)
    assert differences(found, tmp_path) == []
    assert found.names("v1.2") == ["build.started", *TURN, "build.ended"]
    assert [each.event for each in found.events] == read_events("v1.2", root=tmp_path)
    assert found.snapshot("v1.2") == read_progress("v1.2", root=tmp_path)


async def test_a_build_below_another_folder_is_published_whole(
    nats_server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    for folder in (root, elsewhere):
        folder.mkdir()
    monkeypatch.chdir(elsewhere)
    await run_build(root, NatsSink(nats_server.url))
    found = await read_streams(nats_server)
    assert differences(found, root) == []
    assert found.names()[-1] == "build.ended"


async def test_a_build_is_published_whole_though_its_process_changes_its_folder(
    nats_server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with track_build("TASK-1", root=".", sinks=[NatsSink(nats_server.url)]) as build:
        monkeypatch.chdir("/")
        await work(build)
    found = await read_streams(nats_server)
    assert differences(found, tmp_path) == []
    assert found.names()[-1] == "build.ended"


async def test_of_documents_the_newest_alone_is_kept(
    nats_server: NatsServer, tmp_path: Path, clock: FakeClock
) -> None:
    sink = NatsSink(nats_server.url, clock=clock)
    build = track_build("TASK-1", root=tmp_path, sinks=[sink], clock=clock)
    async with on_clock(build, clock):
        await until_whole(nats_server, tmp_path, clock=clock)
        for number in range(1, 4):
            build.update(files_created=number)
            await clock.advance(2.0)
            shown = (await read_streams(nats_server)).snapshot()
            assert shown.metrics.files_created == number
    client = await nats.connect(nats_server.url)
    assert (await client.jetstream().stream_info(DOCUMENTS)).state.messages == 1
    await client.close()


async def test_heartbeats_replace_the_document(
    nats_server: NatsServer, tmp_path: Path, clock: FakeClock
) -> None:
    sink = NatsSink(nats_server.url, clock=clock)
    build = track_build("TASK-1", root=tmp_path, sinks=[sink], clock=clock)
    async with on_clock(build, clock):
        before = (await until_whole(nats_server, tmp_path, clock=clock)).snapshot()
        for _ in range(3):
            await clock.advance(5.0)
            shown = (await read_streams(nats_server)).snapshot()
            assert shown.tracker.seq == before.tracker.seq
            assert (shown.updated_at - before.updated_at).total_seconds() == pytest.approx(5, abs=1)
            before = shown


@pytest.mark.parametrize("step", [-3600, 3600])
async def test_heartbeats_replace_the_document_though_the_clock_is_set(
    nats_server: NatsServer, tmp_path: Path, clock: FakeClock, step: int
) -> None:
    sink = NatsSink(nats_server.url, clock=clock)
    build = track_build("TASK-1", root=tmp_path, sinks=[sink], clock=clock)
    async with on_clock(build, clock):
        before = (await until_whole(nats_server, tmp_path, clock=clock)).snapshot()
        clock.jump(step)
        await clock.advance(5.0)
        shown = (await read_streams(nats_server)).snapshot()
        assert (shown.updated_at - before.updated_at).total_seconds() == pytest.approx(
            step + 5, abs=1
        )


async def test_a_document_is_published_at_most_once_a_second_however_much_is_done(
    nats_server: NatsServer, tmp_path: Path, clock: FakeClock
) -> None:
    sink = NatsSink(nats_server.url, clock=clock)
    build = track_build("TASK-1", root=tmp_path, sinks=[sink], clock=clock)
    async with on_clock(build, clock):
        first = (await until_whole(nats_server, tmp_path, clock=clock)).document().number
        for number in range(1, 31):
            build.update(files_created=number)
            await clock.advance(0.1)
        last = (await read_streams(nats_server)).document()
        assert last.number - first == 3
        assert last.snapshot
        assert last.snapshot.metrics.files_created > 20


async def test_events_are_published_at_once_and_their_document_within_a_second(
    nats_server: NatsServer, tmp_path: Path, clock: FakeClock
) -> None:
    sink = NatsSink(nats_server.url, clock=clock)
    build = track_build("TASK-1", root=tmp_path, sinks=[sink], clock=clock)
    async with on_clock(build, clock):
        first = (await until_whole(nats_server, tmp_path, clock=clock)).document()
        async with build.turn():

            async def is_there() -> bool:
                return "turn.started" in (await read_streams(nats_server)).names()

            await until(is_there, clock=clock)
            assert (await read_streams(nats_server)).document() == first
            await clock.advance(1.0)
            document = (await read_streams(nats_server)).document()
            assert document.snapshot
            assert (document.snapshot.turn, document.headers["Guardkit-After"]) == (1, "2")


async def test_the_end_is_shown_at_once(
    nats_server: NatsServer, tmp_path: Path, clock: FakeClock
) -> None:
    sink = NatsSink(nats_server.url, clock=clock)
    build = track_build("TASK-1", root=tmp_path, sinks=[sink], clock=clock)
    async with on_clock(build, clock):
        await until_whole(nats_server, tmp_path, clock=clock)
        before = clock.monotonic()
    assert (await read_streams(nats_server)).snapshot().status == "completed"
    assert clock.monotonic() - before < 0.1


async def test_several_builds_share_a_sink_and_its_connection(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    sink = NatsSink(nats_server.url)
    async with track_build("TASK-0", root=tmp_path, sinks=[sink]):  # so that none has to hurry
        tasks = [f"TASK-{number}" for number in range(1, 41)]
        await asyncio.gather(*(run_build(tmp_path, sink, task_id=each, turns=3) for each in tasks))
        await until_whole(nats_server, tmp_path)
    await run_build(tmp_path, sink)  # after the last one had ended it all
    assert differences(await read_streams(nats_server), tmp_path) == []


async def test_builds_below_several_roots_share_a_sink(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    sink, roots = NatsSink(nats_server.url), [tmp_path / name for name in ("a", "b")]
    for root in roots:
        root.mkdir()
    await asyncio.gather(*(run_build(each, sink, task_id=f"T-{each.name}") for each in roots))
    assert differences(await read_streams(nats_server), *roots) == []


async def test_the_tasks_of_a_feature_are_published_by_its_sink(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    feature = track_build(
        "FEAT-1", build_type="feature", root=tmp_path, sinks=[NatsSink(nats_server.url)]
    )
    async with feature, feature.wave(1) as wave:
        async with wave.task("TASK-1") as first, wave.task("TASK-2") as second:
            await asyncio.gather(work(first), work(second))
    found = await read_streams(nats_server)
    assert differences(found, tmp_path) == []
    assert {each.task_id for each in found.events} == {"FEAT-1", "TASK-1", "TASK-2"}


async def test_of_a_build_without_files_the_documents_are_published(
    nats_server: NatsServer,
) -> None:
    async with track_build("TASK-1", root=None, sinks=[NatsSink(nats_server.url)]) as build:
        await work(build)
    found = await read_streams(nats_server)
    assert found.events == []
    assert found.snapshot() == build.snapshot


async def test_a_sink_serves_one_event_loop_after_another(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    sink = NatsSink(nats_server.url)
    for _ in range(2):
        await asyncio.to_thread(lambda: asyncio.run(run_build(tmp_path, sink)))
    assert differences(await read_streams(nats_server), tmp_path) == []


async def test_a_project_is_part_of_the_subject_and_seen_by_nobody_else(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    roots = {name: tmp_path / (name or "none") for name in ("", "shop", "shop.v2")}
    for project, root in roots.items():
        root.mkdir()
        await run_build(root, NatsSink(nats_server.url, project=project))
    found = await read_streams(nats_server)
    for project, root in roots.items():
        assert differences(found, root, project=project) == []
        [look] = await NatsBuilds(nats_server.url, project=project).look()
        assert look.snapshot == read_progress("TASK-1", root=root)
        events = await NatsBuilds(nats_server.url, project=project).events("TASK-1")
        assert events == read_events("TASK-1", root=root)
    client = await nats.connect(nats_server.url)
    subjects = {
        (await client.jetstream().get_msg(DOCUMENTS, seq=each.number)).subject
        for each in found.documents.values()
    }
    await client.close()
    assert subjects == {
        f"guardkit.builds.{token}.status" for token in ("TASK-1", "shop:TASK-1", "shop%2Ev2:TASK-1")
    }


async def test_a_server_that_comes_late_is_told_all(
    nats_server: NatsServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nats_server.kill()
    sink = NatsSink(nats_server.url)
    async with track_build("TASK-1", root=tmp_path, sinks=[sink], turn_max=99) as build:
        await work(build, 5)
        await until(lambda: warned(caplog))
        nats_server.start()
        await until_whole(nats_server, tmp_path)
        await work(build, 5)
    assert differences(await read_streams(nats_server), tmp_path) == []
    [warning] = caplog.messages
    assert warning.startswith("publishing to NATS failed: no server answers at")


@pytest.mark.parametrize("outage", ["killed", "hung"])
async def test_an_outage_in_the_middle_costs_nothing(
    outage: str, nats_server: NatsServer, tmp_path: Path
) -> None:
    sink = NatsSink(nats_server.url)
    async with track_build("TASK-1", root=tmp_path, sinks=[sink], turn_max=99) as build:
        await work(build, 5)
        await until_whole(nats_server, tmp_path)
        if outage == "killed":
            nats_server.kill()
            await work(build, 5)
            nats_server.start()
        else:
            nats_server.hang()
            await work(build, 5)
            nats_server.go_on()
        await work(build, 5)

        async def is_shown() -> bool:
            return (await until_whole(nats_server, tmp_path)).snapshot().turn == 15

        await until(is_shown)


@pytest.mark.parametrize("state", ["absent", "hung", "hung meanwhile"])
async def test_leaving_a_build_waits_for_no_server(
    state: str,
    nats_server: NatsServer,
    tmp_path: Path,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sink = NatsSink(nats_server.url)
    if state == "absent":
        nats_server.kill()
    elif state == "hung":
        nats_server.hang()

    async def run() -> None:
        async with track_build("TASK-1", root=tmp_path, sinks=[sink], clock=clock) as build:
            await work(build, 3)
            if state == "hung meanwhile":
                await until_whole(nats_server, tmp_path)
                nats_server.hang()

    async def has_ended() -> bool:
        events = read_events("TASK-1", root=tmp_path)
        return bool(events) and events[-1].progress.terminal

    task = asyncio.create_task(run())
    await until(has_ended)
    await clock.advance(0.8)
    await task  # no time passes for it any more
    assert len(caplog.records) <= 1


async def test_a_document_comes_after_the_events_that_came_before_it(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    told: list[Msg] = []

    async def hear(message: Msg) -> None:
        told.append(message)

    client = await nats.connect(nats_server.url)
    await client.subscribe("guardkit.builds.>", cb=hear)
    await client.flush()
    sink = NatsSink(nats_server.url)
    async with track_build("TASK-1", root=tmp_path, sinks=[sink], turn_max=99, debounce=0) as build:
        for number in range(60):
            build.update(files_created=number)
            await work(build)
            await asyncio.sleep(0.02)
    await client.flush()
    await client.close()
    happened = {event.seq for event in read_events("TASK-1", root=tmp_path)}
    heard: set[int] = set()
    for message in told:
        if message.subject.endswith(".status"):
            seq = decode(message.data).tracker.seq
            assert {each for each in happened if each <= seq} <= heard
        elif event := decode_event(message.data):
            heard.add(event.seq)
    assert heard == happened
    assert len(told) > len(happened) + 1


@pytest.mark.parametrize("server", ["answers", "hangs"])
async def test_whenever_closing_is_cancelled_nothing_is_left(
    server: str, nats_server: NatsServer, tmp_path: Path
) -> None:
    async def is_shown() -> bool:
        documents = (await read_streams(nats_server)).documents.values()
        return bool(documents) and begun.tracker.run_id in [each.run_id for each in documents]

    async def is_gone() -> bool:
        threads = [each for each in threading.enumerate() if each.name == "guardkit"]
        return not tasks_of_ours() and {*threads} <= before

    before = {*threading.enumerate()}  # a test of a hung disk leaves one
    for turns in range(1, 40, 3):
        kept = MemorySink()
        async with track_build("TASK-1", root=tmp_path, sinks=[kept]) as build:
            await build.turn().__aenter__()
        begun, ended = kept.snapshots[0], kept.snapshots[-1]
        sink = NatsSink(nats_server.url)
        sink.attach(build)
        await sink.write(begun)
        await until(is_shown)
        if server == "hangs":
            nats_server.hang()
        await sink.write(ended)
        closing = asyncio.create_task(sink.aclose())
        for _ in range(turns):
            await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait({closing})
        nats_server.go_on()
        await until(is_gone)


class Remover:
    """A sink that removes the root of its build."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def write(self, _: Snapshot, /) -> None:
        while self._root.exists():  # a thread may be writing there
            shutil.rmtree(self._root, ignore_errors=True)


@pytest.mark.parametrize("disk", ["in the way", "gone"])
async def test_a_build_on_a_disk_that_takes_nothing_shows_its_documents(
    disk: str, nats_server: NatsServer, tmp_path: Path
) -> None:
    root, sinks = tmp_path / "root", list[Sink]()
    root.mkdir()
    if disk == "in the way":
        (root / ".guardkit").write_text("no folder")
    else:
        sinks.append(Remover(root))
    sinks.append(NatsSink(nats_server.url))
    async with track_build("TASK-1", root=root, sinks=sinks) as build:

        async def is_shown() -> bool:
            return bool((await read_streams(nats_server)).documents)

        await until(is_shown)
        await work(build)
    assert (await read_streams(nats_server)).snapshot() == build.snapshot

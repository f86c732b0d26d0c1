"""Builds that publish to a real NATS server, which comes and goes."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import nats
import pytest
from nats.aio.msg import Msg

from guardkit import Build, read_events, track_build
from guardkit.nats import NatsSink, Relay
from guardkit.nats.settings import find_settings
from guardkit.progress.snapshot import encode
from guardkit.testing import FakeClock

from ..nats_server import NatsServer
from ..nats_stream import STREAM, differences, read_stream, until, until_whole

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]

TRANSITIONS = ["turn.started", "phase.started", "decided", "phase.ended", "turn.ended"]


async def work(build: Build, turns: int = 1) -> None:
    for _ in range(turns):
        async with build.turn() as turn, turn.phase("Player Implementation"):
            build.update(files_created=1)
            turn.decide("feedback")


async def warned(caplog: pytest.LogCaptureFixture) -> bool:
    return bool(caplog.records)


async def build(root: Path, sink: NatsSink, task_id: str = "TASK-1", turns: int = 1) -> None:
    async with track_build(task_id, root=root, sinks=[sink], turn_max=99) as building:
        await work(building, turns)


@pytest.fixture
async def relay(
    nats_server: NatsServer, tmp_path: Path, no_task_is_left: None
) -> AsyncGenerator[Relay]:
    """Run a relay of all builds below the folder of the test."""
    relay = Relay(find_settings(nats_server.url), root=str(tmp_path))
    task = asyncio.create_task(relay.run())
    yield relay
    task.cancel()
    await asyncio.wait({task})


async def test_a_sink_that_was_given_nothing_has_nothing_to_close() -> None:
    sink = NatsSink("nats://me:secret@a,b:1")
    assert str(sink) == "NatsSink(nats://a:4222, nats://b:1)"
    await sink.aclose()


async def test_every_transition_is_published_in_order_with_its_document(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    await build(tmp_path, NatsSink(nats_server.url, root=tmp_path), "v1.2")
    messages = await read_stream(nats_server)
    assert differences(messages, tmp_path) == []
    assert [each.event for each in messages] == ["build.started", *TRANSITIONS, "build.ended"]
    events = read_events("v1.2", root=tmp_path)
    assert [each.snapshot for each in messages] == [each.progress for each in events]
    assert messages[1].headers["Guardkit-At"] == events[1].at
    assert messages[1].headers["Nats-Msg-Id"] == f"{events[1].run_id}:2"


async def test_of_states_the_stream_has_the_newest_alone(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    sink = NatsSink(nats_server.url, root=tmp_path)
    async with track_build("TASK-1", root=tmp_path, sinks=[sink], heartbeat=0.2) as building:
        for number in range(1, 15):
            building.update(files_created=number)
            await asyncio.sleep(0.1)
            last = (await until_whole(nats_server, tmp_path))[-1]
        assert last.event is None
        assert last.headers["Guardkit-After"] == "1"
        assert last.snapshot.metrics.files_created > 5
    messages = await read_stream(nats_server)
    assert [each.event for each in messages] == ["build.started", "build.ended"]


async def test_heartbeats_arrive(nats_server: NatsServer, tmp_path: Path) -> None:
    sink = NatsSink(nats_server.url, root=tmp_path)
    async with track_build("TASK-1", root=tmp_path, sinks=[sink], heartbeat=0.3):
        times: set[datetime] = set()
        while len(times) < 3:
            last = (await until_whole(nats_server, tmp_path))[-1]
            times.add(last.snapshot.updated_at)
            await asyncio.sleep(0.05)
        assert last.seq == 1


async def test_several_builds_share_a_sink_and_its_connection(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    sink = NatsSink(nats_server.url, root=tmp_path)
    async with track_build("TASK-0", root=tmp_path, sinks=[sink]):  # so that none has to hurry
        await asyncio.gather(*(build(tmp_path, sink, f"TASK-{n}", 3) for n in range(1, 41)))
        await until_whole(nats_server, tmp_path)
    await build(tmp_path, sink, "TASK-1")  # after the last one had ended it all
    assert differences(await read_stream(nats_server), tmp_path) == []


async def test_a_build_without_files_publishes_its_states(nats_server: NatsServer) -> None:
    sink = NatsSink(nats_server.url, root=None)
    async with track_build("TASK-1", root=None, sinks=[sink]) as building:
        await work(building)
    [last] = await read_stream(nats_server)
    assert (last.event, last.snapshot.status) == (None, "completed")


@pytest.mark.parametrize(
    ("ending", "last"),
    [(None, "complete"), (ValueError, "failed"), (asyncio.CancelledError, "cancelled")],
    ids=["completed", "failed", "cancelled"],
)
async def test_the_neighbours_are_told_in_their_words_and_nothing_after_the_end(
    ending: type[BaseException] | None, last: str, nats_server: NatsServer, tmp_path: Path
) -> None:
    told: list[tuple[str, str]] = []

    async def hear(message: Msg) -> None:
        told.append((message.subject, json.loads(message.data)["event_type"]))

    client = await nats.connect(nats_server.url)
    await client.subscribe("pipeline.>", cb=hear)
    await client.flush()
    sink = NatsSink(nats_server.url, root=tmp_path, envelope=True)
    with suppress(ValueError, asyncio.CancelledError):
        async with track_build("TASK-1", root=tmp_path, sinks=[sink]) as building:
            async with building.turn():
                await until_whole(nats_server, tmp_path)
            if ending:
                raise ending

    async def has_ended() -> bool:
        return len(told) == 4

    await until(has_ended)
    await client.close()
    kinds = ["started", "progress", "progress", last]
    assert told == [(f"pipeline.build-{kind}.TASK-1", f"build_{kind}") for kind in kinds]


async def test_the_neighbours_are_told_whoever_is_faster_to_publish(
    nats_server: NatsServer, tmp_path: Path, relay: Relay
) -> None:
    told: list[str] = []

    async def hear(message: Msg) -> None:
        told.append(json.loads(message.data)["event_type"])

    client = await nats.connect(nats_server.url)
    await client.subscribe("pipeline.>", cb=hear)
    await client.flush()
    sink, builds = NatsSink(nats_server.url, root=tmp_path, envelope=True), 10
    for _ in range(builds):
        await build(tmp_path, sink)

    async def have_ended() -> bool:
        return told.count("build_complete") == builds

    await until(have_ended)
    await client.close()
    assert (told.count("build_started"), told[-1]) == (builds, "build_complete")
    assert told.count("build_progress") >= 5 * builds


async def test_a_server_that_comes_late_is_told_all(
    nats_server: NatsServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nats_server.kill()
    sink = NatsSink(nats_server.url, root=tmp_path)
    async with track_build("TASK-1", root=tmp_path, sinks=[sink], turn_max=99) as building:
        await work(building, 5)
        await until(lambda: warned(caplog))
        nats_server.start()
        await until_whole(nats_server, tmp_path)
        await work(building, 5)
    assert differences(await read_stream(nats_server), tmp_path) == []
    [warning] = caplog.messages
    assert warning.startswith("publishing to NATS failed, the builds go on: no server answers at")


@pytest.mark.parametrize("outage", ["killed", "hung"])
async def test_an_outage_in_the_middle_costs_nothing(
    outage: str, nats_server: NatsServer, tmp_path: Path
) -> None:
    sink = NatsSink(nats_server.url, root=tmp_path)
    async with track_build("TASK-1", root=tmp_path, sinks=[sink], turn_max=99) as building:
        await work(building, 5)
        await until_whole(nats_server, tmp_path)
        if outage == "killed":
            nats_server.kill()
            await work(building, 5)
            nats_server.start()
        else:
            nats_server.hang()
            await work(building, 5)
            nats_server.go_on()
        await work(building, 5)
        messages = await until_whole(nats_server, tmp_path)
        assert messages[-1].snapshot.turn == 15


@pytest.mark.parametrize("state", ["absent", "hung", "hung meanwhile"])
async def test_leaving_a_build_waits_for_no_server(
    state: str,
    nats_server: NatsServer,
    tmp_path: Path,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sink = NatsSink(nats_server.url, root=tmp_path)
    if state == "absent":
        nats_server.kill()
    elif state == "hung":
        nats_server.hang()

    async def run() -> None:
        async with track_build("TASK-1", root=tmp_path, sinks=[sink], clock=clock) as building:
            await work(building, 3)
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


async def test_the_next_build_delivers_what_is_left_of_this_task_and_of_others(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    nats_server.kill()
    sink = NatsSink(nats_server.url, root=tmp_path)
    await build(tmp_path, sink, "TASK-1", 3)
    await build(tmp_path, sink, "TASK-2", 3)
    nats_server.start()
    async with track_build("TASK-1", root=tmp_path, sinks=[sink]):
        await until_whole(nats_server, tmp_path)
    messages = await read_stream(nats_server)
    assert differences(messages, tmp_path) == []
    assert len({each.run_id for each in messages if each.task_id == "TASK-1"}) == 2


async def test_a_run_that_crashed_is_closed_by_the_next_one(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    script = (
        "import asyncio, os, signal\n"
        "from guardkit import track_build\n"
        "async def main():\n"
        f"    async with track_build('TASK-1', root={str(tmp_path)!r}) as build:\n"
        "        async with build.turn():\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())"
    )
    subprocess.run([sys.executable, "-c", script], check=False)
    await build(tmp_path, NatsSink(nats_server.url, root=tmp_path))
    messages = await read_stream(nats_server)
    assert differences(messages, tmp_path) == []
    assert "ended without a word" in str(messages[2].snapshot.error)


async def test_a_relay_follows_builds_that_know_nothing_of_nats(
    nats_server: NatsServer, tmp_path: Path, relay: Relay
) -> None:
    async with track_build("TASK-1", root=tmp_path, heartbeat=0.2) as building:
        await work(building)
        await until_whole(nats_server, tmp_path)

        async def is_state() -> bool:
            last = (await read_stream(nats_server))[-1]
            return not last.event and last.snapshot.metrics.files_created == 1

        await until(is_state)
    await until_whole(nats_server, tmp_path)


def make_link(folder: Path) -> None:
    folder.symlink_to("TASK-1")


def make_pipe(folder: Path) -> None:
    folder.mkdir()
    os.mkfifo(folder / "events.jsonl")
    os.mkfifo(folder / "progress.json")


def make_endless_link(folder: Path) -> None:
    folder.mkdir()
    (folder / "events.jsonl").symlink_to("/dev/zero")
    (folder / "progress.json").symlink_to("/dev/zero")


def make_huge_file(folder: Path) -> None:
    folder.mkdir()
    for name in ("events.jsonl", "progress.json"):
        (folder / name).touch()
        os.truncate(folder / name, 2**40)


def make_deep_line(folder: Path) -> None:
    folder.mkdir()
    for name in ("events.jsonl", "progress.json"):
        (folder / name).write_text('{"progress": ' + '{"a": ' * 5000 + "1" + "}" * 5001 + "\n")


@pytest.mark.parametrize(
    "make", [make_link, make_pipe, make_endless_link, make_huge_file, make_deep_line]
)
async def test_what_is_no_build_costs_no_other_one(
    nats_server: NatsServer,
    tmp_path: Path,
    relay: Relay,
    make: Callable[[Path], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with track_build("TASK-1", root=tmp_path):
        make(tmp_path / ".guardkit/autobuild/TASK-0")
        await build(tmp_path, NatsSink(nats_server.url, root=tmp_path), "TASK-2")
    messages = await until_whole(nats_server, tmp_path)
    assert {each.task_id for each in messages} == {"TASK-1", "TASK-2"}
    assert caplog.messages == []


async def test_two_relays_and_the_build_itself_double_nothing(
    nats_server: NatsServer, tmp_path: Path, relay: Relay
) -> None:
    other = Relay(find_settings(nats_server.url), root=str(tmp_path))
    task = asyncio.create_task(other.run())
    sink = NatsSink(nats_server.url, root=tmp_path)
    await asyncio.gather(*(build(tmp_path, sink, f"TASK-{n}", 20) for n in range(3)))
    await until_whole(nats_server, tmp_path)
    task.cancel()
    await asyncio.wait({task})


async def test_the_same_task_on_two_machines_loses_nothing(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    roots = [tmp_path / "a", tmp_path / "b"]
    for root in (*roots, *roots):
        root.mkdir(exist_ok=True)
        await build(root, NatsSink(nats_server.url, root=root))
    async with track_build("TASK-1", root=roots[0]) as building:
        await work(building)  # without a sink
    await build(roots[1], NatsSink(nats_server.url, root=roots[1]))
    await build(roots[0], NatsSink(nats_server.url, root=roots[0]))
    assert differences(await read_stream(nats_server), *roots) == []


async def test_messages_of_others_on_the_subject_disturb_nothing(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    sink = NatsSink(nats_server.url, root=tmp_path)
    await build(tmp_path, sink)
    client = await nats.connect(nats_server.url)
    junk = client.jetstream().publish
    await junk("guardkit.builds.TASK-1.status", b"\xff{")
    await junk("guardkit.builds.TASK-1.status", b"{}", headers={"Guardkit-Run": "x"})
    await junk("guardkit.builds.TASK-1.status", b"{}", headers={"Guardkit-Seq": "x"})
    async with track_build("TASK-1", root=tmp_path, sinks=[sink]) as building:
        await work(building)
        await until_whole(nats_server, tmp_path)
        await junk("guardkit.builds.TASK-1.status", b"{}")
    await client.close()
    assert differences(await read_stream(nats_server), tmp_path) == []


@pytest.mark.parametrize("messages", ["all", "the last one"])
async def test_what_is_deleted_from_the_stream_is_delivered_again(
    nats_server: NatsServer, tmp_path: Path, messages: str
) -> None:
    sink = NatsSink(nats_server.url, root=tmp_path)
    async with track_build("TASK-1", root=tmp_path, sinks=[sink]) as building:
        await work(building)
        await until_whole(nats_server, tmp_path)
        client = await nats.connect(nats_server.url)
        if messages == "all":
            await client.jetstream().purge_stream(STREAM)
        else:
            last = (await client.jetstream().stream_info(STREAM)).state.last_seq
            await client.jetstream().delete_msg(STREAM, last)
        await client.close()
        await work(building)
        await until_whole(nats_server, tmp_path)
    assert differences(await read_stream(nats_server), tmp_path) == []


async def test_an_end_that_is_missing_in_the_journal_is_published_as_a_state(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    sink = NatsSink(nats_server.url, root=tmp_path)
    await build(tmp_path, sink)
    async with track_build("TASK-2", root=tmp_path, sinks=[sink]):
        async with track_build("TASK-1", root=None, sinks=[sink]) as building:
            pass

        async def has_ended() -> bool:
            ends = [each for each in await read_stream(nats_server) if each.snapshot.terminal]
            return [building.snapshot.tracker.run_id, None] == [ends[-1].run_id, ends[-1].event]

        await until(has_ended)


async def test_a_journal_is_relayed_though_the_progress_file_is_gone(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with track_build("TASK-1", root=tmp_path) as building:
        await work(building)
    (tmp_path / ".guardkit/autobuild/TASK-1/progress.json").write_text("{")
    sink = NatsSink(nats_server.url, root=tmp_path)
    async with track_build("TASK-2", root=tmp_path, sinks=[sink]):
        await until_whole(nats_server, tmp_path)


async def test_a_progress_file_that_something_else_writes_is_relayed(
    nats_server: NatsServer, tmp_path: Path, relay: Relay
) -> None:
    async with track_build("TASK-1", root=tmp_path) as building:
        document = json.loads(encode(building.snapshot))
    del document["tracker"]
    folder = tmp_path / ".guardkit/autobuild/TASK-2"
    folder.mkdir()
    (folder / "progress.json").write_text(json.dumps(document | {"task_id": "TASK-2"}))

    async def is_there() -> bool:
        messages = await read_stream(nats_server)
        return [each.event for each in messages if each.task_id == "TASK-2"] == [None]

    await until(is_there)


async def test_a_state_of_an_earlier_run_is_not_published_after_a_later_one(
    nats_server: NatsServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """... though both began in the same second."""
    sink = NatsSink(nats_server.url, root=tmp_path)
    async with track_build("TASK-1", root=tmp_path, sinks=[sink]) as building:
        early = building.snapshot
    async with track_build("TASK-1", root=tmp_path, sinks=[sink]):
        await until_whole(nats_server, tmp_path)
        late = NatsSink(nats_server.url, root=tmp_path)
        await late.write(early)
        await build(tmp_path, late, "TASK-2")
        await asyncio.sleep(0.2)
        assert differences(await read_stream(nats_server), tmp_path) == []
        assert caplog.messages == []
        assert late._task
        late._task.cancel()
        await asyncio.wait({late._task})

"""A relay publishes all builds below a root, whether or not they know of NATS."""

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import nats
import pytest

from guardkit import Build, read_events, track_build
from guardkit.nats import NatsSink
from guardkit.progress.snapshot import encode

from ..nats_builds import crash, put, relaying, run_build, work
from ..nats_server import NatsServer
from ..nats_stream import Found, differences, read_streams, until, until_whole

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


def folder_of(root: Path, task_id: str = "TASK-1") -> Path:
    return root / ".guardkit/autobuild" / task_id


async def until_document(server: NatsServer, build: Build) -> Found:
    """Return what the streams have, as soon as the document shows what a build is at."""
    found: list[Found] = []

    async def is_there() -> bool:
        found.append(await read_streams(server))
        document = found[-1].documents.get(("", build.task_id))
        return bool(
            document
            and document.snapshot
            and document.run_id == build.snapshot.tracker.run_id
            and document.snapshot.tracker.seq == build.snapshot.tracker.seq
        )

    await until(is_there)
    return found[-1]


async def test_a_relay_publishes_builds_that_know_nothing_of_nats(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with relaying(nats_server.url, tmp_path):
        async with track_build("TASK-1", root=tmp_path, turn_max=99) as build:
            for number in range(2):
                await work(build)
                build.update(files_created=number)
                await until_document(nats_server, build)
        found = await until_whole(nats_server, tmp_path)
        assert found.snapshot() == build.snapshot


async def test_a_relay_shows_heartbeats(nats_server: NatsServer, tmp_path: Path) -> None:
    async with relaying(nats_server.url, tmp_path), AsyncExitStack() as stack:
        build = await stack.enter_async_context(track_build("TASK-1", root=tmp_path, heartbeat=0.3))
        beats: set[float] = set()

        async def are_three() -> bool:
            beats.add((await until_document(nats_server, build)).snapshot().tracker.beat)
            return len(beats) >= 3

        await until(are_three)


async def test_a_relay_that_comes_later_publishes_all_of_the_past_and_of_what_goes_on(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    for task_id in ("TASK-1", "TASK-2", "TASK-1"):
        await run_build(tmp_path, task_id=task_id)
    async with track_build("TASK-3", root=tmp_path) as build:
        await work(build)
        async with relaying(nats_server.url, tmp_path):
            await until_whole(nats_server, tmp_path)
            await work(build)
            await until_whole(nats_server, tmp_path)
    assert (await read_streams(nats_server)).snapshot("TASK-3").status == "running"


async def test_a_relay_publishes_below_a_root_that_has_no_builds_yet(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with relaying(nats_server.url, tmp_path):
        await asyncio.sleep(0)
        await run_build(tmp_path)
        found = await until_whole(nats_server, tmp_path)
        assert found.names()[-1] == "build.ended"


async def test_a_build_that_nobody_asked_to_publish_is_published_by_a_relay_alone(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    private = {await run_build(tmp_path) for _ in range(2)}
    private.add(await run_build(tmp_path, task_id="TASK-2"))
    sink = NatsSink(nats_server.url)
    await run_build(tmp_path, sink)
    await run_build(tmp_path, sink, task_id="TASK-3")
    found = await read_streams(nats_server)
    assert differences(found, tmp_path, private=private) == []
    assert {task_id for _, task_id in found.documents} == {"TASK-1", "TASK-3"}
    async with relaying(nats_server.url, tmp_path):
        await until_whole(nats_server, tmp_path)


async def test_relays_and_the_sink_of_the_build_double_nothing(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    sink = NatsSink(nats_server.url)
    async with relaying(nats_server.url, tmp_path), relaying(nats_server.url, tmp_path):
        tasks = [f"TASK-{number}" for number in range(3)]
        await asyncio.gather(*(run_build(tmp_path, sink, task_id=each, turns=20) for each in tasks))
        found = await until_whole(nats_server, tmp_path)
    assert len(found.events) == 3 * 102


async def test_what_a_sink_could_not_deliver_is_delivered_by_a_relay(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    nats_server.kill()
    await run_build(tmp_path, NatsSink(nats_server.url))
    nats_server.start()
    async with relaying(nats_server.url, tmp_path):
        found = await until_whole(nats_server, tmp_path)
    assert found.snapshot().status == "completed"


async def test_a_relay_waits_for_a_server_that_comes_late(
    nats_server: NatsServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nats_server.kill()
    async with relaying(nats_server.url, tmp_path):
        await run_build(tmp_path)

        async def warned() -> bool:
            return bool(caplog.records)

        await until(warned)
        nats_server.start()
        await until_whole(nats_server, tmp_path)
    [warning] = caplog.messages
    assert "no server answers at" in warning


async def test_a_build_that_was_killed_is_delivered_and_closed_when_the_next_one_begins(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with relaying(nats_server.url, tmp_path):
        await asyncio.to_thread(crash, tmp_path)
        found = await until_whole(nats_server, tmp_path)
        assert found.names() == ["build.started", "turn.started"]
        last = await run_build(tmp_path)
        found = await until_whole(nats_server, tmp_path)
        assert found.document().run_id == last
    [ended] = [each.event for each in found.events if each.event.seq == 3][:1]
    assert "ended without a word" in str(ended.progress.error)


async def test_nothing_that_was_delivered_comes_back_when_a_relay_begins_anew(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    await run_build(tmp_path)
    async with relaying(nats_server.url, tmp_path):
        await until_whole(nats_server, tmp_path)
        await until_noted(tmp_path)
    client = await nats.connect(nats_server.url)
    await client.jetstream().purge_stream("GUARDKIT_EVENTS")
    await client.close()
    async with relaying(nats_server.url, tmp_path):
        last = await run_build(tmp_path, task_id="TASK-2")

        async def has_ended() -> bool:
            return "build.ended" in (await read_streams(nats_server)).names("TASK-2")

        await until(has_ended)
    assert {each.event.run_id for each in (await read_streams(nats_server)).events} == {last}


async def until_noted(root: Path, task_id: str = "TASK-1") -> None:
    """Return when a run of a task is noted as delivered."""
    notes = folder_of(root, task_id) / "published.jsonl"

    async def is_noted() -> bool:
        return notes.exists() and b'"done"' in notes.read_bytes()

    await until(is_noted)


async def test_a_relay_with_a_project_publishes_below_its_name(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    await run_build(tmp_path)
    async with relaying(nats_server.url, tmp_path, project="shop"):
        found = await until_whole(nats_server, tmp_path, project="shop")
    assert {each.project for each in found.events} == {"shop"}
    assert {*found.documents} == {("shop", "TASK-1")}


async def test_a_journal_is_relayed_though_the_progress_file_is_none(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    await run_build(tmp_path)
    (folder_of(tmp_path) / "progress.json").write_text("{")
    async with relaying(nats_server.url, tmp_path):
        await until_whole(nats_server, tmp_path)


async def test_a_relay_goes_on_with_a_folder_that_was_made_anew(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with relaying(nats_server.url, tmp_path):
        await run_build(tmp_path)
        await until_whole(nats_server, tmp_path)
        shutil.rmtree(tmp_path / ".guardkit")
        last = await run_build(tmp_path)
        found = await until_whole(nats_server, tmp_path)
        assert found.document().run_id == last


async def test_a_build_that_is_over_before_a_relay_has_seen_it_at_work_is_shown(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    """... though another machine has built the task before."""
    roots = [tmp_path / name for name in ("a", "b")]
    async with AsyncExitStack() as stack:
        for root in roots:
            root.mkdir()
            await stack.enter_async_context(relaying(nats_server.url, root))
        for number in range(4):
            async with track_build("TASK-1", root=roots[number % 2]) as build:
                pass
            await until_document(nats_server, build)
        await until_whole(nats_server, *roots)


async def test_garbage_in_the_events_neither_stops_nor_doubles_anything(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with relaying(nats_server.url, tmp_path):
        async with track_build("TASK-1", root=tmp_path, turn_max=99) as build:
            subject = f"guardkit.builds.TASK-1.events.{build.snapshot.tracker.run_id}"
            await until_whole(nats_server, tmp_path)
            for garbage in (b"", b"{", b"\xff" * 100, b'{"event": "x"}'):
                await work(build)
                await put(nats_server, subject, garbage)
                await work(build)
            await until_whole(nats_server, tmp_path)
            await put(nats_server, subject, b"garbage")
        await until_whole(nats_server, tmp_path)


def make_link(folder: Path) -> None:
    folder.symlink_to("TASK-1")


def make_file(folder: Path) -> None:
    folder.write_text("no folder")


def make_pipes(folder: Path) -> None:
    folder.mkdir()
    for name in ("events.jsonl", "progress.json", "published.jsonl"):
        os.mkfifo(folder / name)


def make_folders(folder: Path) -> None:
    for name in ("events.jsonl", "progress.json", "published.jsonl"):
        (folder / name).mkdir(parents=True)


def make_endless_links(folder: Path) -> None:
    folder.mkdir()
    for name in ("events.jsonl", "progress.json", "published.jsonl"):
        (folder / name).symlink_to("/dev/zero")


def make_huge_files(folder: Path) -> None:
    folder.mkdir()
    for name in ("events.jsonl", "progress.json", "published.jsonl"):
        (folder / name).touch()
        os.truncate(folder / name, 2**40)


def make_deep_lines(folder: Path) -> None:
    folder.mkdir()
    for name in ("events.jsonl", "progress.json", "published.jsonl"):
        (folder / name).write_text('{"progress": ' + '{"a": ' * 5000 + "1" + "}" * 5001 + "\n")


def make_copy(folder: Path) -> None:
    """... which names the task and the run of another one, that is at work."""
    shutil.copytree(folder.with_name("TASK-1"), folder)


def make_run_of_another(folder: Path) -> None:
    """... that is at work, as if it was its own."""
    folder.mkdir()
    for name in ("events.jsonl", "progress.json"):
        text = (folder.with_name("TASK-1") / name).read_text()
        (folder / name).write_text(text.replace('"TASK-1"', f'"{folder.name}"'))


def make_strange_runs(folder: Path) -> None:
    folder.mkdir()
    text = (folder.with_name("TASK-1") / "events.jsonl").read_text().splitlines()[0]
    for run_id in ("", "*", ">", "a b", "a.b", "a\r\nPING", "\x00", "é", "x" * 5000):
        event = json.loads(text)
        event["run_id"] = event["progress"]["tracker"]["run_id"] = run_id
        event["progress"]["task_id"] = folder.name
        with (folder / "events.jsonl").open("a") as journal:
            journal.write(json.dumps(event) + "\n")
    (folder / "progress.json").write_text(json.dumps(event["progress"]))


@pytest.mark.parametrize(
    "make",
    [
        *(make_link, make_file, make_pipes, make_folders, make_endless_links, make_huge_files),
        *(make_deep_lines, make_copy, make_run_of_another, make_strange_runs),
    ],
    ids=lambda make: make.__name__.removeprefix("make_").replace("_", " "),
)
async def test_what_is_no_build_costs_no_other_one(
    nats_server: NatsServer,
    tmp_path: Path,
    make: Callable[[Path], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with AsyncExitStack() as stack:
        build = await stack.enter_async_context(track_build("TASK-1", root=tmp_path, turn_max=99))
        make(folder_of(tmp_path, "TASK-0"))
        await stack.enter_async_context(relaying(nats_server.url, tmp_path))
        for _ in range(2):
            await work(build)
            found = await until_document(nats_server, build)
            if make is not make_run_of_another:
                tasks = {each.task_id for each in found.events}
                assert tasks | {task_id for _, task_id in found.documents} == {"TASK-1"}
        await run_build(tmp_path, task_id="TASK-2")

        async def is_whole() -> bool:
            wrong = differences(await read_streams(nats_server), tmp_path)
            return [each for each in wrong if not each.startswith("TASK-0")] == []

        await until(is_whole)
    assert caplog.messages == []


async def test_a_copy_of_a_folder_is_no_build(nats_server: NatsServer, tmp_path: Path) -> None:
    await run_build(tmp_path)
    shutil.copytree(folder_of(tmp_path), folder_of(tmp_path, "TASK-0"))
    async with relaying(nats_server.url, tmp_path):
        last = await run_build(tmp_path, task_id="TASK-2")

        async def is_there() -> bool:
            found = await read_streams(nats_server)
            return found.documents.keys() >= {("", "TASK-1"), ("", "TASK-2")}

        await until(is_there)
    found = await read_streams(nats_server)
    assert (found.runs("TASK-0"), found.runs("TASK-2")) == ([], [last])
    assert {*found.documents} == {("", "TASK-1"), ("", "TASK-2")}


async def test_what_something_else_writes_is_no_run_and_is_passed_over(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    last = await run_build(tmp_path)
    document = json.loads(encode(read_events("TASK-1", root=tmp_path)[-1].progress))
    del document["tracker"]
    folder = folder_of(tmp_path, "TASK-2")
    folder.mkdir()
    (folder / "progress.json").write_text(json.dumps(document | {"task_id": "TASK-2"}))
    async with relaying(nats_server.url, tmp_path):
        found = await until_whole(nats_server, tmp_path)
    assert (found.document().run_id, {*found.documents}) == (last, {("", "TASK-1")})

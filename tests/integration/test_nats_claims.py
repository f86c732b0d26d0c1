"""Whose document is shown of a task that is built on several machines, whose clocks are wrong."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import msgspec
import nats
import pytest
from msgspec.structs import replace

from guardkit import Build, Look, read_events, track_build
from guardkit.clock import SYSTEM_CLOCK
from guardkit.nats import NatsBuilds, NatsSink
from guardkit.nats.courier import Courier
from guardkit.nats.documents import DocumentOutbox, Mine
from guardkit.nats.line import connected
from guardkit.nats.run import Run
from guardkit.nats.settings import find_settings
from guardkit.nats.streams import ensure_streams
from guardkit.testing import FakeClock

from ..looks import TRACKER, document
from ..nats_builds import HOUR, WrongClock, on_clock, put, relaying, run_build, work
from ..nats_server import NatsServer
from ..nats_stream import Found, differences, read_streams, until, until_whole

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]

STATUS = "guardkit.builds.TASK-1.status"


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Path, Path]:
    """Make the folders of two machines."""
    first, second = tmp_path / "first", tmp_path / "second"
    for root in (first, second):
        root.mkdir()
    return first, second


def run_of(build: Build) -> str:
    return build.snapshot.tracker.run_id


@asynccontextmanager
async def building(
    server: NatsServer, root: Path, clock: WrongClock | None = None, heartbeat: float = 0.5
) -> AsyncGenerator[Build]:
    """Build TASK-1 on the machine that has a root."""
    sink = NatsSink(server.url, clock=clock)
    async with track_build(
        "TASK-1", root=root, sinks=[sink], clock=clock, heartbeat=heartbeat, turn_max=99
    ) as build:
        yield build


async def until_shown(server: NatsServer, run_id: str, clock: FakeClock | None = None) -> Found:
    """Return what the streams have, as soon as the document is of a run."""
    found: list[Found] = []

    async def is_shown() -> bool:
        found.append(await read_streams(server))
        return bool(found[-1].documents) and found[-1].document().run_id == run_id

    await until(is_shown, clock=clock)
    return found[-1]


async def look(server: NatsServer) -> Look:
    [found] = await NatsBuilds(server.url).look("TASK-1")
    return found


@pytest.mark.parametrize("shift", [3 * HOUR, 0.0, -3 * HOUR], ids=["ahead", "right", "behind"])
async def test_a_later_build_is_shown_at_once_whatever_the_clock_of_the_one_before_said(
    nats_server: NatsServer, roots: tuple[Path, Path], shift: float
) -> None:
    first, second = roots
    with suppress(ValueError):
        async with building(nats_server, first, WrongClock(shift)):
            raise ValueError
    assert (await read_streams(nats_server)).snapshot().status == "failed"
    async with building(nats_server, second) as build:
        await until_shown(nats_server, run_of(build))
    found = await read_streams(nats_server)
    assert differences(found, *roots) == []
    assert found.snapshot() == build.snapshot


@pytest.mark.parametrize("turns", [5, 0], ids=["long builds", "over before they are connected"])
async def test_machines_whose_clocks_differ_take_turns_at_a_task(
    turns: int, nats_server: NatsServer, roots: tuple[Path, Path]
) -> None:
    for number in range(6):
        clock = WrongClock([2 * HOUR, -2 * HOUR][number % 2])
        async with building(nats_server, roots[number % 2], clock) as build:
            await work(build, turns)
        found = await read_streams(nats_server)
        assert differences(found, *roots) == []
        assert found.snapshot() == build.snapshot


async def test_of_two_living_builders_the_later_one_is_shown_whatever_the_earlier_one_does(
    nats_server: NatsServer, roots: tuple[Path, Path], clock: FakeClock
) -> None:
    first, second = [
        track_build(
            "TASK-1", root=root, sinks=[NatsSink(nats_server.url, clock=clock)], clock=clock
        )
        for root in roots
    ]
    async with on_clock(first, clock):
        await until_shown(nats_server, run_of(first), clock)
        async with on_clock(second, clock):
            await until_shown(nats_server, run_of(second), clock)
            for number in range(12):
                first.update(files_created=number)
                await clock.advance(2.5)
                assert (await read_streams(nats_server)).document().run_id == run_of(second)


async def test_the_earlier_builder_is_shown_again_when_the_later_one_has_ended(
    nats_server: NatsServer, roots: tuple[Path, Path]
) -> None:
    async with building(nats_server, roots[0]) as first:
        await until_shown(nats_server, run_of(first))
        async with building(nats_server, roots[1]) as second:
            await until_shown(nats_server, run_of(second))
        await until_shown(nats_server, run_of(first))
    found = await read_streams(nats_server)
    assert differences(found, *roots) == []
    assert found.snapshot() == first.snapshot


async def test_the_evidence_names_the_other_builder_until_that_has_ended(
    nats_server: NatsServer, roots: tuple[Path, Path]
) -> None:
    async with AsyncExitStack() as others:
        first = await others.enter_async_context(building(nats_server, roots[0]))
        await until_shown(nats_server, run_of(first))
        assert "has taken TASK-1, too" not in (await look(nats_server)).verdict.evidence
        async with building(nats_server, roots[1]) as second:
            await until_shown(nats_server, run_of(second))
            found = await look(nats_server)
            who = first.snapshot.tracker
            assert found.snapshot
            assert found.snapshot.tracker.run_id == run_of(second)
            assert found.verdict.state == "running"
            assert f"process {who.pid} on {who.host} has taken TASK-1, too" in (
                found.verdict.evidence
            )
            await others.aclose()
            found = await look(nats_server)
            assert found.snapshot
            assert found.snapshot.tracker.run_id == run_of(second)
            assert "has taken TASK-1, too" not in found.verdict.evidence


async def test_no_evidence_names_the_run_before_on_the_same_machine(
    nats_server: NatsServer, roots: tuple[Path, Path]
) -> None:
    root = roots[0]
    await run_build(root, NatsSink(nats_server.url))
    nats_server.kill()
    late = await run_build(root, NatsSink(nats_server.url))
    nats_server.start()
    async with building(nats_server, root) as build:
        await until_shown(nats_server, run_of(build))
        assert "has taken TASK-1, too" not in (await look(nats_server)).verdict.evidence
        assert late in (await until_whole(nats_server, root)).runs()


@pytest.mark.parametrize("shift", [0.0, -3 * HOUR], ids=["right", "behind"])
async def test_a_run_that_is_delivered_after_the_next_one_has_begun_elsewhere_adds_events_alone(
    nats_server: NatsServer, roots: tuple[Path, Path], shift: float
) -> None:
    first, second = roots
    nats_server.kill()
    clock = WrongClock(shift)
    late = await run_build(first, NatsSink(nats_server.url), clock=clock)
    nats_server.start()
    async with building(nats_server, second) as build:
        await until_shown(nats_server, run_of(build))
        await run_build(first, NatsSink(nats_server.url, clock=clock), task_id="TASK-2")
        found = await until_whole(nats_server, *roots)
        assert found.document().run_id == run_of(build)
    found = await read_streams(nats_server)
    assert found.runs() == [run_of(build), late]
    assert found.snapshot() == build.snapshot


async def test_a_late_run_of_a_clock_that_is_ahead_does_not_stay_before_a_living_builder(
    nats_server: NatsServer, roots: tuple[Path, Path]
) -> None:
    first, second = roots
    nats_server.kill()
    await run_build(first, NatsSink(nats_server.url), clock=WrongClock(3 * HOUR))
    nats_server.start()
    async with building(nats_server, second) as build:
        await until_shown(nats_server, run_of(build))
        await run_build(first, NatsSink(nats_server.url), task_id="TASK-2")
        await until_whole(nats_server, *roots)
        await until_shown(nats_server, run_of(build))
        await work(build)
    found = await until_whole(nats_server, *roots)
    assert found.snapshot() == build.snapshot


async def test_a_late_run_replaces_the_document_of_one_that_had_ended_before_it(
    nats_server: NatsServer, roots: tuple[Path, Path]
) -> None:
    """... on its own machine, or, by its clock, more than ten minutes ago."""
    first, second = roots
    await run_build(first, NatsSink(nats_server.url))
    nats_server.kill()
    late = await run_build(first, NatsSink(nats_server.url))
    nats_server.start()
    await run_build(first, NatsSink(nats_server.url), task_id="TASK-2")
    assert (await read_streams(nats_server)).document().run_id == late
    nats_server.kill()
    last = await run_build(second, NatsSink(nats_server.url), clock=WrongClock(HOUR))
    nats_server.start()
    await run_build(second, NatsSink(nats_server.url), task_id="TASK-3")
    assert (await read_streams(nats_server)).document().run_id == last


async def test_a_run_that_was_followed_on_its_machine_does_not_claim_the_task_late(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    for _ in range(2):
        async with track_build("TASK-1", root=tmp_path):
            pass
    runs = list(dict.fromkeys(event.run_id for event in read_events("TASK-1", root=tmp_path)))
    courier = Courier(find_settings(nats_server.url), "", SYSTEM_CLOCK)
    for run_id in reversed(runs):
        run = courier.add("TASK-1", run_id, str(tmp_path), lives=True, new=True)
        run.look(lives=False)

        async def is_over(run: Run = run) -> bool:
            return run.over

        await until(is_over)
    await courier.close()
    found = await read_streams(nats_server)
    assert found.document().run_id == runs[1]
    assert {each.event.run_id for each in found.events} == {*runs}


@pytest.mark.parametrize("begins", ["before the later builder", "after it"])
async def test_a_relay_beside_the_earlier_of_two_builders_leaves_the_later_one_shown(
    nats_server: NatsServer, roots: tuple[Path, Path], begins: str
) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(building(nats_server, roots[0]))
        await until_shown(nats_server, run_of(first))
        relay = relaying(nats_server.url, roots[0])
        if begins == "before the later builder":
            await stack.enter_async_context(relay)
        second = await stack.enter_async_context(building(nats_server, roots[1]))
        await until_shown(nats_server, run_of(second))
        if begins == "after it":
            await stack.enter_async_context(relay)
        for number in range(8):
            await work(first)
            first.update(files_created=number)

            async def has_news() -> bool:
                before = read_events("TASK-1", root=roots[0])[-1].seq
                found = await read_streams(nats_server)
                seqs = [s.event.seq for s in found.events if s.event.run_id == run_of(first)]
                return seqs[-1] >= before

            await until(has_news)
            assert (await read_streams(nats_server)).document().run_id == run_of(second)
    assert differences(await read_streams(nats_server), *roots) == []


async def test_who_publishes_a_run_beside_another_one_knows_what_that_has_claimed(
    nats_server: NatsServer,
) -> None:
    outboxes = [DocumentOutbox(STATUS, "TASK-1") for _ in range(3)]
    sink, relay, other = outboxes

    async def show(outbox: DocumentOutbox, run_id: str, seq: int, now: float) -> str:
        """Have a document of a run shown; return whose is."""
        tracker = replace(TRACKER, run_id=run_id, seq=seq)
        mine = Mine(snapshot=document(tracker=tracker), claim=outbox.claim, lives=True)
        while not await outbox.send(client, mine, 0, now):
            pass
        return (await read_streams(nats_server)).document().run_id

    async with connected(find_settings(nats_server.url), SYSTEM_CLOCK) as client:
        await ensure_streams(client)
        assert await show(sink, "first", 1, now=0.0) == "first"
        assert await show(other, "second", 1, now=1.0) == "second"
        assert await show(sink, "first", 2, now=2.0) == "second"
        assert await show(relay, "first", 3, now=60.0) == "first"  # as the other one is silent
        assert await show(sink, "first", 4, now=61.0) == "first"
        assert await show(other, "second", 2, now=62.0) == "first"


async def test_a_later_builder_that_falls_silent_is_replaced_by_the_earlier_one_after_a_while(
    nats_server: NatsServer, roots: tuple[Path, Path], clock: FakeClock
) -> None:
    sink = NatsSink(nats_server.url, clock=clock)
    first = track_build("TASK-1", root=roots[0], sinks=[sink], clock=clock)
    async with on_clock(first, clock):
        await until_shown(nats_server, run_of(first), clock)
        tracker = replace(first.snapshot.tracker, run_id="0123456789abcdef", host="gone")
        silent = replace(first.snapshot, tracker=tracker)
        await put(nats_server, STATUS, msgspec.json.encode(silent))
        await clock.advance(14.0)
        assert (await read_streams(nats_server)).document().run_id == "0123456789abcdef"
        await clock.advance(12.0)
        assert (await read_streams(nats_server)).document().run_id == run_of(first)


@pytest.mark.parametrize(
    "forged",
    [
        b"\xff{",
        b"{}",
        b"",
        b'{"a": ' * 2000,
        {"task_id": "TASK-2"},
        {"seq": 2**50},
        {"seq": 2**50, "status": "completed"},
        {"status": "failed", "error": "no"},
        {"run_id": "0123456789abcdef", "status": "completed"},
    ],
    ids=[
        *("no text", "no document", "nothing", "deep", "of another task", "far ahead"),
        *("far ahead, and at the end", "at the end", "of another run, at the end"),
    ],
)
@pytest.mark.parametrize("claim", ["", "1", "9" * 30, "x"])
async def test_what_a_peer_forges_is_replaced_by_the_next_document(
    nats_server: NatsServer, tmp_path: Path, clock: FakeClock, forged: object, claim: str
) -> None:
    sink = NatsSink(nats_server.url, clock=clock)
    build = track_build("TASK-1", root=tmp_path, sinks=[sink], clock=clock)
    async with on_clock(build, clock):
        await until_whole(nats_server, tmp_path, clock=clock)
        payload = forged
        if isinstance(forged, dict):
            told = msgspec.to_builtins(build.snapshot)
            for name, value in forged.items():
                (told["tracker"] if name in {"seq", "run_id"} else told)[name] = value
            payload = msgspec.json.encode(told)
        assert isinstance(payload, bytes)
        await put(nats_server, STATUS, payload, {"Guardkit-Claim": claim} if claim else None)
        await clock.advance(5.0)
        await clock.advance(1.0)
        shown = (await read_streams(nats_server)).snapshot()
        assert (shown.tracker.run_id, shown.status) == (run_of(build), "running")
        assert shown.tracker.seq == build.snapshot.tracker.seq
    found = await read_streams(nats_server)
    assert differences(found, tmp_path) == []
    assert found.snapshot() == build.snapshot


async def test_a_claim_survives_a_stream_that_was_made_anew(
    nats_server: NatsServer, roots: tuple[Path, Path]
) -> None:
    async with building(nats_server, roots[0]) as first:
        await until_shown(nats_server, run_of(first))
        async with building(nats_server, roots[1]) as second:
            await until_shown(nats_server, run_of(second))
            client = await nats.connect(nats_server.url)
            for stream in ("GUARDKIT_BUILDS", "GUARDKIT_EVENTS"):
                await client.jetstream().delete_stream(stream)
            await client.close()
            await work(first)
            await work(second)
            await until_whole(nats_server, *roots)
        await until_shown(nats_server, run_of(first))
    assert (await read_streams(nats_server)).snapshot() == first.snapshot

"""Peers and servers that send what they like: it costs them alone."""

import asyncio
import json
import random
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from guardkit import Build, Look, Snapshot, read_events, read_progress, track_build
from guardkit.monitor.look import differ
from guardkit.nats import NatsBuilds, NatsSink, Relay
from guardkit.nats.shown import is_same_run

from ..looks import told
from ..nats_server import NatsServer
from ..nats_stream import until
from .test_nats_builds import Peer, event, holds, peering, step, watching

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]

MIB = 2**20


@pytest.fixture
def builds(nats_server: NatsServer) -> NatsBuilds:
    return NatsBuilds(nats_server.url)


@pytest.fixture
async def peer(nats_server: NatsServer, no_task_is_left: None) -> AsyncGenerator[Peer]:
    async with peering(nats_server) as peer:
        yield peer


class Memory:
    """How much more memory this process has taken at most, since this was made."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # of the highest mark
        self._before = self._read("VmRSS")

    def grown(self) -> int:
        """Return that in bytes."""
        return self._read("VmHWM") - self._before

    def _read(self, name: str) -> int:
        found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
        assert found
        return int(found[1]) * 1024


# Peers that may publish on a real server.


class Wire:
    """A connection on which anything is sent as it is, also what no client would send."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def publish(self, subject: bytes, payload: bytes, headers: bytes = b"") -> None:
        verb, sizes = b"PUB", b"%d" % len(payload)
        if headers:
            verb, sizes = b"HPUB", b"%d %d" % (len(headers), len(headers) + len(payload))
        parts = (verb, b" ", subject, b" ", sizes, b"\r\n", headers, payload, b"\r\n")
        self._writer.write(b"".join(parts))
        await self._writer.drain()

    async def flush(self) -> None:
        """Return when the server has taken all of it."""
        self._writer.write(b"PING\r\n")
        while (line := await self._reader.readline()) != b"PONG\r\n":
            assert line, "the server has closed the connection"


@asynccontextmanager
async def wired(server: NatsServer) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    await reader.readline()
    writer.write(b'CONNECT {"verbose": false, "headers": true}\r\n')
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


HEADERS = [
    b"N",
    b"NATS/1.0",
    b"NATS/1.0\r\n\r\n",
    b"NATS/1.0 \xff\xff\xff \xff\r\n\r\n",
    b"NATS/1.0\r\n\xff: \xfe\r\nA\xc3\xa9: \xc3\xa9\r\n\r\n",
    b"NATS/1.0\r\nGuardkit-After: \xd9\xa3\r\nGuardkit-Claim: 99999999999999999999\r\n\r\n",
    b"NATS/1.0\r\nGuardkit-Beside: \xff \xff \xff\r\n\r\n",
    b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 9\r\n\r\n",
    b"NATS/1.0 100 FlowControl Request\r\n\r\n",
    b"NATS/1.0 503\r\n\r\n",
    b"NATS/1.0\r\nStatus: 503\r\n\r\n",
    b"NATS/1.0\r\nNats-Consumer-Stalled: a b\r\n\r\n",
    b"NATS/1.0\r\nNats-Rollup: all\r\n\r\n",
    b"NATS/1.0\r\n" + b"a" * 3000 + b": b\r\n\r\n",
    b"\0" * 40,
]


@pytest.mark.parametrize("headers", HEADERS, ids=lambda text: ascii(text[:40])[2:-1])
async def test_headers_that_are_none_cost_no_other_build(
    builds: NatsBuilds, nats_server: NatsServer, peer: Peer, headers: bytes
) -> None:
    await peer.put(step(1, task_id="TASK-2"))
    async with watching(builds) as watched, wired(nats_server) as wire:
        assert (await watched.next()).task_id == "TASK-2"
        await watched.until_it_watches(peer)
        await wire.publish(b"guardkit.builds.TASK-1.status", msgspec.json.encode(step(1)), headers)
        await wire.publish(
            b"guardkit.builds.TASK-1.events.r", msgspec.json.encode(event(1)), headers
        )
        await wire.flush()
        await peer.put(step(2, task_id="TASK-2"))
        while (look := await watched.next()).task_id != "TASK-2":
            pass
        assert look.snapshot == step(2, task_id="TASK-2")
    assert ("TASK-2", "running") in told(await builds.look())
    assert await builds.events("TASK-1") in ([event(1)], [])


@pytest.mark.parametrize(
    "token", [b"\xff\xfe", b"TASK-1\xff", b"\xc3\xa9", b"\x1b[2J", b"\0", b"x" * 3000, b"%2E%2E"]
)
async def test_a_subject_of_no_task_costs_no_build(
    builds: NatsBuilds, nats_server: NatsServer, peer: Peer, token: bytes
) -> None:
    async with watching(builds) as watched, wired(nats_server) as wire:
        await watched.until_it_watches(peer)
        for subject in (b"guardkit.builds.%b.status", b"guardkit.builds.%b.events.r"):
            await wire.publish(subject % token, msgspec.json.encode(step(1)))
        await wire.publish(
            b"guardkit.builds.TASK-1.events.%b" % token, msgspec.json.encode(event(1))
        )
        await wire.flush()
        await peer.put(step(2))
        assert (await watched.next()).snapshot == step(2)
    assert told(await builds.look()) == [("TASK-1", "running")]
    assert await builds.events("TASK-1") == []


async def test_a_sink_goes_on_whatever_stands_on_the_subjects_of_its_build(
    builds: NatsBuilds,
    nats_server: NatsServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    peer: Peer,
) -> None:
    async with wired(nats_server) as wire:
        for headers in HEADERS:
            await wire.publish(b"guardkit.builds.TASK-1.status", b"\xff", headers)
        async with track_build("TASK-1", root=tmp_path, sinks=[NatsSink(nats_server.url)]) as build:
            subject = b"guardkit.builds.TASK-1.events." + build.snapshot.tracker.run_id.encode()
            for headers in HEADERS:
                await wire.publish(b"guardkit.builds.TASK-1.status", b"\xff", headers)
                await wire.publish(subject, b"\xff", headers)
                await wire.flush()
                async with build.phase("Setup"):
                    pass
    assert told(await builds.look()) == [("TASK-1", "completed")]
    assert await builds.events("TASK-1") == read_events("TASK-1", root=tmp_path)
    assert caplog.messages == []
    assert await peer.consumers() == 0


FORGED = {
    "far ahead": {"seq": 10**6},
    "as far as numbers go": {"seq": 2**63 - 1},
    "an end": {"seq": 1, "status": "failed", "error": "forged"},
    "an end far ahead": {"seq": 10**6, "status": "completed"},
    "another run that has ended": {"seq": 10**6, "run_id": "forged", "status": "failed"},
    "another run": {"seq": 10**6, "run_id": "forged"},
    "of the year 9999": {"seq": 2, "updated_at": datetime(9999, 12, 31, tzinfo=UTC)},
    "of the year 1": {"seq": 10**6, "updated_at": datetime(1, 1, 1, tzinfo=UTC)},
}


@pytest.mark.parametrize("relayed", [False, True], ids=["a sink", "a relay"])
@pytest.mark.parametrize("changes", FORGED.values(), ids=FORGED.keys())
async def test_a_forged_document_does_not_hide_the_true_one_for_long(
    builds: NatsBuilds,
    nats_server: NatsServer,
    tmp_path: Path,
    peer: Peer,
    relayed: bool,
    changes: dict[str, Any],
) -> None:
    sinks = [] if relayed else [NatsSink(nats_server.url)]
    relays = [Relay(nats_server.url, root=tmp_path).run()] if relayed else []

    async def shows(truth: Snapshot) -> bool:
        [look] = await builds.look("TASK-1")
        return look.snapshot is not None and not differ(look.snapshot, truth)

    async with in_background(*relays):
        tracked = track_build("TASK-1", root=tmp_path, sinks=sinks, heartbeat=0.2)
        async with tracked as build:
            await until(lambda: builds.look("TASK-1"))
            truth = build.snapshot
            fields = {name: changes[name] for name in changes.keys() - {"seq", "run_id"}}
            numbers = {name: changes[name] for name in changes.keys() & {"seq", "run_id"}}
            tracker = replace(truth.tracker, **numbers)
            await peer.put(replace(truth, **fields, tracker=tracker))
            await until(lambda: shows(build.snapshot))
        await until(lambda: shows(build.snapshot))
    assert await builds.events("TASK-1") == read_events("TASK-1", root=tmp_path)


class Fuzzer:
    """Sends what it likes on the subjects of living builds, and beside them."""

    def __init__(self, seed: int, tasks: dict[str, Build]) -> None:
        self._random = random.Random(seed)  # noqa: S311
        self._tasks = tasks

    def message(self) -> tuple[bytes, bytes, bytes]:
        """Return a subject, a payload and headers."""
        return self._subject(), self._payload(), self._headers()

    def _subject(self) -> bytes:
        choose = self._random
        task = choose.choice([*self._tasks, "TASK-OTHER", "%2E%2E", "shop:TASK-1", "\xe9", "a b"])
        run = choose.choice(
            [*(b.snapshot.tracker.run_id for b in self._tasks.values()), "x", "\xff"]
        )
        end = choose.choice(["status", f"events.{run}", f"events.{run}", "events", "other"])
        return f"guardkit.builds.{task}.{end}".replace(" ", "\xa0").encode("latin-1")

    def _headers(self) -> bytes:
        choose = self._random
        if choose.random() < 0.5:
            return b""
        if choose.random() < 0.3:
            return choose.choice([*HEADERS, choose.randbytes(choose.randrange(1, 300))])
        names = ["Guardkit-Claim", "Guardkit-After", "Guardkit-Beside", "Nats-Msg-Id", "X-\xe9"]
        values = ["0", "7", "-1", "9" * 18, "9" * 4000, "\u0663", "beef 1 host", "a" * 500, "\xe9"]
        lines = [f"{choose.choice(names)}: {choose.choice(values)}" for _ in range(3)]
        return "\r\n".join(["NATS/1.0", *lines, "", ""]).encode()

    def _payload(self) -> bytes:
        choose = self._random
        kind = choose.random()
        if kind < 0.1:
            return choose.randbytes(choose.choice([0, 1, 100, 16_000, 20_000, 200_000]))
        if kind < 0.2:
            deep, number = choose.choice([10, 5000]), "1" * choose.choice([19, 400, 4000])
            return choose.choice(["[" * deep, '{"a":' * deep, number, f"[{number}]"]).encode()
        return self._forged()

    def _forged(self) -> bytes:
        """Return a document or an event that is nearly right, or is another one's."""
        choose = self._random
        build = choose.choice([*self._tasks.values()])
        told = json.loads(msgspec.json.encode(build.snapshot))
        for _ in range(choose.randrange(4)):
            field = choose.choice([*told])
            told[field] = self._value()
        if choose.random() < 0.5:
            told["status"] = choose.choice(["completed", "failed", "cancelled", "running", "odd"])
        tracker = told["tracker"] = msgspec.to_builtins(build.snapshot.tracker)
        tracker["heartbeat_seconds"] = 0.1  # a builder that claims a task is believed for so long
        tracker["seq"] = choose.choice([0, 1, 5, 10**6, 10**18, 10**40])
        tracker["run_id"] = choose.choice(
            [build.snapshot.tracker.run_id, "forged", "", self._value()]
        )
        if choose.random() < 0.3:
            tracker[choose.choice([*tracker])] = self._value()
        event = {"event": "build.ended", "at": self._value(), "run_id": tracker.get("run_id")}
        event |= {"seq": tracker.get("seq"), "progress": told}
        if choose.random() < 0.5:
            event["at"] = "2025-01-31T12:34:56.000Z"
        return json.dumps(choose.choice([told, event])).encode()

    def _value(self) -> object:
        instants = ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2025-01-31T12:34:56+99:99"]
        texts = ["", "x" * 5000, "\x1b[2J\u202e\ud800", "TASK-1", "../x"]
        numbers = [-1, 0, 10**18, 10**300, -0.0, 1e308, float("nan"), float("inf"), True, None]
        return self._random.choice(
            [*instants, *texts, *numbers, [], {}, [[]] * 50, {"a": {"b": []}}]
        )


class Onlooker:
    """Watches all builds, and keeps the last look at each alone."""

    def __init__(self) -> None:
        self.last: dict[str, Look] = {}

    async def watch(self, builds: NatsBuilds) -> None:
        async with aclosing(builds.watch(past=True)) as looks:
            async for look in looks:
                self.last[look.task_id] = look


def wrong(living: Mapping[str, Build], looks: Mapping[str, Look], state: str) -> list[str]:
    """Return what is not shown as it is."""
    found: list[str] = []
    for task_id, build in living.items():
        look, truth = looks.get(task_id), build.snapshot
        if not look or look.verdict.state != state or not is_same_run(truth, look.snapshot):
            told = look and (look.verdict, look.snapshot and look.snapshot.tracker)
            found.append(f"{task_id}, run {truth.tracker.run_id}, is shown as {told}")
    return found


async def work(build: Build, over: asyncio.Event) -> None:
    for number in count():
        async with build.phase(f"Phase {number}"):
            build.update(message=f"step {number}")
            await asyncio.sleep(0.05)
        if over.is_set():
            return


@asynccontextmanager
async def in_background(*works: Awaitable[object]) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        yield
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("seed", range(40))
async def test_builds_are_delivered_and_shown_right_whatever_a_peer_sends(
    seed: int,
    nats_server: NatsServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    pytestconfig: pytest.Config,
) -> None:
    number = 30_000 if pytestconfig.getoption("long") else 3000
    roots = {name: tmp_path / name for name in ("sink", "relay")}
    for root in roots.values():
        root.mkdir()
    sinks = {"sink": [NatsSink(nats_server.url)], "relay": []}
    builds, onlooker, over = NatsBuilds(nats_server.url), Onlooker(), asyncio.Event()
    living: dict[str, Build] = {}
    root_of: dict[str, Path] = {}

    async def build(task_id: str, name: str) -> None:
        root_of[task_id] = roots[name]
        tracked = track_build(task_id, root=roots[name], sinks=sinks[name], heartbeat=0.5)
        async with tracked as building:
            living[task_id] = building
            await work(building, over)

    async def until_shown(state: str) -> None:
        """Return when all is shown right, to who looks now and to who watches."""

        async def is_right() -> bool:
            looks = {look.task_id: look for look in await builds.look([*living])}
            return not wrong(living, looks, state) and not wrong(living, onlooker.last, state)

        with suppress(AssertionError):
            await until(is_right)
        assert wrong(living, onlooker.last, state) == []
        assert await is_right()

    async with peering(nats_server):
        relay = Relay(nats_server.url, root=roots["relay"])
        async with in_background(relay.run(), onlooker.watch(builds)):
            working = [
                asyncio.create_task(build(f"TASK-{n}", name))
                for n, name in enumerate(["sink", "sink", "relay", "relay"])
            ]
            await until(lambda: holds(len(living) == len(working)))
            await until_shown("running")
            memory = Memory()
            async with wired(nats_server) as wire:
                fuzzer = Fuzzer(seed, living)
                for each in range(number):
                    await wire.publish(*fuzzer.message())
                    if each % 100 == 0:
                        await wire.flush()
                await wire.flush()
            await until_shown("running")
            over.set()
            await asyncio.gather(*working)
            await until_shown("completed")
            for task_id, root in root_of.items():
                await until(partial(has_all, builds, task_id, root))
                [look] = await builds.look(task_id)
                end = read_progress(task_id, root=root)
                assert look.snapshot == onlooker.last[task_id].snapshot == end
            assert memory.grown() < 64 * MIB
    assert "Traceback" not in caplog.text
    assert {record.name for record in caplog.records} <= {"guardkit.progress"}
    assert capfd.readouterr().err == ""


async def has_all(builds: NatsBuilds, task_id: str, root: Path) -> bool:
    """Return whether the server has the journal, each event once and in order."""
    journal = read_events(task_id, root=root)
    told = await builds.events(task_id)
    return [each for each in told if each in journal] == journal

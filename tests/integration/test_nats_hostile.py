"""Peers and servers that send what they like: it costs them alone."""

import asyncio
import json
import random
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
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
from guardkit.errors import NatsError
from guardkit.monitor.look import differ
from guardkit.nats import NatsBuilds, NatsSink, Relay
from guardkit.nats.documents import is_same_run
from guardkit.nats.streams import DOCUMENTS, EVENTS, STREAMS
from guardkit.testing import FakeClock

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


@pytest.fixture
def is_heavy(pytestconfig: pytest.Config) -> None:
    """Leave a test to the long run: with two cores it takes half a minute, and both of them."""
    if not pytestconfig.getoption("long"):
        pytest.skip("it takes half a minute: --long")


@pytest.mark.usefixtures("is_heavy")
@pytest.mark.parametrize("seed", range(3))
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


# Servers that are none.

INFO = {"server_id": "x", "version": "2.11.0", "headers": True, "max_payload": MIB, "proto": 1}
STREAM = {
    "config": {"subjects": [each.subjects for each in STREAMS], "max_msgs_per_subject": 1},
    "state": {"messages": 1, "last_seq": 1},
    "created": "2025-01-31T12:34:56Z",
}
CONSUMER = {"name": "c", "num_pending": 1, "ts": "2025-01-31T12:34:56Z"}
ACK = {"stream": DOCUMENTS.name, "seq": 1}
FOUND = {"message": {"subject": "a", "seq": 1, "time": "2025-01-31T12:34:56Z", "data": ""}}
GOOD = {"INFO": STREAM, "CREATE": CONSUMER, "DELETE": {"success": True}, "GET": FOUND}
DELIVERED = b"$JS.ACK.%b.c.1.%d.%d.1738326896000000000.%d"  # stream, number in it, number, left

Answer = Callable[["Impostor", str, str], Awaitable[None]]


class Impostor:
    """Speaks just enough of the protocol of NATS to be believed, and answers what it likes.

    answer: is called with the subject of a request, and where its answer is to go.
    """

    def __init__(self, answer: Answer, greeting: bytes) -> None:
        self.url = ""
        self.deliver: dict[str, str] = {}  # by consumer: where its messages are to go
        self._answer, self._greeting = answer, greeting
        self._sids: dict[str, str] = {}  # of subscriptions
        self._writer: asyncio.StreamWriter | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._sids.clear()
        self._writer = writer
        answering: set[asyncio.Task[None]] = set()
        try:
            writer.write(self._greeting)
            while line := await reader.readline():
                verb, *words = line.decode().split()
                if verb == "PING":
                    writer.write(b"PONG\r\n")
                elif verb == "SUB":
                    self._sids[words[0]] = words[-1]
                elif verb in {"PUB", "HPUB"}:
                    payload = await reader.readexactly(int(words[-1]) + 2)
                    if reply := words[1] if len(words) - (verb == "HPUB") == 3 else "":
                        self._note(words[0], payload)
                        answering.add(asyncio.ensure_future(self._answer(self, words[0], reply)))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            for task in answering:
                task.cancel()
            await asyncio.gather(*answering, return_exceptions=True)
            writer.close()

    async def send(self, raw: bytes) -> None:
        assert self._writer
        self._writer.write(raw)
        await self._writer.drain()

    async def message(
        self,
        subject: str,
        payload: bytes,
        *,
        inbox: str = "",
        reply: bytes = b"",
        more: bytes = b"",
    ) -> None:
        """Send a message; `inbox`: by which subscription, `more`: its headers."""
        inbox = inbox or subject
        sid = next(sid for to, sid in self._sids.items() if inbox.startswith(to.rstrip("*")))
        sizes = b"%d %d" % (len(more), len(more) + len(payload)) if more else b"%d" % len(payload)
        verb = b"HMSG" if more else b"MSG"
        words = b" ".join(filter(None, (verb, subject.encode(), sid.encode(), reply, sizes)))
        await self.send(words + b"\r\n" + more + payload + b"\r\n")

    def _note(self, subject: str, payload: bytes) -> None:
        if ".CONSUMER.CREATE." in subject:
            config = json.loads(payload)["config"]
            self.deliver[subject.rpartition(".")[2]] = config["deliver_subject"]


async def answer_well(server: Impostor, subject: str, reply: str) -> None:
    """Answer as a server does that has one message in each stream."""
    words = subject.split(".")
    kind = next((each for each in words if each in GOOD), "")
    answer = GOOD[kind] if kind else ACK | {"stream": stream_of(subject)}
    await server.message(reply, json.dumps(answer).encode())


def stream_of(subject: str) -> str:
    return EVENTS.name if ".events." in subject else DOCUMENTS.name


@asynccontextmanager
async def posing(answer: Answer, greeting: bytes | None = None) -> AsyncIterator[Impostor]:
    impostor = Impostor(answer, greeting or b"INFO %b\r\n" % json.dumps(INFO).encode())
    async with await asyncio.start_server(impostor.serve, "127.0.0.1", 0, limit=2**20) as server:
        impostor.url = f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield impostor


async def refusal(url: str) -> str:
    """Return what a look says, to the end of its patience, within little time and memory."""
    memory, clock = Memory(), FakeClock(hung_after=0.01)
    looking = asyncio.create_task(NatsBuilds(url, clock=clock).look())
    async with asyncio.timeout(60):
        while not looking.done():
            await clock.advance(1.0)
    assert memory.grown() < 32 * MIB
    with pytest.raises(NatsError) as caught:
        looking.result()
    return str(caught.value)


async def publish_to(url: str, caplog: pytest.LogCaptureFixture) -> str:
    """Build with a sink until that has warned; return its only warning."""
    memory = Memory()
    async with track_build("TASK-1", root=None, sinks=[NatsSink(url)]):
        await until(lambda: holds(caplog.messages))
    assert memory.grown() < 32 * MIB
    [warning] = caplog.messages
    return warning


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Fail a test that has left a traceback, or a word of a library."""
    yield
    assert capfd.readouterr().err == ""
    assert "Traceback" not in caplog.text
    assert {record.name for record in caplog.records} <= {"guardkit.progress"}


@pytest.mark.parametrize(
    "greeting",
    [
        pytest.param(b"INFO []\r\n", id="a list"),
        pytest.param(b"INFO null\r\n", id="null"),
        pytest.param(b"INFO {\r\n", id="no JSON"),
        pytest.param(b"INFO \xff\r\n", id="no text"),
        pytest.param(b"INFO\r\n", id="nothing"),
        pytest.param(b"INFO " + b"[" * 20_000 + b"\r\n", id="deep nesting"),
        pytest.param(b"INFO {" + b" " * 2**21 + b"}\r\n", id="2 MiB"),
        pytest.param(b'INFO {"max_payload": "much"}\r\n', id="a word for a size"),
        pytest.param(b'INFO {"max_payload": -1}\r\n', id="a size below 0"),
        pytest.param(b"PING\r\n" * 1000, id="PING before it"),
        pytest.param(b"-ERR 'go away'\r\n", id="an error"),
        pytest.param(b"\r\n\r\n\r\n", id="empty lines"),
        pytest.param(b"x" * 2**20, id="no end"),
    ],
)
async def test_a_greeting_that_is_none_is_one_error_and_one_warning(
    greeting: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with posing(answer_well, greeting) as server:
        assert server.url in await refusal(server.url)
        assert server.url in await publish_to(server.url, caplog)


WRONG = {
    "nothing": b"",
    "no JSON": b"{",
    "no text": b"\xff\xff",
    "null": b"null",
    "a list": b"[]",
    "an empty object": b"{}",
    "a number": b"5",
    "deep nesting": b"[" * 20_000,
    "an error of the wrong type": b'{"error": 5}',
    "an error of wrong parts": b'{"error": {"code": "x", "err_code": [], "description": 5}}',
    "an error of much text": b'{"error": {"description": "%b"}}' % (b"x\x1b[2J" * 10_000),
    "numbers of 4,000 digits": b'{"config": {}, "state": {"last_seq": 1%b}, "created": ""}'
    % (b"0" * 4000),
    "numbers below 0": b'{"config": {}, "state": {"last_seq": -1}, "created": "", "seq": -1}',
    "another config": b'{"config": [], "state": {}, "created": "x", "name": 5}',
    "subjects that are none": b'{"config": {"subjects": {"a": 1}}, "state": {}, "created": "x"}',
    "900 KiB": b'{"config": {"subjects": ["%b"]}}' % (b"a" * 900_000),
}


@pytest.mark.parametrize("answer", WRONG.values(), ids=WRONG.keys())
@pytest.mark.parametrize("kind", ["INFO", "CREATE"])
async def test_an_answer_of_the_wrong_type_is_one_error(kind: str, answer: bytes) -> None:
    async def answer_badly(server: Impostor, subject: str, reply: str) -> None:
        if f".{kind}." in subject:
            await server.message(reply, answer)
        else:
            await answer_well(server, subject, reply)

    async with posing(answer_badly) as server:
        said = await refusal(server.url)
    assert len(said) < 1000


@pytest.mark.parametrize("answer", WRONG.values(), ids=WRONG.keys())
@pytest.mark.parametrize("kind", ["INFO", "status"])
async def test_a_wrong_answer_to_who_publishes_is_one_warning(
    kind: str, answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer_badly(server: Impostor, subject: str, reply: str) -> None:
        if kind in subject.split("."):
            await server.message(reply, answer)
        elif ".MSG.GET." in subject:
            await server.message(reply, b'{"error": {"code": 404, "err_code": 10037}}')
        else:
            await answer_well(server, subject, reply)

    async with posing(answer_badly) as server:
        said = await publish_to(server.url, caplog)
    assert said.startswith("publishing to NATS failed: ")
    assert len(said) < 1000


@pytest.mark.parametrize("name", ["", "a b", "c\r\nPUB x 0\r\n", "*", "x" * 100_000, "\ud800"])
async def test_a_name_of_a_consumer_that_is_none_is_harmless(name: str) -> None:
    heard: list[str] = []

    async def answer(server: Impostor, subject: str, reply: str) -> None:
        heard.append(subject)
        if ".CONSUMER.CREATE." in subject:
            answer = CONSUMER | {"name": name, "num_pending": 0}
            await server.message(reply, json.dumps(answer).encode())
        else:
            await answer_well(server, subject, reply)

    async with posing(answer) as server:
        with suppress(NatsError):
            assert await NatsBuilds(server.url).look() == []
    assert "x" not in heard


class Flood:
    """Sends the same for ever once a consumer is made."""

    def __init__(
        self, *raw: bytes, headers: bytes = b"", reply: bytes = b"", data: bytes = b""
    ) -> None:
        self._raw, self._headers, self._reply, self._data = raw, headers, reply, data
        self.sent = 0

    async def __call__(self, server: Impostor, subject: str, reply: str) -> None:
        await answer_well(server, subject, reply)
        if f".CONSUMER.CREATE.{DOCUMENTS.name}" not in subject:
            return
        to = server.deliver[DOCUMENTS.name]
        for self.sent in count(1):
            await asyncio.sleep(0)  # others have their turn, too
            if self._raw:
                await server.send(self._raw[self.sent % len(self._raw)])
                continue
            number = self.sent
            delivered = DELIVERED % (DOCUMENTS.name.encode(), number, number, 7)
            await server.message(
                "guardkit.builds.TASK-1.status" if self._data else to,
                self._data,
                inbox=to,
                reply=self._reply or (delivered if self._data else b""),
                more=self._headers,
            )


FLOODS = {
    "flow control": {"headers": b"NATS/1.0 100 FlowControl Request\r\n\r\n", "reply": b"fc"},
    "a stalled consumer": {
        "headers": b"NATS/1.0 100 Idle Heartbeat\r\nNats-Consumer-Stalled: fc\r\n\r\n"
    },
    "messages of no stream": {"data": b"x" * 1000, "reply": b"$JS.ACK.x.y.z"},
}
SERVERS = b",".join(b'"%d:%d"' % (each, each) for each in range(5000))
RAW = {
    "PING": (b"PING\r\n",),
    "PONG": (b"PONG\r\n",),
    "INFO": (b"INFO {}\r\n",),
    "servers": (b'INFO {"connect_urls": [' + SERVERS + b"]}\r\n",),
    "servers that are none": (b'INFO {"connect_urls": ["[", 5, null]}\r\n',),
    "errors": (b"-ERR 'Permissions Violation for Publish to \"a\"'\r\n",),
    "a message of 4 GB": (b"MSG a 1 4294967296\r\n", b"x" * 2**16),
    "a message of 10^4000 bytes": (b"MSG a 1 1" + b"0" * 4000 + b"\r\n", b"x" * 2**16),
    "headers of 4 GB": (b"HMSG a 1 4294967295 4294967296\r\n", b"x" * 2**16),
    "a line without an end": (b"x" * 2**16,),
    "nonsense": (b"nonsense\r\n",),
}


@pytest.mark.usefixtures("is_heavy")
@pytest.mark.parametrize(
    "flood",
    [
        *(pytest.param(partial(Flood, **each), id=name) for name, each in FLOODS.items()),
        *(pytest.param(partial(Flood, *each), id=name) for name, each in RAW.items()),
    ],
)
async def test_an_endless_flood_is_one_error_within_bounds(flood: Callable[[], Flood]) -> None:
    async with posing(flood()) as server:
        assert server.url in await refusal(server.url)


@pytest.mark.usefixtures("is_heavy")
@pytest.mark.parametrize("size", [1, 15_000, 900_000])
async def test_documents_without_end_are_looked_at_within_bounds(size: int) -> None:
    """... as a look has an end where the stream had one."""
    memory = Memory()
    async with posing(Flood(data=b"x" * size)) as server, asyncio.timeout(20):
        assert told(await NatsBuilds(server.url).look()) in ([("TASK-1", "unreadable")], [])
    assert memory.grown() < 32 * MIB


@pytest.mark.usefixtures("is_heavy")
@pytest.mark.parametrize("raw", RAW.values(), ids=RAW.keys())
async def test_an_endless_flood_is_one_warning_for_who_publishes(
    raw: tuple[bytes, ...], caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(server: Impostor, subject: str, reply: str) -> None:
        if "status" in subject.split("."):
            for number in count():
                await server.send(raw[number % len(raw)])
        await answer_well(server, subject, reply)

    async with posing(answer) as server:
        await publish_to(server.url, caplog)

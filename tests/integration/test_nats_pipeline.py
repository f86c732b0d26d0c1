"""Builds told of in the messages of nats-core, over a real server that comes and goes."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from guardkit import Build, track_build
from guardkit.errors import NatsError
from guardkit.nats import PipelineSink
from guardkit.testing import FakeClock

from ..nats_server import NatsServer
from ..nats_stream import until

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]

DENIED = """authorization { users: [
  { user: me, password: secret, permissions: { publish: { deny: "pipeline.>" } } }
] }"""


class Told(NamedTuple):
    """A message of nats-core. kind: such as `started`."""

    kind: str
    feature_id: str
    payload: dict[str, Any]


class Onlooker:
    """Who reads the messages of nats-core, as its dashboard does."""

    def __init__(self, client: Client) -> None:
        self.told: list[Told] = []
        self._client = client

    async def hear(self, message: Msg) -> None:
        said = json.loads(message.data)
        _, kind, feature_id = message.subject.split(".")
        assert said["event_type"] == kind.replace("-", "_")
        assert said["payload"]["feature_id"] == feature_id
        self.told.append(Told(kind.removeprefix("build-"), feature_id, said["payload"]))

    async def close(self) -> None:
        await self._client.close()

    async def kinds(self) -> list[str]:
        """Return the kinds that have been told until now, those in a row once."""
        await self._client.flush()
        kinds = [each.kind for each in self.told]
        return [kind for place, kind in enumerate(kinds) if kinds[place - 1 : place] != [kind]]

    async def until(self, *kinds: str) -> None:
        """Return when so much has been told."""

        async def is_told() -> bool:
            return await self.kinds() == [*kinds]

        await until(is_told)


async def look(server: NatsServer) -> Onlooker:
    client = await nats.connect(server.url)
    onlooker = Onlooker(client)
    await client.subscribe("pipeline.>", cb=onlooker.hear)
    await client.flush()
    return onlooker


@pytest.fixture
async def onlooker(nats_server: NatsServer) -> AsyncGenerator[Onlooker]:
    onlooker = await look(nats_server)
    yield onlooker
    await onlooker.close()


async def work(build: Build) -> None:
    async with build.turn() as turn, turn.phase("Player Implementation"):
        turn.decide("feedback")


async def fails(_: Build) -> None:
    raise ValueError("no idea")


async def is_cancelled(_: Build) -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("body", "kinds"),
    [
        pytest.param(work, ["started", "progress", "complete"], id="complete"),
        pytest.param(fails, ["started", "failed"], id="failed"),
        pytest.param(is_cancelled, ["started", "cancelled"], id="cancelled"),
    ],
)
async def test_a_build_is_told_of_from_its_beginning_to_its_end(
    nats_server: NatsServer,
    onlooker: Onlooker,
    tmp_path: Path,
    body: Callable[[Build], Awaitable[None]],
    kinds: list[str],
) -> None:
    sink = PipelineSink(nats_server.url)
    try:
        async with track_build("TASK.1", build_id="FEAT 1", root=tmp_path, sinks=[sink]) as build:
            await body(build)
    except (ValueError, asyncio.CancelledError):
        pass
    await onlooker.until(*kinds)
    assert {(each.feature_id, each.payload["build_id"]) for each in onlooker.told} == {
        ("TASK-1", "FEAT-1")
    }


async def test_every_transition_is_told_of_in_order(
    nats_server: NatsServer, onlooker: Onlooker, tmp_path: Path
) -> None:
    sink = PipelineSink(nats_server.url)
    async with track_build("TASK-1", root=tmp_path, sinks=[sink], turn_max=4) as build:
        for _ in range(3):
            async with build.turn():
                pass
    await onlooker.until("started", "progress", "complete")
    done = [each.payload["overall_progress_pct"] for each in onlooker.told[1:-1]]
    assert done == [0.0, 0.0, 25.0, 25.0, 50.0, 50.0]


async def test_a_build_without_files_is_told_of(
    nats_server: NatsServer, onlooker: Onlooker
) -> None:
    async with track_build("TASK-1", root=None, sinks=[PipelineSink(nats_server.url)]):
        pass
    await onlooker.until("started", "complete")


async def test_heartbeats_are_told_of_and_nothing_after_the_end(
    nats_server: NatsServer, onlooker: Onlooker, tmp_path: Path, clock: FakeClock
) -> None:
    sink = PipelineSink(nats_server.url, clock=clock)
    async with track_build("TASK-1", root=tmp_path, sinks=[sink], clock=clock):
        await onlooker.until("started")
        await clock.advance(5.0)
        await onlooker.until("started", "progress")
    await onlooker.until("started", "progress", "complete")
    before = [*onlooker.told]
    await clock.advance(3600.0)
    assert await onlooker.kinds() == ["started", "progress", "complete"]
    assert onlooker.told == before
    assert before[1].payload["elapsed_seconds"] == 5


async def test_the_tasks_of_a_feature_are_told_of_as_the_feature(
    nats_server: NatsServer, onlooker: Onlooker, tmp_path: Path
) -> None:
    sink = PipelineSink(nats_server.url)
    async with track_build(
        "FEAT-1", build_type="feature", task_total=2, root=tmp_path, sinks=[sink]
    ) as feature:
        async with feature.wave(1) as wave:
            async with wave.task("TASK-1") as task:
                await work(task)
            async with wave.task("TASK-2") as task:
                task.fail("no idea")
    await onlooker.until("started", "progress", "complete")
    assert {each.feature_id for each in onlooker.told} == {"FEAT-1"}
    assert onlooker.told[-2].payload["overall_progress_pct"] == 100.0
    counts = [onlooker.told[-1].payload[f"tasks_{kind}"] for kind in ("completed", "failed")]
    assert counts == [1, 1]


async def test_builds_of_one_sink_are_each_told_of_to_their_end(
    nats_server: NatsServer, onlooker: Onlooker, tmp_path: Path
) -> None:
    sink, names = PipelineSink(nats_server.url), [f"TASK-{number}" for number in range(9)]

    async def build(name: str) -> None:
        async with track_build(name, root=tmp_path, sinks=[sink]) as building:
            await work(building)

    await asyncio.gather(*map(build, names))
    await build("TASK-9")

    async def all_have_ended() -> bool:
        await onlooker.kinds()
        return sum(each.kind == "complete" for each in onlooker.told) == 10

    await until(all_have_ended)
    for name in (*names, "TASK-9"):
        kinds = [each.kind for each in onlooker.told if each.feature_id == name]
        assert kinds == ["started", *["progress"] * 5, "complete"]


async def test_a_server_that_is_restarted_is_told_of_what_comes_then(
    nats_server: NatsServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sink = PipelineSink(nats_server.url)
    async with track_build("TASK-1", root=tmp_path, sinks=[sink]) as build:
        await work(build)
        nats_server.restart()
        onlooker = await look(nats_server)

        async def goes_on() -> bool:
            build.update(files_created=build.snapshot.metrics.files_created + 1)
            return bool(await onlooker.kinds())

        await until(goes_on)

    async def has_ended() -> bool:
        return (await onlooker.kinds())[-2:] == ["progress", "complete"]

    await until(has_ended)
    await onlooker.close()
    assert len(caplog.records) == 1


async def test_what_happened_before_there_was_a_server_is_told_when_it_comes(
    nats_server: NatsServer, tmp_path: Path, clock: FakeClock
) -> None:
    nats_server.kill()
    sink = PipelineSink(nats_server.url, clock=clock)
    async with track_build("TASK-1", root=tmp_path, sinks=[sink], clock=clock) as build:
        await work(build)
        nats_server.start()
        onlooker = await look(nats_server)

        async def is_told() -> bool:
            await clock.advance(0.1)
            return await onlooker.kinds() == ["started", "progress"]

        await until(is_told)
    await onlooker.until("started", "progress", "complete")
    assert [each.kind for each in onlooker.told].count("progress") >= 5
    await onlooker.close()


async def test_what_no_server_has_heard_of_a_build_is_told_with_the_next_one(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    sink = PipelineSink(nats_server.url)
    nats_server.kill()
    async with track_build("TASK-1", root=tmp_path, sinks=[sink]):
        pass
    nats_server.start()
    onlooker = await look(nats_server)
    async with track_build("TASK-2", root=tmp_path, sinks=[sink]):
        pass
    await onlooker.until("started", "complete", "started", "complete")
    assert [each.feature_id for each in onlooker.told] == ["TASK-1"] * 2 + ["TASK-2"] * 2
    await onlooker.close()


@pytest.mark.parametrize("state", ["absent", "hung", "hung in its midst"])
async def test_a_build_leaves_a_server_that_does_not_answer_within_a_second(
    nats_server: NatsServer, tmp_path: Path, state: str
) -> None:
    if state == "absent":
        nats_server.kill()
    elif state == "hung":
        nats_server.hang()
    sink = PipelineSink(nats_server.url)
    async with track_build("TASK-1", root=tmp_path, sinks=[sink]) as build:
        await work(build)
        if state == "hung in its midst":
            nats_server.hang()
        start = time.monotonic()
    assert time.monotonic() - start < 1.0


async def test_a_sink_serves_one_event_loop_after_the_other(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    sink = PipelineSink(nats_server.url)

    async def build() -> None:
        onlooker = await look(nats_server)
        async with track_build("TASK-1", root=tmp_path, sinks=[sink]) as building:
            await onlooker.until("started")
            await work(building)
        await onlooker.until("started", "progress", "complete")
        await onlooker.close()

    for _ in range(2):
        await asyncio.to_thread(asyncio.run, build())


async def test_a_login_that_may_not_tell_is_warned_of_once(
    start_server: Callable[..., NatsServer], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = start_server(DENIED, jetstream=False)
    sink = PipelineSink(server.url.replace("//", "//me:secret@"))

    async def is_warned_of() -> bool:
        return bool(caplog.records)

    async with track_build("TASK-1", root=tmp_path, sinks=[sink]) as build:
        await work(build)
        await until(is_warned_of)
    [said] = caplog.messages
    assert f"{server.url} gives no permission to publish to pipeline." in said
    assert "secret" not in said


async def test_what_is_no_url_is_refused_at_once() -> None:
    with pytest.raises(NatsError, match="no URL of a NATS server"):
        PipelineSink("https://here")


async def test_a_sink_is_shown_without_its_login() -> None:
    assert str(PipelineSink("nats://me:secret@a,b:1")) == "PipelineSink(nats://a:4222, nats://b:1)"

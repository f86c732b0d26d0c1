"""What a build sends to its NATS server, and what is kept of it, against what it has on disk."""

import asyncio
import json
from http.client import HTTPConnection
from typing import NamedTuple

import nats

from guardkit import track_build
from guardkit.nats import NatsSink

from ..nats_server import NatsServer, free_port, serving
from .bounds import JOURNAL, KEPT, SENT, SENT_HOUR
from .races import OURS, Row, compare
from .setting import Run

BEAT = 1.0  # seconds between two heartbeats here, and in a build by itself:
BEAT_USUAL = 5.0
HOUR = 3600.0


class Traffic(NamedTuple):
    """What has gone through a server in both directions, and what it keeps, in bytes."""

    moved: int
    kept: int

    def since(self, before: "Traffic") -> "Traffic":
        """Return the difference."""
        return Traffic(self.moved - before.moved, self.kept - before.kept)


async def measure_traffic(run: Run) -> list[Row]:
    """Look at a build of two turns; from the heartbeats of another one one of an hour follows."""
    (run.tmpfs / "traffic").mkdir()
    monitor = free_port()
    with serving(run.disk / "traffic", f'http: "127.0.0.1:{monitor}"') as server:
        await _build(run, server, "TASK-0")  # which makes the stream
        before = await _look(server, monitor)
        await _build(run, server, "TASK-1")
        between = await _look(server, monitor)
        beats = run.pick(1, 20)
        await _build(run, server, "TASK-2", seconds=beats * BEAT)
        after = await _look(server, monitor)
    short = between.since(before)
    beat = (after.since(between).moved - short.moved) / beats
    costs = {
        KEPT: short.kept,
        SENT: short.moved,
        SENT_HOUR: short.moved + beat * HOUR / BEAT_USUAL,
    }
    journal = (run.tmpfs / "traffic/.guardkit/autobuild/TASK-1/events.jsonl").stat().st_size
    rows: list[Row] = []
    for subject, cost in costs.items():
        rows += compare(subject, {OURS: [cost], JOURNAL: [journal]}, unit="B")
    return rows


async def _build(run: Run, server: NatsServer, task_id: str, *, seconds: float = 0.0) -> None:
    """Run a build of two turns, the first phase of which takes some seconds."""
    sink, name = NatsSink(server.url, root=run.tmpfs / "traffic"), "Implement text output fallback"
    async with track_build(
        task_id, task_name=name, root=run.tmpfs / "traffic", sinks=[sink], heartbeat=BEAT
    ) as build:
        for _ in range(2):
            async with build.turn() as turn:
                async with turn.phase("Player Implementation", budget=900) as phase:
                    phase.update(files_created=2, files_modified=1, message="writing tests")
                    await asyncio.sleep(seconds)
                async with turn.phase("Coach Validation"):
                    build.update(tests_passed=5, tests_total=5)
                turn.decide("approve")
            seconds = 0.0


async def _look(server: NatsServer, monitor: int) -> Traffic:
    client = await nats.connect(server.url)
    try:
        info = await client.jetstream().stream_info("GUARDKIT_BUILDS")
    finally:
        await client.close()
    counts = json.loads(await asyncio.to_thread(_get, monitor, "/varz"))
    return Traffic(counts["in_bytes"] + counts["out_bytes"], info.state.bytes)


def _get(port: int, path: str) -> bytes:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()

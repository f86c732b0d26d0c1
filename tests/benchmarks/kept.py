"""What a NATS server keeps of a build, against what the build has on disk."""

import nats

from guardkit import track_build
from guardkit.nats import NatsSink
from guardkit.nats.streams import STREAMS

from ..nats_server import NatsServer, serving
from .bounds import JOURNAL, NATS_KEPT
from .races import OURS, Row, compare
from .setting import Run


async def measure_kept(run: Run) -> list[Row]:
    """Look at a build of two turns, the second on its server."""
    (run.tmpfs / "traffic").mkdir()
    with serving(run.disk / "traffic") as server:
        await _build(run, server, "TASK-0")  # which makes the streams
        before = await _kept(server)
        await _build(run, server, "TASK-1")
        kept = await _kept(server) - before
    journal = (run.tmpfs / "traffic/.guardkit/autobuild/TASK-1/events.jsonl").stat().st_size
    return compare(NATS_KEPT, {OURS: [kept], JOURNAL: [journal]}, unit="B")


async def _build(run: Run, server: NatsServer, task_id: str) -> None:
    sink, name = NatsSink(server.url), "Implement text output fallback"
    async with track_build(
        task_id, task_name=name, root=run.tmpfs / "traffic", sinks=[sink]
    ) as build:
        for _ in range(2):
            async with build.turn() as turn:
                async with turn.phase("Player Implementation", budget=900) as phase:
                    phase.update(files_created=2, files_modified=1, message="writing tests")
                async with turn.phase("Coach Validation"):
                    build.update(tests_passed=5, tests_total=5)
                turn.decide("approve")


async def _kept(server: NatsServer) -> int:
    client = await nats.connect(server.url)
    try:
        infos = [await client.jetstream().stream_info(stream.name) for stream in STREAMS]
    finally:
        await client.close()
    return sum(info.state.bytes for info in infos)

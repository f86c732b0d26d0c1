"""Builds on a real NATS server: who joins late, who watches, what is lost and kept."""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import perf_counter

from guardkit import track_build
from guardkit.nats import NatsSink

from ..nats_server import NatsServer, serving
from .bounds import NATS_JOIN, NATS_LATENCY, NATS_WATCH
from .documents import measure_documents
from .kept import measure_kept
from .latency import enter, show, start
from .outages import measure_outages
from .publishers import ids, join, publish
from .races import Row, limit
from .relays import measure_relay
from .setting import REPOSITORY, Run

PROCESSES = 4
GUARDKIT = str(Path(sys.executable).with_name("guardkit"))


async def measure(run: Run) -> list[Row]:
    """Measure among many builds, one whose server fails, what one costs, and a relay."""
    with serving(run.disk / "many") as server:
        rows = await _among_many(run, server)
    rows += await measure_outages(run)
    rows += await measure_kept(run)
    rows += await measure_documents(run)
    return rows + await measure_relay(run)


async def _among_many(run: Run, server: NatsServer) -> list[Row]:
    builds = run.pick(100, 1000)
    async with _publishing(run, server, builds) as sink:
        async with asyncio.timeout(60):
            await join(server.url, builds)
        joins = [await _join_apart(server, builds) for _ in range(run.pick(1, 20))]
        looks = [await _shown(server, builds) for _ in range(run.pick(1, 10))]
        delays = await _delays(run, server, sink)
    return [
        limit(NATS_JOIN, "1 s", joins, 1.0),
        limit(NATS_WATCH, "1 s", looks, 1.0),
        limit(NATS_LATENCY, "5 ms", delays, 0.005),
    ]


@asynccontextmanager
async def _publishing(run: Run, server: NatsServer, builds: int) -> AsyncIterator[NatsSink]:
    """Have so many builds published by four processes, of which this is one with its own sink."""
    each, root = builds // PROCESSES, str(run.tmpfs)
    command = [sys.executable, "-m", "tests.benchmarks.publishers", "publish", server.url, root]
    others = [
        subprocess.Popen([*command, str(first), str(each)], cwd=REPOSITORY)
        for first in range(each, builds, each)
    ]
    sink = NatsSink(server.url)
    ours = asyncio.create_task(publish(sink, root, ids(0, each)))
    try:
        yield sink
    finally:
        ours.cancel()
        await asyncio.wait({ours})
        for process in others:
            process.kill()
            process.wait()


async def _join_apart(server: NatsServer, builds: int) -> float:
    command = [sys.executable, "-m", "tests.benchmarks.publishers", "join", server.url, str(builds)]
    process = await asyncio.create_subprocess_exec(*command, cwd=REPOSITORY, stdout=subprocess.PIPE)
    output, _ = await process.communicate()
    return float(output)


async def _shown(server: NatsServer, builds: int) -> float:
    """Return in how many seconds from its start `guardkit watch` shows so many builds."""
    start, shown = perf_counter(), set[bytes]()
    process = await asyncio.create_subprocess_exec(
        *(GUARDKIT, "watch", "--nats", server.url), stdout=subprocess.PIPE
    )
    assert process.stdout
    async with asyncio.timeout(60):
        while len(shown) < builds and (line := await process.stdout.readline()):
            shown |= {*re.findall(rb"TASK-\d+", line)}
    seconds = perf_counter() - start
    assert len(shown) >= builds  # else it has ended by itself
    process.terminate()
    await process.communicate()
    return seconds


async def _delays(run: Run, server: NatsServer, sink: NatsSink) -> list[float]:
    """Return how long it takes from a phase of one more build to another process."""
    async with AsyncExitStack() as stack:
        build = track_build("TASK-watched", root=run.tmpfs, sinks=[sink])
        turn = await stack.enter_async_context((await stack.enter_async_context(build)).turn())
        await enter(turn, "Setup")
        await asyncio.sleep(0.1)  # for it to be there
        onlooker = await start(server.url, "TASK-watched", turn)
        await show(onlooker, run.pick(40, 400))
        return await onlooker.ask()

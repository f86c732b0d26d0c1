"""What a relay takes that has seen many builds end: a process for each."""

import asyncio
import sys
from pathlib import Path

import msgspec
from msgspec.structs import replace

from guardkit.clock import SYSTEM_CLOCK
from guardkit.nats import Relay
from guardkit.nats.line import connected
from guardkit.nats.settings import find_settings
from guardkit.nats.streams import EVENTS, find_stream
from guardkit.progress.paths import JOURNAL, PROGRESS, build_dir
from guardkit.progress.snapshot import encode, make_event

from ..looks import START, TRACKER, document
from ..nats_server import serving
from ..nats_stream import until
from .bounds import FEW_BUILDS, NATS_RELAY
from .races import OURS, Row, compare
from .setting import REPOSITORY, Run

FEW = 100
PAGE = 4096  # bytes
SETTLED = 2.0  # seconds after the last build
PATIENCE = 600.0  # seconds in which all builds have to be delivered


async def measure_relay(run: Run) -> list[Row]:
    """Hold a relay that has delivered many builds against one that has delivered few."""
    sizes: dict[str, list[float]] = {OURS: [], FEW_BUILDS: []}
    for number in range(run.pick(1, 3)):
        for name, builds in ((OURS, run.pick(2_000, 10_000)), (FEW_BUILDS, FEW)):
            root = run.tmpfs / f"relayed-{builds}-{number}"
            root.mkdir()
            make_builds(root, builds)
            with serving(run.disk / root.name) as server:
                sizes[name].append(await _relay_apart(server.url, root, builds))
    return compare(NATS_RELAY, sizes, unit="B")


def make_builds(root: Path, builds: int) -> None:
    """Leave builds below a root that have ended, as their builders leave them."""
    for number in range(builds):
        task_id = f"TASK-{number}"
        tracker = replace(TRACKER, run_id=f"{number:016x}", seq=1)
        first = document(task_id, tracker=tracker)
        last = replace(first, status="completed", tracker=replace(tracker, seq=2))
        events = [make_event("build.started", START, first), make_event("build.ended", START, last)]
        folder = Path(build_dir(root, task_id))
        folder.mkdir(parents=True)
        (folder / PROGRESS).write_bytes(encode(last))
        (folder / JOURNAL).write_bytes(msgspec.json.Encoder().encode_lines(events))


async def relay(url: str, root: str, builds: int) -> int:
    """Return how much memory this process has when it has delivered so many builds."""
    relaying = asyncio.create_task(Relay(url, root=root).run())
    async with connected(find_settings(url), SYSTEM_CLOCK) as client:

        async def is_delivered() -> bool:
            info = await find_stream(client, EVENTS)
            return info is not None and info.state.last_seq >= 2 * builds

        await until(is_delivered, patience=PATIENCE)
    await asyncio.sleep(SETTLED)
    resident = resident_bytes()
    relaying.cancel()
    await asyncio.wait({relaying})
    return resident


def resident_bytes() -> int:
    """Return how much memory this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


async def _relay_apart(url: str, root: Path, builds: int) -> float:
    command = [sys.executable, "-m", "tests.benchmarks.relays", url, str(root), str(builds)]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=REPOSITORY, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return float(output)


if __name__ == "__main__":
    print(asyncio.run(relay(sys.argv[1], sys.argv[2], int(sys.argv[3]))))

"""The page over NATS: the builds of all machines, as on files."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from guardkit.nats import NatsSink

from ..nats_builds import run_build
from ..nats_server import NatsServer
from ..serving import Served, serving
from .test_cli import guardkit, started

MANY, LOOK_ON, SECONDS = 1000, 10, 20
BUSY = """
import asyncio, sys, time
from datetime import UTC, datetime
import nats
from msgspec.structs import replace
from guardkit.clock import SYSTEM_CLOCK
from guardkit.nats.streams import status_subject
from guardkit.progress.lock import boot_id
from guardkit.progress.snapshot import Metrics, Snapshot, Tracker, encode

def begin(number, now):
    name = f"TASK-{number}"
    tracker = Tracker(run_id=f"{number:016x}", host="box", pid=7, heartbeat_seconds=5.0)
    tracker = replace(tracker, boot_id=boot_id(), phase_started_at=now, phase_number=1)
    return Snapshot(build_id=name, task_id=name, task_name="Print lines", turn=1, turn_max=5,
        phase="Player Implementation", phase_status="in_progress", started_at=now,
        updated_at=now, tracker=tracker)

def go_on(seen, step):
    now = datetime.now(UTC).replace(microsecond=0)
    tracker = replace(seen.tracker, seq=seen.tracker.seq + 1, activity_at=now)
    tracker = replace(tracker, beat=SYSTEM_CLOCK.monotonic())
    metrics = Metrics(elapsed_seconds=step, files_created=step, tests_passed=3, tests_total=9)
    seen = replace(seen, updated_at=now, metrics=metrics, tracker=tracker)
    return replace(seen, message=f"Edit {step}.py")

async def main(url, number):
    client = await nats.connect(url)
    builds = [begin(each, datetime.now(UTC).replace(microsecond=0)) for each in range(number)]
    start, step = time.monotonic(), 0
    while True:
        step += 1
        for each in range(number):
            builds[each] = go_on(builds[each], step)
            await client.publish(status_subject(f"TASK-{each}", ""), encode(builds[each]))
            if not each % 20:
                due = start + step + each / number - time.monotonic()
                await asyncio.sleep(max(0.0, due))
        print(step, flush=True)

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def spent(page: Served) -> float:
    """Return how many seconds of a processor the page has had."""
    fields = Path(f"/proc/{page.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def drain(page: Served, sizes: list[int], which: int) -> None:
    """Look on until the page ends, and count what comes."""
    with page.streaming() as stream:
        while more := stream.connection.recv(2**20):
            sizes[which] += len(more)


def test_a_thousand_builds_that_change_each_second_cost_less_than_a_third_of_a_core(
    nats_server: NatsServer, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    if not pytestconfig.getoption("long"):
        pytest.skip("it takes half a minute: --long")
    assert guardkit("nats", "init", "--nats", nats_server.url).returncode == 0
    words = (sys.executable, "-c", BUSY, nats_server.url, str(MANY))
    with started(*words) as busy, serving("--nats", nats_server.url) as page:
        assert busy.stdout
        busy.stdout.readline()
        sizes = [0] * LOOK_ON
        lookers = [threading.Thread(target=drain, args=(page, sizes, n)) for n in range(LOOK_ON)]
        for looker in lookers:
            looker.start()
        for _ in range(5):
            busy.stdout.readline()
        began, before, steps = time.monotonic(), spent(page), 0
        while steps < SECONDS:
            busy.stdout.readline()
            steps += 1
        share = (spent(page) - before) / (time.monotonic() - began)
        page.process.send_signal(signal.SIGINT)
        for looker in lookers:
            looker.join()
    print(f"{share:.0%} of a core for {steps * MANY:,} changes, {min(sizes):,} bytes to each")
    assert share < 0.3


@pytest.mark.anyio
async def test_builds_of_other_machines_are_shown_with_their_journals(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    await run_build(tmp_path, NatsSink(nats_server.url))
    with serving("--nats", nats_server.url) as page, page.streaming() as stream:
        stream.until("TASK-1")
        assert nats_server.url in page.ask()[1]
        code, html = page.ask("/builds/nats/TASK-1")
        assert code == 200
        assert "<td>Player Implementation</td>" in html
        await run_build(tmp_path, NatsSink(nats_server.url), task_id="TASK-2")
        stream.until("TASK-2")


def test_a_server_that_is_not_there_is_told_of_and_costs_no_other_project(
    start_server: Callable[..., NatsServer], tmp_path: Path
) -> None:
    server = start_server()
    server.kill()
    with serving(str(tmp_path), "--nats", server.url) as page, page.streaming() as stream:
        stream.until("No build is known here yet")
        stream.until("no server answers at")
        server.start()
        stream.until("No build is known here yet")
        page.process.send_signal(signal.SIGINT)
        assert page.process.communicate()[1] == ""

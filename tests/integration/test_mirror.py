"""Builds on a real NATS server as files."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path

import pytest
from msgspec.structs import replace

from guardkit import Builds, Snapshot, Verdict, read_events, read_progress, track_build
from guardkit.errors import NatsError
from guardkit.nats import NatsSink
from guardkit.nats.messages import BEAT
from guardkit.nats.mirror import Mirror, mirrored
from guardkit.nats.settings import find_settings
from guardkit.testing import FakeClock

from ..nats_server import NatsServer
from ..nats_stream import until_whole

pytestmark = pytest.mark.anyio


def list_builds(root: Path | str) -> list[str]:
    return [look.task_id for look in Builds(root).look_now()]


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


async def build(server: NatsServer, root: Path, task_id: str = "TASK-1") -> None:
    sink = NatsSink(server.url, root=root)
    async with track_build(task_id, root=root, sinks=[sink]) as building, building.turn() as turn:
        turn.decide("approve", "Coach approved")


def silence(mirror: Mirror, snapshot: Snapshot) -> float:
    silent = mirror.silence(snapshot)
    return inf if silent is None else silent


def verdict_on(mirror: Mirror, later: float = 0.0) -> Verdict:
    """Return the verdict on the only build, when nothing more is heard for some seconds."""
    builds = Builds(mirror.root, silence=lambda shown: silence(mirror, shown) + later)
    [look] = builds.look_now()
    return look.verdict


async def test_it_has_what_the_builds_have_on_their_disks(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    for task_id in ("TASK-1", "v1.2", "TASK-1"):
        await build(nats_server, tmp_path, task_id)
    with mirrored(find_settings(nats_server.url), history=True) as mirror:
        root = mirror.root
        assert list_builds(root) == list_builds(tmp_path) == ["TASK-1", "v1.2"]
        for task_id in list_builds(root):
            folders = [each / ".guardkit/autobuild" / task_id for each in (root, tmp_path)]
            for name in ("progress.json", "events.jsonl"):
                copy, original = [(folder / name).read_bytes() for folder in folders]
                assert copy == original
    assert not root.exists()


async def test_of_runs_whose_clocks_differ_it_has_all_events_and_the_latest_beginning(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    clock, runs = FakeClock(), list[str]()
    clock.jump(86_400)
    for root, its_clock in ((tmp_path / "a", clock), (tmp_path / "b", FakeClock())):
        root.mkdir()
        sink = NatsSink(nats_server.url, root=root)
        async with track_build("TASK-1", root=root, sinks=[sink], clock=its_clock) as building:
            runs.append(building.snapshot.tracker.run_id)
    with mirrored(find_settings(nats_server.url), history=True) as mirror:
        root = mirror.root
        events = read_events("TASK-1", root=root)
        assert [(each.run_id, each.event) for each in events] == [
            (run, event) for run in runs for event in ("build.started", "build.ended")
        ]
        assert read_progress("TASK-1", root=root).tracker.run_id == runs[0]


async def test_with_ids_it_has_these_builds_and_without_history_no_events(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    for task_id in ("TASK-1", "TASK-2"):
        await build(nats_server, tmp_path, task_id)
    with mirrored(find_settings(nats_server.url), ["TASK-2"]) as mirror:
        root = mirror.root
        assert list_builds(root) == ["TASK-2"]
        assert [event.event for event in read_events("TASK-2", root=root)] == ["build.ended"]


async def test_what_happens_later_comes_after_it(nats_server: NatsServer, tmp_path: Path) -> None:
    with mirrored(find_settings(nats_server.url)) as mirror:
        root = mirror.root
        assert list_builds(root) == []
        await build(nats_server, tmp_path)
        wait_until(lambda: len(read_events("TASK-1", root=root)) == 5)
        assert read_events("TASK-1", root=root) == read_events("TASK-1", root=tmp_path)


async def test_a_build_is_lost_after_three_heartbeats_and_never_crashed(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    """... though it is one of this machine, and its builder would hold a lock if it lived."""
    sink = NatsSink(nats_server.url, root=tmp_path)
    async with track_build("TASK-1", root=tmp_path, sinks=[sink]):
        await until_whole(nats_server, tmp_path)
        with mirrored(find_settings(nats_server.url)) as mirror:
            assert verdict_on(mirror).state == "running"
            verdict = verdict_on(mirror, later=17.0)
            assert verdict.state == "lost"
            assert verdict.evidence.endswith("cannot be examined from here")


async def test_no_build_is_lost_because_the_server_is_away_or_its_clock_is_behind(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    clock = FakeClock()  # of another year
    sink = NatsSink(nats_server.url, root=tmp_path)

    def lag() -> float:
        return time.monotonic() - mirror._place.until

    with mirrored(find_settings(nats_server.url)) as mirror:
        async with track_build("TASK-1", root=tmp_path, sinks=[sink], clock=clock) as building:
            shown = building.snapshot
            await asyncio.to_thread(wait_until, lambda: silence(mirror, shown) < BEAT)
            nats_server.kill()
            before = mirror.silence(shown)
            wait_until(lambda: lag() > 2 * BEAT)
            assert mirror.silence(shown) == before
            assert mirror.silence(replace(shown, task_id="TASK-2")) is None
            nats_server.start()
            await asyncio.to_thread(wait_until, lambda: lag() < 2 * BEAT)
            assert silence(mirror, shown) < BEAT
            assert verdict_on(mirror).state == "running"


async def test_where_no_server_is_it_does_not_begin(nats_server: NatsServer) -> None:
    nats_server.kill()
    with pytest.raises(NatsError, match="no server answers at"):
        with mirrored(find_settings(nats_server.url)):
            pytest.fail("it began")


async def test_a_disk_that_takes_nothing_for_a_while_is_said_once(
    nats_server: NatsServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with mirrored(find_settings(nats_server.url)) as mirror:
        root = mirror.root
        (root / ".guardkit").write_text("in the way")
        await build(nats_server, tmp_path)
        wait_until(lambda: bool(caplog.messages))
        (root / ".guardkit").unlink()
        await build(nats_server, tmp_path)
        wait_until(lambda: len(read_events("TASK-1", root=root)) == 10)
        [warning] = caplog.messages
        assert warning.startswith(f"what NATS tells cannot be kept below {root}: ")


def entries(folder: Path) -> list[str]:
    return os.listdir(folder)


@contextmanager
def mirroring(server: NatsServer, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that mirrors to a folder of its own below one."""
    program = """
import sys, time
from guardkit.nats.mirror import mirrored
from guardkit.nats.settings import find_settings
with mirrored(find_settings(sys.argv[1])):
    print("ready", flush=True)
    time.sleep(60)
"""
    command = (sys.executable, "-c", program, server.url)
    environment = os.environ | {"TMPDIR": str(folder)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        yield process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
async def test_signals_leave_nothing_behind(
    nats_server: NatsServer, tmp_path: Path, number: signal.Signals
) -> None:
    with mirroring(nats_server, tmp_path) as process:
        assert entries(tmp_path)
        process.send_signal(number)
        assert process.wait() != 0
    assert entries(tmp_path) == []


async def test_the_next_one_removes_what_a_killed_one_has_left_and_nothing_else(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    (tmp_path / "guardkit-demo-1").mkdir()
    with mirroring(nats_server, tmp_path) as living:
        with mirroring(nats_server, tmp_path) as killed:
            killed.kill()
        with mirroring(nats_server, tmp_path) as following:
            assert len(entries(tmp_path)) == 3
            for process in (living, following):
                process.terminate()
    assert entries(tmp_path) == ["guardkit-demo-1"]


def test_a_signal_ends_it_at_any_time_while_it_begins(nats_server: NatsServer) -> None:
    program = """
import signal, sys
from guardkit.nats.mirror import mirrored
from guardkit.nats.settings import find_settings

class Left(BaseException):
    pass

def leave(*_):
    raise Left

signal.signal(signal.SIGALRM, leave)
for number in range(1, 101):
    try:
        signal.setitimer(signal.ITIMER_REAL, number / 5000, 1)  # Python drops what __del__ raises
        with mirrored(find_settings(sys.argv[1])):
            signal.pause()
    except Left:
        signal.setitimer(signal.ITIMER_REAL, 0)
print("left")
"""
    command = (sys.executable, "-c", program, nats_server.url)
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.stdout == "left\n", ended.stderr

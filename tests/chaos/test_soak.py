"""Builds that last: a day by the fake clock, ten minutes by the real one."""

import asyncio
import gc
import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guardkit import Snapshot, assess, read_progress, track_build
from guardkit.testing import FakeClock

from .forking import folder_of, join_workers, start_worker
from .tally import Tally, new_row

pytestmark = pytest.mark.anyio

HOUR, TEN_MINUTES = 3600, 600.0
GROWTH = 32 * 1024  # bytes that may come and go


@pytest.fixture
def memory() -> Iterator[Callable[[], int]]:
    """Return how many bytes are in use."""
    tracemalloc.start()

    def used() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    yield used
    tracemalloc.stop()


def descriptors() -> int:
    """Return how many files this process has open."""
    return len(os.listdir("/proc/self/fd"))


class PunctualSink:
    """A sink that counts the writes, and those that do not come at a multiple of the heartbeat."""

    def __init__(self, clock: FakeClock, heartbeat: int) -> None:
        self._clock = clock
        self._heartbeat = heartbeat
        self.writes = self.unpunctual = 0

    async def write(self, snapshot: Snapshot, /) -> None:
        self.writes += 1
        self.unpunctual += self._clock.monotonic() % self._heartbeat != 0


async def test_a_day_changes_neither_memory_nor_descriptors_nor_the_heartbeat(
    tmp_path: Path,
    clock: FakeClock,
    memory: Callable[[], int],
    tally: Tally,
    trials: Callable[[int, int], int],
) -> None:
    row, heartbeat = tally("Coalesced", "a day by the fake clock"), trials(60, 5)
    sink = PunctualSink(clock, heartbeat)
    used: list[tuple[int, int]] = []
    build = track_build(
        "TASK-1",
        root=tmp_path,
        clock=clock,
        debounce=0,  # so that an update does not shift the heartbeats after it
        heartbeat=heartbeat,
        sinks=[sink],
        turn_max=24,
    )
    async with build:
        for number in range(24):
            async with build.turn() as turn, turn.phase("Player Implementation"):
                turn.update(files_created=number)
                await clock.advance(HOUR)
            row["lost"] += read_progress("TASK-1", root=tmp_path).metrics.files_created != number
            used.append((memory(), descriptors()))
    row["trials"] = sink.writes
    assert (row["lost"], sink.unpunctual) == (0, 0)
    assert sink.writes >= 24 * HOUR / heartbeat
    assert used[-1][0] - used[1][0] < GROWTH
    assert {files for _, files in used} == {used[0][1]}


async def test_ten_minutes_change_neither_memory_nor_descriptors_nor_the_verdict(
    tmp_path: Path,
    memory: Callable[[], int],
    tally: Tally,
    pytestconfig: pytest.Config,
) -> None:
    if not pytestconfig.getoption("long"):
        pytest.skip("it takes ten minutes: --long")
    row, used = tally("Whole", "ten minutes by the real clock"), list[tuple[int, int]]()
    end = time.monotonic() + TEN_MINUTES
    async with track_build("TASK-1", root=tmp_path, heartbeat=1, turn_max=10**6) as build:
        reader = start_worker("reading", folder_of(tmp_path, "TASK-1") / "progress.json")
        while time.monotonic() < end:
            async with build.turn() as turn, turn.phase("Player Implementation"):
                for number in range(1000):
                    turn.update(tests_passed=number)
                    await asyncio.sleep(0.01)
                await asyncio.sleep(5)  # in which only the heart beats
                seen = read_progress("TASK-1", root=tmp_path)
                row["lost"] += seen.metrics.tests_passed != 999
                row["wrong"] += assess(seen, root=tmp_path).state != "running"
            used.append((memory(), descriptors()))
        reading = new_row("")
        assert join_workers([reader], reading)["wrong"] == []
        row["trials"], row["torn"] = reading["trials"], reading["torn"]
    assert (row["lost"], row["torn"], row["wrong"]) == (0, 0, 0)
    assert used[-1][0] - used[1][0] < GROWTH
    assert {files for _, files in used} == {used[0][1]}

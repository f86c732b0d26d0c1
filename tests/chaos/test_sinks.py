"""Sinks that fail, hang or are slow, and updates from many threads at once."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from guardkit import Build, Snapshot, read_events, read_progress, track_build
from guardkit.testing import FakeClock, MemorySink

from .tally import Tally

pytestmark = pytest.mark.anyio

HELD_UP = 1.0  # seconds that a build may lose in total
MENDED = 2.0  # seconds in which the file is right


class BadSink(MemorySink):
    """A sink that has `seconds` for each write, and then raises, unless it is to keep it."""

    def __init__(self, clock: FakeClock, *, seconds: float = 0.0, raises: bool = False) -> None:
        super().__init__()
        self._clock = clock
        self._seconds = seconds
        self.raises = raises

    async def write(self, snapshot: Snapshot, /) -> None:
        await self._clock.sleep(self._seconds)
        if self.raises:
            raise ConnectionError("down")
        await super().write(snapshot)


class StubbornSink:
    """A sink that hangs, and does not let itself be cancelled."""

    def __init__(self) -> None:
        self.free = asyncio.Event()

    async def write(self, snapshot: Snapshot, /) -> None:
        while not self.free.is_set():
            try:
                await self.free.wait()
            except asyncio.CancelledError:
                continue


SINKS = {
    "raises": lambda clock: BadSink(clock, raises=True),
    "raises late": lambda clock: BadSink(clock, seconds=3.0, raises=True),
    "hangs": lambda clock: BadSink(clock, seconds=1e6),
    "is slow": lambda clock: BadSink(clock, seconds=3.0),
}


async def work(build: Build, turns: int) -> None:
    for number in range(turns):
        async with build.turn() as turn, turn.phase("Player Implementation"):
            turn.update(files_created=number)


@pytest.mark.parametrize("make", SINKS.values(), ids=list(SINKS))
async def test_a_bad_sink_holds_up_neither_the_build_nor_its_file(
    make: Callable[[FakeClock], BadSink],
    tmp_path: Path,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
    tally: Tally,
    request: pytest.FixtureRequest,
) -> None:
    row, sink, good = tally("Harmless", "sinks that fail"), make(clock), MemorySink()
    row["trials"] = row["faults"] = 1

    async def run() -> None:
        async with track_build(
            "TASK-1", root=tmp_path, clock=clock, sinks=[sink, good], turn_max=9
        ) as build:
            await work(build, 9)
            row["lost"] += read_progress("TASK-1", root=tmp_path).metrics.files_created != 8

    task = asyncio.create_task(run())
    await clock.advance(HELD_UP)
    assert task.done()
    await task
    assert read_progress("TASK-1", root=tmp_path).status == "completed"
    assert good.snapshots[-1].status == "completed"
    assert row["lost"] == 0
    assert len(caplog.records) <= 1


async def test_a_sink_that_refuses_to_be_cancelled_delays_the_end_by_two_seconds_at_most(
    tmp_path: Path, clock: FakeClock, tally: Tally
) -> None:
    row, sink = tally("Harmless", "sinks that fail"), StubbornSink()
    row["trials"] = row["faults"] = 1

    async def run() -> None:
        async with track_build(
            "TASK-1", root=tmp_path, clock=clock, sinks=[sink], turn_max=9
        ) as build:
            await work(build, 9)

    task = asyncio.create_task(run())
    await clock.advance(MENDED)
    assert task.done()
    assert read_progress("TASK-1", root=tmp_path).status == "completed"
    sink.free.set()
    await clock.advance(0.0)


async def test_a_sink_that_comes_back_is_given_the_newest(clock: FakeClock) -> None:
    sink = BadSink(clock, raises=True)
    async with track_build("TASK-1", root=None, clock=clock, sinks=[sink], turn_max=9) as build:
        await work(build, 9)
        sink.raises = False
        await clock.advance(MENDED)
        assert sink.snapshots[-1].metrics.files_created == 8


async def test_no_update_of_many_threads_is_lost(
    tmp_path: Path,
    clock: FakeClock,
    tally: Tally,
    trials: Callable[[int, int], int],
) -> None:
    row = tally("Coalesced", "updates from many threads")
    names = ("files_created", "files_modified", "tests_passed", "tests_total")
    async with track_build("TASK-1", root=tmp_path, clock=clock, debounce=0.1) as build:
        for last in range(100, 100 * trials(5, 200) + 1, 100):

            def count(name: str, last: int = last) -> None:
                for number in range(last - 99, last + 1):
                    build.update(**{name: number})  # type: ignore[arg-type]

            threads = [threading.Thread(target=count, args=[name]) for name in names * 4]
            for thread in threads:
                thread.start()
            for thread in threads:
                await asyncio.to_thread(thread.join)
            await clock.advance(0.1)
            metrics = read_progress("TASK-1", root=tmp_path).metrics
            row["trials"] += 1
            row["lost"] += sum(getattr(metrics, name) != last for name in names)
    assert row["lost"] == 0


async def test_no_decision_of_many_threads_is_lost_or_out_of_order(
    tmp_path: Path, clock: FakeClock, tally: Tally, trials: Callable[[int, int], int]
) -> None:
    row, names = tally("Final", "decisions from many threads"), ("one", "two", "three", "four")
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        for trial in range(trials(3, 30)):

            def decide(name: str, trial: int = trial) -> None:
                for number in range(20):
                    build.decide(f"{name} {trial:02} {number:02}")

            threads = [threading.Thread(target=decide, args=[name]) for name in names]
            for thread in threads:
                thread.start()
            for thread in threads:
                await asyncio.to_thread(thread.join)
            await clock.advance(0.0)
            row["trials"] += 1
    events = read_events("TASK-1", root=tmp_path)
    decided = [str(event.progress.decision) for event in events if event.event == "decided"]
    for name in names:
        told = [decision for decision in decided if decision.startswith(f"{name} ")]
        row["lost"] += len(told) != 20 * row["trials"] or told != sorted(told)
    numbers = [event.seq for event in events]
    row["lost"] += numbers != sorted(set(numbers))
    assert row["lost"] == 0

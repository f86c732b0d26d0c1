"""Sinks: what they are given and when, whatever they do."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from guardkit import (
    Build,
    BuildAlreadyRunningError,
    MisuseError,
    Snapshot,
    track_build,
)
from guardkit.testing import FakeClock, MemorySink

from ..doubles import HangingSink
from ..shown import OnDisk

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


async def test_what_is_no_sink_is_refused_at_the_call() -> None:
    with pytest.raises(MisuseError, match="5 is no sink"):
        track_build("TASK-1", root=None, sinks=[5])  # type: ignore[list-item]


# what they are given


async def test_calls_of_a_sink_never_overlap_and_the_newest_wins(clock: FakeClock) -> None:
    class Slow:
        under_way = 0
        seconds = 1.0
        phases: list[str] = []

        async def write(self, snapshot: Snapshot, /) -> None:
            assert self.under_way == 0
            self.under_way += 1
            await clock.sleep(self.seconds)
            self.phases.append(snapshot.phase)
            self.under_way -= 1

    sink = Slow()
    async with track_build("TASK-1", root=None, clock=clock, sinks=[sink]) as build:
        for name in "ABC":
            async with build.phase(name):
                await clock.advance(0.1)
        await clock.advance(3.0)
        sink.seconds = 0.0
    assert sink.phases == ["A", "C", "C"]


async def test_a_sink_that_asks_for_transitions_is_given_each_of_them_in_order(
    clock: FakeClock,
) -> None:
    sink = MemorySink(transitions=True)
    async with track_build("TASK-1", root=None, clock=clock, sinks=[sink]) as build:
        async with build.turn() as turn:
            for name in ("Player Implementation", "Coach Validation"):
                async with turn.phase(name):
                    build.update(message=f"in {name}")
            turn.decide("approve")
    assert [(s.turn, s.phase, s.phase_status, s.decision, s.status) for s in sink.snapshots] == [
        (0, "", "", None, "running"),
        (1, "", "pending", None, "running"),
        (1, "Player Implementation", "in_progress", None, "running"),
        (1, "Player Implementation", "completed", None, "running"),
        (1, "Coach Validation", "in_progress", None, "running"),
        (1, "Coach Validation", "completed", None, "running"),
        (1, "Coach Validation", "completed", "approve", "running"),
        (1, "Coach Validation", "completed", "approve", "running"),
        (1, "Coach Validation", "completed", "approve", "completed"),
    ]
    assert sink.closed


# sinks that fail


async def test_a_sink_that_raises_is_tried_again_every_second(clock: FakeClock) -> None:
    class Broken:
        times: list[float] = []

        async def write(self, snapshot: Snapshot, /) -> None:
            self.times.append(clock.monotonic())
            raise ValueError("broken")

    sink = Broken()
    async with track_build("TASK-1", root=None, clock=clock, sinks=[sink], heartbeat=500):
        await clock.advance(3.5)
        assert sink.times == [0.0, 1.0, 2.0, 3.0]
    assert sink.times[-1] == 3.5


async def test_a_sink_that_exits_is_one_that_failed(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Exits(MemorySink):
        def attach(self, build: Build) -> None:
            raise SystemExit(5)

        async def write(self, snapshot: Snapshot, /) -> None:
            raise SystemExit(6)

        async def aclose(self) -> None:
            raise SystemExit(7)

    async with track_build("TASK-1", root=None, clock=clock, sinks=[Exits()]) as build:
        await clock.advance(1.0)
    assert build.snapshot.status == "completed"
    assert "SystemExit(5); the build continues" in caplog.text


async def test_what_is_new_does_not_wait_for_another_try(clock: FakeClock) -> None:
    class Broken(MemorySink):
        times: list[float] = []

        async def write(self, snapshot: Snapshot, /) -> None:
            self.times.append(clock.monotonic())
            raise ValueError("broken")

    sink = Broken()
    async with track_build("TASK-1", root=None, clock=clock, sinks=[sink]) as build:
        await clock.advance(0.25)
        async with build.phase("Setup"):
            await clock.advance(0.0)
            assert sink.times == [0.0, 0.25]


async def test_a_transition_that_a_sink_failed_to_take_is_given_to_it_again(
    clock: FakeClock,
) -> None:
    class Flaky(MemorySink):
        failures = 2

        async def write(self, snapshot: Snapshot, /) -> None:
            if self.failures:
                self.failures -= 1
                raise ConnectionError("down")
            await super().write(snapshot)

    sink = Flaky(transitions=True)
    async with track_build("TASK-1", root=None, clock=clock, sinks=[sink]) as build:
        async with build.phase("A"):
            pass
        await clock.advance(3.0)
        assert [(s.phase, s.phase_status) for s in sink.snapshots] == [
            ("", ""),
            ("A", "in_progress"),
            ("A", "completed"),
        ]


async def test_of_a_failed_write_and_a_newer_snapshot_the_newer_one_is_tried(
    clock: FakeClock,
) -> None:
    class Slow(MemorySink):
        seconds = 0.5

        async def write(self, snapshot: Snapshot, /) -> None:
            await clock.sleep(self.seconds)
            if snapshot.message is None:
                raise ConnectionError("down")
            await super().write(snapshot)

    sink = Slow()
    async with track_build("TASK-1", root=None, clock=clock, sinks=[sink]) as build:
        await clock.advance(0.1)
        build.update(message="newest")
        await clock.advance(2.0)
        assert [snapshot.message for snapshot in sink.snapshots] == ["newest"]
        sink.seconds = 0.0


async def test_a_sink_whose_own_work_is_cancelled_is_tried_again(clock: FakeClock) -> None:
    class Cancelled(MemorySink):
        async def write(self, snapshot: Snapshot, /) -> None:
            if clock.monotonic() < 1.0:
                own = asyncio.create_task(asyncio.sleep(60))
                own.cancel()
                await own
            await super().write(snapshot)

    sink = Cancelled()
    async with track_build("TASK-1", root=None, clock=clock, sinks=[sink]):
        await clock.advance(1.0)
        assert len(sink.snapshots) == 1


# their end


@pytest.mark.parametrize("stubborn", [False, True], ids=["cancellable", "stubborn"])
async def test_a_sink_that_hangs_delays_nothing_but_the_end(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk, stubborn: bool
) -> None:
    hanging, other = HangingSink(stubborn=stubborn), MemorySink()

    async def run() -> None:
        async with track_build(
            "TASK-1", root=tmp_path, clock=clock, sinks=[hanging, other]
        ) as build:
            async with build.phase("Setup"):
                assert on_disk()["phase"] == "Setup"
            assert clock.monotonic() == 0.0

    task = asyncio.create_task(run())
    await clock.advance(0.799)
    assert not task.done()
    await clock.advance(0.801 if stubborn else 0.001)
    await task
    assert on_disk()["status"] == "completed"
    assert other.snapshots[-1].status == "completed"
    assert hanging.entered == 1
    hanging.free.set()
    await clock.advance(0.0)


async def test_a_build_without_files_ends_though_a_sink_hangs(clock: FakeClock) -> None:
    class Hanging:
        async def write(self, snapshot: Snapshot, /) -> None:
            await asyncio.Event().wait()

    async def body() -> None:
        async with track_build("TASK-1", root=None, clock=clock, sinks=[Hanging()]):
            pass

    task = asyncio.create_task(body())
    await clock.advance(1.0)
    await task


async def test_the_end_of_a_build_is_tried_again_at_once(clock: FakeClock) -> None:
    class Flaky(MemorySink):
        failed = False

        async def write(self, snapshot: Snapshot, /) -> None:
            if snapshot.terminal and not self.failed:
                self.failed = True
                raise ConnectionError("down")
            await super().write(snapshot)

    sink = Flaky()
    async with track_build("TASK-1", root=None, clock=clock, sinks=[sink]):
        await clock.advance(0.0)
    assert [snapshot.status for snapshot in sink.snapshots] == ["running", "completed"]
    assert sink.closed


async def test_a_sink_that_hangs_when_it_is_closed_is_left(clock: FakeClock) -> None:
    class Hanging(MemorySink):
        async def aclose(self) -> None:
            await asyncio.Event().wait()

    async def run() -> None:
        async with track_build("TASK-1", root=None, clock=clock, sinks=[Hanging()]):
            pass

    task = asyncio.create_task(run())
    await clock.advance(0.799)
    assert not task.done()
    await clock.advance(0.001)
    await task


async def test_a_slow_sink_is_given_the_end_before_what_it_has_missed(clock: FakeClock) -> None:
    class Slow(MemorySink):
        async def write(self, snapshot: Snapshot, /) -> None:
            await clock.sleep(0.3)
            await super().write(snapshot)

    sink = Slow(transitions=True)

    async def run() -> None:
        async with track_build("TASK-1", root=None, clock=clock, sinks=[sink]) as build:
            for name in "ABCDEFGH":
                async with build.phase(name):
                    pass

    task = asyncio.create_task(run())
    await clock.advance(2.0)
    await task
    assert [s.phase for s in sink.snapshots] == ["", "A", "H"]
    assert sink.snapshots[-1].status == "completed"
    assert sink.closed


# what is no sink


class WithWrite:
    def write(self, snapshot: Snapshot, /) -> None:
        """As of a program that is not async."""


@pytest.mark.parametrize(
    ("sinks", "remedy"),
    [
        pytest.param([MemorySink], "is a class: pass an object of it", id="a class"),
        pytest.param([WithWrite()], "is not async: make it `async def write`", id="plain write"),
        pytest.param([object()], "is no sink: pass objects with `async def write", id="no write"),
        pytest.param(MemorySink(), r"is not iterable: pass a list, sinks=\[", id="not in a list"),
        pytest.param(None, "is not iterable: pass a list", id="None"),
    ],
)
async def test_what_is_no_sink_is_refused_with_the_remedy(sinks: Any, remedy: str) -> None:
    with pytest.raises(MisuseError, match=remedy):
        track_build("TASK-1", root=None, sinks=sinks)


async def test_sinks_are_taken_from_any_iterable(clock: FakeClock) -> None:
    sink = MemorySink()
    async with track_build("TASK-1", root=None, clock=clock, sinks=iter([sink])):
        pass
    assert sink.snapshots[-1].status == "completed"


# attach


async def test_a_sink_is_told_of_its_build_before_anything_is_written(
    tmp_path: Path, clock: FakeClock
) -> None:
    class Attached(MemorySink):
        def attach(self, build: Build) -> None:
            told.append((build.task_id, build.folder, len(self.snapshots)))

    told: list[tuple[str, str | None, int]] = []
    for root in (tmp_path, None):
        async with track_build("TASK-1", root=root, clock=clock, sinks=[Attached()]):
            pass
    assert told == [
        ("TASK-1", f"{tmp_path}/.guardkit/autobuild/TASK-1", 0),
        ("TASK-1", None, 0),
    ]


async def test_what_attach_raises_does_not_reach_the_build(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(MemorySink):
        def attach(self, build: Build) -> None:
            raise ValueError("broken")

    sink = Broken()
    async with track_build("TASK-1", root=None, clock=clock, sinks=[sink]):
        pass
    assert sink.snapshots[-1].status == "completed"
    assert "ValueError('broken'); the build continues" in caplog.text


async def test_a_refused_builder_tells_its_sinks_of_no_snapshot_and_closes_them(
    tmp_path: Path, clock: FakeClock
) -> None:
    sink = MemorySink()
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        with pytest.raises(BuildAlreadyRunningError):
            await track_build("TASK-1", root=tmp_path, clock=clock, sinks=[sink]).__aenter__()
    assert (sink.snapshots, sink.closed) == ([], True)


# what they raise and how long they take


async def test_each_kind_of_failure_is_warned_of_once(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        errors = [ValueError("a"), ValueError("b"), KeyError("c"), OSError(28, "full")] * 3

        async def write(self, snapshot: Snapshot, /) -> None:
            if self.errors:
                raise self.errors.pop(0)

    async with track_build("TASK-1", root=None, clock=clock, sinks=[Broken()]):
        await clock.advance(20.0)
    assert len(caplog.records) == 3
    assert all("; the build continues" in record.message for record in caplog.records)


async def test_a_transition_is_given_once_though_many_wait(clock: FakeClock) -> None:
    class Slow(MemorySink):
        async def write(self, snapshot: Snapshot, /) -> None:
            await gate.wait()
            await super().write(snapshot)

    gate, sink = asyncio.Event(), Slow(transitions=True)
    async with track_build("TASK-1", root=None, clock=clock, sinks=[sink]) as build:
        for number in range(50):
            build.decide(f"{number}")
            build.update(files_created=number)
            await clock.advance(0.2)
        gate.set()
        await clock.advance(0.0)
        decisions = [s.decision for s in sink.snapshots]
        assert [d for i, d in enumerate(decisions) if d and d != decisions[i - 1]] == [
            f"{number}" for number in range(50)
        ]
        assert sink.snapshots[-1].metrics.files_created == 49


async def test_of_transitions_that_wait_the_oldest_are_dropped_past_a_thousand(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Slow(MemorySink):
        async def write(self, snapshot: Snapshot, /) -> None:
            await gate.wait()
            await super().write(snapshot)

    gate, sink = asyncio.Event(), Slow(transitions=True)
    async with track_build("TASK-1", root=None, clock=clock, sinks=[sink]) as build:
        await clock.advance(0.0)
        for number in range(1100):
            build.decide(f"{number}")
            if number % 100 == 99:
                await clock.advance(0.0)
        gate.set()
        await clock.advance(0.0)
        assert [s.decision for s in sink.snapshots] == [None, *map(str, range(100, 1100))]
    assert "it lost transitions, as 1000 of them wait" in caplog.text


class SlowSink:
    """A sink that takes half a second for each snapshot."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.given: list[str] = []

    async def write(self, snapshot: Snapshot, /) -> None:
        await self.clock.sleep(0.5)
        self.given.append(snapshot.status)


async def test_a_slow_sink_is_given_the_last_snapshot(clock: FakeClock) -> None:
    sink = SlowSink(clock)

    async def run() -> None:
        async with track_build("TASK-1", root=None, clock=clock, sinks=[sink]):
            await clock.sleep(0.1)

    task = asyncio.create_task(run())
    await clock.advance(2.1)
    assert task.done()
    assert sink.given == ["running", "completed"]


async def test_calls_of_a_sink_of_several_builds_do_not_overlap(clock: FakeClock) -> None:
    class Counting:
        def __init__(self) -> None:
            self.now = self.most = self.calls = 0

        async def write(self, snapshot: Snapshot) -> None:
            self.now, self.calls = self.now + 1, self.calls + 1
            self.most = max(self.most, self.now)
            await asyncio.sleep(0)
            self.now -= 1

    sink = Counting()
    async with (
        track_build("TASK-1", root=None, sinks=[sink, sink], clock=clock) as one,
        track_build("TASK-2", root=None, sinks=[sink], clock=clock) as other,
    ):
        for build in (one, other):
            build.decide("approve")
        await clock.advance(0.0)
    assert (sink.most, sink.calls >= 6) == (1, True)

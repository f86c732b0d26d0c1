"""What is on disk when, and how often it is written: promises 3.1, 3.2 and 3.7."""

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from guardkit import (
    assess,
    read_progress,
    track_build,
)
from guardkit.testing import FakeClock

from ..doubles import TimedSink
from ..shown import OnDisk

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


# 3.1 there on return


async def test_a_build_is_on_disk_when_it_is_entered_and_left(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    async with track_build("TASK-1", task_name="Do it", root=tmp_path, clock=clock):
        assert on_disk()["status"] == "running"
        assert on_disk()["task_name"] == "Do it"
    assert on_disk()["status"] == "completed"


async def test_turns_and_phases_are_on_disk_when_they_are_entered_and_left(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    def place() -> tuple[Any, ...]:
        return tuple(on_disk()[key] for key in ("turn", "phase", "phase_status"))

    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        assert place() == (0, "", "")
        async with build.phase("Setup"):
            assert place() == (0, "Setup", "in_progress")
        assert place() == (0, "Setup", "completed")
        async with build.turn() as turn:
            assert place() == (1, "", "pending")
            async with turn.phase("Player Implementation"):
                assert place() == (1, "Player Implementation", "in_progress")
            assert place() == (1, "Player Implementation", "completed")
        async with build.turn():
            assert place() == (2, "", "pending")


async def test_the_outer_phase_is_shown_again_when_the_inner_one_ends(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        async with build.phase("Outer", budget=60):
            await clock.advance(3)
            async with build.phase("Inner"):
                assert (on_disk()["phase"], on_disk()["tracker"]["budget_seconds"]) == (
                    "Inner",
                    None,
                )
            assert (on_disk()["phase"], on_disk()["phase_status"]) == ("Outer", "in_progress")
            assert on_disk()["tracker"]["budget_seconds"] == 60
            assert on_disk()["tracker"]["phase_started_at"] == "2025-01-31T12:34:56Z"


# 3.2 coalesced


async def test_an_update_after_quiet_time_is_written_at_once(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        await clock.advance(0.1)
        build.update(files_created=1)
        await clock.advance(0.0)
        assert on_disk()["metrics"]["files_created"] == 1


async def test_an_update_waits_for_debounce_after_the_last_write_and_no_longer(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock, debounce=0.5) as build:
        await clock.advance(0.2)
        build.update(files_created=1)
        await clock.advance(0.2)
        build.update(files_created=2)
        await clock.advance(0.099)
        assert on_disk()["metrics"]["files_created"] == 0
        await clock.advance(0.001)
        assert on_disk()["metrics"]["files_created"] == 2


async def test_a_hundred_thousand_updates_in_a_second_cost_eleven_writes(clock: FakeClock) -> None:
    sink = TimedSink(clock)
    async with track_build("TASK-1", root=None, clock=clock, sinks=[sink]) as build:
        await clock.advance(1.0)
        sink.writes.clear()
        for number in range(100_000):
            build.update(tests_passed=number)
            if number % 1000 == 999:
                await clock.advance(0.01)
        updates = sink.times.copy()
    assert updates == [pytest.approx(1.0 + tenth / 10) for tenth in range(11)]
    assert sink.writes[-1][1].metrics.tests_passed == 99_999


async def test_leaving_the_build_writes_what_is_still_waiting(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock, debounce=60) as build:
        build.update(tests_passed=3, tests_total=4, message="late")
    assert on_disk()["metrics"] == {
        "elapsed_seconds": 0,
        "files_created": 0,
        "files_modified": 0,
        "tests_passed": 3,
        "tests_total": 4,
    }
    assert on_disk()["message"] == "late"


async def test_a_transition_takes_waiting_updates_along(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock, debounce=60) as build:
        build.update(files_created=7)
        async with build.phase("Setup"):
            assert on_disk()["metrics"]["files_created"] == 7


async def test_an_update_that_changes_nothing_is_neither_written_nor_activity(
    clock: FakeClock,
) -> None:
    sink = TimedSink(clock)
    async with track_build("TASK-1", root=None, clock=clock, sinks=[sink]) as build:
        build.update(files_created=1, message="same")
        await clock.advance(2.0)
        build.update(files_created=1, message="same")
        await clock.advance(1.0)
        assert sink.times == [0.0, 0.1]
        await clock.advance(5.0)
        last = sink.writes[-1][1]
    assert last.tracker.activity_at == sink.writes[1][1].updated_at


async def test_a_build_that_never_rests_keeps_no_other_one_from_the_disk(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with (
        track_build("BUSY", root=tmp_path, clock=clock, debounce=0) as busy,
        track_build("TASK-1", root=tmp_path, clock=clock) as build,
    ):

        async def work() -> None:
            for number in itertools.count():
                busy.update(files_created=number)
                await asyncio.sleep(0)

        working = asyncio.create_task(work())
        for name in "ABC":
            async with build.phase(name):
                assert read_progress("TASK-1", root=tmp_path).phase == name
            async with busy.phase(name):
                assert read_progress("BUSY", root=tmp_path).phase == name
        working.cancel()


# 3.7 alive


async def test_the_file_is_rewritten_every_heartbeat_and_nothing_but_the_time_changes(
    clock: FakeClock,
) -> None:
    sink = TimedSink(clock)
    async with track_build("TASK-1", root=None, clock=clock, sinks=[sink], heartbeat=5):
        await clock.advance(15.0)
        assert sink.times == [0.0, 5.0, 10.0, 15.0]
        first = sink.writes[0][1].tracker
        beats = [replace(first, beat=beat) for beat in (0.0, 5.0, 10.0, 15.0)]
        assert [snapshot.tracker for _, snapshot in sink.writes] == beats
        assert [s.metrics.elapsed_seconds for _, s in sink.writes] == [0, 5, 10, 15]


async def test_a_heartbeat_is_due_only_after_silence(clock: FakeClock) -> None:
    sink = TimedSink(clock)
    async with track_build("TASK-1", root=None, clock=clock, sinks=[sink], heartbeat=5) as build:
        await clock.advance(3.0)
        build.update(files_created=1)
        await clock.advance(6.0)
        assert sink.times == [0.0, 3.0, 8.0]


async def test_heartbeats_do_not_drift_in_a_day(clock: FakeClock) -> None:
    sink = TimedSink(clock)
    async with track_build("TASK-1", root=None, clock=clock, sinks=[sink], heartbeat=60):
        await clock.advance(24 * 3600.0)
        assert sink.times == [60.0 * minute for minute in range(24 * 60 + 1)]


async def test_a_living_build_is_judged_running_and_an_ended_one_by_its_end(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        seen = read_progress("TASK-1", root=tmp_path)
        assert assess(seen, root=tmp_path, clock=clock).state == "running"
        await clock.advance(60.0)
        seen = read_progress("TASK-1", root=tmp_path)
        assert assess(seen, root=tmp_path, clock=clock).state == "running"
    assert assess(seen, root=tmp_path, clock=clock).state == "completed"

"""The contract's promises 3.1 to 3.7, at exact virtual times."""

import asyncio
import itertools
import os
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import suppress
from pathlib import Path
from types import CoroutineType
from typing import Any

import anyio
import pytest

from guardkit import Build, Snapshot, assess, read_events, read_progress, track_build
from guardkit.testing import FakeClock, MemorySink

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]

OnDisk = Callable[[], dict[str, Any]]


class TimedSink:
    """A sink that keeps when it was given what."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.writes: list[tuple[float, Snapshot]] = []

    async def write(self, snapshot: Snapshot, /) -> None:
        self.writes.append((round(self.clock.monotonic(), 6), snapshot))

    @property
    def times(self) -> list[float]:
        return [time for time, _ in self.writes]


class HangingSink:
    """A sink that never comes back from its first write; it may refuse to be cancelled."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.stubborn = stubborn
        self.entered = 0
        self.free = asyncio.Event()

    async def write(self, snapshot: Snapshot, /) -> None:
        self.entered += 1
        while not self.free.is_set():
            try:
                await self.free.wait()
            except asyncio.CancelledError:
                if not self.stubborn:
                    raise


class HungDisk:
    """A disk that hangs, as a dead mount does, in the next transition that is written to it.

    A pipe that nobody empties stands in the place of the journal.
    """

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        self.path = folder / "events.jsonl"
        self.clock = clock
        self.fd = -1

    def hang(self) -> None:
        self.clock._hung_after = 0.05
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        os.mkfifo(self.path)
        self.fd = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)
        with suppress(BlockingIOError):
            while True:
                os.write(self.fd, bytes(4096))

    def come_back(self) -> None:
        self.clock._hung_after = 5.0
        self.path.unlink()
        os.read(self.fd, 2**20)


@pytest.fixture
def disk(tmp_path: Path, clock: FakeClock) -> Generator[HungDisk]:
    disk = HungDisk(tmp_path / ".guardkit/autobuild/TASK-1", clock)
    yield disk
    os.read(disk.fd, 2**20)
    os.close(disk.fd)


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
    def shown() -> tuple[Any, ...]:
        return tuple(on_disk()[key] for key in ("turn", "phase", "phase_status"))

    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        assert shown() == (0, "", "")
        async with build.phase("Setup"):
            assert shown() == (0, "Setup", "in_progress")
        assert shown() == (0, "Setup", "completed")
        async with build.turn() as turn:
            assert shown() == (1, "", "pending")
            async with turn.phase("Player Implementation"):
                assert shown() == (1, "Player Implementation", "in_progress")
            assert shown() == (1, "Player Implementation", "completed")
        async with build.turn():
            assert shown() == (2, "", "pending")


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


async def test_a_disk_that_hangs_holds_the_build_up_once_for_a_second(
    tmp_path: Path, clock: FakeClock, disk: HungDisk
) -> None:
    entered: list[float] = []

    async def run(build: Build) -> None:
        for name in "ABC":
            async with build.phase(name):
                entered.append(clock.monotonic())

    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        disk.hang()
        task = asyncio.create_task(run(build))
        await clock.advance(0.799)
        assert entered == []
        await clock.advance(0.001)
        await task
        ending = asyncio.create_task(clock.advance(0.2))
    await ending
    assert entered == [0.8, 0.8, 0.8]
    assert clock.monotonic() == 1.0


async def test_a_disk_that_hangs_while_the_build_is_entered_holds_it_up_for_a_second(
    tmp_path: Path, clock: FakeClock, disk: HungDisk
) -> None:
    async def run() -> None:
        async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
            async with build.phase("Setup"):
                assert clock.monotonic() == 0.8

    disk.hang()
    task = asyncio.create_task(run())
    await clock.advance(0.999)
    assert not task.done()
    await clock.advance(0.001)
    await task


async def test_what_was_last_is_written_when_a_disk_that_hung_comes_back(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk, disk: HungDisk
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        disk.hang()
        build.decide("feedback")
        await clock.advance(0.1)
        for message in ("first", "last"):
            build.update(message=message)
            await clock.advance(2.0)
        assert on_disk()["message"] is None
        disk.come_back()
        await clock.advance(0.0)
        assert on_disk()["message"] == "last"


async def test_a_build_that_ends_while_its_disk_hangs_is_shown_ended_when_it_comes_back(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk, disk: HungDisk
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        disk.hang()
        build.decide("approve")
        await clock.advance(0.0)
        ending = asyncio.create_task(clock.advance(1.0))
    await ending
    assert on_disk()["status"] == "running"
    disk.come_back()
    while on_disk()["status"] == "running":  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert on_disk()["status"] == "completed"


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


async def test_updates_from_many_threads_arrive(clock: FakeClock) -> None:
    sink = TimedSink(clock)
    async with track_build("TASK-1", root=None, clock=clock, sinks=[sink]) as build:

        def work(number: int) -> None:
            for _ in range(1000):
                build.update(files_created=number, files_modified=number)

        threads = [threading.Thread(target=work, args=[number]) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        build.update(message="all")
        await clock.advance(0.1)
        assert sink.writes[-1][1].message == "all"
    assert all(s.metrics.files_created == s.metrics.files_modified for _, s in sink.writes)


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
    assert last.tracker
    assert last.tracker.activity_at == sink.writes[1][1].updated_at


# 3.3 whole: tests/integration/test_whole.py; here, what stays when a write fails


async def test_the_temporary_file_is_gone_when_a_write_fails(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    folder = tmp_path / ".guardkit/autobuild/TASK-1"
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        (folder / "progress.json").unlink()
        (folder / "progress.json").mkdir()
        async with build.phase("Setup"):
            assert sorted(os.listdir(folder)) == ["events.jsonl", "progress.json"]
        (folder / "progress.json").rmdir()
        await clock.advance(1.0)
        assert on_disk()["phase_status"] == "completed"


# 3.4 harmless


async def test_a_directory_deleted_meanwhile_is_made_again(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        remove(tmp_path / ".guardkit")
        async with build.phase("Setup"):
            assert on_disk()["phase"] == "Setup"
    assert (tmp_path / ".guardkit/autobuild/.gitignore").read_text() == "*\n"


async def test_a_root_deleted_meanwhile_is_not_made_again(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    async with track_build("TASK-1", root=root, clock=clock) as build:
        remove(root)
        for name in "ABC":
            async with build.phase(name):
                await clock.advance(2.0)
    assert not root.exists()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "the build goes on" in caplog.text


async def test_a_root_that_is_not_there_does_not_hurt_the_build(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with track_build("TASK-1", root=tmp_path / "nowhere", clock=clock) as build:
        async with build.phase("Setup"):
            pass
    assert build.snapshot.status == "completed"
    assert len(caplog.records) == 1


async def test_a_failed_write_is_tried_again_every_second_and_warned_of_once(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / ".guardkit/autobuild/TASK-1"
    async with track_build("TASK-1", root=tmp_path, clock=clock, heartbeat=60) as build:
        (folder / "progress.json").unlink()
        (folder / "progress.json").mkdir()
        async with build.phase("Setup"):
            pass
        await clock.advance(3.5)
        (folder / "progress.json").rmdir()
        await clock.advance(0.499)
        assert not (folder / "progress.json").exists()
        await clock.advance(0.001)
        assert on_disk()["phase"] == "Setup"
    assert len(caplog.records) == 1


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


async def test_what_cancels_all_tasks_stops_neither_heartbeats_nor_writes(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        build.decide("feedback")
        await asyncio.sleep(0)
        for task in asyncio.all_tasks():
            coroutine = task.get_coro()
            assert isinstance(coroutine, CoroutineType)
            if "/guardkit/progress/" in coroutine.cr_code.co_filename:
                assert task.cancel()
        await clock.advance(5.0)
        assert on_disk()["updated_at"] == "2025-01-31T12:35:01Z"
        async with build.phase("Setup"):
            assert on_disk()["phase"] == "Setup"


async def test_events_that_cannot_be_written_are_kept_up_to_a_bound(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    sink = MemorySink(transitions=True)
    async with track_build("TASK-1", root=tmp_path, clock=clock, sinks=[sink]) as build:
        await clock.advance(0.0)
        for number in range(1100):
            build.decide(f"{number}")
    last = [*map(str, range(101, 1100)), "1099"]
    assert [snapshot.decision for snapshot in sink.snapshots[1:]] == last
    events = read_events("TASK-1", root=tmp_path)
    assert [event.progress.decision for event in events[-1000:]] == last
    assert "it lost transitions, as 1000 of them wait" in caplog.text


# 3.5 transparent


async def test_the_exception_that_leaves_the_build_is_the_one_that_was_raised(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    error = ValueError("wrong")
    with pytest.raises(ValueError, match="wrong") as caught:
        async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
            async with build.turn() as turn, turn.phase("Coach Validation"):
                raise error
    assert caught.value is error
    assert on_disk()["status"] == on_disk()["phase_status"] == "failed"
    assert on_disk()["error"] == "ValueError: wrong"


async def cancel_by_task(body: Callable[[], Awaitable[None]]) -> None:
    task = asyncio.ensure_future(body())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def cancel_by_timeout(body: Callable[[], Awaitable[None]]) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await body()


async def cancel_by_scope(body: Callable[[], Awaitable[None]]) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await body()
    assert scope.cancelled_caught


CANCELLATIONS = pytest.mark.parametrize(
    "cancel",
    [cancel_by_task, cancel_by_timeout, cancel_by_scope],
    ids=["task.cancel", "asyncio.timeout", "anyio scope"],
)


@CANCELLATIONS
async def test_a_build_that_is_cancelled_ends_cancelled_on_disk(
    tmp_path: Path,
    clock: FakeClock,
    on_disk: OnDisk,
    cancel: Callable[[Callable[[], Awaitable[None]]], Awaitable[None]],
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build, build.turn() as turn:

        async def body() -> None:
            async with turn.phase("Player Implementation"):
                await asyncio.Event().wait()

        await cancel(body)
        assert build.snapshot.phase_status == "cancelled"
        assert build.snapshot.status == "running"

    async def whole() -> None:
        async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
            async with build.turn() as turn, turn.phase("Player Implementation"):
                await asyncio.Event().wait()

    await cancel(whole)
    assert on_disk()["status"] == "cancelled"
    assert on_disk()["error"] is None


async def test_a_second_cancellation_does_not_keep_the_last_snapshot_from_the_disk(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    async def body() -> None:
        async with track_build("TASK-1", root=tmp_path, clock=clock):
            await asyncio.Event().wait()

    task = asyncio.create_task(body())
    await clock.advance(0.0)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert on_disk()["status"] == "cancelled"


async def test_a_cancellation_while_the_build_is_left_keeps_the_state_that_came_first(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    async def body() -> None:
        async with track_build("TASK-1", root=tmp_path, clock=clock):
            asyncio.get_running_loop().call_soon(task.cancel)

    task = asyncio.create_task(body())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert on_disk()["status"] == "completed"


async def test_a_coroutine_that_is_closed_leaves_the_build_cancelled_without_waiting(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    async def body() -> AsyncGenerator[None]:
        async with track_build("TASK-1", root=tmp_path, clock=clock):
            yield

    generator = body()
    await anext(generator)
    await generator.aclose()
    await clock.advance(0.0)
    assert on_disk()["status"] == "cancelled"


# 3.6 final means final


async def test_nothing_follows_the_terminal_snapshot(tmp_path: Path, clock: FakeClock) -> None:
    sink = TimedSink(clock)
    async with track_build("TASK-1", root=tmp_path, clock=clock, sinks=[sink]) as build:
        build.update(files_created=1)
    path = tmp_path / ".guardkit/autobuild/TASK-1/progress.json"
    last = path.stat()
    await clock.advance(100.0)
    assert path.stat().st_mtime_ns == last.st_mtime_ns
    assert path.stat().st_ino == last.st_ino
    assert sink.times[-1] == 0.0
    assert build.snapshot == sink.writes[-1][1] == read_progress("TASK-1", root=tmp_path)


async def test_nothing_follows_the_end_of_a_build_while_another_one_goes_on(
    tmp_path: Path, clock: FakeClock
) -> None:
    class Broken(TimedSink):
        async def write(self, snapshot: Snapshot, /) -> None:
            await super().write(snapshot)
            raise ValueError("broken")

    timed, broken = TimedSink(clock), Broken(clock)
    async with track_build("TASK-2", root=None, clock=clock):
        async with track_build("TASK-1", root=None, clock=clock, sinks=[timed, broken]):
            await clock.advance(0.0)
        await clock.advance(100.0)
    assert timed.times == [0.0, 0.0]
    assert set(broken.times) == {0.0}


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


async def test_a_disk_that_fails_for_a_moment_at_the_end_shows_the_end(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    path = tmp_path / ".guardkit/autobuild/TASK-1/progress.json"
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        path.unlink()
        path.mkdir()
        asyncio.get_running_loop().call_later(0.2, path.rmdir)
    assert on_disk()["status"] == "completed"


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


# 3.7 alive


async def test_the_file_is_rewritten_every_heartbeat_and_nothing_but_the_time_changes(
    clock: FakeClock,
) -> None:
    sink = TimedSink(clock)
    async with track_build("TASK-1", root=None, clock=clock, sinks=[sink], heartbeat=5):
        await clock.advance(15.0)
        assert sink.times == [0.0, 5.0, 10.0, 15.0]
        trackers = [snapshot.tracker for _, snapshot in sink.writes]
        assert trackers == [trackers[0]] * 4
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


async def test_durations_do_not_follow_a_wall_clock_that_steps(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        await clock.advance(10.0)
        clock.jump(-3600)
        assert build.snapshot.metrics.elapsed_seconds == 10
        clock.jump(7200)
        await clock.advance(1.0)
        assert build.snapshot.metrics.elapsed_seconds == 11


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


def remove(path: Path) -> None:
    """Remove a tree that somebody may be writing to."""
    for entry in sorted(path.rglob("*"), reverse=True):
        entry.rmdir() if entry.is_dir() else entry.unlink()
    path.rmdir()

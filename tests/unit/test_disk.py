"""Rounds of writing: who shares them, who waits for them and how long, at exact virtual times."""

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from guardkit import Build, read_events, read_progress, track_build
from guardkit.progress.disk import Disk, Round
from guardkit.progress.timer import Timer
from guardkit.testing import FakeClock

from ..doubles import HungDisk, tasks_of_ours

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


class Steps:
    """A disk that does one thing at a time, when it is told to."""

    def __init__(self, root: Path, clock: FakeClock) -> None:
        self.disk = Disk.join(str(root), clock)
        self.clock = clock

    def block(self) -> Callable[[], None]:
        """Let nothing more be written until what is returned is called."""
        self.clock._hung_after = 0.05
        go_on = threading.Event()
        self.disk._worker.submit(go_on.wait)
        return go_on.set


@pytest.fixture
async def steps(tmp_path: Path, clock: FakeClock) -> AsyncGenerator[Steps]:
    steps = Steps(tmp_path, clock)
    yield steps
    await steps.disk.leave()


def block(path: Path) -> None:
    """Let the end of a build not be written: a folder stands in the place of the file."""
    path.unlink()
    path.mkdir()


def file_of(root: Path, task_id: str) -> Path:
    return root / ".guardkit/autobuild" / task_id / "progress.json"


# rounds


async def test_what_many_builds_have_to_write_at_once_is_one_round(
    tmp_path: Path, clock: FakeClock, steps: Steps
) -> None:
    async with AsyncExitStack() as stack:
        builds = [
            await stack.enter_async_context(track_build(f"T-{n}", root=tmp_path, clock=clock))
            for n in range(20)
        ]
        release = steps.block()
        for build in builds:
            build.decide("first")
        await clock.advance(0.0)
        for build in builds:
            build.decide("second")
        await clock.advance(0.0)
        assert len(steps.disk._next.work) == 20
        release()
        clock._hung_after = 5.0
        await clock.advance(0.0)
        assert [read_progress(f"T-{n}", root=tmp_path).decision for n in range(20)] == [
            "second"
        ] * 20
    decided = [
        e.progress.decision for e in read_events("T-7", root=tmp_path) if e.event == "decided"
    ]
    assert decided == ["first", "second"]


async def test_a_phase_waits_for_the_round_that_shows_it_and_not_for_the_one_before(
    tmp_path: Path, clock: FakeClock, steps: Steps
) -> None:
    async with (
        track_build("A", root=tmp_path, clock=clock) as one,
        track_build("B", root=tmp_path, clock=clock) as other,
    ):
        release = steps.block()
        first = one.phase("First")
        entering = asyncio.create_task(first.__aenter__())
        await asyncio.sleep(0)
        second = other.phase("Second")
        behind = asyncio.create_task(second.__aenter__())
        await clock.advance(0.5)
        assert not entering.done()
        assert not behind.done()
        release()
        clock._hung_after = 5.0
        await asyncio.gather(entering, behind)
        assert clock.monotonic() == 0.5
        assert read_progress("B", root=tmp_path).phase == "Second"
        await first.__aexit__(None, None, None)
        await second.__aexit__(None, None, None)


# behind


async def test_nobody_waits_for_a_disk_that_is_behind_until_it_is_in_time_again(
    tmp_path: Path, clock: FakeClock, disk: HungDisk
) -> None:
    times: list[float] = []

    async def run(build: Build) -> None:
        for name in "ABC":
            async with build.phase(name):
                times.append(round(clock.monotonic(), 6))

    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        disk.hang()
        running = asyncio.create_task(run(build))
        await clock.advance(0.8)
        assert running.done()
        assert times == [0.8, 0.8, 0.8]
        disk.come_back()
        await clock.advance(0.0)
        assert read_progress("TASK-1", root=tmp_path).phase == "C"
        async with build.phase("D"):
            assert read_progress("TASK-1", root=tmp_path).phase == "D"


async def test_a_round_that_lasts_long_makes_the_disk_behind_for_all_that_are_due(
    tmp_path: Path, clock: FakeClock, steps: Steps
) -> None:
    async with (
        track_build("A", root=tmp_path, clock=clock) as one,
        track_build("B", root=tmp_path, clock=clock) as other,
    ):
        first = steps.block()
        one.decide("slow")  # a round that nobody waits for
        await clock.advance(0.0)
        second = steps.block()
        other.decide("due")
        await clock.advance(0.9)
        first()
        while steps.disk._next.work:  # noqa: ASYNC110 (until the second round is under way)
            await asyncio.sleep(0)
        entering = asyncio.create_task(other.phase("Setup").__aenter__())
        for _ in range(20):
            await asyncio.sleep(0)
        at_once = entering.done()
        second()
        clock._hung_after = 5.0
        await clock.advance(0.0)
        assert at_once
        async with one.phase("Next"):
            assert read_progress("A", root=tmp_path).phase == "Next"
        assert read_progress("B", root=tmp_path).phase == "Setup"


async def test_a_slow_disk_holds_a_build_up_once_and_is_waited_for_again_when_it_is_in_time(
    tmp_path: Path, clock: FakeClock, steps: Steps
) -> None:
    async with track_build("A", root=tmp_path, clock=clock) as build:
        release = steps.block()
        build.decide("slow")
        await clock.advance(0.9)
        release()
        clock._hung_after = 5.0
        await clock.advance(0.0)
        release = steps.block()
        async with build.phase("Not waited for"):
            release()
            await clock.advance(0.0)  # that write was in time
            release = steps.block()
            entering = asyncio.create_task(build.phase("Waited for").__aenter__())
            await clock.advance(0.5)
            assert not entering.done()
            release()
            await entering


async def test_a_round_that_lands_just_when_nobody_waits_any_longer_has_landed(
    clock: FakeClock,
) -> None:
    timer, round_ = Timer(clock), Round()
    waiting = asyncio.create_task(timer.hangs(round_, 0.8))
    await asyncio.sleep(0)
    timer.call_in(0.8, partial(round_.land, []))
    await clock.advance(0.8)
    assert not await waiting
    await timer.close()


# ends that cannot be written


class RoundsClock(FakeClock):
    """A clock that keeps when rounds of writing began."""

    def __init__(self) -> None:
        super().__init__()
        self.rounds: list[float] = []

    @contextmanager
    def busy(self) -> Generator[None]:
        self.rounds.append(self.monotonic())
        with super().busy():
            yield


async def test_the_end_is_tried_every_tenth_of_a_second_for_two_and_then_the_task_is_let_go(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = RoundsClock()

    async def run() -> None:
        async with track_build("TASK-1", root=tmp_path, clock=clock):
            block(file_of(tmp_path, "TASK-1"))
            clock.rounds.clear()

    task = asyncio.create_task(run())
    await clock.advance(1.85)
    assert not task.done()
    await clock.advance(0.2)
    assert task.done()
    *tries, letting_go = clock.rounds
    assert tries == [pytest.approx(n / 10) for n in range(len(tries))]
    assert len(tries) in {20, 21}
    assert letting_go == tries[-1]
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_a_task_whose_end_could_not_be_written_may_be_taken_by_the_next_builder(
    tmp_path: Path, clock: FakeClock
) -> None:
    async def run() -> None:
        async with track_build("TASK-1", root=tmp_path, clock=clock):
            block(file_of(tmp_path, "TASK-1"))

    async with track_build("TASK-2", root=tmp_path, clock=clock):  # so that the lock stays open
        task = asyncio.create_task(run())
        await clock.advance(3.0)
        assert task.done()
        file_of(tmp_path, "TASK-1").rmdir()
        entering = asyncio.create_task(enter(tmp_path, clock))
        await clock.advance(0.5)
        await entering


async def enter(root: Path, clock: FakeClock) -> None:
    async with track_build("TASK-1", root=root, clock=clock):
        assert read_progress("TASK-1", root=root).status == "running"


async def test_an_end_that_the_file_does_not_show_is_in_the_journal(
    tmp_path: Path, clock: FakeClock
) -> None:
    async def run() -> None:
        async with track_build("TASK-1", root=tmp_path, clock=clock):
            block(file_of(tmp_path, "TASK-1"))

    task = asyncio.create_task(run())
    await clock.advance(2.0)
    await task
    events = read_events("TASK-1", root=tmp_path)
    assert [event.event for event in events] == ["build.started", "build.ended"]
    assert events[-1].progress.status == "completed"


async def test_twenty_builds_whose_end_cannot_be_written_hold_up_no_neighbour(
    tmp_path: Path, clock: FakeClock
) -> None:
    async def run(number: int) -> None:
        async with track_build(f"T-{number}", root=tmp_path, clock=clock):
            await ready.wait()
            block(file_of(tmp_path, f"T-{number}"))

    ready = asyncio.Event()
    async with track_build("NEIGHBOUR", root=tmp_path, clock=clock) as neighbour:
        tasks = [asyncio.create_task(run(number)) for number in range(20)]
        await clock.advance(1.0)
        ready.set()
        await asyncio.sleep(0)
        for number in range(15):  # while they end
            async with neighbour.phase(f"{number}"):
                assert read_progress("NEIGHBOUR", root=tmp_path).phase == f"{number}"
            await clock.advance(0.1)
        assert not any(task.done() for task in tasks)
        await clock.advance(0.55)
        assert all(task.done() for task in tasks)
        await clock.advance(5.0)
        beat = read_progress("NEIGHBOUR", root=tmp_path).tracker.beat
        assert clock.monotonic() - 5.0 <= beat
    await asyncio.gather(*tasks)


async def test_twenty_builds_whose_end_cannot_be_written_hold_up_no_neighbour_that_ends(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with track_build("NEIGHBOUR", root=tmp_path, clock=clock):
        async with AsyncExitStack() as stack:
            for number in range(20):
                build = track_build(f"T-{number}", root=tmp_path, clock=clock)
                await stack.enter_async_context(build)
                block(file_of(tmp_path, f"T-{number}"))
            ending = asyncio.create_task(stack.pop_all().aclose())
            await asyncio.sleep(0)
    assert read_progress("NEIGHBOUR", root=tmp_path).status == "completed"
    assert clock.monotonic() == 0.0
    await clock.advance(50.0)
    await ending


async def test_a_build_whose_end_is_refused_until_later_ends_as_soon_as_it_is_taken(
    tmp_path: Path, clock: FakeClock
) -> None:
    path = file_of(tmp_path, "TASK-1")

    async def run() -> None:
        async with track_build("TASK-1", root=tmp_path, clock=clock):
            block(path)

    task = asyncio.create_task(run())
    for _ in range(14):  # past the retry after a second
        await clock.advance(0.1)
        assert not task.done()
    path.rmdir()
    await clock.advance(0.15)
    assert task.done()
    assert json.loads(path.read_bytes())["status"] == "completed"


async def test_an_end_whose_journal_alone_had_failed_is_not_written_again(
    tmp_path: Path, clock: FakeClock
) -> None:
    path = file_of(tmp_path, "TASK-1")

    async def run() -> None:
        async with track_build("TASK-1", root=tmp_path, clock=clock):
            (path.parent / "events.jsonl").unlink()
            (path.parent / "events.jsonl").mkdir()

    task = asyncio.create_task(run())
    await clock.advance(0.0)
    at_once, status = task.done(), path.stat()
    await clock.advance(5.0)
    assert at_once
    async with track_build("TASK-2", root=tmp_path, clock=clock):
        await clock.advance(10.0)
    assert json.loads(path.read_bytes())["status"] == "completed"
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (status.st_ino, status.st_mtime_ns)


async def test_a_root_that_is_gone_at_the_end_is_not_waited_for(
    tmp_path: Path, clock: FakeClock
) -> None:
    root = tmp_path / "root"
    root.mkdir()

    async def run() -> None:
        async with track_build("TASK-1", root=root, clock=clock):
            root.rename(tmp_path / "away")

    task = asyncio.create_task(run())
    await clock.advance(0.0)
    at_once = task.done()
    await clock.advance(5.0)
    assert at_once
    assert not root.exists()


# all tasks cancelled


@pytest.mark.parametrize("times", [1, 3], ids=["once", "again and again"])
async def test_what_was_due_while_all_tasks_were_cancelled_is_written_once(
    tmp_path: Path, clock: FakeClock, steps: Steps, times: int
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        release = steps.block()
        for number in range(times):
            build.decide(f"{number}")
            for _ in range(5):
                await asyncio.sleep(0)
            for task in tasks_of_ours():
                task.cancel()
            for _ in range(5):
                await asyncio.sleep(0)
        release()
        clock._hung_after = 5.0
        await clock.advance(0.5)
        assert read_progress("TASK-1", root=tmp_path).decision == f"{times - 1}"
        await clock.advance(5.0)
        assert read_progress("TASK-1", root=tmp_path).updated_at == clock.now().replace(
            microsecond=0
        )
    lines = (tmp_path / ".guardkit/autobuild/TASK-1/events.jsonl").read_bytes().splitlines()
    events = [json.loads(line) for line in lines]
    decided = [e["progress"]["decision"] for e in events if e["event"] == "decided"]
    assert decided == [f"{number}" for number in range(times)]
    assert [event["event"] for event in events][-1] == "build.ended"


# at the end


async def test_a_disk_that_writes_on_is_waited_for_once_more_at_the_end(
    tmp_path: Path, clock: FakeClock, steps: Steps
) -> None:
    async def run() -> None:
        async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
            build.decide("first")
            await clock.sleep(1.0)
            release.append(steps.block())
            build.decide("second")
            await asyncio.sleep(0)
            release.append(steps.block())

    release: list[Callable[[], None]] = []
    task = asyncio.create_task(run())
    await clock.advance(1.1)
    assert not task.done()
    release[0]()
    await clock.advance(0.6)
    assert not task.done()
    await clock.advance(0.2)
    assert not task.done()  # as the disk has written meanwhile
    release[1]()
    clock._hung_after = 5.0
    await clock.advance(0.0)
    assert task.done()
    assert read_progress("TASK-1", root=tmp_path).status == "completed"

"""Feature builds: waves of tasks, and what these add up to."""

import asyncio
import gc
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from guardkit import (
    Build,
    BuildAlreadyRunningError,
    InvalidTaskIdError,
    MisuseError,
    ScopeError,
    Snapshot,
    read_events,
    read_progress,
    track_build,
)
from guardkit.progress.snapshot import COST_MAX, COUNT_MAX, Tasks, Usage
from guardkit.testing import FakeClock, MemorySink

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


def track_feature(clock: FakeClock, root: Path | None = None, **options: Any) -> Build:
    return track_build("FEAT-1", build_type="feature", root=root, clock=clock, **options)


# waves


async def test_a_wave_is_shown_and_in_the_journal(tmp_path: Path, clock: FakeClock) -> None:
    async with track_feature(clock, tmp_path, wave_total=2) as feature:
        for number in (1, 2):
            async with feature.wave(number) as wave:
                assert wave.number == number
                assert read_progress("FEAT-1", root=tmp_path).wave == number
    events = [(e.event, e.progress.wave) for e in read_events("FEAT-1", root=tmp_path)]
    assert events == [
        ("build.started", 1),
        ("wave.started", 1),
        ("wave.ended", 1),
        ("wave.started", 2),
        ("wave.ended", 2),
        ("build.ended", 2),
    ]


@pytest.mark.parametrize("number", [0, -1, 3, 1.5, True, "1", None], ids=repr)
async def test_what_is_no_number_of_a_wave_is_refused(clock: FakeClock, number: Any) -> None:
    async with track_feature(clock, wave_total=2) as feature:
        with pytest.raises(MisuseError, match=f"wave {number!r} is not in 1 to wave_total=2"):
            feature.wave(number)


async def test_a_second_wave_is_refused_while_one_is_open(clock: FakeClock) -> None:
    async with track_feature(clock, wave_total=2) as feature, feature.wave(1):
        with pytest.raises(ScopeError, match="wave 1 is open: leave it before wave 2"):
            feature.wave(2)


@pytest.mark.filterwarnings("ignore:.* was never entered:RuntimeWarning")
async def test_a_wave_that_was_made_before_another_one_is_not_entered_in_it(
    clock: FakeClock,
) -> None:
    async with track_feature(clock, wave_total=2) as feature:
        other = feature.wave(2)
        async with feature.wave(1):
            with pytest.raises(ScopeError, match="wave 1 is open: leave it before wave 2"):
                await other.__aenter__()
        del other
        gc.collect()


async def test_a_build_that_is_no_feature_has_no_waves(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        with pytest.raises(MisuseError, match=r"TASK-1 is no feature.* pass build_type='feature'"):
            build.wave(1)
        with pytest.raises(MisuseError, match="TASK-1 is no feature"):
            build.adopt(build.snapshot)


async def test_a_task_of_a_feature_has_no_waves(clock: FakeClock) -> None:
    async with track_feature(clock) as feature, feature.wave(1) as wave:
        async with wave.task("TASK-1") as task:
            with pytest.raises(MisuseError, match="TASK-1 is no feature"):
                task.wave(1)


async def test_a_wave_beyond_the_last_is_refused_when_the_build_is_made() -> None:
    with pytest.raises(MisuseError, match="wave=3 is beyond wave_total=2: pass a larger"):
        track_build("TASK-1", root=None, wave=3, wave_total=2)


async def test_leaving_a_wave_waits_for_none_of_its_tasks(clock: FakeClock) -> None:
    async with track_feature(clock) as feature:
        async with feature.wave(1) as wave:
            task = wave.task("TASK-1")
            await task.__aenter__()
        assert not task.snapshot.terminal
        task.update(files_created=3)
        await task.__aexit__(None, None, None)
        assert task.snapshot.status == "completed"
        assert feature.snapshot.metrics.files_created == 3


async def test_a_phase_of_a_wave_is_shown(clock: FakeClock) -> None:
    async with track_feature(clock) as feature:
        async with feature.wave(1) as wave, wave.phase("Merge"):
            assert feature.snapshot.phase == "Merge"


# tasks


async def test_a_task_has_its_own_file_journal_and_lock_and_what_the_feature_has(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with track_feature(clock, tmp_path, wave_total=3, build_id="B", heartbeat=7) as feature:
        async with feature.wave(2) as wave:
            async with wave.task("TASK-1", task_name="Do it", turn_max=2) as task:
                shown = read_progress("TASK-1", root=tmp_path)
                second = track_build("TASK-1", root=tmp_path, clock=clock)
                with pytest.raises(BuildAlreadyRunningError):
                    await second.__aenter__()
                async with task.turn():
                    pass
    assert (shown.build_id, shown.build_type) == ("B", "feature")
    assert (shown.wave, shown.wave_total, shown.turn_max) == (2, 3, 2)
    assert (shown.task_name, shown.tasks) == ("Do it", None)
    assert shown.tracker.parent_run == feature.snapshot.tracker.run_id
    assert shown.tracker.run_id != feature.snapshot.tracker.run_id
    assert shown.tracker.heartbeat_seconds == 7
    names = [event.event for event in read_events("TASK-1", root=tmp_path)]
    assert names == ["build.started", "turn.started", "turn.ended", "build.ended"]


async def test_the_build_id_of_a_task_is_that_of_its_feature(clock: FakeClock) -> None:
    async with track_feature(clock) as feature, feature.wave(1) as wave:
        async with wave.task("TASK-1") as task:
            assert task.snapshot.build_id == "FEAT-1"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        pytest.param({"task_id": "../x"}, InvalidTaskIdError, id="task_id"),
        pytest.param({"task_id": "T", "turn_max": 0}, MisuseError, id="turn_max"),
        pytest.param({"task_id": "T", "task_name": 5}, MisuseError, id="task_name"),
    ],
)
async def test_a_task_that_means_nothing_is_refused_at_the_call(
    clock: FakeClock, options: dict[str, Any], error: type[Exception]
) -> None:
    async with track_feature(clock) as feature, feature.wave(1) as wave:
        with pytest.raises(error):
            wave.task(**options)
        assert feature.snapshot.tasks == Tasks()


async def test_a_task_is_made_only_in_an_open_wave(clock: FakeClock) -> None:
    async with track_feature(clock) as feature:
        wave = feature.wave(1)
        with pytest.raises(ScopeError, match="wave 1 is not entered: use `async with`"):
            wave.task("TASK-1")
        async with wave:
            pass
        with pytest.raises(ScopeError, match="wave 1 has ended: make another one"):
            wave.task("TASK-1")


async def test_a_task_that_raises_fails_neither_wave_nor_feature(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with track_feature(clock, tmp_path) as feature:
        async with feature.wave(1) as wave:
            with pytest.raises(ValueError, match="no"):
                async with wave.task("TASK-1"):
                    raise ValueError("no")
            async with wave.task("TASK-2") as task:
                task.fail("no")
    assert (feature.snapshot.status, feature.snapshot.error) == ("completed", None)
    assert feature.snapshot.tasks == Tasks(total=2, failed=2)
    assert read_progress("TASK-1", root=tmp_path).error == "ValueError: no"


# what they add up to


async def test_the_metrics_of_a_feature_are_the_sums_of_its_tasks(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with track_feature(clock, tmp_path) as feature, feature.wave(1) as wave:
        async with wave.task("TASK-1") as one, wave.task("TASK-2") as other:
            one.update(files_created=1, files_modified=2, tests_passed=3, tests_total=4)
            other.update(files_created=10, files_modified=20, tests_passed=30, tests_total=40)
            await clock.advance(0.2)
            metrics = read_progress("FEAT-1", root=tmp_path).metrics
            assert (metrics.files_created, metrics.files_modified) == (11, 22)
            assert (metrics.tests_passed, metrics.tests_total) == (33, 44)
            one.update(files_created=2)
            await clock.advance(0.2)
            assert read_progress("FEAT-1", root=tmp_path).metrics.files_created == 12
    assert feature.snapshot.metrics.files_created == 12


async def test_sums_stop_at_what_a_document_can_hold(tmp_path: Path, clock: FakeClock) -> None:
    async with track_feature(clock, tmp_path) as feature, feature.wave(1) as wave:
        async with wave.task("TASK-1") as one, wave.task("TASK-2") as other:
            for each in (one, other):
                each.spent(tokens=COUNT_MAX, cost_usd=COST_MAX)
                each.update(files_created=COUNT_MAX)
    shown = read_progress("FEAT-1", root=tmp_path)
    assert (shown.usage, shown.metrics.files_created) == (Usage(COUNT_MAX, COST_MAX), COUNT_MAX)


async def test_the_usage_of_a_feature_is_the_sum_of_its_tasks(clock: FakeClock) -> None:
    async with track_feature(clock) as feature, feature.wave(1) as wave:
        async with wave.task("TASK-1") as one, wave.task("TASK-2") as other:
            await clock.advance(0.2)
            assert feature.snapshot.usage is None
            one.spent(tokens=5, cost_usd=0.25)
            other.spent(tokens=7)
        assert feature.snapshot.usage == Usage(12, 0.25)


async def test_a_feature_counts_its_tasks_by_their_status(tmp_path: Path, clock: FakeClock) -> None:
    counts: list[Tasks | None] = []

    async def cancelled() -> None:
        async with wave.task("TASK-2"):
            task.cancel()
            await asyncio.sleep(0)

    async with track_feature(clock, tmp_path, task_total=4) as feature:
        counts.append(read_progress("FEAT-1", root=tmp_path).tasks)
        async with feature.wave(1) as wave:
            async with wave.task("TASK-1"):
                await clock.advance(0.2)
                counts.append(read_progress("FEAT-1", root=tmp_path).tasks)
            with pytest.raises(ValueError, match="no"):
                async with wave.task("TASK-3"):
                    raise ValueError("no")
            task = asyncio.create_task(cancelled())
            await asyncio.wait([task])
    counts.append(read_progress("FEAT-1", root=tmp_path).tasks)
    assert counts == [
        Tasks(total=4, pending=4),
        Tasks(total=4, pending=3, running=1),
        Tasks(total=4, pending=1, completed=1, failed=1, cancelled=1),
    ]


async def test_a_feature_with_more_tasks_than_were_told_counts_them(clock: FakeClock) -> None:
    async with track_feature(clock, task_total=1) as feature, feature.wave(1) as wave:
        for task_id in ("TASK-1", "TASK-2"):
            async with wave.task(task_id):
                pass
        assert feature.snapshot.tasks == Tasks(total=2, completed=2)


async def test_a_task_that_is_built_again_counts_once(clock: FakeClock) -> None:
    async with track_feature(clock, task_total=2) as feature, feature.wave(1) as wave:
        with pytest.raises(ValueError, match="no"):
            async with wave.task("TASK-1"):
                raise ValueError("no")
        async with wave.task("TASK-1") as task:
            task.update(files_created=1)
        assert feature.snapshot.tasks == Tasks(total=2, pending=1, completed=1)
        assert feature.snapshot.metrics.files_created == 1


async def test_a_build_of_one_task_has_no_tasks(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        assert build.snapshot.tasks is None


@pytest.mark.parametrize("value", [-1, 1.5, True, "1"], ids=repr)
async def test_what_is_no_number_of_tasks_is_refused(value: Any) -> None:
    with pytest.raises(MisuseError, match=r"task_total=.* is not valid: "):
        track_build("FEAT-1", build_type="feature", root=None, task_total=value)


async def test_the_activity_of_a_feature_is_that_of_its_tasks_and_no_heartbeat(
    tmp_path: Path, clock: FakeClock
) -> None:
    def active() -> str:
        path = tmp_path / ".guardkit/autobuild/FEAT-1/progress.json"
        return str(json.loads(path.read_bytes())["tracker"]["activity_at"])

    async with track_feature(clock, tmp_path) as feature, feature.wave(1) as wave:
        async with wave.task("TASK-1") as task:
            await clock.advance(30.0)
            assert active() == "2025-01-31T12:34:56Z"
            task.touch()
            await clock.advance(10.0)
            assert active() == "2025-01-31T12:35:26Z"
            task.update(message="here")
            await clock.advance(10.0)
            assert active() == "2025-01-31T12:35:36Z"


async def test_what_a_feature_counts_of_its_tasks_costs_a_write_a_debounce(
    clock: FakeClock,
) -> None:
    sink = MemorySink()
    async with track_feature(clock, sinks=[sink]) as feature, feature.wave(1) as wave:
        async with wave.task("TASK-1") as task:
            await clock.advance(1.0)
            sink.snapshots.clear()
            for number in range(100):
                task.update(files_created=number)
                await clock.advance(0.01)
            of_feature = [s for s in sink.snapshots if s.task_id == "FEAT-1"]
            assert len(of_feature) <= 12
    assert feature.snapshot.metrics.files_created == 99


# adopt


async def test_a_task_of_an_earlier_run_is_counted(tmp_path: Path, clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        build.update(files_created=3, tests_total=2)
        build.spent(tokens=5)
    async with track_feature(clock, tmp_path, task_total=3) as feature:
        feature.adopt(build.snapshot)
        await clock.advance(0.1)
        shown = read_progress("FEAT-1", root=tmp_path)
        assert shown.tasks == Tasks(total=3, pending=2, completed=1)
        assert (shown.metrics.files_created, shown.usage) == (3, Usage(5, 0.0))


@pytest.mark.parametrize("snapshot", [None, 5, "TASK-1", {}], ids=repr)
async def test_what_is_no_snapshot_is_not_adopted(clock: FakeClock, snapshot: Any) -> None:
    async with track_feature(clock) as feature:
        with pytest.raises(MisuseError, match="is no snapshot: pass that of the finished task"):
            feature.adopt(snapshot)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_feature_that_is_not_open_adopts_nothing(clock: FakeClock, when: str) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        pass
    feature = track_feature(clock, task_total=1)
    if when == "after":
        async with feature:
            pass
    last = feature.snapshot
    with pytest.raises(ScopeError):
        feature.adopt(build.snapshot)
    assert feature.snapshot == last
    if when == "before":
        async with feature:
            assert feature.snapshot.tasks == Tasks(total=1, pending=1)


# sinks that they share


class Shared(MemorySink):
    """A sink that sees whether its calls overlap, how often it is closed and what it joins."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(transitions=True)
        self.clock = clock
        self.under_way = self.most = self.closings = 0
        self.attached: list[tuple[str, str | None]] = []

    def attach(self, build: Build) -> None:
        self.attached.append((build.task_id, build.folder))

    async def write(self, snapshot: Snapshot, /) -> None:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0)
        await super().write(snapshot)
        self.under_way -= 1

    async def aclose(self) -> None:
        self.closings += 1
        await super().aclose()


async def test_calls_of_a_sink_that_tasks_share_never_overlap(clock: FakeClock) -> None:
    sink = Shared(clock)

    async def run(task: Build) -> None:
        async with task, task.turn() as turn:
            for name in ("Player Implementation", "Coach Validation"):
                async with turn.phase(name):
                    await asyncio.sleep(0)

    async with track_feature(clock, sinks=[sink]) as feature, feature.wave(1) as wave:
        await asyncio.gather(*(run(wave.task(f"TASK-{n}")) for n in range(10)))
    assert sink.most == 1
    for task_id in [f"TASK-{n}" for n in range(10)]:
        of_one = [s for s in sink.snapshots if s.task_id == task_id]
        assert [s.tracker.seq for s in of_one] == [1, 2, 3, 4, 5, 6, 7, 8]
        assert of_one[-1].status == "completed"


async def test_a_sink_that_tasks_share_is_closed_once_at_the_end_of_the_feature(
    clock: FakeClock,
) -> None:
    sink = Shared(clock)
    async with track_feature(clock, sinks=[sink]) as feature:
        async with feature.wave(1) as wave, wave.task("TASK-1"), wave.task("TASK-2"):
            pass
        assert sink.closings == 0
    assert sink.closings == 1
    assert sink.snapshots[-1].task_id == "FEAT-1"


async def test_a_sink_is_told_of_each_build_and_its_folder(
    tmp_path: Path, clock: FakeClock
) -> None:
    sink = Shared(clock)
    async with track_feature(clock, tmp_path, sinks=[sink]) as feature:
        async with feature.wave(1) as wave, wave.task("TASK-1"):
            pass
    folder = f"{tmp_path}/.guardkit/autobuild"
    assert sink.attached == [("FEAT-1", f"{folder}/FEAT-1"), ("TASK-1", f"{folder}/TASK-1")]


async def test_a_sink_that_hangs_in_one_task_holds_the_end_of_another_one_up_no_longer(
    clock: FakeClock,
) -> None:
    class Hanging:
        async def write(self, snapshot: Snapshot, /) -> None:
            if snapshot.task_id == "TASK-1":
                await asyncio.Event().wait()

    async def run() -> None:
        async with track_feature(clock, sinks=[Hanging()]) as feature:
            async with feature.wave(1) as wave:
                hanging = await wave.task("TASK-1").__aenter__()
                async with wave.task("TASK-2"):
                    pass
                times.append(clock.monotonic())
                await hanging.__aexit__(None, None, None)
        times.append(clock.monotonic())

    times: list[float] = []
    task = asyncio.create_task(run())
    await clock.advance(10.0)
    assert task.done()
    assert times[0] <= 1.6  # a write, and once more
    assert times[1] <= 2 * 1.6


async def test_a_feature_adopts_no_task_that_has_not_ended_and_not_itself(clock: FakeClock) -> None:
    async with track_build("F", root=None, clock=clock, build_type="feature") as feature:
        with pytest.raises(MisuseError, match="F has not ended: pass that of a finished task"):
            feature.adopt(feature.snapshot)
        assert feature.snapshot.tasks == Tasks()


async def test_a_task_that_outlives_its_feature_does_not_let_the_feature_be_updated(
    clock: FakeClock,
) -> None:
    async with AsyncExitStack() as stack:
        async with track_build("F", root=None, clock=clock, build_type="feature") as feature:
            async with feature.wave(1) as wave:
                task = await stack.enter_async_context(wave.task("T"))
        task.update(files_created=1)
        await clock.advance(1.0)
        with pytest.raises(ScopeError):
            feature.update(files_created=2)

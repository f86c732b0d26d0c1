"""Looks at features, which are judged by their tasks, too."""

from pathlib import Path

import pytest

from guardkit import Snapshot, track_build
from guardkit.monitor.builds import Builds
from guardkit.places.below import is_feature, lines_below, tasks_of
from guardkit.testing import FakeClock

from ..looks import Writer, feature, task, watching

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


@pytest.mark.parametrize("ids", [[], ["FEAT-1"]], ids=["all", "the feature alone"])
@pytest.mark.parametrize(
    ("own", "tasks", "state"),
    [
        pytest.param(feature(), [task("TASK-1", 5)], "running", id="all is well"),
        pytest.param(
            feature(), [task("TASK-1", 5), task("TASK-2", 2000)], "stalled", id="a task stalls"
        ),
        pytest.param(feature(), [task("TASK-1", 2000, run="g")], "running", id="of another run"),
        pytest.param(feature(), [task("TASK-1", 2000, run=None)], "running", id="of no run"),
        pytest.param(feature(), [task("TASK-1", 2000, status="failed")], "running", id="ended"),
        pytest.param(
            feature(status="completed"), [task("TASK-1", 2000)], "completed", id="is over itself"
        ),
    ],
)
async def test_a_feature_is_at_best_as_the_worst_of_its_tasks_that_run(
    tmp_path: Path,
    writer: Writer,
    clock: FakeClock,
    own: Snapshot,
    tasks: list[Snapshot],
    state: str,
    ids: list[str],
) -> None:
    for each in (own, *tasks):
        writer.put(each)
    looks = {look.task_id: look for look in await Builds(tmp_path, clock=clock).look(ids)}
    assert list(looks) == (ids or ["FEAT-1", *(each.task_id for each in tasks)])
    assert looks["FEAT-1"].verdict.state == state
    if state == "stalled":
        assert looks["FEAT-1"].verdict.evidence == "TASK-2: no activity for 2000 s"


async def test_a_feature_s_task_that_is_tracked_counts(tmp_path: Path, clock: FakeClock) -> None:
    builds = Builds(tmp_path, clock=clock)
    async with track_build("FEAT-1", build_type="feature", root=tmp_path, clock=clock) as build:
        async with build.wave(1) as wave, wave.task("TASK-1") as each:
            async with each.phase("Slow", budget=1.0):
                await clock.advance(3.0)
                [look] = await builds.look(["FEAT-1"])
    assert look.verdict == ("overdue", "TASK-1: Slow has taken 3 s of 1 s")


async def test_the_verdict_on_a_feature_changes_with_that_on_its_tasks(
    builds: Builds, writer: Writer, clock: FakeClock
) -> None:
    writer.put(feature())
    async with watching(builds, clock, "FEAT-1") as watched:
        assert watched.told() == [("FEAT-1", "running")]
        writer.put(task("TASK-1", 2000))
        await clock.advance(0.5)
        [look] = watched.take()
        assert look.verdict == ("stalled", "TASK-1: no activity for 2000 s")
        writer.put(task("TASK-1", 5))
        await clock.advance(0.0)
        assert watched.told() == [("FEAT-1", "running")]
        writer.put(task("TASK-1", 2000, status="failed"))
        await clock.advance(0.5)
        assert watched.told() == []


async def test_in_a_watch_of_all_a_feature_is_told_of_with_its_tasks(
    builds: Builds, writer: Writer, clock: FakeClock
) -> None:
    writer.put(feature())
    writer.put(task("TASK-1", 5))
    async with watching(builds, clock) as watched:
        assert watched.told() == [("FEAT-1", "running"), ("TASK-1", "running")]
        writer.put(task("TASK-1", 2000))
        await clock.advance(0.0)
        assert watched.told() == [("FEAT-1", "stalled"), ("TASK-1", "stalled")]
        writer.put(task("TASK-1", 2000, status="completed"))
        await clock.advance(0.0)
        assert watched.told() == [("FEAT-1", "running"), ("TASK-1", "completed")]


async def test_the_tasks_of_a_feature_stand_below_it_trouble_first(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with track_build(
        "FEAT-1", build_type="feature", wave_total=2, root=tmp_path, clock=clock
    ) as feature:
        for number, tasks in enumerate((["T2", "T1"], ["T3"]), 1):
            async with feature.wave(number) as wave:
                for task in tasks:
                    async with wave.task(task) as build:
                        if task == "T3":
                            build.fail("no")
        async with track_build("T9", root=tmp_path, clock=clock):
            looks = Builds(tmp_path, clock=clock).look_now()
    [found] = [each for each in looks if is_feature(each)]
    assert found.task_id == "FEAT-1"
    assert [each.task_id for each in tasks_of(found, looks)] == ["T3", "T1", "T2"]
    lines = lines_below(found, looks, clock.monotonic())
    assert lines[0].startswith("  failed:    Wave 2/2, T3 ")
    assert lines[1].startswith("  completed: Wave 1/2, T1 ")

"""Looks at builds at each change."""

from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from guardkit import track_build
from guardkit.monitor.builds import Builds
from guardkit.progress.snapshot import Metrics, Tracker
from guardkit.testing import FakeClock

from ..looks import START, TRACKER, Writer, document, told, watching

LIMIT = 20.0  # seconds, real ones, until a test that hangs is ended

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


async def test_a_watch_begins_with_all_and_goes_on_with_each_change(
    tmp_path: Path, builds: Builds, clock: FakeClock
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        pass
    async with track_build("TASK-2", root=tmp_path, clock=clock) as build:
        async with watching(builds, clock) as watched:
            assert watched.told() == [("TASK-1", "completed"), ("TASK-2", "running")]
            async with build.phase("Setup"):
                await clock.advance(0.0)
                [look] = watched.take()
                assert (look.snapshot, look.where) == (build.snapshot, str(tmp_path))
            await clock.advance(0.0)
            assert [each.snapshot and each.snapshot.phase_status for each in watched.take()] == [
                "completed"
            ]


async def test_a_watch_does_not_tell_of_heartbeats(
    tmp_path: Path, builds: Builds, clock: FakeClock
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        async with watching(builds, clock) as watched:
            watched.take()
            await clock.advance(20.0)
            clock.jump(3600.0)
            await clock.advance(20.0)
            assert watched.told() == []
            build.update(message="now")
            await clock.advance(0.1)
            assert watched.told() == [("TASK-1", "running")]


async def test_a_watch_tells_of_documents_without_a_number_when_what_they_say_changes(
    builds: Builds, writer: Writer, clock: FakeClock
) -> None:
    seen = writer.put(document(tracker=Tracker()))
    async with watching(builds, clock) as watched:
        watched.take()
        later = replace(seen, updated_at=START + timedelta(seconds=9))
        writer.put(replace(later, metrics=Metrics(elapsed_seconds=9)))
        await clock.advance(0.0)
        assert watched.told() == []
        writer.put(replace(later, message="new"))
        await clock.advance(0.0)
        assert watched.told() == [("TASK-1", "running")]


async def test_a_watch_tells_of_builds_that_begin_meanwhile(
    tmp_path: Path, builds: Builds, clock: FakeClock
) -> None:
    async with watching(builds, clock) as watched:
        assert watched.told() == []
        async with track_build("TASK-1", root=tmp_path, clock=clock):
            await clock.advance(0.5)
            assert watched.told() == [("TASK-1", "running")]
            async with track_build("TASK-2", root=tmp_path, clock=clock):
                await clock.advance(0.0)
                assert [each for each in watched.told() if each[0] == "TASK-2"][-1:] == [
                    ("TASK-2", "running")
                ]


async def test_a_watch_of_some_tells_of_no_others(
    tmp_path: Path, builds: Builds, clock: FakeClock
) -> None:
    async with watching(builds, clock, "TASK-1") as watched:
        async with track_build("TASK-2", root=tmp_path, clock=clock):
            await clock.advance(0.5)
        assert watched.told() == []
        async with track_build("TASK-1", root=tmp_path, clock=clock):
            await clock.advance(0.0)
            assert watched.told()[-1:] == [("TASK-1", "running")]


@pytest.mark.parametrize("heartbeat", [0.3, 5.0])
async def test_that_a_builder_is_gone_is_told_of_within_half_a_second(
    builds: Builds, writer: Writer, clock: FakeClock, heartbeat: float
) -> None:
    tracker = replace(TRACKER, heartbeat_seconds=heartbeat)
    writer.hold()
    writer.put(writer.own(document(tracker=tracker)))
    async with watching(builds, clock) as watched:
        assert watched.told() == [("TASK-1", "running")]
        writer.let_go()
        await clock.advance(0.4375)
        assert watched.told() == []
        await clock.advance(0.0625)
        assert watched.told() == [("TASK-1", "crashed")]
        await clock.advance(20.0)
        assert watched.told() == []


async def test_what_the_next_builder_notes_of_one_that_is_gone_makes_it_no_better(
    builds: Builds, writer: Writer, clock: FakeClock
) -> None:
    writer.hold()
    seen = writer.put(writer.own(document()))
    async with watching(builds, clock) as watched:
        writer.let_go()
        await clock.advance(0.5)
        assert watched.told()[-1:] == [("TASK-1", "crashed")]
        writer.append("build.started", replace(seen, tracker=replace(TRACKER, run_id="s")))
        await clock.advance(0.0)
        assert watched.told() == []


async def test_that_a_builder_does_not_answer_is_told_of_after_three_heartbeats(
    builds: Builds, writer: Writer, clock: FakeClock
) -> None:
    writer.hold()
    writer.put(writer.own(document()))
    await clock.advance(1.0)
    async with watching(builds, clock) as watched:
        assert watched.told() == [("TASK-1", "running")]
        await clock.advance(14.0)
        assert watched.told() == []
        await clock.advance(0.5)
        [look] = watched.take()
        assert look.verdict.state == "unresponsive"
        assert look.verdict.evidence.startswith("no heartbeat for 15 s (every 5 s is due)")
        writer.put(writer.own(document()))
        await clock.advance(0.0)
        assert watched.told() == [("TASK-1", "running")]


async def test_a_build_elsewhere_is_silent_from_the_watch_s_first_look_on(
    builds: Builds, writer: Writer, clock: FakeClock
) -> None:
    """Whatever the wall clocks of both say."""
    seen = writer.put(document())
    clock.jump(3600.0)
    await clock.advance(100.0)
    assert told(builds.look_now()) == [("TASK-1", "lost")]
    async with watching(builds, clock) as watched:
        assert watched.told() == [("TASK-1", "running")]
        await clock.advance(10.0)
        writer.put(replace(seen, tracker=replace(seen.tracker, beat=5.0)))  # a heartbeat
        await clock.advance(15.0)
        clock.jump(-7200.0)
        assert watched.told() == []
        await clock.advance(0.5)
        [look] = watched.take()
        assert (look.verdict.state, look.verdict.evidence[:20]) == ("lost", "no heartbeat for 15 ")


@pytest.mark.parametrize(
    ("budget", "state", "after"), [(60.0, "overdue", 61.0), (None, "stalled", 101.0)]
)
async def test_what_takes_too_long_is_told_of_though_no_file_changes(
    tmp_path: Path, clock: FakeClock, budget: float | None, state: str, after: float
) -> None:
    builds = Builds(tmp_path, clock=clock, stall_after=100.0)
    async with (
        track_build("TASK-1", root=tmp_path, clock=clock, heartbeat=1000.0) as build,
        build.phase("Slow", budget=budget),
        watching(builds, clock) as watched,
    ):
        watched.take()
        await clock.advance(after)
        assert watched.told() == []
        await clock.advance(0.5)
        assert watched.told() == [("TASK-1", state)]
        await clock.advance(5.0)
        assert watched.told() == []


async def test_a_task_that_is_taken_anew_is_told_of_before_anything_is_written(
    builds: Builds, writer: Writer, clock: FakeClock
) -> None:
    writer.put(document(status="completed"))
    async with watching(builds, clock) as watched:
        assert watched.told() == [("TASK-1", "completed")]
        writer.hold(run_id="s")
        await clock.advance(0.5)
        [look] = watched.take()
        assert (look.snapshot, look.verdict.evidence) == (
            None,
            "another process has taken TASK-1 and has not written yet",
        )
        await clock.advance(5.0)
        assert watched.told() == []
        new = writer.put(writer.own(document(tracker=replace(TRACKER, run_id="s"))))
        await clock.advance(0.0)
        assert [look.snapshot for look in watched.take()] == [new]


async def test_an_end_that_only_the_journal_has_is_told_of(
    builds: Builds, writer: Writer, clock: FakeClock
) -> None:
    writer.hold()
    writer.put(writer.own(document()))
    async with watching(builds, clock) as watched:
        watched.take()
        end = document(status="cancelled")
        writer.append("build.ended", end)
        writer.let_go()
        await clock.advance(0.5)
        [look] = watched.take()
        assert (look.snapshot, look.verdict.state) == (end, "cancelled")
        assert [event.event for event in look.events] == ["build.ended"]
        await clock.advance(5.0)
        assert watched.told() == []

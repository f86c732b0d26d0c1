"""A timeline: what of a build was when."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from guardkit import Builds, read_events, track_build
from guardkit.monitor.verdict import Verdict
from guardkit.places.runs import runs
from guardkit.places.timeline.making import Seen, find_critical, make_timeline
from guardkit.places.timeline.model import Count, Gap, Lane, Timeline
from guardkit.places.timeline.shares import BETWEEN, GONE, find_shares
from guardkit.testing import FakeClock

from ..histories import COACH, EVIL, PLAYER, build_feature, build_task

if TYPE_CHECKING:
    from guardkit.monitor.look import Look
    from guardkit.monitor.verdict import State

pytestmark = pytest.mark.anyio


def seen(root: Path, task_id: str = "TASK-1", *, skip: int = 0) -> Seen:
    """Return what the journal of the latest run tells, without its first events."""
    return Seen(run=runs(read_events(task_id, root=root)[skip:])[-1])


def timeline_of(root: Path, task_id: str = "TASK-1", *, skip: int = 0) -> Timeline:
    return make_timeline(seen(root, task_id, skip=skip))


def bars(lane: Lane) -> list[tuple[str, float, float, int]]:
    return [(bar.name, bar.start, bar.end, bar.row) for bar in lane.bars]


def looked(root: Path, clock: FakeClock, state: State | None = None) -> Look:
    [look] = Builds(root, clock=clock).look_now(["TASK-1"])
    return replace(look, verdict=Verdict(state, "because")) if state else look


async def test_turns_and_phases_are_nested(tmp_path: Path, clock: FakeClock) -> None:
    await build_task(tmp_path, clock)
    build = timeline_of(tmp_path).build
    assert build.end == 725.0
    assert bars(build)[:5] == [
        ("Setup", 0.0, 12.0, 0),
        ("Turn 1", 12.0, 306.0, 0),
        (PLAYER, 12.0, 272.0, 0),
        ("Run tools", 142.0, 207.0, 1),
        (COACH, 272.0, 306.0, 0),
    ]
    assert {bar.status for bar in build.bars} == {"completed"}
    assert [bar.turn for bar in build.bars if bar.name in {"Setup", COACH, "Finalize"}] == [
        *(0, 1, 2, 3, 0)
    ]


async def test_what_is_within_another_phase_counts_for_itself(
    tmp_path: Path, clock: FakeClock
) -> None:
    await build_task(tmp_path, clock)
    shares = find_shares(timeline_of(tmp_path))
    assert [(it.name, it.seconds, it.times) for it in shares] == [
        (PLAYER, 450.0, 3),
        ("Run tools", 150.0, 3),
        (COACH, 95.0, 3),
        ("Setup", 12.0, 1),
        ("Finalize", 12.0, 1),
        (BETWEEN, 6.0, 0),
    ]
    assert sum(it.part for it in shares) == pytest.approx(1.0)


async def test_of_a_short_build_the_time_between_phases_is_told_too(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        async with build.phase("Setup"):
            await clock.advance(0.75)
        await clock.advance(0.25)
    shares = find_shares(timeline_of(tmp_path))
    assert [(it.name, it.part) for it in shares] == [("Setup", 0.75), (BETWEEN, 0.25)]


async def test_phases_that_overlap_stand_below_each_other(tmp_path: Path, clock: FakeClock) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:

        async def work(name: str, seconds: float) -> None:
            async with build.phase(name):
                await clock.sleep(seconds)

        running = [asyncio.create_task(work(name, 10.0)) for name in ("a", "b")]
        await clock.advance(5.0)
        running.append(asyncio.create_task(work("c", 20.0)))
        await clock.advance(10.0)
        running.append(asyncio.create_task(work("d", 1.0)))
        await clock.advance(20.0)
        await asyncio.gather(*running)
    found = {name: (start, end, row) for name, start, end, row in bars(timeline_of(tmp_path).build)}
    assert found == {
        "a": (0.0, 10.0, 0),
        "b": (0.0, 10.0, 1),
        "c": (5.0, 25.0, 2),
        "d": (15.0, 16.0, 0),
    }


async def test_decisions_have_their_reasons_and_counts_their_times(
    tmp_path: Path, clock: FakeClock
) -> None:
    await build_task(tmp_path, clock)
    build = timeline_of(tmp_path).build
    assert [(mark.at, mark.text, mark.why) for mark in build.marks] == [
        (306.0, "feedback", "4 of 9 tests passed"),
        (538.0, "feedback", "8 of 9 tests passed"),
        (711.0, "approve", "9 of 9 tests passed"),
        (725.0, "approved", "what was tested is on autobuild/TASK-1"),
    ]
    assert build.counts[:3] == (
        Count(at=0.0),
        Count(at=272.0, files=3),
        Count(at=306.0, files=3, passed=4, total=9),
    )


async def test_a_phase_that_fails_is_told_apart(tmp_path: Path, clock: FakeClock) -> None:
    with pytest.raises(OSError, match="disk"):
        async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
            async with build.phase("Index"):
                raise OSError("disk 3 is full")
    build_lane = timeline_of(tmp_path).build
    assert build_lane.bars[0].status == "failed"
    assert (build_lane.state, build_lane.evidence) == ("failed", "OSError: disk 3 is full")


async def test_a_sleep_of_the_machine_takes_no_time_and_is_told_of(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        async with build.phase("Index"):
            await clock.advance(60.0)
            clock.jump(7200.0)
            await clock.advance(30.0)
        await clock.advance(5.0)
        clock.jump(-600.0)
        await clock.advance(5.0)
    timeline = timeline_of(tmp_path)
    assert timeline.end == 100.0
    assert timeline.gaps == (
        Gap(sign="slept", start=0.0, end=90.0, seconds=7200.0),
        Gap(sign="set back", start=90.0, end=100.0, seconds=600.0),
    )


async def test_a_sleep_during_a_feature_is_told_of_once_and_as_narrowly_as_its_tasks_know(
    tmp_path: Path, clock: FakeClock
) -> None:
    names = ("FEAT-1", "TASK-1", "TASK-2")
    async with track_build("FEAT-1", build_type="feature", root=tmp_path, clock=clock) as build:
        async with build.wave(1) as wave, wave.task("TASK-1"), wave.task("TASK-2") as task:
            await clock.advance(10.0)
            async with task.phase(PLAYER):
                clock.jump(600.0)
            await clock.advance(10.0)
            async with task.phase(PLAYER):
                await clock.advance(10.0)
    feature, *tasks = (seen(tmp_path, name) for name in names)
    assert make_timeline(feature, tasks).gaps == (
        Gap(sign="slept", start=0.0, end=10.0, seconds=600.0),
    )


async def test_a_build_that_goes_on_goes_on_until_now(tmp_path: Path, clock: FakeClock) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock, heartbeat=10.0) as build:
        async with build.turn() as turn, turn.phase(PLAYER):
            await clock.advance(100.0)
            run = seen(tmp_path).run
            timeline = make_timeline(Seen(run=run, look=looked(tmp_path, clock), since=3.0))
    assert timeline.is_live
    assert [(bar.name, bar.end, bar.status) for bar in timeline.build.bars] == [
        ("Turn 1", 103.0, "in_progress"),
        (PLAYER, 103.0, "in_progress"),
    ]
    assert timeline.gaps == (Gap(sign="idle", start=0.0, end=103.0, seconds=103.0),)


@pytest.mark.parametrize("state", ["unresponsive", "lost"])
async def test_silence_is_no_work(tmp_path: Path, clock: FakeClock, state: State) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock, heartbeat=10.0) as build:
        async with build.phase(PLAYER):
            await clock.advance(100.0)
            look = looked(tmp_path, clock, state)
            timeline = make_timeline(Seen(run=seen(tmp_path).run, look=look, since=50.0))
    assert timeline.build.bars[0].end == 100.0
    assert timeline.gaps == (Gap(sign="silent", start=100.0, end=150.0, seconds=50.0),)
    assert timeline.end == 150.0


async def test_a_build_that_has_crashed_ends_with_its_last_heartbeat(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock, heartbeat=10.0) as build:
        async with build.phase(PLAYER):
            await clock.advance(100.0)
            look = looked(tmp_path, clock, "crashed")
            timeline = make_timeline(Seen(run=seen(tmp_path).run, look=look, since=50.0))
    assert not timeline.is_live
    assert (timeline.end, timeline.gaps) == (100.0, ())
    assert timeline.build.bars[0].status == "crashed"
    assert timeline.build.evidence == "because"


async def test_a_look_at_another_run_does_not_count(tmp_path: Path, clock: FakeClock) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build, build.phase(PLAYER):
        run = seen(tmp_path).run
    await build_task(tmp_path, clock)
    timeline = make_timeline(Seen(run=run, look=looked(tmp_path, clock)))
    assert (timeline.build.state, timeline.is_live) == ("unknown", False)
    assert timeline.build.bars[0].status == "unknown"


async def test_what_the_journal_has_lost_is_told(tmp_path: Path, clock: FakeClock) -> None:
    await build_task(tmp_path, clock)
    timeline = timeline_of(tmp_path, skip=7)  # it begins with the end of the Player's phase
    bar = timeline.build.bars[0]
    assert (bar.name, bar.start, bar.end, bar.turn) == (PLAYER, 12.0, 272.0, 1)
    assert timeline.gaps[0] == Gap(sign="unknown", start=0.0, end=12.0, seconds=12.0)
    assert timeline.end == 725.0
    shares = find_shares(timeline)
    assert GONE in {share.name for share in shares}
    assert sum(share.seconds for share in shares) == pytest.approx(725.0)


@pytest.mark.parametrize("lost", [[4], [5], [6], [7], [3, 7], [4, 5, 6], [8, 9], [13, 14]])
async def test_holes_in_a_journal_make_no_more_time_than_there_was(
    tmp_path: Path, clock: FakeClock, lost: list[int]
) -> None:
    await build_task(tmp_path, clock)
    events = [it for n, it in enumerate(read_events("TASK-1", root=tmp_path)) if n not in lost]
    timeline = make_timeline(Seen(run=runs(events)[-1]))
    assert sum(it.seconds for it in find_shares(timeline)) == pytest.approx(725.0)
    ends = {bar.turn: bar.end for bar in timeline.build.of_kind("turn")}
    for bar in timeline.build.of_kind("phase"):
        assert bar.end <= ends.get(bar.turn, 725.0)


async def test_the_tasks_of_a_feature_are_lanes_by_wave(tmp_path: Path, clock: FakeClock) -> None:
    timeline = await feature(tmp_path, clock)
    waves = timeline.build.of_kind("wave")
    assert [bar.name for bar in waves] == ["Wave 1/2", "Wave 2/2"]
    assert [(lane.task_id, lane.wave) for lane in timeline.tasks] == [
        ("TASK-01", 1),
        ("TASK-02", 1),
        ("TASK-03", 1),
        ("TASK-04", 2),
    ]
    first, second, third, last = timeline.tasks
    assert first.start == second.start == waves[0].start == 20.0
    assert third.start == min(first.end, second.end)  # two at once: it had to wait
    assert last.start >= waves[1].start
    assert timeline.build.counts[-1].files == sum(lane.counts[-1].files for lane in timeline.tasks)


async def test_the_critical_path_is_what_the_end_has_waited_for(
    tmp_path: Path, clock: FakeClock
) -> None:
    timeline = await feature(tmp_path, clock)
    path = [lane for lane in timeline.tasks if lane.is_critical]
    assert path[-1].end == max(lane.end for lane in timeline.tasks)
    for before, after in pairwise(path):
        assert before.end <= after.start
    assert path[0].start == 20.0


async def test_a_task_on_another_boot_is_placed_by_the_wall_clock(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with track_build("FEAT-1", build_type="feature", root=tmp_path, clock=clock) as build:
        await clock.advance(30.0)
        async with build.wave(1) as wave, wave.task("TASK-1"):
            await clock.advance(10.0)
    feature, task = seen(tmp_path, "FEAT-1"), seen(tmp_path)
    first, *rest = task.run.events
    tracker = replace(first.progress.tracker, boot_id="another")
    moved = replace(first, progress=replace(first.progress, tracker=tracker))
    elsewhere = replace(task, run=replace(task.run, events=(moved, *rest), began=1e9))
    assert make_timeline(feature, [elsewhere]).tasks[0].start == 30.0


def test_of_tasks_at_the_same_time_the_one_that_ends_last_is_critical() -> None:
    lanes = [
        Lane(task_id="a", start=0.0, end=10.0),
        Lane(task_id="b", start=0.0, end=30.0),
        Lane(task_id="c", start=10.0, end=20.0),
        Lane(task_id="d", start=30.0, end=31.0),
        Lane(task_id="e", start=5.0, end=5.0),
    ]
    assert [lane.task_id for lane in find_critical(lanes)] == ["d", "b"]
    assert find_critical([]) == []


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("", "TASK-1"),
        ("TASK-1", "TASK-1"),
        ("TASK-1: print lines", "TASK-1: print lines"),
        ("Print lines", "TASK-1 Print lines"),
        ("TASK-10 goes first", "TASK-1 TASK-10 goes first"),
    ],
)
def test_a_title_has_the_id_once(name: str, title: str) -> None:
    assert Lane(task_id="TASK-1", task_name=name).title == title


async def test_texts_are_clean_and_short(tmp_path: Path, clock: FakeClock) -> None:
    async with track_build("TASK-1", task_name=EVIL, root=tmp_path, clock=clock) as build:
        async with build.phase(EVIL):
            build.decide("a\x1b[31mb\nc", EVIL)
    build_lane = timeline_of(tmp_path).build
    [mark] = build_lane.marks
    assert mark.text == "ab c"
    for text in (build_lane.task_name, build_lane.bars[0].name, mark.why):
        assert text.isprintable()


async def feature(root: Path, clock: FakeClock) -> Timeline:
    await build_feature(root, clock, waves=(3, 1), at_once=2)
    build = seen(root, "FEAT-1")
    names = sorted(path.name for path in (root / ".guardkit/autobuild").glob("TASK-*"))
    return make_timeline(build, [seen(root, name) for name in names])

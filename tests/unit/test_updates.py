"""`update` and its like: what they change, when, and from where."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from guardkit import (
    Build,
    MisuseError,
    Phase,
    ScopeError,
    Turn,
    track_build,
)
from guardkit.progress.snapshot import COUNT_MAX, Usage, Work
from guardkit.testing import FakeClock, MemorySink

from ..doubles import TimedSink
from ..shown import Journal, OnDisk, seq

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


# update


async def test_an_update_before_the_build_is_entered_changes_nothing_at_all(
    clock: FakeClock,
) -> None:
    build = track_build("TASK-1", root=None, clock=clock)
    with pytest.raises(ScopeError):
        build.update(files_created=5)
    async with build:
        assert build.snapshot.metrics.files_created == 0


async def test_an_update_without_anything_changes_nothing(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        build.update()
        await clock.advance(1.0)
        assert seq(build) == 1


@pytest.mark.parametrize("kind", ["build", "turn", "phase"])
async def test_build_turn_and_phase_update_alike(clock: FakeClock, kind: str) -> None:
    async with (
        track_build("TASK-1", root=None, clock=clock) as build,
        build.turn() as turn,
        turn.phase("Setup") as phase,
    ):
        scopes: dict[str, Build | Turn | Phase] = {"build": build, "turn": turn, "phase": phase}
        scopes[kind].update(
            files_created=1, files_modified=2, tests_passed=3, tests_total=4, message="here"
        )
        metrics = build.snapshot.metrics
        assert (metrics.files_created, metrics.files_modified) == (1, 2)
        assert (metrics.tests_passed, metrics.tests_total) == (3, 4)
        assert build.snapshot.message == "here"


async def test_what_an_update_does_not_name_stays_as_it_is(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        build.update(files_created=1, message="here")
        build.update(tests_total=2)
        build.update(files_created=0)
        assert (build.snapshot.metrics.files_created, build.snapshot.message) == (0, "here")
        assert build.snapshot.metrics.tests_total == 2


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


async def test_an_update_after_the_event_loop_was_closed_raises_nothing(clock: FakeClock) -> None:
    build = track_build("TASK-1", root=None, clock=clock)

    async def leave_open() -> None:
        await build.__aenter__()

    await asyncio.to_thread(asyncio.run, leave_open())
    build.update(files_created=1)
    assert build.snapshot.metrics.files_created == 1


class Text(str):
    """As those of templating and array libraries are."""


class Number(int):
    pass


async def test_subclasses_of_text_and_numbers_are_taken_for_what_they_hold(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    text, number = Text("text"), Number(3)
    async with track_build(
        Text("TASK-1"),
        task_name=text,
        build_id=text,
        wave=number,
        wave_total=3,
        root=tmp_path,
        clock=clock,
    ) as build:
        build.update(files_created=number, message=text)
        build.decide(text)
        async with build.phase(text):
            document = on_disk()
    assert [document[key] for key in ("build_id", "message", "decision", "phase")] == ["text"] * 4
    assert (document["wave"], document["metrics"]["files_created"]) == (3, 3)


async def test_each_snapshot_that_differs_has_a_number_of_its_own(clock: FakeClock) -> None:
    sink = MemorySink()
    async with track_build("TASK-1", root=None, clock=clock, sinks=[sink]) as build:
        for number in (5, 6):
            build.update(files_created=number)
            snapshot = build.snapshot
            assert (snapshot.tracker.seq, snapshot.metrics.files_created) == (number - 3, number)
        assert build.snapshot == snapshot
        await clock.advance(0.1)
        assert sink.snapshots[-1] == build.snapshot


REFUSED_UPDATES: dict[str, Callable[[Build], object]] = {
    "update, the last count": lambda build: build.update(files_created=7, tests_total=-1),
    "update, the first count": lambda build: build.update(files_created=-1, tests_total=7),
    "update, the message": lambda build: build.update(files_created=7, message=5),  # type: ignore[arg-type]
    "count, done": lambda build: build.count(-1, 7, "rows"),
    "count, total": lambda build: build.count(7, -1, "rows"),
    "count, unit": lambda build: build.count(7, 7, 5),  # type: ignore[arg-type]
    "spent, tokens": lambda build: build.spent(tokens=-1, cost_usd=7.0),
    "spent, cost": lambda build: build.spent(tokens=7, cost_usd=-1.0),
    "decide, the message": lambda build: build.decide("approve", 5),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("use", REFUSED_UPDATES.values(), ids=REFUSED_UPDATES)
async def test_of_arguments_of_which_one_means_nothing_none_is_taken(
    clock: FakeClock, use: Callable[[Build], object]
) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        before = build.snapshot
        with pytest.raises(MisuseError, match=" is not valid: "):
            use(build)
        assert build.snapshot == before
        build.update(files_modified=1)
        after = build.snapshot
        assert (after.metrics.files_created, after.metrics.tests_total) == (0, 0)
        assert (after.message, after.decision, after.work, after.usage) == (None, None, None, None)


# count


async def test_work_is_shown_of_the_phase_that_counts_it(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        async with build.phase("load") as phase:
            phase.count(4200, 11800, "rows")
            await clock.advance(0.1)
            assert on_disk()["work"] == {"done": 4200, "total": 11800, "unit": "rows"}
        async with build.phase("index"):
            assert on_disk()["work"] is None


async def test_a_count_beyond_all_bounds_is_shown_as_the_largest_that_can_be(
    clock: FakeClock,
) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        build.count(10**5000, 10**5000)
        build.update(files_created=10**5000)
        shown = build.snapshot
    assert shown.work == Work(COUNT_MAX, COUNT_MAX, "")
    assert shown.metrics.files_created == COUNT_MAX


async def test_work_without_a_total_or_a_unit_says_so(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        build.count(3)
        assert build.snapshot.work == Work(3, None, "")


async def test_the_work_of_an_outer_phase_is_shown_again_with_it(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        async with build.phase("Outer") as outer:
            outer.count(1, 2)
            async with outer.phase("Inner"):
                assert build.snapshot.work is None
            assert build.snapshot.work == Work(1, 2)


async def test_an_outer_phase_that_counts_does_not_disturb_what_is_shown(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        async with build.phase("Outer") as outer, outer.phase("Inner") as inner:
            inner.count(5, 6)
            assert build.snapshot.work == Work(5, 6)
            outer.count(1, 2)
            assert build.snapshot.phase == "Inner"
            assert build.snapshot.work != Work(1, 2)


async def test_a_build_counts_for_the_phase_that_is_shown(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        async with build.phase("load"):
            build.count(1, 2)
            assert build.snapshot.work == Work(1, 2)


@pytest.mark.parametrize(
    "unit", ["", "x" * 500, "\0" * 500, "\ud800" * 500], ids=["empty", "x", "NUL", "surrogate"]
)
async def test_a_unit_is_cut_to_48_bytes(clock: FakeClock, unit: str) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        build.count(1, 2, unit)
        assert build.snapshot.work
        assert len(msgspec.json.encode(build.snapshot.work.unit)) - 2 <= 48


# spent


async def test_what_agents_have_used_is_shown_and_what_is_not_given_stays(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        assert build.snapshot.usage is None
        build.spent(tokens=1200)
        assert build.snapshot.usage == Usage(1200, 0.0)
        build.spent(cost_usd=0.25)
        await clock.advance(0.1)
        assert on_disk()["usage"] == {"tokens": 1200, "cost_usd": 0.25}
        build.spent(tokens=1300)
        assert build.snapshot.usage == Usage(1300, 0.25)


@pytest.mark.parametrize("name", ["tokens", "cost_usd"])
@pytest.mark.parametrize("value", [-1, True, "1", float("nan"), float("inf")], ids=repr)
async def test_what_is_no_use_is_refused(clock: FakeClock, name: str, value: Any) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        with pytest.raises(MisuseError, match=f"{name}=.* is not valid: "):
            build.spent(**{name: value})
        assert build.snapshot.usage is None


# touch


async def test_a_touch_is_activity_though_nothing_is_new(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        await clock.advance(3.0)
        build.touch()
        await clock.advance(1.0)
        assert seq(build) == 1
        assert on_disk()["tracker"]["activity_at"] == "2025-01-31T12:34:59Z"
        assert on_disk()["tracker"]["seq"] == 1


async def test_touches_cost_a_write_for_each_second_in_which_there_are_some(
    clock: FakeClock,
) -> None:
    sink = TimedSink(clock)
    async with track_build("TASK-1", root=None, clock=clock, sinks=[sink]) as build:
        await clock.advance(0.5)
        for _ in range(24):
            build.touch()
            await clock.advance(0.125)
        assert sink.times == [0.0, 1.0, 2.0, 3.0]


async def test_an_update_with_what_is_there_is_no_activity(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        build.update(files_created=1)
        before = build.snapshot.tracker.activity_at
        await clock.advance(3.0)
        build.update(files_created=1)
        assert build.snapshot.tracker.activity_at == before


# from other threads


@pytest.mark.parametrize("name", ["decide", "fail"])
async def test_what_another_thread_decides_is_an_event_and_on_disk(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk, journal: Journal, name: str
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        await asyncio.to_thread(getattr(build, name), "no")
        await clock.advance(0.0)
        key = {"decide": "decision", "fail": "error"}[name]
        assert on_disk()[key] == "no"
        event = {"decide": "decided", "fail": "failed"}[name]
        assert [entry["event"] for entry in journal()] == ["build.started", event]


async def test_what_many_threads_decide_is_all_in_the_journal_each_in_its_order(
    tmp_path: Path, clock: FakeClock, journal: Journal
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:

        def work(name: str) -> None:
            for number in range(100):
                build.decide(f"{name}{number}")

        await asyncio.gather(*(asyncio.to_thread(work, name) for name in "abcd"))
    entries = journal()
    assert [entry["seq"] for entry in entries] == list(range(1, 403))
    for name in "abcd":
        decided = [e["progress"]["decision"] for e in entries if e["event"] == "decided"]
        of_one = [each for each in decided if each[0] == name]
        assert of_one == [f"{name}{number}" for number in range(100)]


async def test_each_phase_keeps_its_own_work(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        build.count(5, unit="setup")
        async with build.phase("Outer") as outer:
            outer.count(4200, 11800, "rows")
            async with build.phase("Inner") as inner:
                inner.count(1, 2)
                outer.count(5000, 11800, "rows")
                assert build.snapshot.work == Work(1, 2)
            assert build.snapshot.work == Work(5000, 11800, "rows")
        async with build.turn():
            assert build.snapshot.work is None

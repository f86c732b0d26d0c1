"""What ends a wait: by looks alone, and for real builds on a clock that is advanced."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from guardkit import Builds, Look, ProgressNotFoundError, Snapshot, Verdict, track_build
from guardkit.places.wait import Answer, Until, Waiting, Wanted, wait
from guardkit.testing import FakeClock

from ..looks import TRACKER, Writer, document
from .test_words import working

pytestmark = pytest.mark.anyio
UNTIL: tuple[Until, ...] = ("done", "change", "trouble")


def look(task_id: str, state: Any = "running", run: str = "1", **changes: Any) -> Look:
    snapshot: Snapshot | None = working(1, task_id=task_id, **changes)
    assert snapshot
    snapshot = replace(snapshot, tracker=replace(snapshot.tracker, run_id=run))
    return Look(task_id, snapshot, Verdict(state, "it is so"), "/project")


def unwritten(task_id: str, state: Any = "running") -> Look:
    return Look(task_id, None, Verdict(state, "it is so"), "/project")


def met(until: Until, *looks: Look, ids: int = 2, past: tuple[Look, ...] = ()) -> bool:
    """Return whether a wait for A, and B, is over after some looks."""
    wanted = Wanted(["A", "B"][:ids], until, afresh=bool(past))
    return seen(wanted, *looks, past=past or None).is_met()


def seen(wanted: Wanted, *looks: Look, past: tuple[Look, ...] | None = None) -> Waiting:
    """Return a wait for builds that are there, after some looks."""
    there = [look(task_id) for task_id in wanted.task_ids]
    waiting = Waiting(wanted, there if past is None else past)
    for each in looks:
        waiting.see(each)
    return waiting


OVER = ["completed", "failed", "cancelled", "crashed", "lost"]
TROUBLE = ["failed", "crashed", "lost", "unresponsive", "overdue", "stalled"]


@pytest.mark.parametrize("state", OVER)
@pytest.mark.parametrize("run", ["1", ""], ids=["of ours", "of another program"])
async def test_done_is_when_all_are_over(state: str, run: str) -> None:
    assert not met("done", look("A"), look("B"))
    assert not met("done", look("A", state), look("B"))
    assert met("done", look("A", state, run), look("B", "completed", run))


@pytest.mark.parametrize("state", ["running", "unresponsive", "overdue", "stalled"])
async def test_what_is_merely_in_trouble_is_not_done(state: str) -> None:
    assert not met("done", look("A", state), ids=1)


@pytest.mark.parametrize("state", TROUBLE)
async def test_trouble_is_the_first_that_needs_a_person(state: str) -> None:
    assert not met("trouble", look("A"), look("B"))
    assert met("trouble", look("A"), look("B", state))


@pytest.mark.parametrize("state", ["completed", "cancelled"])
async def test_an_end_without_trouble_is_waited_past_until_all_have_ended(state: str) -> None:
    assert not met("trouble", look("A", state), look("B"))
    assert met("trouble", look("A", state), look("B", "completed"))


async def test_change_is_the_first_of_place_or_state() -> None:
    first = look("A"), look("B")
    assert not met("change", *first)
    assert not met("change", *first, look("B", message="no change of place"))
    assert met("change", *first, look("B", turn=2))
    assert met("change", *first, look("B", number=2))
    assert met("change", *first, look("B", decision="approve"))
    assert met("change", *first, look("B", "stalled"))
    assert met("change", *first, look("B", run="2"))


async def test_what_had_ended_at_the_first_look_is_no_change_of_several() -> None:
    assert not met("change", look("A", "completed"), look("B"))
    assert met("change", look("A", "completed"), ids=1)


@pytest.mark.parametrize("until", UNTIL)
async def test_what_cannot_be_read_ends_a_wait(until: Until) -> None:
    assert met(until, look("A"), unwritten("B", "unreadable"))


@pytest.mark.parametrize("until", UNTIL)
async def test_a_build_that_has_not_written_yet_is_waited_for(until: Until) -> None:
    assert not met(until, unwritten("A"), ids=1)
    assert not met(until, unwritten("A"), unwritten("A"), ids=1)


async def test_the_first_that_is_written_is_a_change() -> None:
    assert met("change", unwritten("A"), look("A"), ids=1)


async def test_a_build_that_is_done_stays_so_when_its_next_run_begins() -> None:
    looks = look("A", "failed"), look("B"), look("A", run="2"), look("B", "completed")
    waiting = seen(Wanted(["A", "B"]), *looks)
    assert waiting.is_met()
    assert [each.verdict.state for each in waiting.looks] == ["failed", "completed"]


@pytest.mark.parametrize("state", [*OVER, "unreadable"])
async def test_the_run_before_is_not_taken_for_the_next(state: str) -> None:
    past = look("A", state) if state != "unreadable" else unwritten("A", state)
    waiting = seen(Wanted(["A"], afresh=True), past, past, past=(past,))
    assert (waiting.is_met(), waiting.looks) == (False, [])
    waiting.see(look("A", run="2"))
    assert len(waiting.looks) == 1
    waiting.see(look("A", "completed", run="2"))
    assert waiting.is_met()


async def test_a_next_run_that_has_ended_before_it_is_seen_counts() -> None:
    assert met("done", look("A", "failed", "2"), ids=1, past=(look("A", "completed"),))


async def test_a_run_that_goes_on_is_the_next_one() -> None:
    running = look("A")
    assert met("done", running, look("A", "completed"), ids=1, past=(running,))


@asynccontextmanager
async def waited(
    root: Path, clock: FakeClock, *, limit: float | None = None, **wanted: Any
) -> AsyncGenerator["asyncio.Task[Answer]"]:
    """Wait for TASK-1 while the block runs."""
    builds, what = Builds(root, clock=clock), Wanted(["TASK-1"], **wanted)
    waiting = asyncio.create_task(wait(builds, what, limit=limit, clock=clock))
    await clock.advance(0.1)
    try:
        yield waiting
    finally:
        waiting.cancel()
        await asyncio.wait({waiting})


def states(answer: Answer) -> list[str]:
    return [each.verdict.state for each in answer.looks]


async def test_a_build_is_waited_for_until_its_end(tmp_path: Path, clock: FakeClock) -> None:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(track_build("TASK-1", root=tmp_path, clock=clock))
        async with waited(tmp_path, clock) as waiting:
            await clock.advance(60)
            assert not waiting.done()
            await stack.aclose()
            await clock.advance(1)
            answer = waiting.result()
    assert (states(answer), answer.timed_out) == (["completed"], False)


async def test_the_time_is_up_just_when_it_was_asked_for(tmp_path: Path, clock: FakeClock) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        async with waited(tmp_path, clock, limit=90) as waiting:
            await clock.advance(89.8)
            assert not waiting.done()
            await clock.advance(0.2)
            answer = waiting.result()
    assert (states(answer), answer.timed_out) == (["running"], True)


async def test_what_is_told_when_the_time_is_up_is_the_state_of_then(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        async with waited(tmp_path, clock, limit=30) as waiting:
            await clock.advance(30)
            [found] = waiting.result().looks
    assert found.verdict.evidence == "last activity 30 s ago"
    assert found.snapshot
    assert found.snapshot.metrics.elapsed_seconds >= 25


async def test_a_wait_without_time_takes_one_look(tmp_path: Path, clock: FakeClock) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        answer = await wait(Builds(tmp_path, clock=clock), Wanted(["TASK-1"]), limit=0, clock=clock)
    assert (states(answer), answer.timed_out) == (["running"], True)


async def test_a_clock_that_is_set_wakes_nobody(tmp_path: Path, clock: FakeClock) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        async with waited(tmp_path, clock, until="trouble") as waiting:
            for seconds in (7200, -14400):
                clock.jump(seconds)
                await clock.advance(2)
            assert not waiting.done()


def from_elsewhere(writer: Writer, clock: FakeClock, seq: int = 1, **changes: Any) -> None:
    """Write what a machine does whose clock is 20 minutes behind ours."""
    at = clock.now() - timedelta(minutes=20)
    tracker = replace(TRACKER, boot_id="another", seq=seq, beat=float(seq), activity_at=at)
    writer.put(document(started_at=at, updated_at=at, tracker=tracker, **changes))


@pytest.mark.parametrize("until", UNTIL)
async def test_a_build_elsewhere_is_not_lost_because_a_clock_is_behind(
    tmp_path: Path, clock: FakeClock, until: Until
) -> None:
    from_elsewhere(writer := Writer(tmp_path, clock), clock)
    [look] = Builds(tmp_path, clock=clock).look_now()
    assert (look.verdict.state, "by the wall clock" in look.verdict.evidence) == ("lost", True)
    async with waited(tmp_path, clock, until=until) as waiting:
        await clock.advance(10)
        assert not waiting.done()
        from_elsewhere(writer, clock, 2, status="failed")
        await clock.advance(1)
        assert states(waiting.result()) == ["failed"]


@pytest.mark.parametrize("afresh", [False, True], ids=["latest", "next"])
async def test_what_a_watch_says_of_a_build_elsewhere_is_told_when_the_time_is_up(
    tmp_path: Path, clock: FakeClock, afresh: bool
) -> None:
    from_elsewhere(Writer(tmp_path, clock), clock)
    async with waited(tmp_path, clock, limit=10, afresh=afresh) as waiting:
        await clock.advance(10)
        answer = waiting.result()
    assert (states(answer), answer.timed_out) == (["running"], True)


async def test_a_build_elsewhere_is_lost_when_no_heartbeat_has_come_while_it_was_watched(
    tmp_path: Path, clock: FakeClock
) -> None:
    from_elsewhere(Writer(tmp_path, clock), clock)
    async with waited(tmp_path, clock) as waiting:
        await clock.advance(16)
        [look] = waiting.result().looks
    assert (look.verdict.state, "by the wall clock" in look.verdict.evidence) == ("lost", False)


async def test_what_is_not_there_is_not_waited_for(tmp_path: Path, clock: FakeClock) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        answer = await wait(
            Builds(tmp_path, clock=clock), Wanted(["TASK-1", "TASK-2"]), clock=clock
        )
    assert (states(answer), answer.timed_out) == (["running"], False)


@pytest.mark.parametrize("before", [0, 1], ids=["none before", "one before"])
async def test_the_next_run_is_waited_for_from_its_beginning(
    tmp_path: Path, clock: FakeClock, before: int
) -> None:
    for _ in range(before):
        async with track_build("TASK-1", root=tmp_path, clock=clock):
            pass
    async with waited(tmp_path, clock, afresh=True) as waiting:
        await clock.advance(60)
        assert not waiting.done()
        async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
            await clock.advance(1)
            assert not waiting.done()
            build.fail("no idea")
        await clock.advance(1)
        assert states(waiting.result()) == ["failed"]


async def test_of_the_next_run_nothing_is_told_where_it_does_not_begin(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with waited(tmp_path, clock, afresh=True, limit=10) as waiting:
        await clock.advance(10)
        assert waiting.result() == Answer([], timed_out=True)


async def test_a_run_is_found_though_the_next_has_begun(tmp_path: Path, clock: FakeClock) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        run = build.snapshot.tracker.run_id
        build.fail("no idea")
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        answer = await wait(Builds(tmp_path, clock=clock), Wanted(["TASK-1"], run=run), clock=clock)
    assert states(answer) == ["failed"]
    assert answer.looks[0].verdict.evidence == "ended after 0 s: no idea"


async def test_a_run_is_waited_for_and_not_the_one_after_it(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with AsyncExitStack() as stack:
        one = track_build("TASK-1", root=tmp_path, clock=clock)
        run = one.snapshot.tracker.run_id
        await stack.enter_async_context(one)
        async with waited(tmp_path, clock, run=run) as waiting:
            await clock.advance(1)
            assert not waiting.done()
            await stack.aclose()
            async with track_build("TASK-1", root=tmp_path, clock=clock):
                await clock.advance(1)
                assert states(waiting.result()) == ["completed"]


async def test_a_run_that_is_not_known_is_told_of(tmp_path: Path, clock: FakeClock) -> None:
    builds = Builds(tmp_path, clock=clock)
    for known in ("", "; its latest is [0-9a-f]{16}"):
        with pytest.raises(ProgressNotFoundError, match=f"TASK-1 has no such run{known}: see "):
            await wait(builds, Wanted(["TASK-1"], run="0" * 16), clock=clock)
        async with track_build("TASK-1", root=tmp_path, clock=clock):
            pass


async def test_a_run_that_has_left_no_end_has_crashed(tmp_path: Path, clock: FakeClock) -> None:
    runs: list[str] = []
    for _ in range(2):
        async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
            runs.append(build.snapshot.tracker.run_id)
    journal = tmp_path / ".guardkit/autobuild/TASK-1/events.jsonl"
    lines = [line for line in journal.read_text().splitlines(keepends=True) if runs[0] in line]
    journal.write_text("".join(lines[:-1]))
    answer = await wait(Builds(tmp_path, clock=clock), Wanted(["TASK-1"], run=runs[0]), clock=clock)
    assert states(answer) == ["crashed"]
    assert "another run has taken TASK-1" in answer.looks[0].verdict.evidence


def at(seq: int, phase: str) -> Look:
    found = look("A", phase=phase)
    assert found.snapshot
    tracker = replace(found.snapshot.tracker, seq=seq)
    return Look("A", replace(found.snapshot, tracker=tracker), found.verdict, found.where)


async def test_a_single_look_that_is_behind_the_watch_takes_nothing_back() -> None:
    first, later = at(3, "Player Implementation"), at(5, "Coach Validation")
    waiting = seen(Wanted(["A"], "change"), first, later)
    waiting.refresh([first])
    assert waiting.is_met()

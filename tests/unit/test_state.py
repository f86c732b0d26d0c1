"""The state of a build: what a change makes of its snapshot, at exact virtual times."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from guardkit.progress.order import moved
from guardkit.progress.snapshot import Snapshot, Tasks, Usage, Work, is_newer
from guardkit.progress.state import EVENTS_MAX, Shown, State
from guardkit.testing import FakeClock

pytestmark = pytest.mark.anyio

BEGIN = datetime(2025, 1, 31, 12, 34, 56, tzinfo=UTC)


def make_new(clock: FakeClock) -> State:
    """Return the state of a build that has not begun."""
    at = clock.now()
    first = Snapshot(build_id="B", task_id="T", turn_max=5, started_at=at, updated_at=at)
    return State(first, clock)


def make(clock: FakeClock) -> State:
    """Return the state of a build that has begun."""
    state = make_new(clock)
    state.start()
    state.step("build.started")
    return state


@pytest.fixture
def state(clock: FakeClock) -> State:
    return make(clock)


def seconds(instant: datetime | None) -> float:
    """Return how many seconds after the clock's beginning an instant is."""
    assert instant
    return (instant - BEGIN).total_seconds()


# what is new


async def test_a_look_at_what_has_not_changed_gives_the_same_number(
    state: State, clock: FakeClock
) -> None:
    first = state.view()
    await clock.advance(3.0)
    later = state.view()
    assert (later.tracker.seq, later.tracker.activity_at) == (1, first.tracker.activity_at)
    assert (later.tracker.beat, later.metrics.elapsed_seconds) == (3.0, 3)
    assert is_newer(later, first)


async def test_a_transition_is_an_event_that_shows_the_snapshot_after_it(state: State) -> None:
    after = state.step("turn.started", turn=1)
    _, event = state.take().events
    assert (event.event, event.seq, event.progress) == ("turn.started", 2, after)


async def test_news_are_taken_once(state: State) -> None:
    assert [event.event for event in state.take().events] == ["build.started"]
    assert state.take().events == ()


async def test_what_was_left_goes_along_with_a_transition(state: State) -> None:
    state.left.files_created, state.left.clean = 7, False
    assert state.step("turn.started", turn=1).metrics.files_created == 7
    assert (state.left.clean, state.view().tracker.seq) == (True, 2)


async def test_news_that_are_taken_hold_what_was_left_after_the_last_transition(
    state: State,
) -> None:
    state.left.message, state.left.clean = "here", False
    news = state.take()
    assert (news.snapshot.message, news.snapshot.tracker.seq) == ("here", 2)
    assert [event.seq for event in news.events] == [1]


async def test_nothing_changes_after_the_end(state: State, clock: FakeClock) -> None:
    end = state.step("build.ended", status="completed")
    await clock.advance(5.0)
    state.left.files_created, state.left.clean = 7, False
    assert state.step("turn.started", turn=1) == state.view() == state.take().snapshot == end


async def test_events_that_nobody_takes_are_kept_up_to_a_bound(state: State) -> None:
    for number in range(EVENTS_MAX + 5):
        state.step("decided", decision=str(number))
    events = state.take().events
    assert len(events) == EVENTS_MAX
    assert [events[0].progress.decision, events[-1].progress.decision] == ["5", "1004"]


async def test_what_is_dropped_is_counted_once(state: State) -> None:
    for number in range(EVENTS_MAX + 2):
        state.step("decided", decision=str(number))
    state.view()
    first = state.take()
    assert (first.lost, state.take().lost) == (3, 0)
    for number in range(EVENTS_MAX + 4):
        state.step("decided", decision=str(number))
    second = state.take()
    assert second.lost == 4
    assert (first.then(second).lost, len(first.then(second).events)) == (3 + 4 + 1000, EVENTS_MAX)
    state.step("decided", decision="last")
    third = state.take()
    assert (third.lost, third.then(third).lost, first.then(third).lost) == (0, 0, 3 + 1)


async def test_exactly_as_many_events_as_may_wait_are_all_kept(state: State) -> None:
    for number in range(EVENTS_MAX - 1):
        state.step("decided", decision=str(number))
    news = state.take()
    assert (news.lost, len(news.events)) == (0, EVENTS_MAX)


async def test_news_with_newer_ones_behind_them_are_in_order(state: State) -> None:
    first = state.take()
    state.step("turn.started", turn=1)
    second = state.take()
    both = first.then(second)
    assert both.snapshot == second.snapshot
    assert [event.event for event in both.events] == ["build.started", "turn.started"]


async def test_a_phase_of_the_same_name_is_another_one(state: State) -> None:
    first = state.begin_phase(Shown(name="Setup"))
    before = state.view()
    second = state.begin_phase(Shown(name="Setup"))
    assert (first.number, second.number) == (1, 2)
    assert moved(state.view(), before)


# the beginning


async def test_all_that_is_told_of_the_time_begins_with_the_build(clock: FakeClock) -> None:
    """Which was made before, when the clocks told other times."""
    await clock.advance(7.0)
    at = clock.now()
    state = State(
        Snapshot(build_id="B", task_id="T", turn_max=5, started_at=at, updated_at=at), clock
    )
    await clock.advance(3.12345)
    state.start()
    clock.jump(0.5)
    shown = state.view()
    assert (seconds(shown.started_at), seconds(shown.updated_at)) == (10, 10)
    assert (seconds(shown.tracker.activity_at), shown.tracker.beat) == (10, 10.123)
    assert shown.metrics.elapsed_seconds == 0
    await clock.advance(4.0)
    assert state.view().metrics.elapsed_seconds == 4


async def test_what_is_known_before_a_build_has_begun_is_when_it_was_made(clock: FakeClock) -> None:
    await clock.advance(3.12345)
    at = clock.now()
    state = State(
        Snapshot(build_id="B", task_id="T", turn_max=5, started_at=at, updated_at=at), clock
    )
    made = state._moment.snapshot
    assert (seconds(made.started_at), seconds(made.updated_at)) == (3, 3)
    assert (seconds(made.tracker.activity_at), made.tracker.beat) == (3, 3.123)


# the time


JUMPS = pytest.mark.parametrize(
    "jump", [-3600.0, -1.5, -1.0, 1.0, 1.5, 3600.0], ids=lambda jump: f"{jump:+g} s"
)


@JUMPS
async def test_instants_follow_a_clock_that_is_set(
    state: State, clock: FakeClock, jump: float
) -> None:
    await clock.advance(10.0)
    state.begin_phase(Shown(name="Setup"))
    await clock.advance(20.0)
    clock.jump(jump)
    shown = state.view()
    moved_by = (timedelta(seconds=jump) // timedelta(seconds=1)) + 0.0
    assert seconds(shown.tracker.phase_started_at) == seconds(shown.tracker.activity_at)
    assert seconds(shown.tracker.phase_started_at) == 10 + moved_by
    assert seconds(shown.updated_at) == 30 + moved_by
    assert shown.metrics.elapsed_seconds == 30


@JUMPS
async def test_an_age_is_right_right_after_the_clock_is_set(
    state: State, clock: FakeClock, jump: float
) -> None:
    state.begin_phase(Shown(name="Setup"))
    await clock.advance(7.0)
    clock.jump(jump)
    tracker = state.view().tracker
    assert tracker.activity_at
    assert (state.view().updated_at - tracker.activity_at).total_seconds() == 7.0


@JUMPS
async def test_a_clock_that_is_set_is_no_activity_and_no_news(
    state: State, clock: FakeClock, jump: float
) -> None:
    before = state.view()
    clock.jump(jump)
    after = state.view()
    assert after.tracker.seq == before.tracker.seq
    assert not moved(after, before)
    assert is_newer(after, before) == (after.tracker.beat > before.tracker.beat)


@JUMPS
async def test_what_happens_after_the_clock_is_set_happens_at_its_time(
    state: State, clock: FakeClock, jump: float
) -> None:
    clock.jump(jump)
    await clock.advance(2.0)
    state.begin_phase(Shown(name="Setup"))
    tracker = state.view().tracker
    at = seconds(clock.now().replace(microsecond=0))
    assert (seconds(tracker.phase_started_at), seconds(tracker.activity_at)) == (at, at)


async def test_a_clock_that_runs_a_little_too_fast_moves_no_instant(
    state: State, clock: FakeClock
) -> None:
    state.begin_phase(Shown(name="Setup"))
    for _ in range(9):
        await clock.advance(1.0)
        clock.jump(0.1)
        assert seconds(state.view().tracker.activity_at) == 0


async def test_a_touch_is_activity_and_no_news(state: State, clock: FakeClock) -> None:
    await clock.advance(4.0)
    state.left.touched, state.left.clean = clock.monotonic(), False
    await clock.advance(3.0)
    tracker = state.view().tracker
    assert (tracker.seq, seconds(tracker.activity_at)) == (1, 4)


async def test_a_touch_before_the_last_activity_moves_nothing_back(
    state: State, clock: FakeClock
) -> None:
    state.left.touched, state.left.clean = clock.monotonic(), False
    await clock.advance(4.0)
    state.step("decided", decision="approve")
    assert seconds(state.view().tracker.activity_at) == 4


# work


async def test_work_is_that_of_the_phase_that_is_shown(state: State) -> None:
    outer = state.begin_phase(Shown(name="Outer"))
    state.left.works[outer.number], state.left.clean = Work(1, 2, "rows"), False
    assert state.view().work == Work(1, 2, "rows")
    state.begin_phase(Shown(name="Inner"))
    assert state.view().work is None
    state.step(None, shown=outer, phase_status="in_progress")
    assert state.view().work == Work(1, 2, "rows")


# what agents have used, tasks, locks


@pytest.mark.parametrize(
    ("tokens", "cost", "usage"),
    [
        (None, None, None),
        (5, None, Usage(5, 0.0)),
        (None, 0.5, Usage(0, 0.5)),
        (5, 0.5, Usage(5, 0.5)),
        (0, None, Usage(0, 0.0)),
    ],
    ids=["nothing", "tokens", "a cost", "both", "no tokens"],
)
async def test_what_agents_have_used_is_shown_as_far_as_it_was_told(
    state: State, tokens: int | None, cost: float | None, usage: Usage | None
) -> None:
    state.left.tokens, state.left.cost_usd, state.left.clean = tokens, cost, False
    assert state.view().usage == usage


async def test_the_tasks_of_a_feature_are_shown(state: State) -> None:
    state.left.tasks, state.left.clean = Tasks(total=3, running=1), False
    assert state.view().tasks == Tasks(total=3, running=1)


async def test_a_lock_stays_until_it_is_said_to_be_another_or_none(state: State) -> None:
    state.step(None, lock="1:2")
    state.step("turn.started", turn=1)
    assert state.view().tracker.lock == "1:2"
    state.step(None, lock=None)
    assert state.view().tracker.lock is None


# from anywhere


async def test_changes_from_many_threads_are_all_there_and_in_order(
    state: State, clock: FakeClock
) -> None:
    def work(name: str) -> None:
        for number in range(100):
            state.step("decided", decision=f"{name}{number}")

    threads = [threading.Thread(target=work, args=[name]) for name in "abcd"]
    for thread in threads:
        thread.start()
    taken = [event for _ in range(50) for event in state.take().events]
    for thread in threads:
        thread.join()
    taken += state.take().events
    assert [event.seq for event in taken] == list(range(1, 402))
    decisions = [event.progress.decision for event in taken[1:]]
    for name in "abcd":
        of_one = [each for each in decisions if each and each.startswith(name)]
        assert of_one == [f"{name}{number}" for number in range(100)]


class Trap:
    """A clock that does something while the state looks at it, as a handler may: once."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.spring: Callable[[], object] | None = None

    def now(self) -> datetime:
        spring, self.spring = self.spring, None
        if spring:
            spring()
        return self.clock.now()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.clock, name)


@pytest.mark.parametrize("outer", ["step", "view", "take"])
@pytest.mark.parametrize("inner", ["step", "view", "left"])
async def test_a_change_in_the_midst_of_another_one_loses_neither(
    clock: FakeClock, outer: str, inner: str
) -> None:
    trap = Trap(clock)
    state = make(trap)  # type: ignore[arg-type]
    state.take()

    def leave() -> None:
        state.left.files_created, state.left.clean = 7, False

    inners: dict[str, Callable[[], object]] = {
        "step": lambda: state.step("decided", decision="inner"),
        "view": state.view,
        "left": leave,
    }
    outers: dict[str, Callable[[], Any]] = {
        "step": lambda: state.step("turn.started", turn=1),
        "view": state.view,
        "take": state.take,
    }
    trap.spring = inners[inner]
    taken = outers[outer]()
    events = list(taken.events) if outer == "take" else []
    events += state.take().events
    names = [event.event for event in events]
    assert names.count("decided") == (inner == "step")
    assert names.count("turn.started") == (outer == "step")
    assert [event.seq for event in events] == list(range(2, 2 + len(events)))
    assert state.view().metrics.files_created == (7 if inner == "left" else 0)


async def test_activity_is_never_later_than_the_document_though_the_clock_was_set_back(
    clock: FakeClock,
) -> None:
    await clock.advance(0.99)
    state = make(clock)
    await clock.advance(0.02)
    state.step("decided", decision="feedback")
    clock.jump(-0.5)
    seen = state.view()
    assert seen.tracker.activity_at == seen.updated_at == BEGIN

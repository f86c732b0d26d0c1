import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from guardkit import Build, Event, read_events, track_build
from guardkit.places.traces.ids import Outer, innermost, span_of, trace_of
from guardkit.places.traces.spans import Span, Tree, nanoseconds
from guardkit.places.traces.transitions import Transitions
from guardkit.progress.snapshot import make_event
from guardkit.testing import FakeClock, MemorySink

pytestmark = pytest.mark.anyio

OUTER = Outer(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331)
SECOND = 10**9


class Recorder:
    """Builds TASK-1 below a folder, and returns the spans of its journal."""

    def __init__(self, root: Path, clock: FakeClock) -> None:
        self.root = root
        self.clock = clock

    def track(self, **options: Any) -> Build:
        return track_build("TASK-1", root=self.root, clock=self.clock, **options)

    def events(self, task_id: str = "TASK-1") -> list[Event]:
        return read_events(task_id, root=self.root)

    def spans(self, task_id: str = "TASK-1", outer: Outer | None = None) -> dict[str, Span]:
        return {span.name: span for span in Tree(outer).take(self.events(task_id))}


@pytest.fixture
def recorder(tmp_path: Path, clock: FakeClock) -> Recorder:
    return Recorder(tmp_path, clock)


def parents(spans: dict[str, Span]) -> dict[str, str]:
    """Return the name of the span around each span, "" where it is none of these."""
    names = {span.span_id: name for name, span in spans.items()}
    return {name: names.get(span.parent, "") for name, span in spans.items()}


def results(spans: dict[str, Span]) -> dict[str, Any]:
    keys = "cicd.pipeline.result", "cicd.pipeline.task.run.result"
    return {
        n: next(s.attributes[key] for key in keys if key in s.attributes) for n, s in spans.items()
    }


async def a_turn(build: Build, clock: FakeClock) -> None:
    async with build.turn() as turn:
        async with turn.phase("Player Implementation") as phase:
            await clock.advance(2.5)
            phase.update(files_created=2, tests_passed=1, tests_total=3)
            async with phase.phase("Format"):
                await clock.advance(1)
        turn.decide("approve", "3 tests passing")


async def test_a_build_is_a_span_around_its_turns_and_these_around_their_phases(
    recorder: Recorder, clock: FakeClock
) -> None:
    async with recorder.track(task_name="Tax") as build:
        async with build.phase("Setup"):
            await clock.advance(1)
        await a_turn(build, clock)
    spans = recorder.spans()
    assert parents(spans) == {
        "Setup": "BUILD TASK-1",
        "Format": "Player Implementation",
        "Player Implementation": "turn 1",
        "turn 1": "BUILD TASK-1",
        "BUILD TASK-1": "",
    }
    zero = spans["BUILD TASK-1"].began
    assert zero == nanoseconds("2025-01-31T12:34:56Z")
    assert {
        n: ((s.began - zero) / SECOND, (s.ended - zero) / SECOND) for n, s in spans.items()
    } == {
        "Setup": (0, 1),
        "Format": (3.5, 4.5),
        "Player Implementation": (1, 4.5),
        "turn 1": (1, 4.5),
        "BUILD TASK-1": (0, 4.5),
    }


async def test_a_span_says_what_it_is_in_the_words_of_the_conventions(
    recorder: Recorder, clock: FakeClock
) -> None:
    async with recorder.track(task_name="Tax", build_id="MY-BUILD") as build:
        await a_turn(build, clock)
        build.spent(tokens=100, cost_usd=0.5)
    run_id, spans = build.snapshot.tracker.run_id, recorder.spans()
    tracker = build.snapshot.tracker
    assert spans["BUILD TASK-1"].attributes == {
        "cicd.pipeline.name": "MY-BUILD",
        "cicd.pipeline.run.id": run_id,
        "cicd.pipeline.action.name": "BUILD",
        "cicd.pipeline.result": "success",
        "host.name": tracker.host,
        "process.pid": tracker.pid,
        "guardkit.unit": "build",
        "guardkit.task.id": "TASK-1",
        "guardkit.task.name": "Tax",
        "guardkit.files.created": 2,
        "guardkit.tests.passed": 1,
        "guardkit.tests.total": 3,
        "guardkit.usage.tokens": 100,
        "guardkit.usage.cost_usd": 0.5,
    }
    assert spans["turn 1"].attributes == {
        "cicd.pipeline.name": "MY-BUILD",
        "cicd.pipeline.run.id": run_id,
        "cicd.pipeline.task.name": "turn 1",
        "cicd.pipeline.task.run.id": f"{run_id}/turn/1",
        "cicd.pipeline.task.run.result": "success",
        "guardkit.unit": "turn",
        "guardkit.task.id": "TASK-1",
        "guardkit.decision": "approve",
        "guardkit.message": "3 tests passing",
        "guardkit.files.created": 2,
        "guardkit.tests.passed": 1,
        "guardkit.tests.total": 3,
    }
    [note] = spans["turn 1"].notes
    assert (note.name, note.at) == ("decided", spans["turn 1"].ended)


async def raise_(_: Build) -> None:
    raise ValueError("no")


async def fail(build: Build) -> None:
    build.fail("no turn was approved")
    build.decide("max_turns_exceeded")


async def run_out(build: Build) -> None:
    build.decide("timeout_budget_exhausted")
    build.fail("the Player did not finish within 5 s")


async def cancel(_: Build) -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("body", "result", "kind", "error"),
    [
        pytest.param(raise_, "failure", "ValueError", "ValueError: no", id="an exception"),
        pytest.param(fail, "failure", "max_turns_exceeded", "no turn was approved", id="a failure"),
        pytest.param(
            run_out, "timeout", "timeout", "the Player did not finish within 5 s", id="time"
        ),
        pytest.param(cancel, "cancellation", None, None, id="a cancellation"),
    ],
)
async def test_a_span_says_how_a_build_has_ended(
    recorder: Recorder, body: Callable[[Build], Any], result: str, kind: str, error: str
) -> None:
    with suppress(ValueError, asyncio.CancelledError):
        async with recorder.track() as build:
            await body(build)
    span = recorder.spans()["BUILD TASK-1"]
    assert span.attributes["cicd.pipeline.result"] == result
    assert (span.attributes.get("error.type"), span.error) == (kind, error)


async def test_a_phase_that_fails_fails_its_turn_and_no_other_one(recorder: Recorder) -> None:
    async with recorder.track() as build:
        async with build.turn() as turn, turn.phase("Tests") as phase:
            phase.fail("2 of 3 passed")
        async with build.turn():
            pass
    spans = recorder.spans()
    assert results(spans) == {
        "Tests": "failure",
        "turn 1": "failure",
        "turn 2": "success",
        "BUILD TASK-1": "success",
    }
    assert (spans["Tests"].error, spans["Tests"].attributes["error.type"]) == (
        "2 of 3 passed",
        "_OTHER",
    )
    assert [note.name for note in spans["Tests"].notes] == ["failed"]


async def test_what_is_open_when_a_build_is_cancelled_is_cancelled(
    recorder: Recorder, clock: FakeClock
) -> None:
    with suppress(asyncio.CancelledError):
        async with recorder.track() as build:
            async with build.turn():
                await clock.advance(1)
            async with build.turn() as turn, turn.phase("Player Implementation"):
                raise asyncio.CancelledError
    assert results(recorder.spans()) == {
        "turn 1": "success",
        "Player Implementation": "cancellation",
        "turn 2": "cancellation",
        "BUILD TASK-1": "cancellation",
    }


async def test_a_turn_whose_phase_is_cancelled_is_so_though_the_build_goes_on(
    recorder: Recorder, clock: FakeClock
) -> None:
    async with recorder.track() as build:
        with suppress(asyncio.CancelledError):
            async with build.turn() as turn, turn.phase("Player Implementation"):
                raise asyncio.CancelledError
        await clock.advance(1)
        async with build.turn() as turn, turn.phase("Again"):
            pass
    assert results(recorder.spans()) == {
        "Player Implementation": "cancellation",
        "turn 1": "cancellation",
        "Again": "success",
        "turn 2": "success",
        "BUILD TASK-1": "success",
    }


async def test_of_two_phases_side_by_side_neither_is_in_the_other(recorder: Recorder) -> None:
    async with recorder.track() as build, build.turn() as turn:
        first, second = turn.phase("First"), turn.phase("Second")
        await first.__aenter__()
        await second.__aenter__()
        await first.__aexit__(None, None, None)
        await second.__aexit__(None, None, None)
    assert parents(recorder.spans()) == {
        "First": "turn 1",
        "Second": "turn 1",
        "turn 1": "BUILD TASK-1",
        "BUILD TASK-1": "",
    }


async def test_a_dead_build_has_ended_when_it_was_last_heard_of(
    recorder: Recorder, clock: FakeClock
) -> None:
    async with recorder.track() as build, build.turn() as turn, turn.phase("Player Implementation"):
        await clock.advance(60)
        last, alive = build.snapshot, recorder.events()
    dead = replace(last, status="failed", error="crashed: process 7 on box ended without a word")
    clock.jump(86_400)
    end = make_event("build.ended", clock.now(), dead)
    spans = {span.name: span for span in Tree().take([*alive, end])}
    assert results(spans) == dict.fromkeys(
        ("Player Implementation", "turn 1", "BUILD TASK-1"), "error"
    )
    assert {span.ended - span.began for span in spans.values()} == {60 * SECOND}
    assert {span.attributes["error.type"] for span in spans.values()} == {"crashed"}


async def test_the_task_of_a_feature_is_in_its_wave_and_the_wave_in_the_feature(
    recorder: Recorder,
) -> None:
    options: dict[str, Any] = {"build_type": "feature", "wave_total": 2}
    async with recorder.track(**options) as feature:
        async with feature.wave(1) as wave, wave.task("TASK-2") as task:
            pass
        async with feature.wave(1):
            pass
    spans = Tree(OUTER).take(recorder.events())
    assert [span.name for span in spans] == ["wave 1", "wave 1", "BUILD TASK-1"]
    assert len({span.span_id for span in spans}) == 3
    [inner] = recorder.spans("TASK-2", OUTER).values()
    assert (inner.name, inner.parent) == ("TASK-2", spans[0].span_id)
    assert inner.attributes["cicd.pipeline.task.run.id"] == task.snapshot.tracker.run_id
    assert inner.attributes["cicd.pipeline.run.id"] == feature.snapshot.tracker.run_id
    assert {each.origin.trace_id for each in (*spans, inner)} == {OUTER.trace_id}
    assert spans[-1].parent == OUTER.span_id
    [apart] = recorder.spans("TASK-2").values()
    assert apart.origin.trace_id == trace_of(feature.snapshot.tracker.run_id)


async def test_what_runs_in_a_phase_can_be_told_its_span_before_that_has_ended(
    recorder: Recorder,
) -> None:
    seen: dict[str, int] = {}
    async with recorder.track() as build:
        seen["BUILD TASK-1"] = innermost(build.snapshot)
        async with build.turn() as turn:
            seen["turn 1"] = innermost(build.snapshot)
            async with turn.phase("Player Implementation"):
                seen["Player Implementation"] = innermost(build.snapshot)
    assert {name: span.span_id for name, span in recorder.spans().items()} == seen


async def test_a_span_is_the_same_whoever_makes_it_and_when(recorder: Recorder) -> None:
    async with recorder.track() as build, build.turn():
        pass
    events = recorder.events()
    tree = Tree()
    assert [span for event in events for span in tree.take([event])] == Tree().take(events)


@pytest.mark.parametrize(
    "at", ["", "yesterday", "2025-01-31T12:34:56", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"]
)
async def test_an_event_at_no_instant_is_passed_over(recorder: Recorder, at: str) -> None:
    async with recorder.track() as build:
        pass
    first, last = recorder.events()
    tree = Tree()
    assert tree.take([first, replace(last, at=at)]) == []
    assert build.snapshot.terminal
    assert not tree.ended


async def test_the_end_of_what_the_journal_has_not_seen_begin_is_passed_over(
    recorder: Recorder,
) -> None:
    async with recorder.track() as build, build.turn() as turn, turn.phase("Player Implementation"):
        pass
    events = recorder.events()
    assert [span.name for span in Tree().take(events[2:])] == ["Player Implementation"]


async def test_a_turn_whose_end_was_lost_ends_with_the_next_one(recorder: Recorder) -> None:
    async with recorder.track() as build:
        async with build.turn():
            pass
        async with build.turn():
            pass
    kept = [event for event in recorder.events() if event.event != "turn.ended"]
    spans = {span.name: span for span in Tree().take(kept)}
    assert parents(spans) == {
        "turn 1": "BUILD TASK-1",
        "turn 2": "BUILD TASK-1",
        "BUILD TASK-1": "",
    }
    assert spans["turn 1"].ended == spans["turn 2"].began


def told(snapshots: Sequence[Any]) -> list[str]:
    transitions = Transitions()
    return [name for snapshot in snapshots for name in transitions.take(snapshot)]


async def test_transitions_tell_the_same_tree_as_the_journal(
    recorder: Recorder, clock: FakeClock
) -> None:
    sink = MemorySink(transitions=True)
    async with recorder.track(build_type="feature", task_total=2, sinks=[sink]) as feature:
        async with feature.phase("Setup"):
            await clock.advance(0.2)
        async with feature.wave(1) as wave, wave.task("TASK-2") as build:
            await a_turn(build, clock)
    for task_id in ("TASK-1", "TASK-2"):
        tree, transitions, found = Tree(), Transitions(), list[Span]()
        for now in sink.snapshots:
            if now.task_id == task_id:
                names = transitions.take(now)
                found += tree.take([make_event(name, clock.now(), now) for name in names])
        assert parents({span.name: span for span in found}) == parents(recorder.spans(task_id))


async def test_an_outer_phase_that_is_shown_again_has_not_begun_again(clock: FakeClock) -> None:
    sink = MemorySink(transitions=True)
    async with track_build("TASK-1", root=None, clock=clock, sinks=[sink]) as build:
        async with build.phase("Outer") as outer, outer.phase("Inner"):
            pass
    names = told(sink.snapshots)
    assert names == [
        "build.started",
        "phase.started",
        "phase.started",
        "phase.ended",
        "phase.ended",
        "build.ended",
    ]


@pytest.mark.parametrize(
    ("text", "outer"),
    [
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", OUTER),
        ("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", OUTER),
        (
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
            Outer(OUTER.trace_id, OUTER.span_id, sampled=False),
        ),
        ("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", None),
        ("00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01", None),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", None),
        (f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01", None),
        ("", None),
        (None, None),
    ],
)
def test_a_traceparent_is_read_as_the_w3c_has_it(text: str | None, outer: Outer | None) -> None:
    assert Outer.parse(text) == outer


def test_an_outer_span_is_written_as_it_is_read() -> None:
    for outer in (OUTER, Outer(1, 2, sampled=False)):
        assert Outer.parse(str(outer)) == outer


def test_the_numbers_of_spans_are_told_apart() -> None:
    units = [("build", 0), *((unit, n) for unit in ("wave", "turn", "phase") for n in range(1, 50))]
    numbers = {span_of(run, *unit) for run in ("0" * 16, "1" * 16) for unit in units}
    assert len(numbers) == 2 * len(units)
    assert 0 not in numbers

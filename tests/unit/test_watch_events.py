"""The transitions that a watch of builds tells of."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from msgspec.structs import replace

from guardkit import track_build
from guardkit.monitor.builds import Builds
from guardkit.monitor.look import Look
from guardkit.testing import FakeClock

from ..looks import TRACKER, Writer, document, watching

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


def events(looks: Iterable[Look]) -> list[list[tuple[str, str]]]:
    return [[(event.run_id, event.event) for event in look.events] for look in looks]


async def test_a_look_has_the_transitions_since_the_one_before(
    tmp_path: Path, builds: Builds, clock: FakeClock
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        async with watching(builds, clock) as watched:
            assert [look.events for look in watched.take()] == [()]
            async with build.turn(), build.phase("Setup"):
                pass
            await clock.advance(0.0)
            names = ("turn.started", "phase.started", "phase.ended", "turn.ended")
            run_id = build.snapshot.tracker.run_id
            found = [event for look in events(watched.take()) for event in look]
            assert found == [(run_id, name) for name in names]


@pytest.mark.parametrize("past", [True, False])
async def test_of_the_past_all_of_the_present_run_is_told_or_nothing(
    builds: Builds, writer: Writer, clock: FakeClock, past: bool
) -> None:
    seen = writer.put(document())
    writer.append("build.started", document(tracker=replace(TRACKER, run_id="before")))
    writer.append("build.started", seen)
    writer.append("turn.started", seen)
    async with watching(builds, clock, past=past) as watched:
        history = [("r", "build.started"), ("r", "turn.started")]
        assert events(watched.take()) == [history if past else []]
        writer.append("decided", seen)
        writer.put(replace(seen, decision="approve"))
        await clock.advance(0.0)
        assert events(watched.take()) == [[("r", "decided")]]


async def test_of_a_build_that_begins_meanwhile_all_is_told(
    tmp_path: Path, builds: Builds, clock: FakeClock
) -> None:
    async with watching(builds, clock) as watched:
        async with track_build("TASK-1", root=tmp_path, clock=clock):
            await clock.advance(0.5)
            [[(_, name)]] = events(watched.take())
            assert name == "build.started"


async def test_what_the_journal_has_of_a_later_run_waits_for_its_document(
    builds: Builds, writer: Writer, clock: FakeClock
) -> None:
    seen = writer.put(document())
    async with watching(builds, clock) as watched:
        watched.take()
        new = document(tracker=replace(TRACKER, run_id="s"))
        writer.append("build.ended", seen)
        writer.append("build.started", new)
        writer.put(replace(seen, status="completed"))
        await clock.advance(0.0)
        assert events(watched.take()) == [[("r", "build.ended")]]
        writer.put(new)
        await clock.advance(0.0)
        assert events(watched.take()) == [[("s", "build.started")]]


async def test_the_end_of_a_run_is_told_of_though_the_next_one_has_begun(
    builds: Builds, writer: Writer, clock: FakeClock
) -> None:
    seen = writer.put(document())
    async with watching(builds, clock) as watched:
        watched.take()
        new = document(tracker=replace(TRACKER, run_id="s"))
        writer.append("build.ended", seen)
        writer.append("build.started", new)
        writer.put(new)
        await clock.advance(0.0)
        assert events(watched.take()) == [[("r", "build.ended"), ("s", "build.started")]]

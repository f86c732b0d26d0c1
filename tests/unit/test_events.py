"""Events: what stands in the journal of a build."""

import re
from pathlib import Path

import pytest

from guardkit import (
    track_build,
)
from guardkit.testing import FakeClock

from ..shown import Journal, OnDisk

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


async def test_every_transition_is_an_event_with_its_name(
    tmp_path: Path, clock: FakeClock, journal: Journal
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        async with build.turn() as turn:
            async with turn.phase("Coach Validation") as phase:
                phase.fail("flaky")
            turn.decide("approve", "well done")
    assert [entry["event"] for entry in journal()] == [
        "build.started",
        "turn.started",
        "phase.started",
        "failed",
        "phase.ended",
        "decided",
        "turn.ended",
        "build.ended",
    ]


async def test_heartbeats_and_updates_are_no_events(
    tmp_path: Path, clock: FakeClock, journal: Journal
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        build.update(files_created=1, message="here")
        await clock.advance(20.0)
    assert [entry["event"] for entry in journal()] == ["build.started", "build.ended"]


async def test_an_event_says_when_by_whom_and_what(
    tmp_path: Path, clock: FakeClock, journal: Journal, on_disk: OnDisk
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        await clock.advance(1.25)
        build.update(tests_passed=1, tests_total=1)
        build.decide("approve")
    started, decided, ended = journal()
    assert list(decided) == ["event", "at", "run_id", "seq", "progress"]
    assert [entry["at"] for entry in (started, decided)] == [
        "2025-01-31T12:34:56.000Z",
        "2025-01-31T12:34:57.250Z",
    ]
    assert decided["progress"]["metrics"]["tests_passed"] == 1
    assert decided["progress"]["decision"] == "approve"
    assert ended["progress"] == on_disk()
    assert ended["run_id"] == on_disk()["tracker"]["run_id"]


async def test_seq_rises_strictly_from_event_to_event(
    tmp_path: Path, clock: FakeClock, journal: Journal
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        for _ in range(3):
            async with build.turn() as turn:
                for name in ("Player Implementation", "Coach Validation"):
                    async with turn.phase("Outer"), turn.phase(name):
                        build.update(message="here")
                turn.decide("feedback")
    numbers = [entry["seq"] for entry in journal()]
    assert numbers == sorted(set(numbers))
    assert all(entry["seq"] == entry["progress"]["tracker"]["seq"] for entry in journal())
    assert all(re.fullmatch(r"2025-01-31T12:34:56\.\d{3}Z", entry["at"]) for entry in journal())


async def test_the_journal_of_an_earlier_run_is_kept(
    tmp_path: Path, clock: FakeClock, journal: Journal
) -> None:
    for _ in range(2):
        async with track_build("TASK-1", root=tmp_path, clock=clock):
            pass
    assert [entry["event"] for entry in journal()] == ["build.started", "build.ended"] * 2
    assert len({entry["run_id"] for entry in journal()}) == 2

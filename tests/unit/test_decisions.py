"""What was decided, and what has failed without an exception."""

from pathlib import Path

import pytest

from guardkit import (
    track_build,
)
from guardkit.testing import FakeClock

from ..shown import OnDisk, shown

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


async def test_the_latest_decision_stays(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        async with build.turn() as turn:
            turn.decide("feedback", "two tests fail")
            assert (build.snapshot.decision, build.snapshot.message) == (
                "feedback",
                "two tests fail",
            )
        async with build.turn() as turn, turn.phase("Coach Validation") as phase:
            assert build.snapshot.decision == "feedback"
            phase.decide("approve")
        build.decide("approved")
    assert (build.snapshot.decision, build.snapshot.message) == ("approved", "two tests fail")


@pytest.mark.parametrize(
    ("decision", "kept"),
    [
        pytest.param("x" * 64, "x" * 64, id="64 letters"),
        pytest.param("x" * 65, "x" * 64, id="65 letters"),
        pytest.param("😀" * 65, "😀" * 64, id="emoji"),
        pytest.param("\0" * 65, "\0" * 64, id="control characters"),
        pytest.param("\ud800" * 65, "\ufffd" * 64, id="lone surrogates"),
        pytest.param("", "", id="empty"),
    ],
)
async def test_a_decision_is_of_64_characters(clock: FakeClock, decision: str, kept: str) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        build.decide(decision)
        assert build.snapshot.decision == kept


# failures


async def test_a_build_that_has_failed_is_failed_though_no_exception_leaves_it(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        build.fail("out of ideas")
        assert (on_disk()["status"], build.snapshot.error) == ("running", "out of ideas")
    assert (on_disk()["status"], on_disk()["error"]) == ("failed", "out of ideas")


async def test_a_build_that_has_failed_says_why_even_where_turns_follow(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        build.fail("out of ideas")
        async with build.turn():
            pass
    assert (build.snapshot.status, build.snapshot.error) == ("failed", "out of ideas")


async def test_a_phase_that_has_failed_says_why_at_once_and_ends_failed(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        async with build.phase("Setup") as phase:
            phase.fail("no network")
            assert shown(build) == (0, "Setup", "in_progress")
            assert build.snapshot.error == "no network"
        assert shown(build) == (0, "Setup", "failed")


async def test_a_turn_that_has_failed_does_not_fail_the_phase_in_it(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        async with build.turn() as turn:
            async with turn.phase("Coach Validation"):
                turn.fail("no report")
                assert shown(build) == (1, "Coach Validation", "in_progress")
            assert shown(build) == (1, "Coach Validation", "completed")
            assert build.snapshot.error == "no report"


async def test_a_failure_that_a_build_got_over_is_no_error_of_it(
    clock: FakeClock,
) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        async with build.turn() as turn:
            turn.fail("no report")
            with pytest.raises(ValueError, match="wrong"):
                async with turn.phase("Coach Validation"):
                    raise ValueError("wrong")
            assert build.snapshot.error == "ValueError: wrong"
        async with build.turn():
            assert build.snapshot.error is None
            turn.fail("late")
    assert (build.snapshot.status, build.snapshot.error) == ("completed", None)


async def test_what_a_scope_says_of_its_failure_counts_more_than_the_exception(
    clock: FakeClock,
) -> None:
    with pytest.raises(ValueError, match="wrong"):
        async with track_build("TASK-1", root=None, clock=clock) as build:
            build.fail("out of ideas")
            raise ValueError("wrong")
    assert (build.snapshot.status, build.snapshot.error) == ("failed", "out of ideas")

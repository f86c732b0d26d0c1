"""Builds whose disk, threads and clocks fail them: they go on as if nothing had happened."""

import asyncio
import os
import re
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from guardkit import (
    Build,
    BuildAlreadyRunningError,
    GuardKitError,
    MisuseError,
    Snapshot,
    assess,
    read_progress,
    track_build,
)
from guardkit.testing import FakeClock

from .faults import AN_HOUR, FAULTS, NOBODY, Fault
from .forking import leftovers
from .mounts import tmpfs
from .tally import Tally

pytestmark = pytest.mark.anyio

HELD_UP = 1.0  # seconds that a build may lose in total,
ENDED = 2.0  # and at its end
MENDED = 2.0  # seconds in which the file is right again
HEARTBEAT = 1.0

each_fault = pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
AT_START = {name: fault for name, fault in FAULTS.items() if fault.at_start}
each_fault_at_start = pytest.mark.parametrize("fault", AT_START.values(), ids=list(AT_START))
NO_ROOT = {name: fault for name, fault in FAULTS.items() if not fault.at_start}


@pytest.fixture
def root(fault: Fault) -> Iterator[Path]:
    """Make a root as the fault needs it, which any user may enter."""
    us = os.geteuid()
    with TemporaryDirectory() as name, ExitStack() as stack:
        root = Path(name, "root")
        for folder in (root.parent, root):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o777)
        if fault.on_tmpfs:
            stack.enter_context(tmpfs(root))
        if fault.as_nobody and us == 0:  # whom no permission can be taken from
            os.chown(root, NOBODY, -1)
            os.seteuid(NOBODY)
            stack.callback(os.seteuid, us)
        yield root


async def work(build: Build, number: int) -> int:
    """Do some of everything, and return what came of it."""
    async with build.turn() as turn:
        async with turn.phase("Player Implementation"):
            turn.update(files_created=number, message=f"file {number}")
        async with turn.phase("Coach Validation"):
            build.update(tests_passed=number, tests_total=number)
        turn.decide("feedback")
    return number


async def drive(clock: FakeClock, body: Coroutine[Any, Any, Any]) -> tuple[Any, float]:
    """Return what came of `body`, and how many seconds it was held up."""
    task, start = asyncio.create_task(body), clock.monotonic()
    await clock.advance(0.0)
    while not task.done():
        await clock.advance(0.1)
    return task.result(), clock.monotonic() - start


def shown(snapshot: Snapshot) -> tuple[object, ...]:
    """Return all of a snapshot but its times."""
    assert snapshot.tracker
    metrics = snapshot.metrics
    return (
        *(snapshot.tracker.run_id, snapshot.tracker.seq, snapshot.status, snapshot.turn),
        *(snapshot.phase, snapshot.phase_status, snapshot.message, snapshot.decision),
        *(metrics.files_created, metrics.tests_passed, metrics.tests_total),
    )


def is_right(root: Path, snapshot: Snapshot) -> bool:
    try:
        return shown(read_progress("TASK-1", root=root)) == shown(snapshot)
    except GuardKitError:
        return False


def state(root: Path, clock: FakeClock) -> str:
    """Return what a reader concludes."""
    return assess(read_progress("TASK-1", root=root), root=root, clock=clock).state


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings, without what differs from file to file."""
    records = [each for each in caplog.records if each.name.startswith("guardkit")]
    assert {each.levelname for each in records} <= {"WARNING"}
    return [re.sub(r"\d|[0-9a-f]{8}", "", each.getMessage()) for each in records]


@each_fault
async def test_a_fault_changes_nothing_and_the_file_is_right_when_it_has_gone(
    fault: Fault,
    root: Path,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
    tally: Tally,
    trials: Callable[[int, int], int],
    request: pytest.FixtureRequest,
) -> None:
    row, held_up = tally("Harmless", f"fault: {request.node.callspec.id}"), 0.0
    build = track_build("TASK-1", root=root, clock=clock, turn_max=99, heartbeat=HEARTBEAT)
    async with build:
        for number in range(trials(2, 25)):
            with fault.make(root, clock):
                result, seconds = await drive(clock, work(build, number))
                await clock.advance(3.0)
            held_up += seconds
            await clock.advance(MENDED)
            row["trials"] += 1
            row["faults"] += 1
            row["lost"] += not is_right(root, build.snapshot)
            row["leftovers"] += len(leftovers(root))
            row["wrong"] += state(root, clock) != "running"
            assert result == number
    assert is_right(root, build.snapshot)
    assert build.snapshot.status == "completed"
    assert held_up <= HELD_UP
    assert (row["lost"], row["leftovers"], row["wrong"]) == (0, 0, 0)
    assert len(warned(caplog)) in fault.warnings, warned(caplog)


@each_fault_at_start
async def test_a_fault_from_before_the_start_until_after_the_end_changes_nothing(
    fault: Fault,
    root: Path,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
    tally: Tally,
) -> None:
    row = tally("Harmless", "faults from start to end")
    row["trials"] = row["faults"] = 1

    start = clock.monotonic()

    async def whole() -> tuple[int, float, str]:
        async with track_build("TASK-1", root=root, clock=clock) as build:
            result, held_up = await work(build, 1), clock.monotonic() - start
        return result, held_up, build.snapshot.status

    with fault.make(root, clock):
        (result, held_up, status), seconds = await drive(clock, whole())
    assert (result, status) == (1, "completed")
    assert held_up <= HELD_UP
    assert seconds - held_up <= ENDED
    row["leftovers"] += len(leftovers(root))
    assert row["leftovers"] == 0
    assert len(warned(caplog)) == len(set(warned(caplog))), warned(caplog)


@pytest.mark.parametrize("fault", NO_ROOT.values(), ids=list(NO_ROOT))
async def test_to_begin_without_a_root_is_misuse(
    fault: Fault, root: Path, clock: FakeClock
) -> None:
    with fault.make(root, clock), pytest.raises(MisuseError, match="is no folder"):
        await track_build("TASK-1", root=root, clock=clock).__aenter__()


@each_fault_at_start
async def test_a_fault_at_the_start_is_over_when_it_has_gone(
    fault: Fault, root: Path, clock: FakeClock, tally: Tally
) -> None:
    row = tally("Harmless", "faults at the start")
    row["trials"] = row["faults"] = 1
    async with track_build("TASK-1", root=root, clock=clock):
        pass  # there were builds before
    build = track_build("TASK-1", root=root, clock=clock, heartbeat=HEARTBEAT)
    with fault.make(root, clock):
        await drive(clock, build.__aenter__())
    await clock.advance(MENDED)
    row["lost"] += not is_right(root, build.snapshot)
    row["wrong"] += state(root, clock) != "running"
    assert (row["lost"], row["wrong"]) == (0, 0)
    with pytest.raises(BuildAlreadyRunningError):
        await track_build("TASK-1", root=root, clock=clock).__aenter__()
    await build.__aexit__(None, None, None)
    assert is_right(root, build.snapshot)


@pytest.mark.parametrize("seconds", [AN_HOUR, -AN_HOUR], ids=["forth", "back"])
async def test_a_clock_that_is_set_makes_no_phase_overdue_or_idle(
    seconds: float, tmp_path: Path, clock: FakeClock, tally: Tally
) -> None:
    row = tally("Alive", "verdicts when a clock was set")
    row["trials"] = row["faults"] = 1
    async with track_build("TASK-1", root=tmp_path, clock=clock, heartbeat=HEARTBEAT) as build:
        async with build.phase("Setup", budget=600):
            await clock.advance(10)
            clock.jump(seconds)
            await clock.advance(MENDED)
            row["wrong"] += state(tmp_path, clock) != "running"
    assert row["wrong"] == 0


async def test_a_phase_is_overdue_and_a_build_stalled_though_a_clock_was_set_back(
    tmp_path: Path, clock: FakeClock, tally: Tally
) -> None:
    row = tally("Alive", "verdicts when a clock was set")
    row["trials"] = row["faults"] = 2
    async with track_build("TASK-1", root=tmp_path, clock=clock, heartbeat=HEARTBEAT) as build:
        async with build.phase("Setup", budget=600):
            clock.jump(-AN_HOUR)
            await clock.advance(700)
            row["wrong"] += state(tmp_path, clock) != "overdue"
        clock.jump(-AN_HOUR)
        await clock.advance(2000)
        row["wrong"] += state(tmp_path, clock) != "stalled"
    assert row["wrong"] == 0

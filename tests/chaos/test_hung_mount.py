"""A mount that hangs as a dead network drive does: a FUSE file system whose server is stopped."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from guardkit import Snapshot, read_progress

from .forking import SECOND, Builder, leftovers, state, wait_for
from .mounts import Mount, mounted
from .tally import Tally, detected

HELD_UP = 1.0  # seconds that a build may lose in total
ENDED = 2.0  # seconds in which it ends, and in which the file is right again
NORMAL = 0.5  # seconds that all of it takes here at most without a fault


StartBuild = Callable[[], Builder]


@pytest.fixture
def start_build(mount: Mount) -> Iterator[StartBuild]:
    """Start a build on the mount; it is ended in any case."""
    with ExitStack() as stack:

        def start() -> Builder:
            return stack.enter_context(Builder(mount.path))

        yield start


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    with mounted(tmp_path) as mount:
        yield mount


def seen(mount: Mount) -> Snapshot:
    """Return what the file says; `bindfs` itself does not show a rename at one instant."""
    return read_progress("TASK-1", root=mount.behind)


def end(builder: Builder) -> None:
    """Have the build end in its time, and its interpreter exit."""
    builder.go_on()
    assert builder.says("left") < ENDED
    builder.go_on()
    assert builder.exits() < ENDED


def test_a_build_on_a_mount_that_hangs_loses_a_second_and_exits(
    mount: Mount, start_build: StartBuild, tally: Tally
) -> None:
    row = tally("Harmless", "hung mount")
    row["trials"] = row["faults"] = 1
    builder = start_build()
    builder.says("entered")
    mount.hang()
    builder.go_on()
    assert builder.says("worked") < HELD_UP + NORMAL
    end(builder)
    mount.mend()
    seconds = wait_for(lambda: state(mount.path, "TASK-1") in ("completed", "crashed"), SECOND)
    row["wrong"] += seconds is None
    detected(row, seconds or 0.0)
    assert row["wrong"] == 0


def test_a_build_that_starts_on_a_mount_that_hangs_loses_a_second_and_exits(
    mount: Mount, start_build: StartBuild, tally: Tally
) -> None:
    row = tally("Harmless", "hung mount")
    row["trials"] = row["faults"] = 1
    mount.hang()
    builder = start_build()
    entered = builder.says("entered")
    builder.go_on()
    assert entered + builder.says("worked") < HELD_UP + NORMAL
    end(builder)


def test_the_file_is_right_when_a_mount_has_hung_and_come_back(
    mount: Mount, start_build: StartBuild, tally: Tally
) -> None:
    row = tally("Harmless", "hung mount")
    row["trials"] = row["faults"] = 1
    builder = start_build()
    builder.says("entered")
    mount.hang()
    builder.go_on()
    builder.says("worked")
    mount.mend()
    seconds = wait_for(lambda: seen(mount).metrics.files_created == 3)
    assert seconds is not None
    detected(row, seconds)
    assert seconds < ENDED
    end(builder)
    row["leftovers"] = len(leftovers(mount.behind))
    assert row["leftovers"] == 0


def test_the_file_shows_the_end_of_a_build_that_ends_as_the_mount_comes_back(
    mount: Mount,
    start_build: StartBuild,
    tally: Tally,
    trials: Callable[[int, int], int],
) -> None:
    row = tally("Harmless", "hung mount, mended at the end")
    for _ in range(trials(2, 20)):
        builder = start_build()
        builder.says("entered")
        mount.hang()
        builder.go_on()
        builder.says("worked")
        mount.mend()
        wait_for(lambda: seen(mount).metrics.files_created == 3)
        end(builder)
        row["trials"] += 1
        row["faults"] += 1
        row["lost"] += seen(mount).status != "completed"
        row["leftovers"] = len(leftovers(mount.behind))
    assert (row["lost"], row["leftovers"]) == (0, 0)

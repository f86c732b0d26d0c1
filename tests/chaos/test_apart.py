"""Builders and readers that share files, and not all of a machine: containers, mounts."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from .forking import SECOND, Builder, look, state, wait_for
from .mounts import Mount, mounted
from .tally import Tally, detected

LOOKS = 20
FRESH = "-o", "entry_timeout=0,attr_timeout=0"  # each mount sees at once what is done by the other
CONTAINER = ("unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
NAMED = (*CONTAINER, "sh", "-c", 'hostname elsewhere; exec "$@"', "sh")


def begin(builder: Builder) -> None:
    """Have it come to where it waits for us, while its heart beats."""
    builder.says("entered")
    builder.go_on()
    builder.says("worked")


def is_crashed(root: Path) -> bool:
    return state(root, "TASK-1") == "crashed"


@pytest.fixture
def mounts(tmp_path: Path) -> Iterator[tuple[Mount, Mount]]:
    """Mount a folder twice; each mount has locks, which the other one knows nothing of."""
    with mounted(tmp_path, "one", *FRESH) as one, mounted(tmp_path, "two", *FRESH) as two:
        yield one, two


def test_a_build_that_is_killed_in_a_container_is_known_dead_outside_it(
    tmp_path: Path, tally: Tally, trials: Callable[[int, int], int]
) -> None:
    if subprocess.run([*NAMED, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no container may be made here")
    row = tally("Alive", "kill -9 in a container of another host name")
    for number in range(trials(2, 50)):
        root = tmp_path / str(number)
        root.mkdir()
        with Builder(root, before=NAMED) as builder:
            begin(builder)
            found = look(root, "TASK-1")
            assert found
            assert found[0].tracker.host == "elsewhere"
            row["wrong"] += found[1].state != "running"
            builder.process.kill()
            seconds = wait_for(partial(is_crashed, root), SECOND)
        row["trials"] += 1
        row["faults"] += 1
        row["wrong"] += seconds is None
        detected(row, seconds or SECOND)
    assert row["wrong"] == 0


def test_a_build_on_a_mount_that_shares_no_locks_is_called_dead_by_nobody_while_it_lives(
    mounts: tuple[Mount, Mount], tally: Tally, trials: Callable[[int, int], int]
) -> None:
    row, (one, two) = tally("Alive", "mounts without shared locks"), mounts
    for _ in range(trials(2, 10)):
        with Builder(one.path) as builder:
            begin(builder)
            for _ in range(LOOKS):
                for root in (one.path, two.path, one.behind):
                    row["trials"] += 1
                    row["wrong"] += state(root, "TASK-1") != "running"
            with Builder(two.path) as another:
                _, stderr = another.process.communicate()
            row["wrong"] += f"being built by process {builder.process.pid} on " not in stderr
            row["wrong"] += state(one.path, "TASK-1") != "running"
        row["faults"] += 1
    assert row["wrong"] == 0


def test_a_build_that_is_killed_is_dead_on_its_own_mount_and_lost_on_another(
    mounts: tuple[Mount, Mount], tally: Tally, trials: Callable[[int, int], int]
) -> None:
    row, (one, two) = tally("Alive", "mounts without shared locks"), mounts
    for _ in range(trials(1, 10)):
        with Builder(one.path) as builder:
            begin(builder)
            builder.process.kill()
            builder.process.wait()
            row["wrong"] += wait_for(partial(is_crashed, one.path), SECOND) is None
            while (seen := state(two.path, "TASK-1")) == "running":
                pass
            row["wrong"] += seen != "lost"
        with Builder(two.path) as another:
            another.says("entered")
        # Else the next trial would be refused, as long as that one may still live.
        shutil.rmtree(one.path / ".guardkit")
        row["trials"] += 1
        row["faults"] += 1
    assert row["wrong"] == 0

"""Builds whose files cannot be written, beside one that is well, and has to notice nothing."""

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from guardkit import Build, Builds, assess, read_progress, track_build

from .forking import folder_of, leftovers
from .tally import Row, Tally

pytestmark = pytest.mark.anyio

CROWD = range(1, 21)
HEARTBEAT = 0.5


@contextmanager
def folder_for(path: Path) -> Iterator[None]:
    """Have a folder that is not empty stand in place of a file: it can never be replaced."""
    (path / "full").mkdir(parents=True)
    yield


@contextmanager
def replaced_by_folder(path: Path) -> Iterator[None]:
    """Have a folder stand in place of a file that comes back."""
    path.rename(path.with_name("moved"))
    with folder_for(path):
        yield
    shutil.rmtree(path)
    path.with_name("moved").rename(path)


@contextmanager
def pipe_for(path: Path) -> Iterator[None]:
    """Have a full pipe stand in place of a file, with a reader that takes nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)
    fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        while True:
            os.write(fd, bytes(4096))
    yield
    with suppress(BlockingIOError):  # who writes there would wait for ever
        while True:
            os.read(fd, 2**16)
    os.close(fd)


BAD = {
    "a folder for the file": (folder_for, "TASK-{}/progress.json"),
    "a pipe for the file": (pipe_for, "TASK-{}/progress.json"),
    "a folder for the journal": (folder_for, "TASK-{}/events.jsonl"),
    "a pipe for the journal": (pipe_for, "TASK-{}/events.jsonl"),
    "a pipe for the folder": (pipe_for, "TASK-{}"),
    "a pipe for the lock": (pipe_for, ".lock"),
    "a pipe for .gitignore": (pipe_for, ".gitignore"),
}
each_bad_file = pytest.mark.parametrize(("make", "name"), BAD.values(), ids=list(BAD))


async def build_in_vain(root: Path, number: int, end: asyncio.Event) -> None:
    """Build a task whose files cannot be written until the end comes, for all at once."""
    async with track_build(f"TASK-{number}", root=root) as build, build.phase("Setup"):
        await end.wait()


async def work(build: Build, root: Path, row: Row) -> None:
    """Make a transition, and count it where the file does not show it on return."""
    row["trials"] += 1
    number = build.snapshot.turn + 1
    async with build.turn() as turn, turn.phase("Player Implementation"):
        seen = read_progress("TASK-0", root=root)
        row["lost"] += (seen.turn, seen.phase_status) != (number, "in_progress")
        row["wrong"] += assess(seen, root=root).state != "running"
        await asyncio.sleep(0.001)


@each_bad_file
async def test_builds_that_cannot_write_cost_a_neighbour_nothing(
    make: Callable[[Path], AbstractContextManager[None]],
    name: str,
    tmp_path: Path,
    tally: Tally,
    trials: Callable[[int, int], int],
) -> None:
    row = tally("There on return", "neighbours of builds that cannot write")
    for trial in range(trials(1, 3)):
        root, end = tmp_path / str(trial), asyncio.Event()
        root.mkdir()
        with ExitStack() as stack:
            builds = root / ".guardkit/autobuild"
            for path in {builds / name.format(number) for number in CROWD}:
                stack.enter_context(make(path))
            async with track_build(
                "TASK-0", root=root, turn_max=10**6, heartbeat=HEARTBEAT
            ) as build:
                others = [asyncio.create_task(build_in_vain(root, n, end)) for n in CROWD]
                for _ in CROWD:
                    await work(build, root, row)
                end.set()
                while not all(other.done() for other in others):
                    await work(build, root, row)
            await asyncio.gather(*others)
            row["lost"] += read_progress("TASK-0", root=root).status != "completed"
        row["faults"] += len(others)
        row["leftovers"] += len(leftovers(root))
    assert (row["lost"], row["wrong"], row["leftovers"]) == (0, 0, 0)


async def test_a_build_whose_last_write_fails_for_good_has_ended_and_lets_the_next_one_in(
    tmp_path: Path, tally: Tally, trials: Callable[[int, int], int]
) -> None:
    row = tally("Final", "last writes that fail for good")
    async with track_build("TASK-0", root=tmp_path):  # so that what they share is kept open
        for _ in range(trials(1, 5)):
            builds = [track_build(f"TASK-{number}", root=tmp_path) for number in CROWD]
            await asyncio.gather(*(build.__aenter__() for build in builds))
            with ExitStack() as stack:
                for number in CROWD:
                    path = folder_of(tmp_path, f"TASK-{number}") / "progress.json"
                    stack.enter_context(replaced_by_folder(path))
                await asyncio.gather(*(build.__aexit__(None, None, None) for build in builds))
            for look in await Builds(tmp_path).look([f"TASK-{number}" for number in CROWD]):
                row["trials"] += 1
                row["faults"] += 1
                row["wrong"] += look.verdict.state != "completed"
            for number in CROWD:  # which is not refused
                async with track_build(f"TASK-{number}", root=tmp_path):
                    pass
    assert row["wrong"] == 0

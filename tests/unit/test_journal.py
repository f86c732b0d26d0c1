"""The journal: bounded, whole lines, and nothing lost while the disk fails."""

import json
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guardkit import track_build
from guardkit.progress.journal import SIZE_MAX, append
from guardkit.testing import FakeClock

Journal = Callable[[], list[dict[str, Any]]]


def test_lines_are_moved_to_the_end_of_the_file(tmp_path: Path) -> None:
    path, lines = tmp_path / "events.jsonl", deque([b"1\n", b"2\n"])
    append(str(path), lines)
    assert not lines
    append(str(path), deque([b"3\n"]))
    assert path.read_bytes() == b"1\n2\n3\n"


def test_without_lines_no_file_is_made(tmp_path: Path) -> None:
    append(str(tmp_path / "events.jsonl"), deque())
    assert not (tmp_path / "events.jsonl").exists()


def test_a_half_line_is_ended_before_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"event": "build.started"}\n{"event": "turn.st')
    append(str(path), deque([b"{}\n"]))
    assert path.read_bytes() == b'{"event": "build.started"}\n{"event": "turn.st\n{}\n'


@pytest.mark.parametrize(("size", "moved"), [(SIZE_MAX, False), (SIZE_MAX + 1, True)])
def test_a_file_past_its_bound_makes_room(tmp_path: Path, size: int, moved: bool) -> None:
    path, old = tmp_path / "events.jsonl", b"x" * (size - 1) + b"\n"
    path.write_bytes(old)
    append(str(path), deque([b"{}\n"]))
    full = tmp_path / "events.jsonl.1" if moved else path
    assert full.read_bytes() == old + b"{}\n"
    assert path.exists() is not moved


def test_a_second_full_file_takes_the_place_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for line in (b"1\n", b"2\n"):
        path.write_bytes(b"x" * SIZE_MAX + b"\n")
        append(str(path), deque([line]))
    assert (tmp_path / "events.jsonl.1").read_bytes().endswith(b"\n2\n")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["events.jsonl.1"]


def test_a_line_that_was_written_by_half_is_written_again(tmp_path: Path) -> None:
    program = """
import resource, sys
from collections import deque
from guardkit.progress.journal import append

lines = deque([b"1" * 99 + b"\\n", b"2" * 99 + b"\\n", b"3" * 99 + b"\\n"])
resource.setrlimit(resource.RLIMIT_FSIZE, (150, resource.RLIM_INFINITY))
for _ in range(3):
    try:
        append(sys.argv[1], lines)
    except OSError as error:
        print(len(lines), error.errno)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
append(sys.argv[1], lines)
print(len(lines))
"""
    path = tmp_path / "events.jsonl"
    command = (sys.executable, "-c", program, str(path))
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["2", "28", "2", "27", "2", "27", "0"]
    whole = [line for line in path.read_bytes().splitlines() if len(line) == 99]
    assert whole == [b"1" * 99, b"2" * 99, b"3" * 99]


@pytest.mark.anyio
async def test_nothing_is_lost_while_the_journal_cannot_be_written(
    tmp_path: Path, clock: FakeClock, journal: Journal
) -> None:
    path = tmp_path / ".guardkit/autobuild/TASK-1/events.jsonl"
    path.mkdir(parents=True)
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        for name in "ABC":
            async with build.phase(name):
                await clock.advance(0.3)
        path.rmdir()
        await clock.advance(5.0)
        events = ["build.started", *("phase.started", "phase.ended") * 3]
        assert [entry["event"] for entry in journal()] == events


@pytest.mark.anyio
async def test_the_file_is_written_while_the_journal_cannot_be(
    tmp_path: Path, clock: FakeClock
) -> None:
    folder = tmp_path / ".guardkit/autobuild/TASK-1"
    (folder / "events.jsonl").mkdir(parents=True)
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        async with build.phase("Setup"):
            assert json.loads((folder / "progress.json").read_bytes())["phase"] == "Setup"


@pytest.mark.anyio
async def test_the_journal_is_written_while_the_file_cannot_be(
    tmp_path: Path, clock: FakeClock, journal: Journal
) -> None:
    (tmp_path / ".guardkit/autobuild/TASK-1/progress.json").mkdir(parents=True)
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        assert [entry["event"] for entry in journal()] == ["build.started"]

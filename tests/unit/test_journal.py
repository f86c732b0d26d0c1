"""The journal: bounded, whole lines, and nothing lost while the disk fails."""

import errno
import json
import re
import resource
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from guardkit import Snapshot, track_build
from guardkit.progress.journal import (
    SIZE_MAX,
    Happened,
    Spot,
    append,
    make_event,
    read_last,
    read_on,
)
from guardkit.progress.sinks import QUEUE_MAX
from guardkit.testing import FakeClock

Journal = Callable[[], list[dict[str, Any]]]


START = datetime(2025, 1, 31, 12, 34, 56, tzinfo=UTC)
SNAPSHOT = Snapshot(build_id="B", task_id="TASK-1", turn_max=5, started_at=START, updated_at=START)


def events(*names: str) -> deque[Happened]:
    return deque((name, START, SNAPSHOT) for name in names)


def line(name: str) -> bytes:
    return msgspec.json.encode(make_event(name, START, SNAPSHOT)) + b"\n"


def test_events_are_moved_to_the_end_of_the_file(tmp_path: Path) -> None:
    path, waiting = tmp_path / "events.jsonl", events("1", "2")
    append(str(path), waiting)
    assert not waiting
    append(str(path), events("3"))
    assert path.read_bytes() == line("1") + line("2") + line("3")


def test_a_half_line_is_ended_before_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"event": "build.started"}\n{"event": "turn.st')
    append(str(path), events("1"))
    assert path.read_bytes() == b'{"event": "build.started"}\n{"event": "turn.st\n' + line("1")


@pytest.mark.parametrize(("size", "moved"), [(SIZE_MAX, False), (SIZE_MAX + 1, True)])
def test_a_file_past_its_bound_makes_room(tmp_path: Path, size: int, moved: bool) -> None:
    path, old = tmp_path / "events.jsonl", b"x" * (size - len(line("1")) - 1) + b"\n"
    path.write_bytes(old)
    append(str(path), events("1"))
    full = tmp_path / "events.jsonl.1" if moved else path
    assert full.read_bytes() == old + line("1")
    assert path.exists() is not moved


def test_a_second_full_file_takes_the_place_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for name in ("1", "2"):
        path.write_bytes(b"x" * SIZE_MAX + b"\n")
        append(str(path), events(name))
    assert (tmp_path / "events.jsonl.1").read_bytes().endswith(b"\n" + line("2"))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["events.jsonl.1"]


def test_a_line_that_was_written_by_half_is_written_again(tmp_path: Path) -> None:
    path, waiting = tmp_path / "events.jsonl", events("1", "2", "3")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(line("1")) * 3 // 2, hard))
    try:
        for error in (errno.ENOSPC, errno.EFBIG, errno.EFBIG):
            with pytest.raises(OSError) as raised:  # noqa: PT011
                append(str(path), waiting)
            assert (raised.value.errno, len(waiting)) == (error, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    append(str(path), waiting)
    whole = [each + b"\n" for each in path.read_bytes().splitlines() if each.endswith(b"}}}")]
    assert whole == [line("1"), line("2"), line("3")]


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


@pytest.mark.anyio
@pytest.mark.parametrize("known", [True, False, None], ids=["known", "older", "unknown"])
async def test_a_run_whose_end_is_missing_in_the_journal_is_closed_by_the_next(
    tmp_path: Path, clock: FakeClock, known: bool | None
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        pass
    path = tmp_path / ".guardkit/autobuild/TASK-1/events.jsonl"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0] + b'{"event": "build.e')
    file = path.with_name("progress.json")
    if known is None:
        file.unlink()
    elif not known:
        file.write_bytes(re.sub(rb'"seq": \d+', b'"seq": 0', file.read_bytes()))
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        pass
    lines = path.read_bytes().splitlines()
    entries = [json.loads(line) for line in lines if line.endswith(b"}")]
    assert [entry["event"] for entry in entries] == ["build.started", "build.ended"] * 2
    assert entries[0]["run_id"] == entries[1]["run_id"] != entries[2]["run_id"]
    ended = entries[1]["progress"]
    assert ended["status"] == ("completed" if known else "failed")
    assert known or "ended without a word" in ended["error"]


@pytest.mark.anyio
async def test_half_a_line_after_the_end_of_a_run_is_ended_by_the_next(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        pass
    path = tmp_path / ".guardkit/autobuild/TASK-1/events.jsonl"
    whole, half = path.read_bytes(), b'{"event": "build.st'
    path.write_bytes(whole + half)
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        assert path.read_bytes().startswith(whole + half + b'\n{"event":"build.started",')


def test_the_last_event_is_found_though_the_journal_was_just_moved_away(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    assert read_last(str(path)) is None
    path.with_name("events.jsonl.1").write_bytes(line("1") + line("2"))
    path.write_bytes(b"half a li")
    last = read_last(str(path))
    assert last
    assert last.event == "2"


@pytest.mark.parametrize("grown", [0, 1, 9], ids=["empty", "shorter", "longer than before"])
def test_a_reader_that_goes_on_misses_nothing_when_the_journal_is_moved_away(
    tmp_path: Path, grown: int
) -> None:
    path, names = tmp_path / "events.jsonl", [str(number) for number in range(10 + grown)]
    path.write_bytes(b"".join(map(line, names[:4])))
    seen, spot = read_on(path, Spot())
    with path.open("ab") as file:
        file.writelines(map(line, names[4:8]))
    path.rename(path.with_name("events.jsonl.1"))
    assert read_on(path, spot) == ([], spot)
    path.write_bytes(b"".join(map(line, names[8 : 8 + grown])))
    rest, spot = read_on(path, spot)
    with path.open("ab") as file:
        file.writelines(map(line, names[8 + grown :]))
    last, _ = read_on(path, spot)
    assert [event.event for event in (*seen, *rest, *last)] == names


def test_a_reader_that_goes_on_is_told_of_all_that_is_left_when_it_was_moved_away_twice(
    tmp_path: Path,
) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(line("1"))
    _, spot = read_on(path, Spot())
    for name in ("2", "3"):
        path.rename(path.with_name(f"events.jsonl.{name}"))
        path.write_bytes(line(name))
    path.with_name("events.jsonl.3").rename(path.with_name("events.jsonl.1"))
    rest, _ = read_on(path, spot)
    assert [event.event for event in rest] == ["2", "3"]


def test_a_reader_that_goes_on_begins_anew_in_another_journal(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(line("1"))
    _, spot = read_on(path, Spot())
    path.rename(tmp_path / "kept elsewhere")
    path.write_bytes(line("2"))
    rest, _ = read_on(path, spot)
    assert [event.event for event in rest] == ["2"]


def test_a_reader_that_goes_on_begins_anew_where_the_journal_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(line("1") + line("2"))
    _, spot = read_on(path, Spot())
    path.write_bytes(line("3"))
    rest, _ = read_on(path, spot)
    assert [event.event for event in rest] == ["3"]


@pytest.mark.anyio
async def test_of_events_that_wait_too_long_the_oldest_are_dropped_and_that_is_said_once(
    tmp_path: Path, clock: FakeClock, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / ".guardkit/autobuild/TASK-1/events.jsonl"
    path.mkdir(parents=True)
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        for _ in range(QUEUE_MAX // 2 + 10):
            async with build.phase("Setup"):
                pass
        path.rmdir()
        await clock.advance(1.0)
        assert len(journal()) == QUEUE_MAX
    assert len([each for each in caplog.records if "lost events" in each.getMessage()]) == 1

"""The journal: bounded, whole lines, and nothing lost while the disk fails."""

import errno
import json
import os
import re
import resource
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from guardkit import (
    InvalidProgressError,
    InvalidTaskIdError,
    Snapshot,
    read_events,
    track_build,
)
from guardkit.progress.folder import Folder, open_builds
from guardkit.progress.journal import (
    LINE_MAX,
    LINE_MIN,
    READ_MAX,
    SIZE_MAX,
    Spot,
    append,
    read_all,
    read_last,
    read_on,
)
from guardkit.progress.snapshot import Event, make_event
from guardkit.progress.state import EVENTS_MAX
from guardkit.testing import FakeClock

Journal = Callable[[], list[dict[str, Any]]]


START = datetime(2025, 1, 31, 12, 34, 56, tzinfo=UTC)
SNAPSHOT = Snapshot(build_id="B", task_id="TASK-1", turn_max=5, started_at=START, updated_at=START)
DOCUMENT = msgspec.json.encode(SNAPSHOT).decode()
NESTED = "[" * 5000 + "]" * 5000


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    with open_builds(tmp_path, make=True) as builds, builds.folder("TASK-1", make=True) as folder:
        yield folder


@pytest.fixture
def path(folder: Folder) -> Path:
    return Path(folder.path, "events.jsonl")


def events(*names: str) -> list[Event]:
    return [make_event(name, START, SNAPSHOT) for name in names]


def line(name: str) -> bytes:
    return msgspec.json.encode(events(name)[0]) + b"\n"


def names(found: list[Event]) -> list[str]:
    return [event.event for event in found]


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Fail a test that takes four times as much memory as is read of a journal."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 4 * READ_MAX
    finally:
        tracemalloc.stop()


# appending


def test_events_are_appended_to_the_file(folder: Folder, path: Path) -> None:
    append(folder, events("1", "2"))
    append(folder, iter(events("3")))
    append(folder, [])
    assert path.read_bytes() == line("1") + line("2") + line("3")


def test_a_half_line_is_ended_before_the_next_one(folder: Folder, path: Path) -> None:
    path.write_bytes(line("1") + b'{"event": "turn.st')
    append(folder, events("2"))
    assert path.read_bytes() == line("1") + b'{"event": "turn.st\n' + line("2")


def test_who_has_written_the_last_line_needs_not_look_at_it(folder: Folder, path: Path) -> None:
    path.write_bytes(b"half a li")
    append(folder, events("1"), mend=False)
    assert path.read_bytes() == b"half a li" + line("1")


@pytest.mark.parametrize(("size", "moved"), [(SIZE_MAX, False), (SIZE_MAX + 1, True)])
def test_a_file_past_its_bound_makes_room(
    folder: Folder, path: Path, size: int, moved: bool
) -> None:
    old = b"x" * (size - 1) + b"\n"
    path.write_bytes(old)
    append(folder, events("1"))
    assert path.read_bytes() == (line("1") if moved else old + line("1"))
    assert path.with_name("events.jsonl.1").exists() is moved


def test_a_second_full_file_takes_the_place_of_the_first(folder: Folder, path: Path) -> None:
    for name in ("1", "2"):
        path.write_bytes(line(name) * (SIZE_MAX // len(line(name)) + 1))
        append(folder, events("3"))
    assert path.with_name("events.jsonl.1").read_bytes().startswith(line("2"))
    assert sorted(folder.names()) == ["events.jsonl", "events.jsonl.1"]


@pytest.mark.parametrize("full", [b"", line("0")], ids=["empty", "not empty"])
def test_events_that_do_not_all_fit_are_not_written_at_all(
    folder: Folder, path: Path, full: bytes
) -> None:
    path.write_bytes(full)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(full) + len(line("1")) * 3 // 2, hard))
    try:
        for _ in range(2):
            with pytest.raises(OSError) as raised:  # noqa: PT011
                append(folder, events("1", "2"))
            assert (raised.value.errno, raised.value.filename) == (errno.EFBIG, str(path))
            assert path.read_bytes() == full
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    append(folder, events("1", "2"))
    assert path.read_bytes() == full + line("1") + line("2")


@pytest.mark.parametrize("name", ["events.jsonl", "events.jsonl.1"])
@pytest.mark.parametrize("target", ["victim", "nowhere"])
def test_a_link_is_never_appended_to(folder: Folder, path: Path, target: str, name: str) -> None:
    victim = path.with_name("victim")
    victim.write_bytes(b"x" * (SIZE_MAX + 1))
    path.with_name(name).symlink_to(target)
    if name == "events.jsonl":
        with pytest.raises(OSError, match="it is a link"):
            append(folder, events("1"))
    else:
        path.write_bytes(b"x" * (SIZE_MAX + 1))
        append(folder, events("1"))  # the file that is moved away replaces the link
        assert path.read_bytes() == line("1")
    assert victim.read_bytes() == b"x" * (SIZE_MAX + 1)
    assert not path.with_name("nowhere").exists()


@pytest.mark.parametrize("flags", [None, os.O_RDONLY, os.O_RDWR], ids=["", "read", "written"])
def test_a_pipe_is_never_waited_for(folder: Folder, path: Path, flags: int | None) -> None:
    os.mkfifo(path)
    other = None if flags is None else os.open(path, flags | os.O_NONBLOCK)
    try:
        with pytest.raises(OSError, match="it is not a regular file"):
            append(folder, events("1"))
        assert (read_last(folder), read_all(folder)) == (None, ([], Spot()))
    finally:
        if other is not None:
            os.close(other)


def test_a_full_file_that_cannot_be_moved_away_grows_no_more(folder: Folder, path: Path) -> None:
    path.with_name("events.jsonl.1").mkdir()
    path.write_bytes(b"x" * (SIZE_MAX + 1))
    with pytest.raises(IsADirectoryError, match=r"events\.jsonl\.1"):
        append(folder, events("1"))
    assert path.stat().st_size == SIZE_MAX + 1


def test_a_file_of_three_gigabytes_is_moved_away_as_it_is(folder: Folder, path: Path) -> None:
    path.touch()
    os.truncate(path, 3 * 2**30)
    append(folder, events("1"))
    assert path.read_bytes() == line("1")
    assert path.with_name("events.jsonl.1").stat().st_size == 3 * 2**30


# reading


DEEP = b"[" * 30_000 + b"]" * 30_000
LINES = {
    "nothing": b"\n",
    "text": b"x" * 2 * LINE_MIN + b"\n",
    "half an event": line("1")[:-10] + b"\n",
    "another object": b'{"event": "' + b"x" * LINE_MIN + b'"}\n',
    "not UTF-8": line("1").replace(b"B", b"\xff"),
    "nested 5,000 deep": line("1").replace(b'"B"', NESTED.encode()),
    "nested 30,000 deep aside": line("1")[:-2] + b', "x": ' + DEEP + b"}\n",
    "a line of 70 KB": line("1").replace(b'"B"', b'"' + b"B" * (LINE_MAX + 5000) + b'"'),
    "zeros": bytes(LINE_MIN) + b"\n",
}


@pytest.mark.parametrize("bad", LINES.values(), ids=LINES)
def test_a_line_that_is_no_event_is_passed_over(
    folder: Folder, path: Path, tmp_path: Path, bad: bytes
) -> None:
    path.write_bytes(line("1") + bad + line("2"))
    assert names(read_all(folder)[0]) == names(read_events("TASK-1", root=tmp_path)) == ["1", "2"]
    last = read_last(folder)
    assert last
    assert last.event == "2"
    path.write_bytes(line("1") + bad)
    found, spot = read_on(folder, Spot())
    assert (names(found), spot.offset) == (["1"], path.stat().st_size)


@pytest.mark.parametrize("end", [b"", b"\n"], ids=["endless", "ended"])
@pytest.mark.parametrize("size", [600 * 2**20, 3 * 2**30], ids=["600 MB", "3 GB"])
@pytest.mark.parametrize("name", ["events.jsonl", "events.jsonl.1"])
@pytest.mark.usefixtures("little_memory")
def test_a_line_without_bound_is_passed_over(
    folder: Folder, path: Path, name: str, size: int, end: bytes
) -> None:
    file = path.with_name(name)
    file.write_bytes(line("1"))
    os.truncate(file, size)
    with file.open("ab") as more:
        more.write(end)
    found, spot = read_all(folder)
    assert (names(found), read_last(folder)) == ([], None)
    if name == "events.jsonl":
        assert spot.offset == file.stat().st_size
        append(folder, events("2"))  # which moves the file away
        assert names(read_on(folder, spot)[0]) == ["2"]


@pytest.mark.usefixtures("little_memory")
def test_of_a_file_that_is_too_long_the_newest_events_are_read(folder: Folder, path: Path) -> None:
    text, count = line("1"), READ_MAX // len(line("1")) + 100
    path.write_bytes(text * (count - 1) + line("2"))
    found, spot = read_all(folder)
    assert names(found) == ["1", "2"]
    assert spot.offset == path.stat().st_size
    assert names(read_on(folder, Spot())[0]) == ["1"] * (READ_MAX // len(text) - 1) + ["2"]


@pytest.mark.usefixtures("little_memory")
def test_millions_of_short_lines_cost_little(folder: Folder, path: Path) -> None:
    path.write_bytes(b"{\n" * (READ_MAX // 2) + line("1"))
    assert names(read_all(folder)[0]) == ["1"]


@pytest.mark.parametrize("name", ["events.jsonl", "events.jsonl.1"])
def test_a_link_is_never_read(folder: Folder, path: Path, tmp_path: Path, name: str) -> None:
    for target in ("/dev/zero", tmp_path / "other"):
        (tmp_path / "other").write_bytes(line("1"))
        path.with_name(name).symlink_to(target)
        assert (read_all(folder)[0], read_last(folder)) == ([], None)
        with pytest.raises(InvalidProgressError, match=rf"{name} cannot be read: it is a link, "):
            read_events("TASK-1", root=tmp_path)
        path.with_name(name).unlink()


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["a folder", "a pipe"])
@pytest.mark.parametrize("name", ["events.jsonl", "events.jsonl.1"])
def test_a_journal_that_is_no_regular_file_is_told_of_to_who_asks_for_it(
    folder: Folder, path: Path, tmp_path: Path, name: str, make: Callable[[Path], object]
) -> None:
    path.write_bytes(line("1"))
    path.with_name(name).unlink(missing_ok=True)
    make(path.with_name(name))
    with pytest.raises(InvalidProgressError, match=rf"{name} cannot be read: it is not a regular"):
        read_events("TASK-1", root=tmp_path)
    assert names(read_on(folder, Spot())[0]) == ([] if name == path.name else ["1"])


def test_a_folder_of_a_build_that_is_a_link_is_told_of_to_who_asks_for_its_journal(
    tmp_path: Path, folder: Folder
) -> None:
    Path(folder.path).with_name("TASK-2").symlink_to(folder.path)
    with pytest.raises(InvalidProgressError, match="TASK-2 cannot be read: it is a link, "):
        read_events("TASK-2", root=tmp_path)


def test_where_there_is_no_journal_there_are_no_events(tmp_path: Path, folder: Folder) -> None:
    assert read_all(folder) == ([], Spot())
    assert read_events("TASK-1", root=tmp_path) == []
    assert read_events("TASK-2", root=tmp_path) == []
    assert read_events("TASK-1", root=tmp_path / "gone") == []
    with pytest.raises(InvalidTaskIdError):
        read_events("../TASK-1", root=tmp_path)


def test_both_files_are_read_from_the_older_one_on_and_nothing_twice(
    folder: Folder, path: Path
) -> None:
    path.with_name("events.jsonl.1").write_bytes(line("1") + line("2"))
    path.write_bytes(line("2") + line("3"))
    found, spot = read_all(folder)
    assert names(found) == ["1", "2", "3"]
    assert spot == Spot(path.stat().st_ino, path.stat().st_size)


# going on


def test_the_last_event_is_found_though_the_journal_was_just_moved_away(
    folder: Folder, path: Path
) -> None:
    assert read_last(folder) is None
    path.with_name("events.jsonl.1").write_bytes(line("1") + line("2"))
    path.write_bytes(b"half a li")
    last = read_last(folder)
    assert last
    assert last.event == "2"


def test_half_a_line_is_read_when_it_is_whole(folder: Folder, path: Path) -> None:
    path.write_bytes(line("1") + line("2")[:50])
    found, spot = read_on(folder, Spot())
    assert (names(found), spot.offset) == (["1"], len(line("1")))
    path.write_bytes(line("1") + line("2"))
    assert names(read_on(folder, spot)[0]) == ["2"]


@pytest.mark.parametrize("grown", [0, 1, 9], ids=["empty", "shorter", "longer than before"])
def test_a_reader_that_goes_on_misses_nothing_when_the_journal_is_moved_away(
    folder: Folder, path: Path, grown: int
) -> None:
    numbers = [str(number) for number in range(10 + grown)]
    path.write_bytes(b"".join(map(line, numbers[:4])))
    seen, spot = read_on(folder, Spot())
    with path.open("ab") as file:
        file.writelines(map(line, numbers[4:8]))
    path.rename(path.with_name("events.jsonl.1"))
    assert read_on(folder, spot) == ([], spot)
    path.write_bytes(b"".join(map(line, numbers[8 : 8 + grown])))
    rest, spot = read_on(folder, spot)
    with path.open("ab") as file:
        file.writelines(map(line, numbers[8 + grown :]))
    last, _ = read_on(folder, spot)
    assert names([*seen, *rest, *last]) == numbers


def test_a_reader_that_goes_on_is_told_of_all_that_is_left_when_it_was_moved_away_twice(
    folder: Folder, path: Path
) -> None:
    path.write_bytes(line("1"))
    _, spot = read_on(folder, Spot())
    for name in ("2", "3"):
        path.rename(path.with_name(f"events.jsonl.{name}"))
        path.write_bytes(line(name))
    path.with_name("events.jsonl.3").rename(path.with_name("events.jsonl.1"))
    assert names(read_on(folder, spot)[0]) == ["2", "3"]


def test_a_reader_that_goes_on_begins_anew_in_another_journal(
    tmp_path: Path, folder: Folder, path: Path
) -> None:
    path.write_bytes(line("1"))
    _, spot = read_on(folder, Spot())
    path.rename(tmp_path / "kept elsewhere")
    path.write_bytes(line("2"))
    assert names(read_on(folder, spot)[0]) == ["2"]


def test_a_reader_that_goes_on_begins_anew_where_the_journal_was_cut_off(
    folder: Folder, path: Path
) -> None:
    path.write_bytes(line("1") + line("2"))
    _, spot = read_on(folder, Spot())
    path.write_bytes(line("3"))
    assert names(read_on(folder, spot)[0]) == ["3"]


def test_a_reader_that_has_no_spot_begins_with_the_file_that_is_there(
    folder: Folder, path: Path
) -> None:
    path.with_name("events.jsonl.1").write_bytes(line("1"))
    path.write_bytes(line("2"))
    assert names(read_on(folder, Spot())[0]) == ["2"]


# what builds write


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
    path = tmp_path / ".guardkit/autobuild/TASK-1/progress.json"
    path.mkdir(parents=True)
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        assert [entry["event"] for entry in journal()] == ["build.started"]
        path.rmdir()


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


@pytest.mark.anyio
async def test_of_events_that_wait_too_long_the_oldest_are_dropped_and_that_is_said_once(
    tmp_path: Path, clock: FakeClock, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / ".guardkit/autobuild/TASK-1/events.jsonl"
    path.mkdir(parents=True)
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        for _ in range(EVENTS_MAX // 2 + 10):
            async with build.phase("Setup"):
                pass
        path.rmdir()
        await clock.advance(1.0)
        assert len(journal()) == EVENTS_MAX
    assert len([each for each in caplog.records if "lost events" in each.getMessage()]) == 1

"""The notes of what is due to which server: appended, bounded, and read whatever stands there."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from guardkit.nats.notes import NOTES, SIZE_MAX, Note, note, read_notes
from guardkit.progress.folder import Folder, open_builds

HERE, THERE = "nats://here:4222", "nats://here:4222 shop"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    with open_builds(tmp_path, make=True) as builds, builds.folder("TASK-1", make=True) as folder:
        yield folder


@pytest.fixture
def path(folder: Folder) -> Path:
    return Path(folder.path, NOTES)


def test_where_nothing_is_noted_nothing_is_due(folder: Folder) -> None:
    assert read_notes(folder, HERE) == {}


def test_runs_are_due_in_the_order_in_which_they_were_noted(folder: Folder) -> None:
    for run_id in ("b", "a", "c"):
        note(folder, run_id, HERE, "due")
    assert [*read_notes(folder, HERE).items()] == [("b", "due"), ("a", "due"), ("c", "due")]


def test_what_was_noted_last_of_a_run_counts(folder: Folder) -> None:
    note(folder, "a", HERE, "due")
    note(folder, "b", HERE, "due")
    note(folder, "a", HERE, "done")
    assert read_notes(folder, HERE) == {"a": "done", "b": "due"}


def test_each_server_and_project_has_notes_of_its_own(folder: Folder) -> None:
    note(folder, "a", HERE, "done")
    note(folder, "a", THERE, "due")
    assert read_notes(folder, HERE) == {"a": "done"}
    assert read_notes(folder, THERE) == {"a": "due"}


@pytest.mark.parametrize(
    "line",
    [b"", b"{}", b"\xff", b"[" * 5000, b'{"run":"x","to":"y","step":"late"}', b'{"run":1}'],
    ids=["empty", "no note", "no text", "nested", "of an unknown step", "of another kind"],
)
def test_a_line_that_is_no_note_is_passed_over(folder: Folder, path: Path, line: bytes) -> None:
    note(folder, "a", HERE, "due")
    with path.open("ab") as file:
        file.write(line + b"\n")
    note(folder, "b", HERE, "due")
    assert read_notes(folder, HERE) == {"a": "due", "b": "due"}


def test_a_note_behind_a_half_written_one_is_not_lost(folder: Folder, path: Path) -> None:
    path.write_bytes(msgspec.json.encode(Note("a", HERE, "due"))[:-9])
    note(folder, "b", HERE, "due")
    assert read_notes(folder, HERE) == {"b": "due"}


def test_past_their_size_the_oldest_half_of_the_notes_is_forgotten(
    folder: Folder, path: Path
) -> None:
    lines = msgspec.json.Encoder().encode_lines(
        Note(f"{number:016x}", HERE, "done") for number in range(1100)
    )
    path.write_bytes(lines)
    assert len(lines) > SIZE_MAX
    note(folder, "a", HERE, "due")
    notes = read_notes(folder, HERE)
    assert path.stat().st_size < SIZE_MAX
    assert next(iter(notes)) == f"{550:016x}"
    assert [*notes.items()][-1] == ("a", "due")


def test_a_link_in_place_of_the_notes_is_not_followed(folder: Folder, path: Path) -> None:
    path.symlink_to("progress.json")
    with pytest.raises(OSError, match="a link"):
        read_notes(folder, HERE)
    with pytest.raises(OSError, match="a link"):
        note(folder, "a", HERE, "due")

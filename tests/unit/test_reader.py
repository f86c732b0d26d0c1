"""Reading from outside: once, and whatever lies where the file ought to be."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from guardkit import (
    Builds,
    InvalidProgressError,
    InvalidTaskIdError,
    ProgressNotFoundError,
    read_progress,
    track_build,
)
from guardkit.progress.folder import open_builds
from guardkit.progress.lock import Locks
from guardkit.progress.snapshot import Tracker
from guardkit.testing import FakeClock

NOBODY = 65534
FOREIGN = {
    "build_id": "TASK-1",
    "build_type": "task",
    "status": "running",
    "wave": 1,
    "wave_total": 1,
    "task_id": "TASK-1",
    "task_name": "",
    "turn": 0,
    "turn_max": 5,
    "phase": "",
    "phase_status": "",
    "metrics": {},
    "started_at": "2025-01-31T12:34:56Z",
    "updated_at": "2025-01-31T12:34:56Z",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / ".guardkit/autobuild/TASK-1/progress.json"
    path.parent.mkdir(parents=True)
    return path


def list_builds(root: Path | str) -> list[str]:
    return [look.task_id for look in Builds(root).look_now()]


def with_tracker(**changes: object) -> bytes:
    tracker = {
        "schema_version": 1,
        "run_id": "r",
        "seq": 1,
        "host": "box",
        "pid": 7,
        "heartbeat_seconds": 5.0,
        "activity_at": "2025-01-31T12:34:56Z",
        "phase_started_at": None,
        "budget_seconds": None,
    }
    return json.dumps(FOREIGN | {"tracker": tracker | changes}).encode()


NO_FILE = "not a progress file, or one for a newer guardkit"
REMEDY = "make it readable, or remove it"


def refusal(root: Path) -> str:
    """Return the words with which TASK-1 is refused."""
    with pytest.raises(InvalidProgressError) as raised:
        read_progress("TASK-1", root=root)
    return str(raised.value)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        pytest.param(b"", f"{NO_FILE}: Input data was truncated", id="empty"),
        pytest.param(b'{"build_id": "TA', f"{NO_FILE}: Input data", id="half"),
        pytest.param(b"status: running\n", f"{NO_FILE}: JSON is malformed", id="YAML"),
        pytest.param(b"null", f"{NO_FILE}: Expected `object`", id="null"),
        pytest.param(b"[]", f"{NO_FILE}: Expected `object`", id="a list"),
        pytest.param(b"{}", "missing required field `build_id`", id="no keys"),
        pytest.param(b"\xff\xfe{\x00}\x00", "not a progress file", id="UTF-16"),
        pytest.param(b'{"build_id": "\xff"}', "not a progress file", id="not UTF-8"),
        pytest.param(b'{"x":' * 100_000, "not a progress file", id="nested too deeply"),
        pytest.param(b"\0" * 1000, "not a progress file", id="zeros"),
        pytest.param(
            json.dumps(FOREIGN | {"turn": -1}).encode(), r"`\$\.turn`", id="a negative turn"
        ),
        pytest.param(with_tracker(pid="7"), r"`\$\.tracker\.pid`", id="a tracker unlike ours"),
        pytest.param(
            with_tracker(schema_version=2, run_id=5),
            r"for a newer guardkit: Expected `int` <= 1 - at `\$.tracker.schema_version`",
            id="a newer schema",
        ),
        pytest.param(
            with_tracker(schema_version="two"), "not a progress file", id="no schema version"
        ),
    ],
)
def test_what_is_no_progress_file_is_refused_in_one_line(
    tmp_path: Path, path: Path, document: bytes, reason: str
) -> None:
    path.write_bytes(document)
    with pytest.raises(InvalidProgressError, match=reason) as raised:
        read_progress("TASK-1", root=tmp_path)
    assert str(raised.value).startswith(f"{path}: ")
    assert str(raised.value).endswith("; update guardkit, or remove the file")
    assert "\n" not in str(raised.value)


LINK = "it is a link, which guardkit does not follow"


def test_a_folder_in_place_of_the_file_cannot_be_read(tmp_path: Path, path: Path) -> None:
    path.mkdir()
    assert refusal(tmp_path) == f"{path} cannot be read: it is not a regular file; {REMEDY}"


def test_a_file_in_place_of_the_folder_cannot_be_read(tmp_path: Path, path: Path) -> None:
    path.parent.rmdir()
    path.parent.touch()
    assert refusal(tmp_path) == f"{path.parent} cannot be read: Not a directory; {REMEDY}"


def test_a_file_in_place_of_the_root_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "root").touch()
    words = f"{tmp_path}/root cannot be read: Not a directory; {REMEDY}"
    assert refusal(tmp_path / "root") == words


@pytest.mark.parametrize("held", [False, True], ids=["alone", "with a writer"])
def test_a_pipe_in_place_of_the_file_cannot_be_read(tmp_path: Path, path: Path, held: bool) -> None:
    os.mkfifo(path)
    other = os.open(path, os.O_RDWR) if held else None
    assert refusal(tmp_path) == f"{path} cannot be read: it is not a regular file; {REMEDY}"
    if other is not None:
        os.close(other)


@pytest.mark.parametrize("target", ["other", "nowhere", "/dev/zero", "progress.json"])
def test_a_link_in_place_of_the_file_cannot_be_read(
    tmp_path: Path, path: Path, target: str
) -> None:
    path.with_name("other").write_bytes(with_tracker())
    path.symlink_to(target)
    assert refusal(tmp_path) == f"{path} cannot be read: {LINK}; {REMEDY}"


@pytest.mark.parametrize(
    "level", [".guardkit", ".guardkit/autobuild", ".guardkit/autobuild/TASK-1"]
)
def test_a_link_in_place_of_a_folder_cannot_be_read(tmp_path: Path, path: Path, level: str) -> None:
    path.write_bytes(with_tracker())
    (tmp_path / level).rename(tmp_path / "moved")
    (tmp_path / level).symlink_to(tmp_path / "moved")
    assert refusal(tmp_path) == f"{tmp_path / level} cannot be read: {LINK}; {REMEDY}"


def test_a_file_that_may_not_be_read_cannot_be() -> None:
    if os.geteuid():
        pytest.skip("only root can become another user")
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder, ".guardkit/autobuild/TASK-1/progress.json")
        path.parent.mkdir(parents=True)
        path.touch(mode=0)
        os.seteuid(NOBODY)
        try:
            words = f"{path} cannot be read: Permission denied; {REMEDY}"
            assert refusal(Path(folder)) == words
            assert list_builds(folder) == ["TASK-1"]
        finally:
            os.seteuid(0)


def test_a_file_of_three_gigabytes_is_not_read_whole(tmp_path: Path, path: Path) -> None:
    path.touch()
    os.truncate(path, 3 * 2**30)
    assert refusal(tmp_path).startswith(f"{path}: not a progress file")


@pytest.mark.parametrize("missing", ["", "TASK-1", ".guardkit"], ids=["file", "folder", "all"])
def test_a_build_that_never_was_is_not_found(tmp_path: Path, path: Path, missing: str) -> None:
    if missing:
        shutil.rmtree(tmp_path / ".guardkit" / ("autobuild/TASK-1" if missing == "TASK-1" else ""))
    with pytest.raises(ProgressNotFoundError) as raised:
        read_progress("TASK-1", root=tmp_path)
    assert str(raised.value) == f"no build of TASK-1: there is no {path}"


@pytest.mark.parametrize("task_id", ["", "..", "../TASK-1", "/etc/passwd", "a/b", "x" * 129])
def test_what_is_no_task_id_is_refused(tmp_path: Path, path: Path, task_id: str) -> None:
    """Though there is a file where it would lead."""
    for folder in (path.parents[1], path.parents[2]):
        (folder / path.name).write_bytes(with_tracker())
    with pytest.raises(InvalidTaskIdError):
        read_progress(task_id, root=tmp_path)


@pytest.mark.parametrize("root", [str, Path], ids=["str", "path"])
def test_a_file_of_another_writer_is_read(
    tmp_path: Path, path: Path, root: Callable[[Path], Any]
) -> None:
    path.write_bytes(json.dumps(FOREIGN).encode())
    assert read_progress("TASK-1", root=root(tmp_path)).tracker == Tracker()


def test_the_document_of_another_task_is_refused(tmp_path: Path, path: Path) -> None:
    path.write_bytes(json.dumps(FOREIGN | {"task_id": "TASK-2"}).encode())
    words = f"{path}: it is the document of another task; update guardkit, or remove the file"
    assert refusal(tmp_path) == words


def test_the_root_is_the_working_directory_unless_it_is_given(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(with_tracker())
    monkeypatch.chdir(tmp_path)
    assert read_progress("TASK-1").task_id == "TASK-1"


@pytest.mark.anyio
async def test_a_build_is_read_as_it_is_shown(tmp_path: Path, clock: FakeClock) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        assert read_progress("TASK-1", root=tmp_path) == build.snapshot
    assert read_progress("TASK-1", root=tmp_path) == build.snapshot


# which builds there are


def test_builds_are_listed_by_their_files(tmp_path: Path, path: Path) -> None:
    assert list_builds(tmp_path) == []
    for task_id in ("TASK-2", "TASK-1", "TASK-10"):
        path.parent.with_name(task_id).mkdir(exist_ok=True)
        path.parent.with_name(task_id).joinpath("progress.json").touch()
    path.parent.with_name("TASK-3").mkdir()
    path.parent.with_name("TASK-4").touch()
    path.parent.with_name(".gitignore").touch()
    assert list_builds(tmp_path) == ["TASK-1", "TASK-10", "TASK-2"]


def test_a_build_that_has_taken_its_task_and_not_written_yet_is_listed(
    tmp_path: Path, path: Path
) -> None:
    locks = Locks()
    with open_builds(tmp_path) as builds:
        locks.take(builds, "TASK-1", "run-1")
        assert list_builds(tmp_path) == ["TASK-1"]
        locks.give_back("TASK-1", "run-1")
        assert list_builds(tmp_path) == []
    assert path.parent.is_dir()


def test_what_cannot_be_read_is_listed_so_that_it_is_told_why(tmp_path: Path, path: Path) -> None:
    path.mkdir()
    path.parent.with_name("TASK-2").symlink_to(tmp_path)
    path.parent.with_name("TASK-3").mkdir()
    path.parent.with_name("TASK-3").joinpath("progress.json").symlink_to("/dev/zero")
    assert list_builds(tmp_path) == ["TASK-1", "TASK-2", "TASK-3"]


def test_where_nothing_was_built_nothing_is_listed(tmp_path: Path) -> None:
    assert list_builds(tmp_path) == []
    assert list_builds(tmp_path / "gone") == []


@pytest.mark.parametrize("level", [".guardkit", ".guardkit/autobuild"])
def test_builds_behind_a_link_are_refused_by_its_name(tmp_path: Path, level: str) -> None:
    link = tmp_path / level
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(tmp_path)
    with pytest.raises(InvalidProgressError, match=rf"^{link} cannot be read: {LINK}; {REMEDY}$"):
        list_builds(tmp_path)

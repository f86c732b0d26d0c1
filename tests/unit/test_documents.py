"""The files of a build's turns, whatever a Player, or a disk, makes of them."""

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from guardkit.orchestrator.coach import judge
from guardkit.orchestrator.documents import LIMIT, Documents
from guardkit.orchestrator.findings import Findings
from guardkit.orchestrator.processes.commands import CommandResult
from guardkit.orchestrator.proof.junit import Report
from guardkit.orchestrator.repository.folders import remove
from guardkit.orchestrator.turn_files import clear_turns, write_turn
from guardkit.progress.folder import Folder, open_root
from guardkit.testing import FakeClock

from ..chaos.mounts import tmpfs

ENDED = CommandResult(exit_code=0, ending="exited with 0", tail="")
GREEN = Report(passed=5, skipped=0, failures=[], doubts=[])
JUDGED = judge("T1", 1, Findings({"a.py": "A"}, (), ENDED, ENDED, GREEN))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    """Open a folder of a build's files."""
    (tmp_path / "build").mkdir()
    with open_root(tmp_path / "build") as folder:
        yield folder
    subprocess.run(["rm", "-r", tmp_path / "build"], check=True)  # too deep for pytest


def make_link(path: Path, target: Path) -> None:
    target.write_text('{"secret": 1}')
    path.symlink_to(target)


def make_fifo(path: Path, _: Path) -> None:
    os.mkfifo(path)


def make_deep_folder(path: Path, _: Path) -> None:
    subprocess.run(["mkdir", "-p", path.joinpath(*"d" * 1500)], check=True)


def make_link_to_a_folder(path: Path, target: Path) -> None:
    target.mkdir()
    (target / "kept").touch()
    path.symlink_to(target)


KINDS = [make_link, make_fifo, make_deep_folder, make_link_to_a_folder]
NAMES = ["player_turn_1.json", "coach_turn_1.json", "feedback.json"]
MakeOf = Callable[[Path, Path], None]


def content(path: Path) -> list[str]:
    """Return the names in a folder but those that nothing can remove."""
    return sorted(name for name in os.listdir(path) if not name.endswith(".tmp"))


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_what_a_player_makes_of_a_document_is_replaced_and_no_link_followed(
    folder: Folder, tmp_path: Path, make: MakeOf, name: str
) -> None:
    make(tmp_path / "build" / name, target := tmp_path / "target")
    before = target.read_text() if target.is_file() else None
    write_turn(folder, JUDGED)
    assert content(tmp_path / "build") == sorted(NAMES)
    for each in NAMES:
        path = tmp_path / "build" / each
        assert path.is_file()
        assert not path.is_symlink()
        assert "secret" not in path.read_text()
    assert before is None or target.read_text() == before
    assert not target.is_dir() or os.listdir(target) == ["kept"]


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("name", ["player_turn_7.json", "coach_turn_7.xml", "feedback.json"])
def test_what_an_earlier_run_has_left_is_cleared_and_no_link_followed(
    folder: Folder, tmp_path: Path, make: MakeOf, name: str
) -> None:
    make(tmp_path / "build" / name, target := tmp_path / "target")
    (tmp_path / "build" / "events.jsonl").touch()
    clear_turns(folder)
    assert content(tmp_path / "build") == ["events.jsonl", "feedback.json"]
    assert (tmp_path / "build" / "feedback.json").read_bytes() == b""
    assert not target.is_file() or target.read_text() == '{"secret": 1}'
    assert not target.is_dir() or os.listdir(target) == ["kept"]


def test_removing_what_is_not_there_is_no_trouble(folder: Folder) -> None:
    remove(folder, "coach_turn_1.xml")


def test_a_folder_that_can_be_removed_leaves_nothing(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "build" / "coach_turn_1.xml" / "full").mkdir(parents=True)
    remove(folder, "coach_turn_1.xml")
    assert os.listdir(tmp_path / "build") == []


def said(folder: Folder, report: bytes) -> dict[str, object]:
    """Return the Player's document after a report of its own."""
    folder.replace("player_turn_1.json", report)
    write_turn(folder, JUDGED)
    document: dict[str, object] = json.loads(folder.read("player_turn_1.json", 2**24))
    return document


@pytest.mark.parametrize(
    "report",
    [
        pytest.param(b'{"notes": "%s"}' % (b"x" * 2**20), id="too long"),
        pytest.param(b'{"notes": "\xff"}', id="no UTF-8"),
        pytest.param(b'{"notes": %s}' % (b"9" * 5000), id="too large a number"),
        pytest.param(b'{"notes": %s%s}' % (b"[" * 10_000, b"]" * 10_000), id="too deep"),
    ],
)
def test_a_report_of_the_player_that_cannot_be_taken_is_left_out(
    folder: Folder, report: bytes
) -> None:
    assert "notes" not in said(folder, report)


@pytest.mark.parametrize(("depth", "is_kept"), [(99, True), (100, False), (100_000, False)])
def test_a_report_of_the_player_is_left_out_if_it_is_too_deep(
    folder: Folder, depth: int, is_kept: bool
) -> None:
    deep = b'{"notes": %s"]["%s}' % (b"[" * depth, b"]" * depth)
    assert ("notes" in said(folder, deep)) is is_kept


def test_a_report_of_the_player_that_is_none_is_told_of(folder: Folder) -> None:
    folder.replace("player_turn_1.json", b"I have done it")
    assert write_turn(folder, JUDGED) == "the Player's report of turn 1 is no JSON object"
    folder.replace("player_turn_1.json", b" \n")
    assert write_turn(folder, JUDGED) == ""


def test_secrets_of_the_environment_are_in_no_document(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_API_KEY", "a-very-secret-key")
    said(folder, b'{"notes": "I used a-very-secret-key"}')
    for name in NAMES:
        assert b"a-very-secret-key" not in folder.read(name, 2**20)
    assert b"I used ***" in folder.read("player_turn_1.json", 2**20)


@pytest.mark.anyio
async def test_a_disk_that_is_full_is_told_of(tmp_path: Path) -> None:
    with tmpfs(tmp_path):
        documents = Documents(tmp_path, "T1", FakeClock())
        documents.folder.mkdir(parents=True)
        with suppress(OSError), open(tmp_path / "fill", "wb", buffering=0) as file:  # noqa: ASYNC230
            while True:
                file.write(bytes(4096))
        told = await documents.save(JUDGED)
        documents.close()
    assert told == "the documents of turn 1 cannot be written: No space left on device"


@pytest.mark.anyio
async def test_a_disk_that_hangs_is_told_of_and_waited_for_once(tmp_path: Path) -> None:
    clock = FakeClock(hung_after=0.05)
    documents = Documents(tmp_path, "T1", clock)
    documents.folder.mkdir(parents=True)
    hangs = threading.Event()
    documents._worker.submit(hangs.wait)
    async with anyio.create_task_group() as tasks:
        told = list[str]()

        async def save() -> None:
            told.append(await documents.save(JUDGED))

        tasks.start_soon(save)
        await clock.advance(LIMIT)
    late = "the documents of turn 1 cannot be written: the disk hangs"
    assert told == [late]
    assert await documents.save(JUDGED) == late
    assert await documents.read(1, 0) == (None, "its report cannot be read: the disk hangs")
    hangs.set()
    documents.close()

"""What is told of builds whose files change, and when."""

import os
from collections import deque
from datetime import UTC, datetime
from pathlib import Path

import pytest

from guardkit import Snapshot, Verdict
from guardkit.errors import ProgressNotFoundError
from guardkit.places.watch import Watched
from guardkit.progress.journal import append
from guardkit.progress.snapshot import Tracker, encode

NOW = datetime(2025, 1, 31, 12, tzinfo=UTC)
RUNNING = Verdict(state="running", evidence="")
ENDED = Verdict(state="completed", evidence="")


def shown(seq: int, phase: str = "", **fields: object) -> Snapshot:
    about = {"build_id": "TASK-1", "task_id": "TASK-1", "turn_max": 5, "phase": phase}
    times = {"started_at": NOW, "updated_at": NOW, "tracker": Tracker(run_id="run", seq=seq)}
    return Snapshot(**about | times | fields)  # type: ignore[arg-type]


class Files:
    """The files of a build, as its builder writes them."""

    def __init__(self, root: Path) -> None:
        self._folder = root / ".guardkit/autobuild/TASK-1"
        self._folder.mkdir(parents=True)

    def document(self, snapshot: Snapshot) -> None:
        (self._folder / "progress.json").write_bytes(encode(snapshot))

    def journal(self, *snapshots: Snapshot) -> None:
        happened = deque(("phase.started", NOW, snapshot) for snapshot in snapshots)
        append(os.fspath(self._folder / "events.jsonl"), happened)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def watched(root: Path, *, past: bool = True) -> Watched:
    return Watched("TASK-1", root, past=past)


def test_what_the_journal_tells_comes_before_the_document(tmp_path: Path, files: Files) -> None:
    build, last = watched(tmp_path), shown(3, "B", status="completed")
    files.journal(shown(1), shown(2, "A"), last)
    files.document(last)
    assert build.read() == (last, [shown(1), shown(2, "A"), last, last])
    assert build.read() == (last, [last])
    build.judge(last, ENDED)
    assert build.over


def test_the_past_may_be_left_out(tmp_path: Path, files: Files) -> None:
    files.document(shown(2, "A"))
    files.journal(shown(1), shown(2, "A"))
    build = watched(tmp_path, past=False)
    assert build.read() == (shown(2, "A"), [shown(2, "A")])
    files.journal(shown(3, "B"))
    files.document(shown(3, "B"))
    assert build.read() == (shown(3, "B"), [shown(3, "B"), shown(3, "B")])


def test_without_a_journal_there_is_no_past(tmp_path: Path, files: Files) -> None:
    build = watched(tmp_path, past=False)
    with pytest.raises(ProgressNotFoundError):
        build.read()
    files.document(shown(1))
    assert build.read() == (shown(1), [shown(1)])
    build.judge(shown(1), RUNNING)
    assert not build.over

"""What a build, a folder or a command line says never reaches the terminal as it is."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from guardkit import Snapshot
from guardkit.orchestrator.demo import TASK_ID, TEST, make_demo
from guardkit.progress.folder import open_builds
from guardkit.progress.journal import append
from guardkit.progress.snapshot import Tracker, Usage, Work, encode, make_event

from .test_cli import GUARDKIT, guardkit, ignore, on_terminal

EVIL = "a\x1b[2J\x1b]0;title\x07\x9b31m\x08\x7f\u202e\u2066\u2028\nb\rc\x1b"
NOW = datetime(2025, 1, 31, 12, 34, 56, tzinfo=UTC)
# What a terminal is told: colours, the cursor, lines that are wiped out, a title that is plain.
TITLE = r"\x1b\[2[23];2t|\x1b\]2;[^\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]*\x07"
OURS = re.compile(rf"\x1b\[(?:[0-9;]*m|\?25[hl]|2K|1A)|\r|{TITLE}")


def evil(task_id: str, status: str = "running") -> Snapshot:
    texts: dict[str, Any] = dict.fromkeys(
        ("build_id", "task_name", "phase", "message", "decision", "error"), EVIL
    )
    tracker = Tracker(
        run_id=EVIL,
        seq=1,
        host=EVIL,
        boot_id=EVIL,
        lock=EVIL,
        heartbeat_seconds=0.05,
        phase_number=1,
    )
    return Snapshot(
        task_id=task_id,
        status=status,  # type: ignore[arg-type]
        turn=1,
        turn_max=5,
        phase_status="in_progress" if status == "running" else "failed",
        started_at=NOW,
        updated_at=NOW,
        work=Work(1, 2, EVIL),
        usage=Usage(5, 0.5),
        tracker=tracker,
        **texts,
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make a folder with a hostile name, and in it hostile builds."""
    root = tmp_path / f"root{EVIL}"
    with open_builds(make_folder(root), make=True) as builds:
        for task_id, status in (("TASK-1", "running"), ("TASK-2", "failed")):
            with builds.folder(task_id, make=True) as folder:
                first, last = evil(task_id), evil(task_id, status)
                last = replace(last, tracker=replace(last.tracker, seq=2))
                append(folder, [make_event(EVIL, NOW, first), make_event("build.ended", NOW, last)])
                Path(folder.path, "progress.json").write_bytes(encode(last))
        with builds.folder("TASK-3", make=True) as folder:
            nonsense = b'{"task_id": "%s"}' % EVIL.encode()
            Path(folder.path, "progress.json").write_bytes(nonsense)
    return root


def make_folder(path: Path) -> Path:
    path.mkdir()
    return path


def assert_plain(text: str) -> None:
    assert [c for c in text if not c.isprintable() and c != "\n"] == []


@pytest.mark.parametrize(
    "words",
    [
        *("status", "status TASK-1", "status TASK-3", "status --json", "watch TASK-1 TASK-2"),
        *("watch", "wait TASK-1 TASK-2", "wait TASK-2 --json", "wait TASK-1 --timeout 0"),
        *("log TASK-1", "log TASK-2 --json", "log TASK-1 --last", "status TASK-4", "log TASK-4"),
    ],
)
def test_no_command_prints_what_a_terminal_obeys(root: Path, words: str) -> None:
    ended = guardkit(*words.split(), "--root", str(root))
    assert ended.returncode != 2
    assert_plain(ended.stdout)
    assert_plain(ended.stderr)


@pytest.mark.parametrize(
    "words",
    [
        [EVIL],
        ["status", EVIL],
        ["status", f"--{EVIL}"],
        ["log", "T", EVIL],
        ["wait", "T", "--until", EVIL],
    ],
)
def test_no_refusal_repeats_what_a_terminal_obeys(words: list[str]) -> None:
    ended = guardkit(*words)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert_plain(ended.stderr)


def test_a_build_below_a_hostile_folder_prints_what_is_printable(tmp_path: Path) -> None:
    root = make_demo(tmp_path / f"root{EVIL}")
    words = ("--player", f"printf '{EVIL}'", "--test", TEST, "--max-turns", "1")
    ended = guardkit("autobuild", "task", TASK_ID, *words, "--root", str(root))
    assert ended.returncode == 1
    assert "Worktree: " in ended.stdout
    assert_plain(ended.stdout)
    assert_plain(ended.stderr)


def test_the_demo_says_where_it_is_in_what_is_printable(tmp_path: Path) -> None:
    ended = guardkit("demo", "--root", str(tmp_path / f"root{EVIL}"))
    assert "which is kept: " in ended.stdout
    assert_plain(ended.stdout)
    assert_plain(ended.stderr)


@pytest.mark.parametrize("command", ["watch TASK-1 TASK-2", "status", "log TASK-1"])
def test_a_terminal_is_told_nothing_but_what_is_ours(root: Path, command: str) -> None:
    words = (*GUARDKIT, *command.split(), "--root", str(root))
    _, printed = on_terminal(80, *words, before=ignore)
    assert_plain(OURS.sub("", printed))

"""`guardkit log ID --agent`: what the agent of the latest turn has told."""

import os
from pathlib import Path

import pytest

from .test_cli import complaint, guardkit


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / ".guardkit/autobuild/T1"
    folder.mkdir(parents=True)
    return folder


def log(root: Path, *words: str) -> tuple[int, str, str]:
    ended = guardkit("log", "T1", "--agent", "--root", str(root), *words)
    return ended.returncode, ended.stdout, ended.stderr


@pytest.mark.parametrize(
    ("names", "newest"),
    [
        (["agent_turn_1", "agent_turn_2", "agent_turn_10"], "agent_turn_10"),
        (["agent_turn_2", "coach_agent_turn_2", "coach_agent_turn_1"], "coach_agent_turn_2"),
        (
            ["agent_turn_1", "agent_turn_x", "agent_turn_9999999999"],
            "agent_turn_1",
        ),
    ],
)
def test_the_stream_of_the_latest_turn_is_printed(
    tmp_path: Path, folder: Path, names: list[str], newest: str
) -> None:
    for name in names:
        (folder / f"{name}.jsonl").write_text(f'{{"of":"{name}"}}\n')
    assert log(tmp_path) == (0, f'{{"of":"{newest}"}}\n', "")


def test_it_is_printed_as_it_was_kept_less_what_a_terminal_obeys(
    tmp_path: Path, folder: Path
) -> None:
    said = b'{"a":  "\xff\x1b]0;title\x07\xe2\x80\xae"}\n' + b"x" * 3_000_000
    (folder / "agent_turn_1.jsonl").write_bytes(said)
    code, out, err = log(tmp_path)
    assert (code, err) == (0, "")
    assert out == '{"a":  "\N{REPLACEMENT CHARACTER}]0;title"}\n' + "x" * 3_000_000


def test_a_link_is_not_followed_and_no_pipe_waited_for(tmp_path: Path, folder: Path) -> None:
    (folder / "agent_turn_1.jsonl").symlink_to("/etc/passwd")
    code, out, err = log(tmp_path)
    assert (code, out) == (7, "")
    assert "it is a link, which guardkit does not follow" in err
    os.mkfifo(folder / "agent_turn_2.jsonl")
    code, out, err = log(tmp_path)
    assert (code, out) == (7, "")
    assert "it is not a regular file" in err


def test_where_no_agent_was_that_is_said(tmp_path: Path, folder: Path) -> None:
    code, out, err = log(tmp_path)
    assert (code, out) == (6, "")
    assert err == f"guardkit: no agent has left a stream of T1 below {tmp_path}\n"
    folder.rmdir()
    assert log(tmp_path)[0] == 6


@pytest.mark.parametrize("other", ["--follow", "--last", "--json", "--nats"])
def test_it_stands_alone(tmp_path: Path, other: str) -> None:
    ended = guardkit("log", "T1", "--agent", "--root", str(tmp_path), other)
    assert ended.returncode == 2
    assert "--agent prints a stream of this machine as it was kept" in complaint(ended)

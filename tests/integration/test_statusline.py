"""The status line as Claude Code runs it: a process, JSON on its standard input, and settings."""

import json
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import guardkit
from guardkit.progress.snapshot import Tracker, encode

from ..chaos.mounts import mounted
from .test_cli import building, complaint, foreign, progress_file
from .test_cli import guardkit as run_guardkit
from .test_hostile import evil

STATUSLINE = (sys.executable, "-m", "guardkit.places.statusline")
PRIVATE = '{\n  "env": {"TOKEN": "secret"},\n  "model": "opus"\n}\n'


def statusline(
    told: object, *words: str, columns: int | str = 500, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run it with what Claude Code tells, or a text, on standard input; in colours if asked for."""
    environment = {**os.environ, "COLUMNS": str(columns), "NO_COLOR": "1", **options.pop("env", {})}
    if "stdin" not in options:
        options["input"] = told if isinstance(told, str) else json.dumps(told)
    command = (*STATUSLINE, *words)
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, timeout=60, **options
    )


def shown(told: object, *words: str, **options: Any) -> list[str]:
    """Return the lines that are shown; nothing else may be said."""
    ended = statusline(told, *words, **options)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.splitlines()


def session(folder: Path, **more: Any) -> dict[str, Any]:
    """Return what Claude Code tells of a session."""
    return {
        "session_id": "5f2e",
        "cwd": str(folder),
        "workspace": {"current_dir": str(folder), "project_dir": str(folder), "added_dirs": []},
        "model": {"id": "claude", "display_name": "Claude"},
        "version": "2.1.332",
        "cost": {"total_cost_usd": 0.1},
        **more,
    }


def git(*words: str) -> None:
    who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    subprocess.run(("git", *who, *words), check=True, capture_output=True)


LINE = r"running: Wave 1/3, TASK-1 \(Turn 1/5, Player Implementation\) - (?:\d+m )?\d+s elapsed"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A repository in which TASK-1 is being built."""
    root = tmp_path_factory.mktemp("project")
    git("init", "-q", str(root))
    git("-C", str(root), "commit", "-q", "--allow-empty", "-m", "x")
    with building(root, "TASK-1"):
        yield root


def assert_line(lines: list[str]) -> None:
    [line] = lines
    assert re.fullmatch(LINE, line)


def test_a_build_of_the_project_is_shown(project: Path) -> None:
    assert_line(shown(session(project)))


@pytest.mark.parametrize(
    "told",
    [
        pytest.param(lambda root: {"cwd": f"{root}/src"}, id="the working folder"),
        pytest.param(lambda root: {"workspace": {"project_dir": root}}, id="the project"),
        pytest.param(
            lambda root: {"workspace": {"current_dir": root}, "cwd": "/gone"}, id="where it is now"
        ),
        pytest.param(
            lambda root: {"cwd": "/", "worktree": {"original_cwd": root}}, id="before a worktree"
        ),
        pytest.param(lambda root: {"cwd": f"{root}/../{Path(root).name}"}, id="a path with dots"),
    ],
)
def test_a_project_is_found_by_each_folder_that_is_told(
    project: Path, told: Callable[[str], object]
) -> None:
    (project / "src").mkdir(exist_ok=True)
    assert_line(shown(told(str(project))))


def test_in_a_worktree_of_ours_it_is_the_checkout(project: Path) -> None:
    inside = project / ".guardkit/worktrees/TASK-1/src"
    inside.mkdir(parents=True, exist_ok=True)
    assert_line(shown(session(inside)))


def test_in_a_git_worktree_there_are_its_own_builds_and_those_of_the_checkout(
    project: Path, tmp_path: Path
) -> None:
    git("-C", str(project), "worktree", "add", "-q", "--detach", str(tmp_path / "tree"))
    assert_line(shown(session(tmp_path / "tree")))
    progress_file(tmp_path / "tree", "TASK-2").write_bytes(encode(foreign("TASK-2")))
    first, second = shown(session(tmp_path / "tree"))
    assert re.fullmatch(LINE, first)
    assert second.startswith("running: Wave 1/1, TASK-2 ")


def test_a_crash_is_shown_with_its_evidence_in_colour(tmp_path: Path) -> None:
    with building(tmp_path, "TASK-1") as builder:
        builder.kill()
        builder.wait()
        where, why = shown(session(tmp_path), env={"NO_COLOR": ""})
    assert where.startswith("\x1b[31mcrashed\x1b[0m: Wave 1/3, TASK-1 (")
    assert why.startswith(f"\x1b[31mprocess {builder.pid} on ")
    assert why.endswith(" no longer holds the lock of TASK-1: it ended without a word\x1b[0m")


def test_lines_fit_the_terminal(project: Path) -> None:
    assert shown(session(project), columns=40) == ["running: Wave 1/3, TASK-1 (Turn 1/5…"]


@pytest.mark.parametrize("columns", ["", "0", "-1", "x", "9" * 5000, "²", "1e3"])
def test_a_width_that_is_none_is_80(tmp_path: Path, columns: str) -> None:
    long = replace(foreign("TASK-1"), phase="x" * 100)
    progress_file(tmp_path, "TASK-1").write_bytes(encode(long))
    [line] = shown(session(tmp_path), columns=columns)
    assert len(line) == 80


def test_the_folder_may_be_given(project: Path, tmp_path: Path) -> None:
    assert_line(shown("", "--root", str(project)))
    assert shown("", "--root", str(tmp_path)) == shown("", "--root", str(tmp_path / "gone")) == []


def test_of_a_terminal_it_is_the_working_folder_s(project: Path) -> None:
    controller, terminal = pty.openpty()
    try:
        assert_line(shown(None, stdin=terminal, cwd=project))
    finally:
        os.close(controller)
        os.close(terminal)


def test_what_has_ended_long_ago_is_not_shown(tmp_path: Path) -> None:
    progress_file(tmp_path, "TASK-1").write_bytes(
        encode(replace(foreign("TASK-1"), status="completed"))
    )
    assert shown(session(tmp_path)) == []


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("{", id="half"),
        pytest.param("null", id="null"),
        pytest.param("[]", id="a list"),
        pytest.param("{}", id="no folder"),
        pytest.param('{"cwd": 5, "workspace": [], "worktree": "x"}', id="other types"),
        pytest.param('{"cwd": "", "workspace": {"project_dir": null}}', id="empty"),
        pytest.param('{"cwd": "src"}', id="a relative path"),
        pytest.param('{"cwd": "/a\\u0000b"}', id="a null byte"),
        pytest.param('{"cwd": "/\\ud800"}', id="half a character"),
        pytest.param('{"cwd": "/' + "x" * 5000 + '"}', id="a long path"),
        pytest.param("[" * 100_000, id="nested too deeply"),
        pytest.param("1" * 5000, id="endless digits"),
        pytest.param("\x1b[2J\x00", id="controls"),
        pytest.param('{"cwd": "/"}' + " " * 2**20, id="more than is read"),
    ],
)
def test_garbage_shows_nothing(project: Path, text: str) -> None:
    assert shown(text, cwd=project) == []


def test_bytes_that_are_no_text_show_nothing(project: Path) -> None:
    ended = subprocess.run(
        STATUSLINE, input=b"\xff\xfe{", capture_output=True, check=False, cwd=project
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")


@pytest.mark.parametrize("closed", ["<&-", "</dev/zero", ">&-", ">/dev/full"])
def test_standard_files_that_are_none_show_nothing(project: Path, closed: str) -> None:
    script = f'exec "$@" {closed}'
    ended = subprocess.run(
        ("sh", "-c", script, "sh", *STATUSLINE),
        input=json.dumps(session(project)),
        capture_output=True,
        text=True,
        check=False,
        cwd=project,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@pytest.mark.parametrize("kind", ["fifo", "link", "file"])
@pytest.mark.parametrize("path", [".guardkit", ".guardkit/autobuild", ".git"])
def test_what_stands_in_place_of_a_folder_shows_nothing(
    tmp_path: Path, kind: str, path: str
) -> None:
    place = tmp_path / path
    place.parent.mkdir(exist_ok=True)
    if kind == "fifo":
        os.mkfifo(place)
    elif kind == "link":
        place.symlink_to("/dev/zero")
    else:
        place.write_text("gitdir: /proc/self/.git/worktrees/x\0")
    assert shown(session(tmp_path)) == []


def test_one_bad_build_costs_its_own_line(tmp_path: Path) -> None:
    os.mkfifo(progress_file(tmp_path, "TASK-2"))
    with building(tmp_path, "TASK-1"):
        lines = shown(session(tmp_path))
    assert lines[0] == "unreadable: TASK-2"
    assert lines[1].endswith(" +1 more")


def test_hostile_builds_write_nothing_that_a_terminal_obeys(tmp_path: Path) -> None:
    for task_id in ("TASK-1", "TASK-2"):
        hostile = replace(evil(task_id), tracker=Tracker())  # which is never lost
        progress_file(tmp_path, task_id).write_bytes(encode(hostile))
    lines = shown(session(tmp_path))
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


def test_an_input_that_never_ends_holds_nothing_up(project: Path) -> None:
    reader, writer = os.pipe()
    try:
        assert shown(None, stdin=reader, cwd=project) == []
    finally:
        os.close(reader)
        os.close(writer)


def test_a_disk_that_hangs_holds_nothing_up(tmp_path: Path) -> None:
    with mounted(tmp_path) as mount:
        progress_file(mount.path, "TASK-1").write_bytes(encode(foreign("TASK-1")))
        assert len(shown(session(mount.path))) == 1
        mount.hang()
        assert shown(session(mount.path)) == []


def test_wrong_usage_is_told() -> None:
    ended = statusline("", "--nonsense")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("usage: guardkit-statusline [--root DIR]")
    assert statusline("", "--help").returncode == 0


def test_it_loads_the_cheap_part_of_the_standard_library_alone(project: Path) -> None:
    program = """
import os, sys
from guardkit.places.statusline import run
dear = {"typing", "msgspec", "asyncio", "pathlib", "dataclasses", "inspect", "logging", "argparse"}
dear |= {"subprocess", "threading", "shlex", "unicodedata", "rich", "re", "json"}
assert run(["--root", sys.argv[1]]) == 0
print(sorted(dear & sys.modules.keys()))
"""
    home = str(Path(guardkit.__file__).parents[1])
    command = (sys.executable, "-S", "-c", program, str(project))
    environment = {"PYTHONPATH": home, "COLUMNS": "200"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.stderr == ""
    assert re.fullmatch(r"\x1b\[32m.*\n\[\]\n", done.stdout)


# below another one


def test_another_status_line_is_called_and_stands_above(project: Path) -> None:
    told = session(project)
    above, below = shown(told, "--below", "cat; printf ' %s' \"$COLUMNS\"")
    assert above == f"{json.dumps(told)} 500"
    assert re.fullmatch(LINE, below)


@pytest.mark.parametrize(
    "command", ["exit 3", "nonsense-that-is-no-command 2>/dev/null", "kill $$"]
)
def test_what_becomes_of_the_other_one_does_not_matter(project: Path, command: str) -> None:
    assert_line(shown(session(project), "--below", command))


def test_the_other_one_is_shown_whatever_is_wrong_with_ours() -> None:
    assert shown("garbage", "--below", "cat") == ["garbage"]


def test_another_one_that_never_ends_is_ended_and_what_it_has_printed_shown(
    project: Path, tmp_path: Path
) -> None:
    command = f"echo $$ > {tmp_path}/pid; echo above; sleep 1000"
    above, below = shown(session(project), "--below", command)
    assert above == "above"
    assert re.fullmatch(LINE, below)
    wait_for_end(int((tmp_path / "pid").read_text()))


def test_another_one_that_prints_without_end_is_cut(project: Path) -> None:
    lines = shown(session(project), "--below", "yes")
    assert len(lines) < 2**18
    assert re.fullmatch(LINE, lines[-1])


def wait_for_end(pid: int) -> None:
    """Return when a process has ended, or is waited for by nobody."""
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return
        os.sched_yield()
    assert not Path(f"/proc/{pid}").exists()


# the settings


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    return home


def change(*words: str, home: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "CLAUDE_CONFIG_DIR"}
    environment |= {"HOME": str(home), **options.pop("env", {})}
    return run_guardkit("statusline", *words, env=environment, cwd=home, **options)


def changed(*words: str, home: Path, **options: Any) -> str:
    """Return what is printed of a change."""
    ended = change(*words, home=home, **options)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def test_it_is_put_in_and_taken_out_without_a_trace(home: Path) -> None:
    settings = home / ".claude/settings.json"
    told = changed("--install", home=home)
    assert told.startswith(f"--- /dev/null\n+++ {settings}\n")
    assert json.loads(settings.read_bytes())["statusLine"]["command"] == "guardkit-statusline"
    assert changed("--install", home=home) == f"{settings}: it is there already\n"
    assert '-    "command": "guardkit-statusline",\n' in changed("--uninstall", home=home)
    assert not settings.exists()
    assert changed("--uninstall", home=home) == f"{settings}: there is nothing to take out\n"


def test_the_change_is_shown_without_its_neighbours(home: Path) -> None:
    settings = home / ".claude/settings.json"
    settings.parent.mkdir()
    settings.write_text(PRIVATE)
    settings.chmod(0o600)
    told = changed("--install", home=home)
    assert "secret" not in told
    assert {line[0] for line in told.splitlines()} == {"-", "+", "@"}
    assert settings.stat().st_mode & 0o777 == 0o600
    changed("--uninstall", home=home)
    assert settings.read_text() == PRIVATE
    assert settings.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in settings.parent.iterdir()] == ["settings.json"]


def test_what_is_put_in_runs_and_calls_what_was_there(
    home: Path, project: Path, tmp_path: Path
) -> None:
    program = tmp_path / "bin/guardkit-statusline"
    program.parent.mkdir()
    module = f'exec "{sys.executable}" -m guardkit.places.statusline "$@"'
    program.write_text(f"#!/bin/sh\n{module}\n")
    program.chmod(0o755)
    settings = home / ".claude/settings.json"
    settings.parent.mkdir()
    theirs = {"type": "command", "command": 'echo "it\'s $(cat | wc -c)"', "padding": 1}
    before = json.dumps({"statusLine": theirs}, indent=4)
    settings.write_text(before)
    changed("--install", home=home)
    line = json.loads(settings.read_bytes())["statusLine"]
    assert (line["padding"], line["refreshInterval"]) == (1, 2)
    told = json.dumps(session(project))
    environment = os.environ | {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(guardkit.__file__).parents[1]),
        "NO_COLOR": "1",
        "COLUMNS": "500",
    }
    ended = subprocess.run(
        ("sh", "-c", line["command"]),
        input=told,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    above, below = ended.stdout.splitlines()
    assert above == f"it's {len(told)}"
    assert re.fullmatch(LINE, below)
    changed("--uninstall", home=home)
    assert settings.read_text() == before


def test_for_the_user_it_is_the_program_beside_the_command(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a venv"
    folder.mkdir()
    (folder / "guardkit-statusline").touch(mode=0o755)
    command = folder / "guardkit"
    command.write_text(f"#!{sys.executable}\nfrom guardkit.cli.main import main\nmain()\n")
    command.chmod(0o755)
    environment = os.environ | {
        "HOME": str(home),
        "PYTHONPATH": str(Path(guardkit.__file__).parents[1]),
    }
    for words in (("--install",), ("--install", "--project", "--root", str(home / "p"))):
        ended = subprocess.run(
            (command, "statusline", *words), env=environment, capture_output=True, check=False
        )
        assert (ended.returncode, ended.stderr) == (0, b"")
    programs = [
        json.loads(Path(home, each, ".claude/settings.json").read_bytes())["statusLine"]["command"]
        for each in ("", "p")
    ]
    assert programs == [f"'{folder}/guardkit-statusline'", "guardkit-statusline"]


def test_the_folder_of_the_settings_may_be_another_one(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "config"
    changed("--install", home=home, env={"CLAUDE_CONFIG_DIR": str(folder)})
    assert (folder / "settings.json").exists()
    assert not (home / ".claude").exists()


def test_those_of_the_project_are_changed_instead(home: Path) -> None:
    project = home / "project"
    (project / ".git").mkdir(parents=True)
    (project / "src").mkdir()
    environment = os.environ | {"HOME": str(home)}
    ended = run_guardkit(
        "statusline", "--install", "--project", cwd=project / "src", env=environment
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (project / ".claude/settings.json").exists()
    assert not (home / ".claude").exists()


@pytest.mark.parametrize("text", [None, PRIVATE], ids=["a target that is not there", "a target"])
def test_a_link_stays_one(home: Path, text: str | None) -> None:
    target = home / "dotfiles/claude.json"
    target.parent.mkdir()
    settings = home / ".claude/settings.json"
    settings.parent.mkdir()
    settings.symlink_to("../dotfiles/claude.json")
    if text:
        target.write_text(text)
    changed("--install", home=home)
    assert settings.is_symlink()
    assert "statusLine" in json.loads(target.read_bytes())
    changed("--uninstall", home=home)
    assert settings.is_symlink()
    assert (target.read_text() if target.exists() else None) == text


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(b"", "it is no JSON object", id="empty"),
        pytest.param(b"[]", "it is no JSON object", id="a list"),
        pytest.param(b'{"a": 1} // why', "it is no JSON object", id="a comment"),
        pytest.param(b'{"a": "\xff"}', "it is not UTF-8", id="Latin"),
        pytest.param(b"{}" + b" " * 2**20, "it is too large", id="a megabyte"),
    ],
)
@pytest.mark.parametrize("words", ["--install", "--uninstall"])
def test_settings_that_cannot_be_read_are_left_as_they_are(
    home: Path, content: bytes, why: str, words: str
) -> None:
    settings = home / ".claude/settings.json"
    settings.parent.mkdir()
    settings.write_bytes(content)
    ended = change(words, home=home)
    assert (ended.returncode, ended.stdout) == (7, "")
    assert complaint(ended) == f"guardkit: {settings}: {why}, and is left as it is; mend it"
    assert settings.read_bytes() == content


@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "loop"])
def test_what_is_no_file_is_refused_in_one_line(home: Path, kind: str) -> None:
    settings = home / ".claude/settings.json"
    settings.parent.mkdir()
    if kind == "fifo":
        os.mkfifo(settings)
    elif kind == "folder":
        settings.mkdir()
    else:
        settings.symlink_to("/dev/zero" if kind == "device" else settings)
    for words in ("--install", "--uninstall"):
        ended = change(words, home=home)
        assert (ended.returncode, ended.stdout) == (7, "")
        assert complaint(ended)


@pytest.mark.parametrize("words", [(), ("--install", "--uninstall"), ("--project",)])
def test_one_of_two_is_wanted(home: Path, words: tuple[str, ...]) -> None:
    ended = change(*words, home=home)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert complaint(ended).startswith("guardkit: give --install or --uninstall")

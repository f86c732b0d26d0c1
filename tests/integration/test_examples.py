"""The examples and the README do what they say."""

import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from guardkit import read_progress, track_build
from guardkit.cli import codes
from guardkit.nats import NatsBuilds
from guardkit.progress.snapshot import encode

from ..nats_server import NatsServer

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = REPOSITORY / "examples"
README = (REPOSITORY / "README.md").read_text()
APART = {"many_machines", "plain_client", "test_with_fake_clock"}  # have tests of their own
PROGRAMS = sorted({path.stem for path in EXAMPLES.glob("*.py")} - APART)
BLOCKS = [  # heading, language, text
    (section.partition("\n")[0], match[1], match[2])
    for section in re.split(r"(?m)^#+ ", README)
    for match in re.finditer(r"(?ms)^```(\w+)\n(.*?)^```$", section)
]
INSTALLS = "pip install"  # blocks with this need a network, and are not run here

TASK = """\
---
id: TASK-FB-002
title: Implement text output fallback
---
# Implement text output fallback
"""
CLAUDE = """\
#!/bin/sh
case "$1 $(cat)" in "-p "*"text output fallback"*) ;; *) exit 1 ;; esac
echo 'def test_fallback(): pass' > test_fallback.py
echo '{"type": "result", "subtype": "success", "is_error": false, "result": "done"}'
"""


def prints_what_it_says(name: str, *words: str) -> bool:
    """Run an example; return whether it prints just what stands in it."""
    path = EXAMPLES / f"{name}.py"
    said = re.search(r"Prints:\n(.*?)\"\"\"", path.read_text(), re.DOTALL)
    assert said
    expected = [line.strip() for line in said[1].splitlines() if line.strip()]
    command = [sys.executable, "-W", "error", str(path), *words]
    printed = subprocess.run(command, capture_output=True, text=True, check=True)
    return printed.stdout.splitlines() == expected and not printed.stderr


def blocks(language: str) -> list[str]:
    """Return the README's blocks of a language that can be run here."""
    return [text for _, kind, text in BLOCKS if kind == language and INSTALLS not in text]


def heading(block: str) -> str:
    """Return under which heading a block of the README stands."""
    return next(heading for heading, _, text in BLOCKS if text == block)


def rows(begin: str) -> list[list[str]]:
    """Return the cells of the README's table with a first cell like that."""
    found = re.search(rf"(?m)^\| {re.escape(begin)}.*\n\|[-:|]+\n((?:\|.*\n)+)", README)
    assert found, begin
    return [[cell.strip(" `") for cell in row[1:-1].split("|")] for row in found[1].splitlines()]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the project of somebody who reads the README: a task, a Makefile, an agent."""
    root, programs = tmp_path / "project", tmp_path / "bin"
    (root / "tasks").mkdir(parents=True)
    (root / "tasks" / "TASK-FB-002.md").write_text(TASK)
    programs.mkdir()
    (root / "Makefile").write_text("all:\n\t@echo all is made\n")
    (programs / "claude").write_text(CLAUDE)
    (programs / "claude").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}")
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "A Tester")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "tester@example.invalid")
    for words in ("init -q -b main", "add .", "commit -q -m Begin"):
        subprocess.run(["git", *words.split()], cwd=root, check=True)
    return root


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_example_prints_what_it_says(name: str) -> None:
    assert prints_what_it_says(name)


@pytest.mark.anyio
async def test_the_example_of_many_machines_is_seen_on_the_server_by_any_client(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NATS_URL", nats_server.url)
    assert prints_what_it_says("many_machines", "0")
    looks = await NatsBuilds().look()
    assert [(look.task_id, look.verdict.state) for look in looks] == [
        ("TASK-1", "completed"),
        ("TASK-2", "completed"),
    ]
    assert prints_what_it_says("plain_client")


def test_the_readme_shows_what_a_plain_client_prints() -> None:
    said = (EXAMPLES / "plain_client.py").read_text().partition("Prints:\n")[2].partition('"""')[0]
    shown = next(text for _, _, text in BLOCKS if "plain_client.py" in text)
    assert shown.splitlines()[1:] == [line.strip() for line in said.splitlines() if line.strip()]


def test_the_example_with_a_fake_clock_passes() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    result = subprocess.run(
        [*command, EXAMPLES / "test_with_fake_clock.py"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "2 passed" in result.stdout


@pytest.mark.anyio
@pytest.mark.skipif(not shutil.which("jq"), reason="the example needs jq")
async def test_the_shell_example_follows_a_build_to_its_end(tmp_path: Path) -> None:
    command = ["sh", str(EXAMPLES / "poll.sh"), "TASK-1", str(tmp_path), "0.01"]
    async with track_build("TASK-1", root=tmp_path) as build:
        follower = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert follower.stdout
        assert follower.stdout.readline() == "running  turn 0/5    0 files\n"
        async with build.turn() as turn, turn.phase("Player Implementation"):
            build.update(files_created=2)
    lines, _ = follower.communicate()
    assert lines.splitlines()[-1] == "completed  turn 1/5  Player Implementation  2 files"


def test_every_example_is_short_and_says_how_to_run_it() -> None:
    for path in EXAMPLES.iterdir():
        if path.suffix in {".py", ".sh"}:
            text = path.read_text()
            assert len(text.splitlines()) < 40, path.name
            assert "Run:" in text, path.name
            assert "Prints:" in text, path.name


@pytest.mark.parametrize("block", blocks("python"), ids=heading)
def test_a_python_block_of_the_readme_runs_as_it_stands(block: str, project: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", block]
    ended = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.anyio
@pytest.mark.parametrize("block", blocks("sh"), ids=heading)
async def test_a_shell_block_of_the_readme_runs_as_it_stands(block: str, project: Path) -> None:
    async with track_build("TASK-FB-002", root=project):
        pass
    command = ["sh", "-eu", "-c", block]
    ended = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "completed" in ended.stdout


def test_the_document_in_the_readme_has_the_keys_of_a_real_one(tmp_path: Path) -> None:
    [shown] = [text for _, kind, text in BLOCKS if kind == "json"]
    path = tmp_path / ".guardkit" / "autobuild" / "TASK-FB-002" / "progress.json"
    path.parent.mkdir(parents=True)
    path.write_text(shown)
    real = encode(read_progress("TASK-FB-002", root=tmp_path)).decode()
    keys = re.compile(r'(?m)^(?: {2}| {4})"(\w+)":')
    last = real.index('"tracker"')
    assert keys.findall(shown) == [*keys.findall(real[:last]), "tracker"]


def test_the_readme_tells_of_each_parameter_and_its_default() -> None:
    told: dict[str, str] = {}
    for names, default, _ in rows("`track_build(…)`"):
        told |= dict.fromkeys(re.findall(r"\w+", names), default)
    real = inspect.signature(track_build).parameters
    assert told == {
        name: "" if each.default is each.empty else repr(each.default).replace("'", '"')
        for name, each in real.items()
    }


def test_the_readme_tells_of_each_verdict_and_its_exit_code() -> None:
    told = {state: int(code.split(",")[0]) for state, _, code in rows("verdict")}
    assert told == codes.BY_STATE
    [order] = re.findall(r"in the order\s+([\d ]+)\.", README)
    assert tuple(map(int, order.split())) == codes.ORDER

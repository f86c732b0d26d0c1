"""The examples do what they say."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from guardkit import track_build, watch_progress

from ..nats_server import NatsServer

EXAMPLES = Path(__file__).parents[2] / "examples"


def prints_what_it_says(name: str, *words: str) -> bool:
    """Run an example; return whether it prints just what stands in it."""
    path = EXAMPLES / f"{name}.py"
    said = re.search(r"Prints:\n(.*?)\"\"\"", path.read_text(), re.DOTALL)
    assert said
    expected = [line.strip() for line in said[1].splitlines() if line.strip()]
    command = [sys.executable, str(path), *words]
    printed = subprocess.run(command, capture_output=True, text=True, check=True)
    return printed.stdout.splitlines() == expected and not printed.stderr


@pytest.mark.parametrize("name", ["nested_turns", "several_builds", "custom_orchestrator"])
def test_an_example_prints_what_it_says(name: str) -> None:
    assert prints_what_it_says(name)


@pytest.mark.anyio
async def test_the_example_of_many_machines_is_seen_on_the_server(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NATS_URL", nats_server.url)
    assert prints_what_it_says("many_machines", "0")
    for task_id in ("TASK-1", "TASK-2"):
        seen = [each async for each in watch_progress(task_id, nats=nats_server.url)]
        assert [each.status for each in seen] == ["completed"]


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

"""What has to be seen from another process: environment, signals, sudden death."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from guardkit import assess, read_progress, track_build

BUILD = """
import asyncio, sys
from guardkit import track_build

async def main():
    async with track_build("TASK-1", root=sys.argv[1], heartbeat=0.2) as build:
        async with build.turn() as turn, turn.phase("Player Implementation"):
            print("ready", flush=True)
            await asyncio.Event().wait()

asyncio.run(main())
"""


@contextmanager
def build_in_progress(root: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run a build in a process of its own, up to the middle of a phase."""
    command = [sys.executable, "-c", BUILD, str(root)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def document(root: Path) -> dict[str, Any]:
    path = root / ".guardkit/autobuild/TASK-1/progress.json"
    read: dict[str, Any] = json.loads(path.read_bytes())
    return read


def test_ctrl_c_ends_a_build_cancelled(tmp_path: Path) -> None:
    with build_in_progress(tmp_path) as process:
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate()
    assert stderr.splitlines()[-1] == "KeyboardInterrupt"
    assert document(tmp_path)["status"] == document(tmp_path)["phase_status"] == "cancelled"


def test_a_build_that_was_killed_is_seen_to_have_crashed_at_the_first_look(tmp_path: Path) -> None:
    with build_in_progress(tmp_path) as process:
        seen = read_progress("TASK-1", root=tmp_path)
        assert assess(seen, root=tmp_path).state == "running"
        process.kill()
        process.wait()
    seen = read_progress("TASK-1", root=tmp_path)
    verdict = assess(seen, root=tmp_path)
    assert seen.status == "running"
    assert verdict.state == "crashed"
    assert f"process {process.pid} on " in verdict.evidence


@pytest.mark.anyio
async def test_after_a_crash_the_next_build_takes_over_at_once(tmp_path: Path) -> None:
    with build_in_progress(tmp_path) as process:
        process.kill()
        process.wait()
    async with track_build("TASK-1", root=tmp_path):
        assert document(tmp_path)["tracker"]["pid"] == os.getpid()


@pytest.mark.parametrize("umask, mode", [("022", 0o644), ("077", 0o600), ("002", 0o664)])
def test_the_files_follow_the_umask_and_the_times_are_utc_anywhere(
    tmp_path: Path, umask: str, mode: int
) -> None:
    script = f"""
import asyncio, os
from guardkit import track_build

async def main():
    async with track_build("TASK-1", root={str(tmp_path)!r}):
        pass

os.umask(0o{umask})
asyncio.run(main())
"""
    before = subprocess.check_output(["date", "-u", "+%Y-%m-%dT%H:%M"], text=True).strip()
    environment = os.environ | {"TZ": "Asia/Kolkata"}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
    after = subprocess.check_output(["date", "-u", "+%Y-%m-%dT%H:%M"], text=True).strip()
    folder = tmp_path / ".guardkit/autobuild/TASK-1"
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == {
        "events.jsonl": mode,
        "progress.json": mode,
    }
    assert before <= document(tmp_path)["updated_at"][:16] <= after
    assert document(tmp_path)["started_at"].endswith("Z")

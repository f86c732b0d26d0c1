"""A build, and those who watch it over NATS: from another folder, and from another machine."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from guardkit import read_events

from ..nats_server import NatsServer
from .test_cli import GUARDKIT, lines_until, started, without_times

PATIENCE = 30.0  # seconds
STEPS = ("writing test 1", "Coach Validation", "writing test 2", "Coach Validation")
BUILD = """
import asyncio, sys
from guardkit import track_build
from guardkit.nats import NatsSink

async def told():
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)

async def main():
    sinks = [NatsSink(sys.argv[1])]
    async with track_build("TASK-1", task_name="Text output", wave_total=3, sinks=sinks) as build:
        for number, decision in enumerate(["feedback", "approve"], 1):
            async with build.turn() as turn:
                async with turn.phase("Player Implementation", budget=900) as phase:
                    phase.update(files_created=number, message=f"writing test {number}")
                    await told()
                async with turn.phase("Coach Validation"):
                    build.update(tests_passed=4 + number, tests_total=6)
                    await told()
                turn.decide(decision, f"Coach has seen turn {number}")

asyncio.run(main())
"""
WATCH = """
import asyncio, sys
from contextlib import aclosing
from guardkit.nats import NatsBuilds

async def main():
    async with aclosing(NatsBuilds(sys.argv[1]).watch("TASK-1", past=True)) as looks:
        async for look in looks:
            for event in look.events:
                print("event", event.seq, flush=True)
            shown = look.snapshot
            print("shown", shown.tracker.seq, shown.phase, shown.message, flush=True)
            if shown.terminal:
                return

asyncio.run(main())
"""


class Place(NamedTuple):
    """Where a process runs: in which folder, how it gets there, and where NATS is from there."""

    folder: Path
    there: tuple[str, ...]
    url: str


@pytest.fixture
def two_folders(nats_server: NatsServer, tmp_path: Path) -> tuple[Place, Place]:
    """Give two folders of this machine."""
    first, second = [place(tmp_path / name, nats_server.url) for name in ("first", "second")]
    return first, second


@pytest.fixture
def two_machines(tmp_path: Path) -> Iterator[tuple[Place, Place]]:
    """Give two networks with a cable between them: as two machines, the first with a NATS server.

    What the first has on its disk the second does not see.
    """
    url, store = "nats://10.83.0.1:4222", str(tmp_path / "store")
    with machine() as first, machine() as second:
        cable = ("ip", "link", "add", "gk", "netns", first, "type", "veth")
        run(*cable, "peer", "name", "gk", "netns", second)
        for pid, address in ((first, "10.83.0.1/24"), (second, "10.83.0.2/24")):
            run(*inside(pid), "ip", "address", "add", address, "dev", "gk")
            run(*inside(pid), "ip", "link", "set", "gk", "up")
        here = place(tmp_path / "first", url, *inside(first))
        there = place(tmp_path / "second", url, *inside(second))
        run(*inside(second), "mount", "-t", "tmpfs", "none", str(here.folder))
        program = str(Path(sys.executable).with_name("nats-server"))
        command = (*here.there, program, "-a", "10.83.0.1", "-js", "-sd", store)
        with started(*command, stderr=subprocess.DEVNULL):
            until_it_works(there, *GUARDKIT, "nats", "init", "--nats", url)
            yield here, there


@contextmanager
def machine() -> Iterator[str]:
    """Give the process of a network and a table of mounts of its own."""
    command = ("unshare", "--net", "--mount", "sh", "-c", "ip link set lo up && echo up && cat")
    with started(*command, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        if process.stdout.readline() != "up\n":
            pytest.skip(f"a network of its own is not to be had: {process.stderr.read()}")
        yield str(process.pid)


def inside(pid: str) -> tuple[str, ...]:
    return "nsenter", f"--target={pid}", "--net", "--mount"


def place(folder: Path, url: str, *within: str) -> Place:
    folder.mkdir()
    return Place(folder, (*within, "env", f"--chdir={folder}"), url)


def run(*command: str) -> None:
    subprocess.run(command, check=True)


def until_it_works(at: Place, *command: str) -> None:
    end = time.monotonic() + PATIENCE
    while subprocess.run((*at.there, *command), capture_output=True, check=False).returncode:
        assert time.monotonic() < end


@contextmanager
def building(here: Place, there: Place) -> Iterator[subprocess.Popen[str]]:
    """Run a build in one place, until it is known in the other; each line has it go a step on."""
    with started(*here.there, sys.executable, "-c", BUILD, here.url) as build:
        until_it_works(there, *GUARDKIT, "status", "TASK-1", "--nats", there.url)
        yield build


def watch(build: subprocess.Popen[str], *watching: subprocess.Popen[str]) -> list[list[str]]:
    """Lead a build to its end; return what all who watch it have printed."""
    told: list[list[str]] = [[] for _ in watching]
    for step in STEPS:
        for lines, process in zip(told, watching, strict=True):
            assert process.stdout
            lines.extend(lines_until(process.stdout, step))
        assert build.stdin
        print("go", file=build.stdin, flush=True)
    for lines, process in zip(told, watching, strict=True):
        assert process.stdout
        lines.extend(process.stdout.read().splitlines())
        assert process.wait() == 0
    return told


@pytest.fixture(params=["two_folders", "two_machines"])
def places(request: pytest.FixtureRequest) -> tuple[Place, Place]:
    found: tuple[Place, Place] = request.getfixturevalue(request.param)
    return found


def test_watch_prints_elsewhere_what_it_prints_of_files(places: tuple[Place, Place]) -> None:
    here, there = places
    over_nats = (*there.there, *GUARDKIT, "watch", "TASK-1", "--nats", there.url)
    with (
        building(here, there) as build,
        started(*here.there, *GUARDKIT, "watch", "TASK-1") as of_files,
        started(*over_nats) as elsewhere,
    ):
        told, told_elsewhere = watch(build, of_files, elsewhere)
    assert told[-1] == "Status: APPROVE"
    assert without_times(told_elsewhere) == without_times(told)


def test_a_watch_tells_elsewhere_of_each_event_once(two_machines: tuple[Place, Place]) -> None:
    here, there = two_machines
    command = (*there.there, sys.executable, "-c", WATCH, there.url)
    with building(here, there) as build, started(*command) as watching:
        [told] = watch(build, watching)
    heard = [int(line.split()[1]) for line in told if line.startswith("event")]
    shown = [int(line.split()[1]) for line in told if line.startswith("shown")]
    assert heard == [event.seq for event in read_events("TASK-1", root=here.folder)]
    assert shown == sorted(shown)
    assert shown[-1] == heard[-1]

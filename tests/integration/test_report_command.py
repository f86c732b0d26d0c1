"""`guardkit report`: from journals on disk and on a server to files and lines."""

import asyncio
import json
import os
import re
from pathlib import Path

import pytest
from defusedxml.ElementTree import fromstring

from guardkit import Builds, Event, read_events, track_build
from guardkit.places.report.formats import render
from guardkit.places.report.material import make_report
from guardkit.testing import FakeClock

from ..histories import PLAYER, build_feature, build_once, build_task
from ..nats_server import NatsServer
from ..simulated import read_log
from .test_cli import building, built, complaint, guardkit
from .test_nats_commands import relaying, until_published

SAMPLES = Path(__file__).parents[3] / "shared" / "samples" / "autobuild"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with a task that has run twice, and a feature of three tasks."""

    async def build() -> None:
        clock = FakeClock()
        await build_once(tmp_path, clock, 300.0, 30.0)
        await build_task(tmp_path, clock)
        await build_feature(tmp_path, clock, waves=(2, 1))

    asyncio.run(build())
    return tmp_path


def run_ids(events: list[Event]) -> list[str]:
    return [*dict.fromkeys(event.run_id for event in events)]


def test_it_prints_where_the_time_of_the_latest_run_went(root: Path) -> None:
    environment = {**os.environ, "COLUMNS": "72"}
    ended = guardkit("report", "TASK-1", "--compare", "--root", str(root), env=environment)
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert lines[1] == "completed after 12m 5s, 3 turns, 9 files, 9/9 tests passing"
    assert any(line.startswith(f"{PLAYER}  7m 30s     62%      3  █████") for line in lines)
    assert "all in all             12m 5s  5m 30s  6m 35s longer" in lines
    assert max(map(len, lines)) <= 72


def test_a_disk_that_is_full_is_told_of_with_the_file(root: Path) -> None:
    full = root / "report.svg"
    full.symlink_to("/dev/full")
    ended = guardkit("report", "TASK-1", "-o", str(full), "--root", str(root))
    assert (ended.returncode, complaint(ended)) == (
        7,
        f"guardkit: {full}: No space left on device",
    )


def test_the_run_that_is_named_is_told_of(root: Path) -> None:
    first = run_ids(read_events("TASK-1", root=root))[0]
    ended = guardkit("report", "TASK-1", "--run", first, "--root", str(root))
    assert "completed after 5m 30s, 1 turn" in ended.stdout


@pytest.mark.parametrize("task_id", ["TASK-1", "FEAT-1"])
def test_a_file_has_the_format_that_its_name_asks_for(root: Path, task_id: str) -> None:
    written: dict[str, str] = {}
    for suffix in ("html", "svg", "md", "json", "trace.json", "txt"):
        path = root / f"report.{suffix}"
        ended = guardkit("report", task_id, "-o", str(path), "--root", str(root))
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
        written[suffix] = path.read_text(encoding="utf-8")
    assert written["html"].startswith("<!doctype html>")
    assert fromstring(written["svg"]).tag == "{http://www.w3.org/2000/svg}svg"
    assert "```mermaid\ngantt\n" in written["md"]
    assert json.loads(written["json"])["task_id"] == task_id
    assert json.loads(written["trace.json"])["traceEvents"]
    assert "Where the time" in written["txt"]


def test_a_format_is_printed_for_a_summary_that_has_no_suffix(root: Path) -> None:
    ended = guardkit("report", "TASK-1", "--as", "md", "--root", str(root))
    assert ended.stdout.startswith("### `TASK-1 Implement text output fallback`\n")
    for form in ("html", "svg", "json", "trace"):
        printed = guardkit("report", "TASK-1", "--as", form, "--root", str(root))
        path = root / {"trace": "x.trace.json"}.get(form, f"x.{form}")
        assert guardkit("report", "TASK-1", "-o", str(path), "--root", str(root)).returncode == 0
        assert printed.stdout == path.read_text(encoding="utf-8")


def test_where_blocks_cannot_be_printed_bars_are_ascii(root: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    ended = guardkit("report", "TASK-1", "--root", str(root), env=environment)
    assert ended.stdout.isascii()
    assert "  ####" in ended.stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("TASK-1", "-o", "report.pdf"), 2, "end it in .trace.json, .json, .html"),
        (("TASK-1", "-o", "a.md", "--as", "md"), 2, "leave --as out"),
        (("TASK-1", "--as", "mdd"), 2, "did you mean"),
        (("TASK-1", "--compare", "--compare-all"), 2, "give it alone"),
        (("TASK-1", "--run", "latest"), 2, "16 hexadecimal digits"),
        (("TASK-1", "--run", "0123456789abcdef"), 6, "no run 0123456789abcdef of TASK-1"),
        (("TASK-01x",), 6, "no build of TASK-01x is known"),
        (("../x",), 2, "is not a task id"),
        (("TASK-1", "-o", "no/such/folder/report.md"), 7, "no/such/folder/report.md: No such file"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line(
    root: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    ended = guardkit("report", *words, "--root", str(root), cwd=root)
    assert ended.returncode == code
    assert said in complaint(ended)
    assert ended.stdout == ""


def test_a_build_that_goes_on_and_one_that_was_killed_are_told_of(tmp_path: Path) -> None:
    with building(tmp_path, "TASK-1") as build:
        live = guardkit("report", "TASK-1", "--root", str(tmp_path))
        assert "running, " in live.stdout
        assert "elapsed" in live.stdout
        build.kill()
        build.wait()
        dead = guardkit("report", "TASK-1", "--root", str(tmp_path))
        assert re.search(r"^crashed after \d+s, 1 turn$", dead.stdout, re.MULTILINE)
        assert "no longer holds the lock" in dead.stdout
    built(tmp_path, "TASK-1")
    first = run_ids(read_events("TASK-1", root=tmp_path))[0]
    closed = guardkit("report", "TASK-1", "--run", first, "--root", str(tmp_path))
    assert "crashed after" in closed.stdout
    assert "ended without a word" in closed.stdout


def test_status_tells_when_a_build_may_be_expected_to_end(tmp_path: Path) -> None:
    async def build() -> str:
        clock = FakeClock()
        for number in range(6):
            await build_once(tmp_path, clock, 600.0 + 10 * number, 60.0)
        async with track_build("TASK-1", root=tmp_path) as build, build.turn() as turn:
            async with turn.phase(PLAYER):
                words = ("status", "TASK-1", "--root", str(tmp_path))
                return (await asyncio.to_thread(guardkit, *words)).stdout

    last = asyncio.run(build()).splitlines()[-1]
    assert re.fullmatch(r"expected: +1\d to 1\d min more, from 6 builds", last)


def test_over_nats_it_says_the_same(nats_server: NatsServer, tmp_path: Path) -> None:
    async def build() -> None:
        await build_feature(tmp_path, FakeClock(), waves=(2, 1))

    asyncio.run(build())
    here, there = ("--root", str(tmp_path)), ("--nats", nats_server.url)
    with relaying(nats_server, tmp_path), building(tmp_path, "TASK-1"):
        until_published(nats_server, tmp_path)
        for words in (("FEAT-1", "--as", "json"), ("TASK-02", "--compare-all")):
            told = [guardkit("report", *words, *place) for place in (here, there)]
            assert [ended.stderr for ended in told] == ["", ""]
            assert told[0].stdout == told[1].stdout
        live = [guardkit("report", "TASK-1", "--as", "json", *place) for place in (here, there)]
        assert outline(live[0].stdout) == outline(live[1].stdout)


def outline(report: str) -> tuple[str, list[tuple[str, str]]]:
    """Return what a report in JSON says, whatever the time was."""
    found = json.loads(report)
    bars = found["timeline"]["build"]["bars"]
    return found["state"], [(bar["name"], bar["status"]) for bar in bars]


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="there are no recorded builds here")
def test_builds_that_were_recorded_are_reported(tmp_path: Path) -> None:
    """What AutoBuild has left in `progress.log`, played again through a tracked build."""

    async def play() -> None:
        clock = FakeClock()
        for path in sorted(SAMPLES.rglob("progress.log")):
            for steps in read_log(path):
                async with track_build(
                    path.parent.name, root=tmp_path, clock=clock, heartbeat=600.0
                ) as build:
                    async with build.turn() as turn:
                        for step in steps:
                            async with turn.phase(step.phase) as phase:
                                for files, seconds in step.grown:
                                    await clock.advance(seconds)
                                    phase.update(files_modified=files)
                        turn.decide(steps[-1].decision)
        builds = Builds(tmp_path, clock=clock)
        for look in await builds.look():
            report = await make_report(builds, look.task_id, scope="all")
            assert report.timeline.build.state == "completed"
            fromstring(render(report, "svg"))
            for form in ("text", "html", "md", "json", "trace"):
                assert look.task_id in render(report, form)

    asyncio.run(play())

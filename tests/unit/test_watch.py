"""What is told of builds as they change: of looks, and of real builds that are watched."""

import asyncio
import os
import pty
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from guardkit import Build, Builds, Event, Look, Snapshot, Verdict, track_build
from guardkit.places.terminal.display import Display
from guardkit.places.terminal.lines import in_file
from guardkit.places.terminal.marks import UNICODE
from guardkit.places.watch import Watching, watch
from guardkit.testing import FakeClock

from .test_words import COACH, at, working

pytestmark = pytest.mark.anyio
Verdicts = dict[str, Verdict]


def look(snapshot: Snapshot | None, state: Any = "running", *events: Event) -> Look:
    task_id = snapshot.task_id if snapshot else "TASK-FB-002"
    return Look(task_id, snapshot, Verdict(state, "it is so"), "/project", events)


def event(snapshot: Snapshot, run_id: str = "run-1") -> Event:
    seq = snapshot.tracker.seq
    return Event(event="decided", at="", run_id=run_id, seq=seq, progress=snapshot)


def of_run(run_id: str, snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, tracker=replace(snapshot.tracker, run_id=run_id))


def told(watching: Watching, *looks: Look) -> list[str]:
    """Return all lines that a file gets of looks, without times of day."""
    lines = [line for each in looks for line in watching.tell(each)]
    texts = [text for line in lines for text in in_file(line, UNICODE)]
    return [re.sub(r"^\[[\d:]{8}\] ", "", text) for text in texts]


@pytest.fixture
def watching() -> Iterator[Watching]:
    null = os.open(os.devnull, os.O_WRONLY)
    yield Watching(Display(null))
    os.close(null)


NEXT = "Next: guardkit log TASK-FB-002 --last --root /project"
BEGUN = "Wave 1/1, TASK-FB-002 (starting) - 0s elapsed"


async def test_what_the_journal_has_is_told_before_the_document(watching: Watching) -> None:
    first, second = working(1), working(2, number=2, phase=COACH)
    assert told(watching, look(second, "running", event(at(0)), event(first), event(second))) == [
        BEGUN,
        "Turn 1 of 5",
        "Player Implementation starting...",
        "Coach Validation starting...",
    ]


async def test_the_next_step_is_told_where_the_journal_has_the_end_first(
    watching: Watching,
) -> None:
    end = replace(working(2), status="failed", error="no")
    early = look(working(1), "running", event(at(0)), event(working(1)), event(end))
    assert "Status: FAILED - no" in told(watching, early)
    assert told(watching, look(end, "failed"), look(end, "failed")) == [NEXT]


async def test_a_watch_ends_with_the_commands_that_the_builder_ends_with(
    watching: Watching, tmp_path: Path
) -> None:
    (tmp_path / ".guardkit/worktrees/TASK-FB-002").mkdir(parents=True)
    seen = look(working(2, status="completed", decision="approved"), "completed")
    assert told(watching, replace(seen, where=str(tmp_path)))[-2:] == [
        f"Review: git -C {tmp_path} diff HEAD...autobuild/TASK-FB-002",
        f"Merge: git -C {tmp_path} merge autobuild/TASK-FB-002",
    ]


async def test_what_an_earlier_run_has_done_is_not_told(watching: Watching) -> None:
    past = event(of_run("run-0", working(1)), "run-0")
    assert told(watching, look(at(0), "running", past)) == [BEGUN]


@pytest.mark.parametrize("state", ["crashed", "lost", "unresponsive", "overdue", "stalled"])
async def test_trouble_is_told_when_it_begins(watching: Watching, state: str) -> None:
    lines = told(watching, look(at(0)), look(at(0), state), look(at(1), state))
    assert lines[:2] == [BEGUN, f"✗ TASK-FB-002 {state}: it is so"]


async def test_trouble_of_a_build_that_is_first_seen_in_it_is_told(watching: Watching) -> None:
    assert told(watching, look(at(0), "stalled")) == [BEGUN, "✗ TASK-FB-002 stalled: it is so"]


async def test_a_build_that_has_got_over_its_trouble_is_told_of(watching: Watching) -> None:
    lines = told(watching, look(at(0), "stalled"), look(at(1)))
    assert lines[-1] == "TASK-FB-002 running: it is so"


@pytest.mark.parametrize("state", ["unreadable", "running"])
async def test_a_build_without_a_document_is_told_of_once(watching: Watching, state: str) -> None:
    assert told(watching, look(None, state), look(None, state)) == [
        f"{'✗ ' * (state == 'unreadable')}TASK-FB-002 {state}: it is so"
    ]


async def test_beside_a_feature_it_is_told_of_its_tasks_alone() -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    watching = Watching(Display(null, labels=True), heads=["FEAT-1"])
    first = at(0, task_id="FEAT-1")
    tracker = replace(first.tracker, parent_run="f")
    part = at(0, task_id="T1", build_id="FEAT-1", tracker=tracker)
    lines = told(watching, look(first), look(part), look(at(0, task_id="T2")))
    assert [line.split()[2] for line in lines] == ["FEAT-1", "T1"]
    assert watching.verdicts.keys() == {"FEAT-1", "T1"}
    os.close(null)


async def test_the_next_run_of_a_build_begins_without_a_word_on_the_one_before(
    watching: Watching,
) -> None:
    ended = look(at(2, status="completed"), "completed")
    lines = told(watching, ended, look(of_run("run-2", at(0))))
    assert lines[-1] == BEGUN


async def test_several_builds_are_told_apart_as_soon_as_there_are_several(
    watching: Watching,
) -> None:
    other: dict[str, Any] = {"task_id": "TASK-2"}
    lines = told(
        watching,
        look(at(0)),
        look(working(1)),
        look(at(0, **other)),
        look(working(1, **other)),
        look(working(2, number=2)),
    )
    assert [line for line in lines if "starting..." in line] == [
        "Player Implementation starting...",
        "TASK-2 Player Implementation starting...",
        "TASK-FB-002 Player Implementation starting...",
    ]


async def test_what_had_ended_before_is_not_told_until_it_begins_anew() -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    ended = look(at(2, status="failed"), "failed")
    watching = Watching(Display(null), past=[ended])
    assert told(watching, ended, look(of_run("run-2", at(0)))) == [BEGUN]
    assert watching.verdicts.keys() == {"TASK-FB-002"}
    os.close(null)


async def test_what_was_called_lost_and_lives_is_told_of_until_it_is_lost() -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    watching = Watching(Display(null), past=[look(at(0), "lost")])
    lines = told(watching, look(at(0)), look(at(0), "lost"))
    assert lines == [BEGUN, "✗ TASK-FB-002 lost: it is so", NEXT]
    assert watching.is_over(0)
    os.close(null)


async def test_a_build_of_another_program_that_has_ended_is_told(watching: Watching) -> None:
    ended = of_run("", at(1, status="completed"))
    assert told(watching, look(ended, "completed"))[-1] == "Status: COMPLETED"


async def test_it_is_over_when_all_are_and_none_is_missing(watching: Watching) -> None:
    assert not watching.is_over(0)
    watching.tell(look(at(2, status="failed"), "failed"))
    assert watching.is_over(0)
    assert not watching.is_over(2)
    watching.tell(look(at(1, task_id="TASK-2")))
    assert not watching.is_over(2)
    watching.tell(look(at(1, task_id="TASK-2"), "crashed"))
    assert watching.is_over(2)


class Screen:
    """A pipe to which a watch prints, and what it has printed so far."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self._text = ""

    def lines(self) -> list[str]:
        with suppress(BlockingIOError):
            self._text += os.read(self.reader, 2**16).decode()
        return [re.sub(r"^\[[\d:]{8}\] ", "", line) for line in self._text.splitlines()]


@contextmanager
def screen() -> Iterator[Screen]:
    it = Screen()
    yield it
    os.close(it.reader)
    os.close(it.writer)


@asynccontextmanager
async def watched(
    root: Path, clock: FakeClock, screen: Screen, *task_ids: str, **options: Any
) -> AsyncGenerator["asyncio.Task[Verdicts]"]:
    """Watch builds while the block runs; the watch may end before that."""
    builds, display = Builds(root, clock=clock), Display(screen.writer, clock=clock)
    watching = asyncio.create_task(watch(builds, task_ids, display, clock=clock, **options))
    await clock.advance(0.1)
    try:
        yield watching
    finally:
        watching.cancel()
        await asyncio.wait({watching})


def build(task_id: str, root: Path, clock: FakeClock) -> Build:
    return track_build(task_id, root=root, clock=clock)


async def test_a_build_is_watched_until_it_has_ended(tmp_path: Path, clock: FakeClock) -> None:
    with screen() as shown:
        async with AsyncExitStack() as stack:
            one = await stack.enter_async_context(build("TASK-1", tmp_path, clock))
            async with watched(tmp_path, clock, shown, "TASK-1") as watching:
                async with one.phase("Setup"):
                    await clock.advance(1)
                    assert shown.lines()[-1] == "Setup starting..."
                await stack.aclose()
                await clock.advance(1)
                assert watching.result()["TASK-1"].state == "completed"
        assert shown.lines()[-1] == "Status: COMPLETED"


async def test_builds_that_begin_meanwhile_are_shown(tmp_path: Path, clock: FakeClock) -> None:
    with screen() as shown:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(build("TASK-1", tmp_path, clock))
            async with watched(tmp_path, clock, shown) as watching:
                two = await stack.enter_async_context(build("TASK-2", tmp_path, clock))
                async with two.phase("Setup"):
                    await clock.advance(1)
                assert "TASK-2 Setup starting..." in shown.lines()
                assert not watching.done()
                await stack.aclose()
                await clock.advance(1)
                states = {task_id: each.state for task_id, each in watching.result().items()}
    assert states == {"TASK-1": "completed", "TASK-2": "completed"}


async def test_to_follow_goes_on_when_all_have_ended(tmp_path: Path, clock: FakeClock) -> None:
    with screen() as shown:
        async with watched(tmp_path, clock, shown, follow=True) as watching:
            for _ in range(2):
                async with build("TASK-1", tmp_path, clock):
                    await clock.advance(1)
                await clock.advance(1)
                assert not watching.done()
        assert shown.lines().count("Status: COMPLETED") == 2


async def test_what_runs_ticks_on_a_terminal_with_its_latest_heartbeat(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    controller, terminal = pty.openpty()
    builds, display = Builds(tmp_path, clock=clock), Display(terminal, clock=clock)
    async with build("TASK-1", tmp_path, clock) as one:
        watching = asyncio.create_task(watch(builds, ["TASK-1"], display, clock=clock))
        await clock.advance(11)
        assert display.board().plain.splitlines()[1].split() == ["⠙", "TASK-1", "starting", "0:11"]
        await clock.advance(70)
        assert display.board().plain.endswith("\n  no activity for 1m 21s")
        one.touch()
        await clock.advance(2)
        assert display.board().plain.splitlines()[1].split()[1:] == ["TASK-1", "starting", "1:23"]
    await clock.advance(1)
    assert watching.result()["TASK-1"].state == "completed"
    assert display.ticking == []
    os.close(controller)
    os.close(terminal)


async def test_the_watch_ends_at_once_when_nobody_reads_it(
    tmp_path: Path, clock: FakeClock
) -> None:
    with screen() as shown:
        async with build("TASK-1", tmp_path, clock):
            async with watched(tmp_path, clock, shown) as watching:
                os.close(shown.reader)
                await asyncio.wait({watching}, timeout=30)
                assert watching.result()["TASK-1"].state == "running"
        shown.reader = os.open(os.devnull, os.O_RDONLY)

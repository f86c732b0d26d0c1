"""What signal handlers, finalisers and threads may call, whatever they interrupt."""

import asyncio
import gc
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

import pytest

import guardkit
from guardkit import Build, track_build
from guardkit.testing import FakeClock, MemorySink

from ..conftest import Run
from ..shown import Journal

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]

PACKAGE = str(Path(guardkit.__file__).parent)


@contextmanager
def interrupted(at: int, handler: Callable[[], object]) -> Generator[list[int]]:
    """Call a handler at one of the moments at which CPython may: as a call begins or has returned.

    at: the how manieth moment in our code, from 0.
    Yields a list, which holds `at` once the handler was called.
    """
    called: list[int] = []
    moments = 0

    def at_each(frame: FrameType, event: str, _: object) -> None:
        nonlocal moments
        if event in {"call", "c_return"} and frame.f_code.co_filename.startswith(PACKAGE):
            if moments == at:
                called.append(at)
                handler()
            moments += 1

    before = sys.getprofile()
    sys.setprofile(at_each)
    try:
        yield called
    finally:
        sys.setprofile(before)


OUTER: dict[str, Callable[[Build, int], object]] = {
    "update": lambda build, n: build.update(files_modified=n, message=f"outer {n}"),
    "count": lambda build, n: build.count(n, None, "rows"),
    "spent": lambda build, n: build.spent(tokens=n),
    "touch": lambda build, _: build.touch(),
    "decide": lambda build, n: build.decide(f"outer {n}", f"outer {n}"),
    "fail": lambda build, n: build.fail(f"outer {n}"),
    "snapshot": lambda build, _: build.snapshot,
    "publish": lambda build, _: build._publisher.publish(),
    "flush": lambda build, _: build._publisher._flush(),
}
TOLD = {"update", "count", "spent", "touch"}
INNER: dict[str, Callable[[Build, int], object]] = {
    "update": lambda build, n: build.update(files_created=n),
    "count": lambda build, n: build.count(n, None, "inner"),
    "spent": lambda build, n: build.spent(cost_usd=n),
    "touch": lambda build, _: build.touch(),
    "decide": lambda build, n: build.decide(f"inner {n}"),
    "fail": lambda build, n: build.fail(f"inner {n}"),
    "snapshot": lambda build, _: build.snapshot,
}
EACH_INNER = pytest.mark.parametrize("inner", INNER)


def check_inner(build: Build, sink: MemorySink, inner: str, number: int) -> None:
    """See that what the handler has done is there, once, and that the sink was told of it."""
    assert sink.snapshots
    told = sink.snapshots[-1]
    now = build.snapshot
    assert (told.tracker.seq, told.tracker.activity_at) == (
        now.tracker.seq,
        now.tracker.activity_at,
    )
    if inner == "update":
        assert told.metrics.files_created == number
    if inner == "spent":
        assert told.usage
        assert told.usage.cost_usd == number
    decisions = [s.decision for s in sink.snapshots if s.decision == f"inner {number}"]
    errors = [s.error for s in sink.snapshots if s.error == f"inner {number}"]
    assert bool(decisions) == (inner == "decide")
    assert bool(errors) == (inner == "fail")
    numbers = [s.tracker.seq for s in sink.snapshots]
    assert numbers == sorted(numbers)


@EACH_INNER
@pytest.mark.parametrize("outer", OUTER)
async def test_a_handler_is_heard_whatever_it_interrupts_and_harms_it_not(
    clock: FakeClock, outer: str, inner: str
) -> None:
    sink, number, called = MemorySink(transitions=True), 0, [0]
    async with track_build("TASK-1", root=None, clock=clock, sinks=[sink]) as build:
        while called:
            number += 1
            await clock.advance(1.0)
            sink.snapshots.clear()
            build.update(tests_passed=number)  # so that there is something new
            if outer in TOLD:
                _ = build.snapshot  # so that it is told of anew
            with interrupted(number - 1, partial(INNER[inner], build, number)) as called:
                OUTER[outer](build, number)
            if called:
                await clock.advance(0.1)
                check_inner(build, sink, inner, number)
                assert build.snapshot.metrics.tests_passed == number
                assert build.snapshot.metrics.files_modified == number * (outer == "update")
    assert number > 4


@EACH_INNER
@pytest.mark.parametrize("kind", ["phase", "turn"])
async def test_a_handler_is_heard_whatever_of_a_scope_it_interrupts(
    tmp_path: Path, clock: FakeClock, journal: Journal, kind: str, inner: str
) -> None:
    sink, number, called = MemorySink(transitions=True), 0, [0]
    async with track_build(
        "TASK-1", root=tmp_path, clock=clock, sinks=[sink], turn_max=10_000
    ) as build:
        while called:
            number += 7  # not each of the moments, as there are many
            await clock.advance(1.0)
            sink.snapshots.clear()
            with interrupted(number - 1, partial(INNER[inner], build, number)) as called:
                async with build.turn() if kind == "turn" else build.phase("Setup"):
                    pass
            if called:
                await clock.advance(0.1)
                check_inner(build, sink, inner, number)
    assert number > 50
    entries = journal()
    assert [entry["seq"] for entry in entries] == sorted({entry["seq"] for entry in entries})
    names = [entry["event"] for entry in entries if entry["event"].startswith(kind)]
    assert names == [f"{kind}.started", f"{kind}.ended"] * (len(names) // 2)


SIGNALS = """
import gc, signal
from guardkit import read_events

made = []  # what the handler has decided, in its order
calls, inside = 0, False

def handler(*_):
    global calls, inside
    if inside:
        return
    inside = True
    calls += 1
    build.update(files_created=calls, message=f"handler {calls}")
    build.count(calls, None, "calls")
    build.spent(tokens=calls)
    build.touch()
    assert build.snapshot.metrics.files_created == calls
    if calls % 20 == 0:
        made.append(f"handler {calls}")
        build.decide(made[-1])
    if calls % 1000 == 0:
        build.fail(f"handler {calls}")
    inside = False

async def main():
    global build
    mine = []
    sink = MemorySink(transitions=True)
    async with track_build("TASK-1", root=root, sinks=[sink], debounce=0.001) as build:
        number = 0
        start()
        try:
            while calls < 2000 or len(mine) < 20:
                for _ in range(100):
                    number += 1
                    build.update(tests_passed=number)
                    build.snapshot
                mine.append(f"main {number}")
                build.decide(mine[-1])
                if len(mine) % 10 == 0:
                    async with build.phase("Setup"):
                        pass
                await asyncio.sleep(0)
        finally:
            stop()
        number += 1
        build.update(tests_passed=number, message="all")
    events = read_events("TASK-1", root=root)
    decided = [event.progress.decision for event in events if event.event == "decided"]
    numbers = [event.seq for event in events]
    told = [snapshot.tracker.seq for snapshot in sink.snapshots]
    last = on_disk()
    kept = len(decided)  # a journal is bounded in size
    say(
        handler=[each for each in decided if each in set(made)] == made[-sum(
            each.startswith("handler") for each in decided):],
        main=[each for each in decided if each in set(mine)] == mine[-sum(
            each.startswith("main") for each in decided):],
        both=min(sum(each.startswith(who) for each in decided) for who in ("handler", "main")) > 9,
        order=numbers == sorted(set(numbers)),
        sink=told == sorted(told) and told[-1] == last["tracker"]["seq"],
        last=[last["message"], last["metrics"]["tests_passed"] == number, last["status"]],
        counted=[last["metrics"]["files_created"], last["usage"]["tokens"]] == [calls, calls],
    )
"""
TIMER = """
def again(*_):  # anew each time, so that a slow machine has time for what is interrupted
    handler()
    signal.setitimer(signal.ITIMER_REAL, 0.0002)

def start():
    signal.signal(signal.SIGALRM, again)
    again()

def stop():
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
"""
THREAD = """
main_thread, stopped = threading.get_ident(), threading.Event()

def kill():
    while not stopped.wait(0.0002):
        signal.pthread_kill(main_thread, signal.SIGUSR1)

killing = threading.Thread(target=kill)

def start():
    signal.signal(signal.SIGUSR1, handler)
    killing.start()

def stop():
    stopped.set()
    killing.join()
"""
FINALISER = """
stopped = False

class Finaliser:
    def __init__(self):
        self.cycle = self

    def __del__(self):
        if not stopped:
            Finaliser()
            if threading.current_thread() is threading.main_thread():
                handler()
            else:
                build.touch()
                build.snapshot

def start():
    gc.freeze()
    gc.set_threshold(50, 1, 1)
    Finaliser()

def stop():
    global stopped
    stopped = True
    gc.set_threshold(700, 10, 10)
"""


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(TIMER, id="a timer's signal"),
        pytest.param(THREAD, id="a thread's signal"),
        pytest.param(FINALISER, id="a finaliser"),
    ],
)
async def test_thousands_of_interruptions_hang_lose_and_disorder_nothing(
    run: Run, source: str
) -> None:
    said = await asyncio.to_thread(run, SIGNALS + source + "\nasyncio.run(main())\n")
    assert said == {
        "handler": True,
        "main": True,
        "both": True,
        "order": True,
        "sink": True,
        "last": ["all", True, "failed"],
        "counted": True,
    }


async def test_a_handler_wakes_an_event_loop_that_waits(
    tmp_path: Path, clock: FakeClock, run: Run
) -> None:
    program = """
import signal

async def main():
    decided = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Sink:
        transitions = True

        async def write(self, snapshot):
            if snapshot.decision == "stop":
                decided.set()

    async with track_build("TASK-1", root=root, sinks=[Sink()], heartbeat=1000) as build:
        signal.signal(signal.SIGUSR1, lambda *_: build.decide("stop"))
        main_thread = threading.get_ident()
        threading.Timer(0.01, lambda: signal.pthread_kill(main_thread, signal.SIGUSR1)).start()
        await decided.wait()
    say(decision=on_disk()["decision"])

asyncio.run(main())
"""
    assert await asyncio.to_thread(run, program) == {"decision": "stop"}


async def test_a_finaliser_may_tell_of_a_build_that_has_ended_and_harms_nothing(
    clock: FakeClock,
) -> None:
    raised: list[type[BaseException]] = []

    class Agent:
        def __init__(self, build: Build) -> None:
            self.build = build
            self.cycle = self

        def __del__(self) -> None:
            for use in (self.build.touch, lambda: self.build.decide("late")):
                try:
                    use()
                except Exception as error:
                    raised.append(type(error))

    async with track_build("TASK-1", root=None, clock=clock) as build:
        Agent(build)
    last = build.snapshot
    gc.collect()
    assert raised == [guardkit.ScopeError] * 2
    assert build.snapshot == last


async def test_threads_that_look_see_updates_whole(clock: FakeClock) -> None:
    halves: list[object] = []
    stop = threading.Event()

    async with track_build("TASK-1", root=None, clock=clock) as build:

        def look() -> None:
            while not stop.is_set():
                metrics = build.snapshot.metrics
                if metrics.files_created != metrics.files_modified:
                    halves.append(metrics)

        looking = [threading.Thread(target=look) for _ in range(2)]
        for thread in looking:
            thread.start()
        for number in range(3000):
            build.update(files_created=number, files_modified=number)
        stop.set()
        for thread in looking:
            await asyncio.to_thread(thread.join)
    assert halves == []

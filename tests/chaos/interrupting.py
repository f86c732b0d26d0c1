"""A worker whose build is used by signal handlers and finalisers, whatever they interrupt."""

import asyncio
import faulthandler
import gc
import json
import signal
from pathlib import Path
from types import FrameType

from guardkit import Build, read_events, read_progress, track_build

from .forking import Report, leftovers, new_report

HANGS = 60.0  # seconds after which the worker ends itself, and says where it hangs
EVERY = 0.0005  # seconds between two signals
DECIDE_EVERY, FAIL_EVERY = 5, 50


class Interrupter:
    """Uses a build in each signal handler and finaliser, and keeps what it has told.

    decided, failed: what the journal has to tell, in that order.
    """

    def __init__(self, build: Build) -> None:
        self.build = build
        self.signals = self.finalised = 0
        self.decided: list[str] = []
        self.failed: list[str] = []
        self._busy = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Tell of a signal, unless this is one that comes while another is told of."""
        if not self._busy:
            self._busy = True
            self.signals += 1
            self._tell(self.signals)
            self._busy = False

    def _tell(self, number: int) -> None:
        build = self.build
        build.update(files_modified=number)
        build.count(number, unit="signals")
        build.spent(tokens=number)
        build.touch()
        assert build.snapshot.metrics.files_modified == number
        if number % DECIDE_EVERY == 0:
            self.decided.append(f"signal {number}")
            build.decide(self.decided[-1])
        if number % FAIL_EVERY == 0:
            self.failed.append(f"signal {number}")
            build.fail(self.failed[-1])

    def finalise(self) -> None:
        """Tell of an object that the garbage collector has found."""
        self.finalised += 1
        self.build.update(tests_total=self.finalised, message=f"object {self.finalised}")


class Garbage:
    """An object that nothing but itself holds, and that tells of its end."""

    def __init__(self, interrupter: Interrupter) -> None:
        self._interrupter = interrupter
        self._cycle = self

    def __del__(self) -> None:
        self._interrupter.finalise()


async def work(build: Build, interrupter: Interrupter, signals: int) -> int:
    """Be busy until so many signals have come; return the last count that was told."""
    number = 0
    while interrupter.signals < signals:
        async with build.turn() as turn, turn.phase("Player Implementation"):
            for _ in range(50):
                number += 1
                turn.update(files_created=number)
                build.count(number)
                Garbage(interrupter)
            await asyncio.sleep(0)
    return number


async def build_interrupted(root: Path, signals: int, report: Report) -> None:
    """Have a build interrupted so often, and hold what is on disk against what was told."""
    async with track_build("TASK-1", root=root, turn_max=10**6, debounce=0.001) as build:
        interrupter = Interrupter(build)
        signal.signal(signal.SIGALRM, interrupter.handle)
        signal.setitimer(signal.ITIMER_REAL, EVERY, EVERY)
        try:
            number = await work(build, interrupter, signals)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            gc.collect()  # what is found later could not be told any more
    seen = read_progress("TASK-1", root=root)
    shown = seen.metrics.files_created, seen.metrics.files_modified, seen.metrics.tests_total
    told = number, interrupter.signals, interrupter.finalised
    report["row"]["faults"] += interrupter.signals + interrupter.finalised
    if shown != told or seen.usage is None or seen.usage.tokens != interrupter.signals:
        report["row"]["lost"] += 1
        report["wrong"].append(f"the file shows {seen}, and not {told}")
    check_journal(root, interrupter, report)


def check_journal(root: Path, interrupter: Interrupter, report: Report) -> None:
    """See that it has each transition once, in order."""
    events = read_events("TASK-1", root=root)
    numbers = [event.seq for event in events]
    if numbers != sorted(set(numbers)):
        report["wrong"].append("the journal is not in order")
    decided = [event.progress.decision for event in events if event.event == "decided"]
    failed = [event.progress.error for event in events if event.event == "failed"]
    report["row"]["lost"] += decided != interrupter.decided
    report["row"]["lost"] += failed != interrupter.failed


def main(folder: str, signals: str, trials: str) -> None:
    """Interrupt as many builds as told, so often each, and print the report."""
    faulthandler.dump_traceback_later(HANGS * int(trials), exit=True)
    gc.set_threshold(50)
    report = new_report()
    for number in range(int(trials)):
        root = Path(folder, str(number))
        root.mkdir()
        asyncio.run(build_interrupted(root, int(signals), report))
        report["row"]["trials"] += 1
        report["row"]["leftovers"] += len(leftovers(root))
    print(json.dumps(report))

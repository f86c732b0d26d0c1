"""Runs of builds that nothing has run: their events, from the durations of their phases."""

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple, Self

from msgspec.structs import replace

from guardkit import Event, Snapshot
from guardkit.progress.snapshot import Metrics

from .looks import START, TRACKER, document

Phases = list[tuple[str, float]]  # names, and seconds
LINE = re.compile(r"\[(.*?)\] (START|SNAPSHOT|COMPLETE) [^:]*: (.*)")


class Simulated:
    """A run whose turns take so many seconds in each phase."""

    def __init__(self, run_id: str, turns: list[Phases], *, status: str = "completed") -> None:
        self.run_id, self.time, self.seq, self.number = run_id, 0.0, 0, 0
        self.events: list[Event] = []
        self._tell("build.started", 0)
        for turn, phases in enumerate(turns, 1):
            self._tell("turn.started", turn)
            for phase, seconds in phases:
                self.number += 1
                self._tell("phase.started", turn, phase)
                self.time += seconds
                self._tell("phase.ended", turn, phase)
            self._tell("turn.ended", turn, phases[-1][0])
        self._tell("build.ended", len(turns), turns[-1][-1][0], status)

    @classmethod
    def of(cls, phases: Phases) -> Self:
        """Return a run of one turn."""
        return cls(f"{id(phases):x}", [phases])

    def at(self, time: float) -> tuple[list[Event], Snapshot]:
        """Return what the journal holds after so many seconds, and the document of then."""
        events = [event for event in self.events if event.progress.tracker.beat <= time + 1]
        return events, self._shift(events[-1].progress, time)

    def _tell(self, name: str, turn: int, phase: str = "", status: str = "running") -> None:
        self.seq += 1
        number = self.number
        tracker = replace(TRACKER, run_id=self.run_id, seq=self.seq, phase_number=number)
        seen = document(turn=turn, phase=phase, status=status, tracker=tracker)
        seen = self._shift(seen, self.time)
        self.events.append(
            Event(event=name, at="", run_id=self.run_id, seq=self.seq, progress=seen)
        )

    @staticmethod
    def _shift(seen: Snapshot, time: float) -> Snapshot:
        return replace(
            seen,
            updated_at=START + timedelta(seconds=int(time)),
            metrics=Metrics(elapsed_seconds=int(time)),
            tracker=replace(seen.tracker, beat=time + 1),
        )


class Step(NamedTuple):
    """A phase of a recorded run: files, and the seconds after which there were so many."""

    phase: str
    grown: list[tuple[int, float]]
    decision: str

    @property
    def seconds(self) -> float:
        return sum(seconds for _, seconds in self.grown)


def read_log(path: Path) -> list[list[Step]]:
    """Return the runs in a `progress.log` of GuardKit's AutoBuild that have come to their ends."""
    runs: list[list[Step]] = []
    steps: list[Step] = []
    last = datetime.fromtimestamp(0)  # noqa: DTZ006 - as those of the file, in no zone
    for line in path.read_text().splitlines():
        if not (found := LINE.match(line)):
            continue
        at, word, rest = datetime.fromisoformat(found[1]), found[2], found[3]
        files = re.search(r"files_changed=(\d+)", rest)
        if steps:
            before = steps[-1].grown[-1][0] if steps[-1].grown else 0
            count = int(files[1]) if files else before
            steps[-1].grown.append((count, (at - last).total_seconds()))
        last = at
        if word == "START":
            steps.append(Step(rest, [], ""))
        elif word == "COMPLETE" and steps:
            decision = rest.partition("decision=")[2].partition(",")[0]
            runs.append([step._replace(decision=decision) for step in steps])
            steps = []
    return runs


def read_recorded(path: Path) -> list[Phases]:
    """Return the phases of each of these runs, and how long they took."""
    return [[(step.phase, step.seconds) for step in steps] for steps in read_log(path)]

"""A timeline: bars, marks, gaps and counts of a build, and of a feature's tasks.

All times are seconds from the beginning of the timeline's first lane, by the builder's monotonic
clock. All texts are clean: printable, and on one line.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["wave", "turn", "phase"]
Sign = Literal["slept", "set back", "silent", "idle", "unknown"]


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of work: a wave, a turn or a phase.

    name: as people read it, such as `Turn 1`.
    start, end: seconds; of one that is open, the end is that of what is known.
    status: completed, failed, cancelled, crashed; in_progress, `""`: nobody knows how it ended.
    row: of phases, the how manieth below each other, from 0.
    turn: the turn that it is in, 0: in none.
    own: of a phase, the seconds for which it was the one that is shown, so no inner one was open.
    budget: what it has declared that it may take, seconds, or None.
    made: of a phase, what was counted in it, and why it failed; may be empty.
    """

    kind: Kind
    name: str
    start: float
    end: float
    status: str = ""
    row: int = 0
    turn: int = 0
    own: float = 0.0
    budget: float | None = None
    made: str = ""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.start


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided at an instant, or has failed.

    kind: decided, or failed.
    text: the decision, or `failed`.
    why: what was said of it; may be empty.
    turn: that it was in, 0: outside of turns.
    """

    at: float
    kind: Literal["decided", "failed"]
    text: str
    why: str = ""
    turn: int = 0


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Time in which nothing was seen, as what it is.

    sign: slept: the machine slept, or its clock was set, somewhere between start and end, for
            `seconds` that no other time has in it.
        set back: the clock of the machine was set back by `seconds` meanwhile.
        silent: no heartbeat came.
        idle: heartbeats, and no activity.
        unknown: the journal has nothing of that time any more.
    seconds: how long that was.
    """

    sign: Sign
    start: float
    end: float
    seconds: float


class Count(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """What had been counted at an instant at which something was written: files, and tests."""

    at: float
    files: int = 0
    passed: int = 0
    total: int = 0


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """One build: a task, or a feature itself.

    wave: of a feature's task, the wave that it is in.
    start, end: of the run; of one that goes on, the end is what is known of it.
    state: how it is, a word of verdicts; `unknown` where nothing tells how it has ended.
    evidence: why, a sentence; may be empty.
    bars: waves, turns and phases in the order of their beginnings.
    is_critical: whether the feature would have ended earlier, had this task.
    """

    task_id: str
    task_name: str = ""
    run_id: str = ""
    wave: int = 1
    start: float = 0.0
    end: float = 0.0
    state: str = "unknown"
    evidence: str = ""
    bars: tuple[Bar, ...] = ()
    marks: tuple[Mark, ...] = ()
    gaps: tuple[Gap, ...] = ()
    counts: tuple[Count, ...] = ()
    is_critical: bool = False

    @property
    def title(self) -> str:
        """The id and the name of the task, the id once."""
        if self.task_name.partition(" ")[0].rstrip(":") == self.task_id:
            return self.task_name
        return f"{self.task_id} {self.task_name}".strip()

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.start

    def of_kind(self, kind: Kind) -> list[Bar]:
        """Return the bars of a kind."""
        return [bar for bar in self.bars if bar.kind == kind]


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """What of one build was when.

    build: the build itself.
    tasks: of a feature, its tasks in the order of waves and beginnings.
    gaps: those of the build, and of the machine, as narrow as all journals together tell them.
    is_live: whether it goes on, so that another look shows more.
    """

    build: Lane
    tasks: tuple[Lane, ...] = ()
    gaps: tuple[Gap, ...] = ()
    is_live: bool = False

    @property
    def end(self) -> float:
        """Seconds until which something is known."""
        return max(lane.end for lane in (self.build, *self.tasks))

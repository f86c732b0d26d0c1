"""The state of one build and its rules: no waiting, no files; what is new goes to `publish`."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from guardkit.clock import Clock
from guardkit.errors import MisuseError, ScopeError
from guardkit.progress.snapshot import (
    COUNT_MAX,
    Metrics,
    Outcome,
    PhaseStatus,
    Snapshot,
    Tracker,
    clip,
)

NAME_SIZE, TEXT_SIZE = (
    256,
    640,
)  # bytes of JSON; with all the texts at their most, the document is below 4 KiB


class OpenPhase(msgspec.Struct, kw_only=True, eq=False):
    """A phase, and how it stands; `budget` in seconds, `turn` None outside the turns."""

    name: str
    budget: float | None
    turn: int | None
    since: datetime | None = None
    status: PhaseStatus = "in_progress"


class State:
    """What the scopes of one build share; the counts and the message are what `update` has left.

    While the build is open, `publish` is given the name of each transition, or None.
    """

    files_created = files_modified = tests_passed = tests_total = 0
    message: str | None = None
    clean = True  # nothing is left that was not told of
    is_open = False
    _publish: Callable[[str | None], None]
    _tell: Callable[[], None]

    def __init__(self, snapshot: Snapshot, tracker: Tracker, clock: Clock) -> None:
        self.snapshot = snapshot
        self.phases: list[OpenPhase] = []  # in the order of entering
        self._turn_open = False
        self._turn_next = 1
        self._tracker = tracker
        self._clock = clock
        self._began = clock.monotonic()
        self._clipped: str | None = None  # the message of which the snapshot's is the clipped form
        self._changed = False

    def start(self, publish: Callable[[str | None], None], tell: Callable[[], None]) -> None:
        """Open the build, and let its time count."""
        self.is_open, self._publish, self._tell = True, publish, tell
        self._began = self._clock.monotonic()
        self.files_created = self.files_modified = self.tests_passed = self.tests_total = 0
        self.message = None
        self.transition("build.started", started_at=self._now())

    def end(self, outcome: Outcome) -> None:
        """Close the build, and what another task has left open in it."""
        for phase in self.phases[::-1]:
            self.end_phase(phase, "cancelled")
        self.end_turn(self.snapshot.turn)
        error = self.snapshot.error if outcome == "failed" else None
        self.transition("build.ended", status=outcome, error=error)
        self.is_open = False

    def check_turn(self, number: int | None) -> int:
        """Return the number of a turn that may begin, by default the next one."""
        self.check_open()
        number = self._turn_next if number is None else number
        if self._turn_open:
            raise ScopeError(f"turn {self.snapshot.turn} is open: leave it before turn {number}")
        if type(number) is not int or not self._turn_next <= number <= self.snapshot.turn_max:
            free = f"{self._turn_next} to turn_max={self.snapshot.turn_max}"
            raise MisuseError(f"turn {number!r} cannot be: the next one is from {free}")
        return number

    def begin_turn(self, number: int) -> None:
        """Begin a turn; a phase that is open around it stays the one that is shown."""
        self._turn_next = self.check_turn(number) + 1
        self._turn_open = True
        if not self.phases:
            self._tracker = replace(self._tracker, phase_started_at=None, budget_seconds=None)
            self.change(phase="", phase_status="pending")
        self.transition("turn.started", turn=number, error=None)

    def end_turn(self, number: int) -> None:
        """End a turn if it is open, and what another task has left open in it."""
        if self._turn_open and number == self.snapshot.turn:
            for phase in [phase for phase in self.phases[::-1] if phase.turn == number]:
                self.end_phase(phase, "cancelled")
            self._turn_open = False
            self.transition("turn.ended")

    def begin_phase(self, phase: OpenPhase) -> None:
        """Begin a phase, and show it."""
        self.check_open()
        if phase.turn is not None and not (self._turn_open and phase.turn == self.snapshot.turn):
            raise ScopeError(f"turn {phase.turn} is not open: enter phases inside `async with`")
        phase.since = self._now()
        self.phases.append(phase)
        self._show(phase)
        self.transition("phase.started")

    def end_phase(self, phase: OpenPhase, outcome: Outcome) -> None:
        """End a phase if it is open, and show again the latest that still is."""
        if phase in self.phases:
            self.phases.remove(phase)
            phase.status = outcome
            self._show(phase)
            self.transition("phase.ended")
            if self.phases:
                self._show(self.phases[-1])
                self.transition()

    def fail(self, reason: str) -> None:
        """Record a failure, of which the phase that is shown may know."""
        self.check_open()
        if self.phases:
            self._show(self.phases[-1])
        self.transition("failed", error=reason)

    def check_open(self) -> None:
        """Raise ScopeError unless the build is open."""
        if self.snapshot.terminal:
            raise ScopeError(f"the build of {self.snapshot.task_id} has ended: track another one")
        if not self.is_open:
            raise ScopeError("the build is not entered: use `async with track_build(...) as build`")

    def touch(self) -> None:
        """Tell that `update` has left something; from any thread."""
        self.check_open()
        self.clean = False
        self._tell()

    def change(self, **changes: Any) -> None:
        """Replace fields of the snapshot, named as they are there."""
        self.snapshot = replace(self.snapshot, **changes)
        self._changed = True

    def transition(self, event: str | None = None, **changes: Any) -> None:
        """Replace fields of the snapshot, and publish it at once."""
        self.check_open()
        self.change(**changes)
        self._publish(event)

    def view(self) -> tuple[Snapshot, bool]:
        """Return the snapshot as of now, and whether more than its time is new since `renew`."""
        if self.snapshot.terminal and not self._changed:
            return self.snapshot, False
        old, now, tracker, message = self.snapshot, self._now(), self._tracker, self.message
        metrics = Metrics(
            elapsed_seconds=max(0, int(self._clock.monotonic() - self._began)),
            files_created=min(self.files_created, COUNT_MAX),
            files_modified=min(self.files_modified, COUNT_MAX),
            tests_passed=min(self.tests_passed, COUNT_MAX),
            tests_total=min(self.tests_total, COUNT_MAX),
        )
        if message is None or message is self._clipped:
            message = old.message
        else:
            message = clip(message, TEXT_SIZE)
        counted = replace(old.metrics, elapsed_seconds=metrics.elapsed_seconds)
        changed = self._changed or metrics != counted or message != old.message
        if changed:
            tracker = replace(tracker, seq=tracker.seq + 1, activity_at=now)
        new = replace(old, metrics=metrics, message=message, updated_at=now, tracker=tracker)
        return new, changed

    def renew(self) -> tuple[Snapshot, bool]:
        """Return the same, and make it what the next one is compared with."""
        self.clean = True  # first: what comes from here on is told of again
        message = self.message
        self.snapshot, changed = self.view()
        self._clipped, self._changed = message, False
        self._tracker = self.snapshot.tracker or self._tracker
        return self.snapshot, changed

    def _show(self, phase: OpenPhase) -> None:
        self._tracker = replace(
            self._tracker, phase_started_at=phase.since, budget_seconds=phase.budget
        )
        self.change(phase=phase.name, phase_status=phase.status)

    def _now(self) -> datetime:
        return self._clock.now().replace(microsecond=0)

"""Builds as they are told: a line for each thing that is new, and a summary at the end."""

from __future__ import annotations

from collections import deque

from guardkit.places.answers import spent_in_phase
from guardkit.places.plain import clean
from guardkit.places.terminal.lines import Kind, Line
from guardkit.places.terminal.short import has_failing_tests, stopwatch
from guardkit.places.terminal.summary import REFUSALS, Turns
from guardkit.places.words import counts, local, one_line, tasks, tests, used
from guardkit.progress.snapshot import Event, is_newer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from guardkit.progress.snapshot import Snapshot

ENDS = frozenset({"completed", "failed", "cancelled"})
EVENTS_MAX = 200  # that the answers about a build are found in


class Story:
    """What has been told of a task, so that of its next snapshot only what is new is told.

    last: the newest snapshot, None before the first.
    label: whether the task id is put into the lines, as there are several builds.
    events: the latest transitions of the run that were recognised, as the answers need them.
    """

    def __init__(self, *, label: bool = False) -> None:
        self.last: Snapshot | None = None
        self.label = label
        self.events: deque[Event] = deque(maxlen=EVENTS_MAX)
        self._turns = Turns()
        self._since: Snapshot | None = None  # before the phase began, or the latest decision
        self._entered: Snapshot | None = None  # when it began
        self._begun = 0  # phases of the run that have been told

    def tell(self, now: Snapshot) -> list[Line]:
        """Return the lines that are new with `now`, in the order of what happened.

        The first snapshot of a run gives its one-line form; then there is a line for each turn and
        phase that begins, message, phase that ends and decision; none for a snapshot older than the
        last. The one that ends the run gives the summary, too.
        """
        before = self.last
        if before and before.tracker.run_id != now.tracker.run_id:
            before = None
        if before and is_newer(before, now):
            return []
        self.last = now
        lines = self._news(before, now) if before else self._begin(now)
        if now.terminal and not (before and before.terminal):
            self._turns.end(now)
            lines += [Line(Kind.SUMMARY), *self._turns.lines(), *_ending(now)]
        then = now.tracker.activity_at or now.updated_at  # heartbeats tell nothing new
        at, label = local(then, "%H:%M:%S"), clean(now.task_id) if self.label else ""
        return [line._replace(at=at, label=label) for line in lines]

    def _begin(self, now: Snapshot) -> list[Line]:
        """Return the lines for the first snapshot of a run."""
        self._since, self._entered, self._begun = now, now, now.tracker.phase_number
        self._turns = Turns()
        self.events.clear()
        self._note("build.started", now)
        name = clean(now.task_name)
        title = Line(Kind.NAME, name if name != now.task_id else "", title=clean(now.task_id))
        turn = [each._replace(kind=Kind.UNDER_WAY) for each in self._turn(now, now)]
        return [title, Line(Kind.PLACE, one_line(now)), *turn]

    def _news(self, before: Snapshot, now: Snapshot) -> list[Line]:
        """Return the lines for what is new."""
        lines = self._turn(before, now) if now.turn != self._turns.latest else []
        since = self._since or before
        if now.tasks and now.wave > before.wave:
            return [*lines, Line(Kind.BEGUN, f"Wave {now.wave}/{now.wave_total} starting...")]
        if now.phase_status == "in_progress":
            if self._begins(before, now):
                self._since, self._entered, self._begun = before, now, now.tracker.phase_number
                self._note("phase.started", now)
                begun = Line(Kind.BEGUN, f"{clean(now.phase)} starting...")
                return [*(lines or self._turn(before, now)), begun]
            is_said = now.message not in {since.message, before.message}
            said = clean(now.message) if is_said else ""
            return [*lines, *([Line(Kind.SAID, said)] if said else [])]
        if now.phase_status in ENDS and _phase(now) != _phase(before):
            return [*lines, self._end_phase(since, now)]
        if now.decision != before.decision or now.message != before.message:
            # Nothing that a Player was just saying is why somebody has cancelled the build.
            stale = before.message if now.decision == "cancelled" else None
            self._since = now
            self._turns.decide(now)
            if now.turn:
                self._note("turn.ended", now)
            said = clean(now.message) if now.message not in {since.message, stale} else ""
            told = Line(Kind.DECIDED, said, title=clean(now.decision))
            return [*lines, *([told] if told.title or told.text else [])]
        return lines

    def _turn(self, before: Snapshot, now: Snapshot) -> list[Line]:
        """Return the heading where a turn begins, or the one before is over, as it was decided."""
        turns = self._turns
        if now.turn not in {0, turns.latest}:
            turns.end(before)
            turns.begin(now)
            return [Line(Kind.TURN, f"Turn {now.turn:,} of {now.turn_max:,}")]
        if turns.number and turns.decided:
            turns.end(before)
            return [Line(Kind.TURN)]
        return []

    def _end_phase(self, since: Snapshot, now: Snapshot) -> Line:
        """Return the line for a phase that has ended: what it has made, or why it has failed.

        Failing tests are no success, though the phase has come to its end.
        """
        self._note("phase.ended", now)
        entered, known = self._entered or since, counts(since)
        own = [each for each in tests(now) if each not in tests(entered)]
        made = [each for each in counts(now) if each not in known or each in own]
        status: str = now.phase_status
        if own and has_failing_tests(now) and status == "completed":
            status = "failed"
        said = clean(now.message) if now.message != since.message else ""
        why = clean(now.error) if now.phase_status == "failed" else ""
        self._turns.end_phase(now.phase_status, why, has_tests=bool(own))
        took = spent_in_phase(now)
        if took is None:
            took = now.metrics.elapsed_seconds - entered.metrics.elapsed_seconds
        text = why or ", ".join(made) or said
        return Line(Kind.ENDED, text, status, clean(now.phase), stopwatch(took))

    def _begins(self, before: Snapshot, now: Snapshot) -> bool:
        """Return whether a phase begins; an outer one that is shown again does not.

        Files of other programs do not number their phases.
        """
        number = now.tracker.phase_number
        return number > self._begun if number else _phase(now) != _phase(before)

    def _note(self, name: str, now: Snapshot) -> None:
        tracker = now.tracker
        event = Event(event=name, at="", run_id=tracker.run_id, seq=tracker.seq, progress=now)
        self.events.append(event)


def _phase(snapshot: Snapshot) -> tuple[object, ...]:
    number = snapshot.tracker.phase_number
    wave = 0 if number else snapshot.wave  # files of other programs do not number their phases
    return wave, snapshot.turn, number, snapshot.phase, snapshot.phase_status


def _ending(now: Snapshot) -> list[Line]:
    """Return the lines of the summary that tell how a build has ended, and what it took."""
    status = " - ".join(filter(None, (f"Status: {_outcome(now).upper()}", clean(now.error))))
    cost = f"Took: {', '.join((stopwatch(now.metrics.elapsed_seconds), *used(now)))}"
    found = filter(None, (", ".join(tasks(now)), cost, status))
    return [Line(Kind.END, each, now.status) for each in found]


def ended_line(now: Snapshot) -> Line:
    """Return the one line on a build that has ended, where there are many."""
    words = filter(None, (_outcome(now), clean(now.error)))
    made = ", ".join((*tasks(now), *counts(now), *used(now)))
    told = "  ".join(filter(None, (": ".join(words), made)))
    took, at = stopwatch(now.metrics.elapsed_seconds), local(now.updated_at, "%H:%M:%S")
    return Line(Kind.ENDED, told, now.status, clean(now.task_id), took, at)


def _outcome(now: Snapshot) -> str:
    """Return the word for an end; that a turn was refused is not how a build was completed."""
    is_told = now.status == "completed" and now.decision not in REFUSALS
    return clean(now.decision if is_told else "") or now.status

"""The spans of a run, made from its journal alone."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from guardkit.places.plain import clean
from guardkit.places.traces.conventions import (
    BAD,
    RESULTS,
    Attributes,
    build_result,
    by_convention,
    name_of,
    our_own,
)
from guardkit.places.traces.ids import Origin, Outer, number_of, span_of
from guardkit.progress.snapshot import Event, Snapshot

UNITS = frozenset({"build", "wave", "turn", "phase"})
ALONE = frozenset({"wave", "turn"})  # of which one at a time is open
TOLD = frozenset({"decided", "failed"})  # events within a span
EPOCH, MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)
SECOND, TOGETHER = 10**9, 10**8  # nanoseconds; those in which all ends that ends for one reason
LATEST = 2**63 - 1  # nanoseconds, which OTLP has room for


class Note(msgspec.Struct, frozen=True):
    """What has happened within a span, at an instant in nanoseconds since 1970."""

    name: str
    at: int
    attributes: Attributes


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of a run that has ended.

    origin: where its run hangs.
    span_id, parent: its number, and that of the span around it, 0: there is none.
    began, ended: nanoseconds since 1970.
    error: why it failed; None where it did not.
    seq: of the snapshot that it ended with.
    """

    name: str
    origin: Origin
    span_id: int
    parent: int
    began: int
    ended: int
    attributes: Attributes
    notes: tuple[Note, ...]
    error: str | None
    seq: int


class Open(msgspec.Struct, eq=False):
    """A span that has not ended.

    number: of the unit within its run.
    first: the snapshot that it began with.
    around: what was open then, the outermost first.
    """

    unit: str
    number: int
    span_id: int
    began: int
    first: Snapshot
    around: tuple["Open", ...]
    notes: list[Note] = msgspec.field(default_factory=list[Note])


class Tree:
    """The spans of one run, made of its events in their order.

    outer: what the build is part of. begun, ended: whether the run has begun, and ended.
    """

    def __init__(self, outer: Outer | None = None) -> None:
        self.begun = self.ended = False
        self._outer = outer
        self._open: list[Open] = []
        self._waves: set[int] = set()  # that have begun
        self._latest = 0  # instant of an event
        self._cancelled: int | None = None  # when a phase, or the build, was; nothing began since

    def take(self, events: Sequence[Event]) -> list[Span]:
        """Return the spans that end with the next events, inner ones first."""
        spans, last = list[Span](), len(events)
        if events and _is_cancelled(events[-1]):  # what has ended right before it has because of it
            while last and events[last - 1].event.endswith(".ended"):
                last -= 1
        for place, event in enumerate(events):
            if place == last:
                self._cancelled = nanoseconds(events[-1].at)
            spans += self._take(event)
        return spans

    def _take(self, event: Event) -> list[Span]:
        at, now = nanoseconds(event.at), event.progress
        if at is None or self.ended:
            return []
        self.begun = True
        unit, _, what = event.event.partition(".")
        ending = list[Open]()
        if what == "started" and unit in ALONE:  # the journal may have lost the end of the last
            ending = [each for each in self._open if each.unit == unit]
        elif what == "ended" and unit == "build":
            ending, at = self._open[::-1], self._end_of(now, at)
        elif what == "ended":
            number = number_of(unit, now)
            ending = [each for each in self._open if (each.unit, each.number) == (unit, number)]
        elif event.event in TOLD and self._open:
            self._open[-1].notes.append(_note(event, at))
        if what != "ended" or _is_cancelled(event):
            self._cancelled = at if what == "ended" else None
        self._latest = max(self._latest, at)
        self.ended = event.event == "build.ended"
        ended = [self._end(each, event, at) for each in ending]
        if what == "started" and unit in UNITS:
            self._begin(unit, now, at)
        return ended

    def _begin(self, unit: str, now: Snapshot, at: int) -> None:
        number, kind = number_of(unit, now), unit
        if unit == "wave":
            kind = f"wave at {now.tracker.seq}" if number in self._waves else unit
            self._waves.add(number)
        span_id = span_of(now.tracker.run_id, kind, number)
        self._open.append(Open(unit, number, span_id, at, now, tuple(self._open)))

    def _end_of(self, now: Snapshot, at: int) -> int:
        """Return when a build has ended.

        Of one that has died its successor tells, hours later maybe: it has ended when it was last
        heard of.
        """
        lived = max(self._latest, nanoseconds(now.updated_at.isoformat()) or 0)
        return at if at < lived + SECOND else lived

    def _end(self, one: Open, event: Event, at: int) -> Span:
        self._open = [each for each in self._open if each is not one]
        # What was open all the time. Of two phases side by side, neither is within the other.
        around = [each for each in one.around if each in self._open]
        origin, now, result = Origin.of(one.first, self._outer), event.progress, "success"
        if self.ended:
            result = build_result(now)
        elif one.unit == "phase":
            result = RESULTS.get(now.phase_status, result)
        elif self._cancelled is not None and abs(at - self._cancelled) < TOGETHER:
            result = "cancellation"
        elif now.error not in {None, one.first.error}:
            result = "failure"
        decided = [note.attributes for note in one.notes if note.name == "decided"]
        attributes = by_convention(one.unit, one.number, one.first, result)
        return Span(
            name=name_of(one.unit, one.number, one.first),
            origin=origin,
            span_id=one.span_id,
            parent=around[-1].span_id if around else origin.above,
            began=one.began,
            ended=max(one.began, at),
            attributes=attributes | our_own(one.unit, now, result) | (decided or [{}])[-1],
            notes=tuple(one.notes),
            error=clean(now.error) if result in BAD else None,
            seq=now.tracker.seq,
        )


def nanoseconds(at: str) -> int | None:
    """Return an instant in nanoseconds since 1970; None where it is none that OTLP can hold."""
    try:
        since = (datetime.fromisoformat(at) - EPOCH) // MILLISECOND * 10**6
    except (ValueError, TypeError):  # it is no instant, or has no time zone
        return None
    return since if 0 <= since <= LATEST else None


def _is_cancelled(event: Event) -> bool:
    """Return whether a phase, or the build, was cancelled with an event."""
    ends = {"phase.ended": event.progress.phase_status, "build.ended": event.progress.status}
    return ends.get(event.event) == "cancelled"


def _note(event: Event, at: int) -> Note:
    """Return what is told of a decision, or of a failure that a scope got over."""
    now, is_decision = event.progress, event.event == "decided"
    told = {
        "guardkit.decision" if is_decision else "guardkit.error": clean(
            now.decision if is_decision else now.error
        ),
        "guardkit.message": clean(now.message),
    }
    return Note(event.event, at, {name: text for name, text in told.items() if text})

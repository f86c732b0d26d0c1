"""The state of one build as it changes: no waiting, no files, no locks.

Any thread, signal handler or finaliser may look and change. Each change makes a new immutable
`Moment` of the one that was there, and takes its place only if that is still there, else it is made
again: so nothing is lost, nobody waits, and nobody sees half a change. CPython switches to another
thread or handler only at calls and at the end of loops, so that neither a comparison with the store
behind it nor a row of plain stores is ever interrupted.
"""

from datetime import UTC, datetime
from itertools import count
from typing import TypedDict, Unpack

import msgspec
from msgspec.structs import replace

from guardkit.clock import Clock
from guardkit.progress.counts import Counts, Left
from guardkit.progress.snapshot import COUNT_MAX, Event, Metrics, Snapshot, Usage, clip, make_event

NAME_SIZE, TEXT_SIZE, UNIT_SIZE = 192, 512, 48  # bytes of JSON; all at most: below 4 KiB
EVENTS_MAX = 1000  # that wait to be written; then the oldest are dropped


class Shown(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The phase that is shown: its name, the how manieth it is, since when, and its budget.

    `since` is an instant of the monotonic clock, None before the first phase; `budget` seconds.
    """

    name: str = ""
    number: int = 0
    since: float | None = None
    budget: float | None = None


class Change(TypedDict, total=False):
    """What a transition sets in the document."""

    status: str
    wave: int
    turn: int
    phase_status: str
    shown: Shown
    decision: str
    error: str | None
    lock: str | None


class News(msgspec.Struct, frozen=True, gc=False):
    """What goes to the sinks: the newest snapshot, and the transitions before it, oldest first.

    `lost`: how many transitions were dropped, as too many waited.
    """

    snapshot: Snapshot
    events: tuple[Event, ...] = ()
    lost: int = 0

    def then(self, newer: "News") -> "News":
        """Return these news with newer ones behind them; the oldest events are dropped."""
        events = self.events + newer.events
        lost = self.lost + newer.lost + max(0, len(events) - EVENTS_MAX)
        return News(newer.snapshot, events[-EVENTS_MAX:], lost)


class Moment(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A build at one instant.

    began, active: when it began and last did something, on the monotonic clock.
    zero: the wall time of that clock's zero, as the wall clock says now; seconds since 1970.
    counts: what the snapshot shows of what was left.
    events, lost: the transitions that nobody has taken yet, and how many were dropped.
    """

    snapshot: Snapshot
    shown: Shown = Shown()
    began: float
    active: float
    zero: float
    counts: Counts = Counts()
    events: tuple[Event, ...] = ()
    lost: int = 0


class State:
    """What is known of a build; a snapshot of it is made when somebody looks."""

    def __init__(self, snapshot: Snapshot, clock: Clock) -> None:
        self.left = Left()
        self._clock = clock
        self._numbers = count(1)  # of phases
        self._moment = self._begin(snapshot)

    @property
    def shown(self) -> Shown:
        """The phase that is shown."""
        return self._moment.shown

    def start(self) -> None:
        """Let the time of the build count from now."""
        self._moment = self._begin(self._moment.snapshot)

    def begin_phase(self, shown: Shown) -> Shown:
        """Show a phase from now on; return it with its number and its beginning."""
        shown = replace(shown, number=next(self._numbers), since=self._clock.monotonic())
        self.step("phase.started", shown=shown, phase_status="in_progress")
        return shown

    def view(self) -> Snapshot:
        """Return the snapshot as of now; its `seq` rises if there is anything new."""
        return self._step(None, {}).snapshot

    def step(self, event: str | None, **change: Unpack[Change]) -> Snapshot:
        """Make a change, a transition if it has an event; return the snapshot that shows it.

        After the end of the build nothing changes any more.
        """
        return self._step(event, change).snapshot

    def take(self) -> News:
        """Return the newest snapshot, and the transitions since the last time."""
        while True:
            moment = self._moment
            if not (moment.events and self.left.clean):  # else it is as new as it can be
                moment = self._step(None, {})
            rest = replace(moment, events=(), lost=0)
            if self._moment is moment:
                self._moment = rest
                return News(moment.snapshot, moment.events, moment.lost)

    def _begin(self, snapshot: Snapshot) -> Moment:
        now, wall = self._clock.monotonic(), self._clock.now()
        second = wall.replace(microsecond=0)
        tracker = replace(snapshot.tracker, activity_at=second, beat=round(now, 3))
        snapshot = replace(snapshot, started_at=second, updated_at=second, tracker=tracker)
        return Moment(snapshot=snapshot, began=now, active=now, zero=wall.timestamp() - now)

    def _step(self, event: str | None, change: Change) -> Moment:
        while True:
            old = self._moment
            if old.snapshot.terminal:
                self.left.clean = True  # so that the next call sees that the build has ended
                return old
            new = self._next(old, event, change)
            if self._moment is old:
                self._moment = new
                return new

    def _next(self, old: Moment, event: str | None, change: Change) -> Moment:
        """Return the moment that follows from an old one, a change, and what was left."""
        shown = change.get("shown", old.shown)
        counts, touched = self.left.take(shown.number), self.left.touched
        wall, now = self._clock.now(), self._clock.monotonic()
        zero = wall.timestamp() - now
        news = event is not None or bool(change) or counts != old.counts
        new = Moment(
            snapshot=old.snapshot,
            shown=shown,
            began=old.began,
            active=now if news else max(old.active, touched),
            zero=old.zero if -1 < zero - old.zero < 1 else zero,  # else the clock was set
            counts=counts,
            events=old.events,
            lost=old.lost,
        )
        seq = old.snapshot.tracker.seq + news
        snapshot = _show(new, change, wall.replace(microsecond=0), now, seq=seq)
        if not event:
            return replace(new, snapshot=snapshot)
        events = (*old.events, make_event(event, wall, snapshot))
        lost = old.lost + (len(events) > EVENTS_MAX)
        return replace(new, snapshot=snapshot, events=events[-EVENTS_MAX:], lost=lost)


def _show(moment: Moment, change: Change, wall: datetime, now: float, *, seq: int) -> Snapshot:
    """Return the document of a moment; the clocks say `wall`, of whole seconds, and `now`."""
    before, shown, counts = moment.snapshot, moment.shown, moment.counts
    fields: dict[str, object] = {**change}
    fields.pop("shown", None)
    message, unknown = counts.message, counts.tokens is None and counts.cost_usd is None
    return replace(
        before,
        phase=shown.name,
        metrics=Metrics(
            max(0, int(now - moment.began)),
            min(counts.files_created, COUNT_MAX),
            min(counts.files_modified, COUNT_MAX),
            min(counts.tests_passed, COUNT_MAX),
            min(counts.tests_total, COUNT_MAX),
        ),
        updated_at=wall,
        message=before.message if message is None else clip(message, TEXT_SIZE),
        work=counts.work,
        usage=None if unknown else Usage(counts.tokens or 0, counts.cost_usd or 0.0),
        tasks=counts.tasks,
        tracker=replace(
            before.tracker,
            seq=seq,
            activity_at=_instant(moment, moment.active, wall),
            phase_started_at=None if shown.since is None else _instant(moment, shown.since, wall),
            phase_number=shown.number,
            budget_seconds=shown.budget,
            beat=round(now, 3),
            lock=fields.pop("lock", before.tracker.lock),
        ),
        **fields,
    )


def _instant(moment: Moment, since: float, wall: datetime) -> datetime:
    """Return an instant of the monotonic clock as the wall clock says now, in whole seconds."""
    return min(datetime.fromtimestamp(int(moment.zero + since), UTC), wall)

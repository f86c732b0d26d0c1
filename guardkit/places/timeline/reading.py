"""From the events of a run to bars, marks and counts."""

from __future__ import annotations

from bisect import insort
from itertools import count
from typing import TYPE_CHECKING

from msgspec.structs import replace

from guardkit.places.plain import clean, clip
from guardkit.places.timeline.model import Bar, Count, Kind, Mark
from guardkit.places.words import counts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from guardkit.places.runs import Run
    from guardkit.progress.snapshot import Event, Snapshot

TEXT_MAX = 300  # characters
OPEN_MAX = 100  # phases at a time: more are only in journals that mean harm
BEGINS, ENDS = ".started", ".ended"


class Open:
    """A stretch of work that has begun, and where it stands."""

    def __init__(self, kind: Kind, now: Snapshot, start: float, *, turn: int, row: int = 0) -> None:
        self.kind: Kind = kind
        self.key = _key(kind, now)
        self.turn, self.start, self.row = turn, start, row
        self.name = _name(kind, now)
        self.budget = now.tracker.budget_seconds if kind == "phase" else None
        self._known = frozenset(counts(now))

    def close(self, end: float, status: str, newest: Snapshot | None) -> Bar:
        """Return its bar.

        newest: the document at its end, or the newest one before; None where there is none.
        """
        return Bar(
            kind=self.kind,
            name=self.name,
            start=self.start,
            end=end,
            status=status,
            row=self.row,
            turn=self.turn,
            budget=self.budget,
            made=self._made(newest) if newest and self.kind == "phase" else "",
        )

    def _made(self, newest: Snapshot) -> str:
        counted = ", ".join(each for each in counts(newest) if each not in self._known)
        return " - ".join(filter(None, (counted, _short(newest.error))))


class Reader:
    """Reads a run, event by event.

    bars: those of what has ended.
    """

    def __init__(self) -> None:
        self.bars: list[Bar] = []
        self._open: list[Open] = []
        self._turn: int | None = None  # that is open, 0: none; None: the journal begins in it

    def read(self, event: Event, at: float) -> None:
        """Take the next event, of so many seconds after the beginning."""
        if event.event in {"build.started", "turn.ended"}:
            self._turn = 0
        for kind in ("wave", "turn", "phase"):
            if event.event == kind + BEGINS:
                self._begin(kind, event.progress, at)
            elif event.event == kind + ENDS:
                self._end(kind, event.progress, at)
        if event.event == "turn.ended":
            self._lose(event.progress.turn, at)

    def close(self, at: float, status: str, newest: Snapshot) -> list[Bar]:
        """Return all bars in the order of their beginnings; what is open goes on until `at`."""
        self.bars += (each.close(at, status, newest) for each in self._open)
        self._open.clear()
        ranks = {"wave": 0, "turn": 1, "phase": 2}
        found = sorted(self.bars, key=lambda bar: (bar.start, ranks[bar.kind], bar.row))
        own = iter(_shown([bar for bar in found if bar.kind == "phase"]))
        return [replace(bar, own=next(own)) if bar.kind == "phase" else bar for bar in found]

    def _begin(self, kind: Kind, now: Snapshot, at: float) -> None:
        taken = {each.row for each in self._open if each.kind == "phase"}
        row = next(row for row in count() if row not in taken) if kind == "phase" else 0
        if kind == "turn":
            self._turn = now.turn
        if len(self._open) >= OPEN_MAX:
            self.bars.append(self._open.pop(0).close(at, "", None))
        self._open.append(Open(kind, now, at, turn=self._turn_of(now), row=row))

    def _turn_of(self, now: Snapshot) -> int:
        return now.turn if self._turn is None else self._turn

    def _end(self, kind: Kind, now: Snapshot, at: float) -> None:
        key = _key(kind, now)
        status = now.phase_status if kind == "phase" else "completed"
        for each in reversed(self._open):
            if each.key == key:
                self._open.remove(each)
                self.bars.append(each.close(at, status, now))
                return
        if kind == "phase" and (began := now.tracker.phase_started_at):  # before the journal's
            taken = min(max((now.updated_at - began).total_seconds(), 0.0), at)
            begun = Open(kind, now, at - taken, turn=self._turn_of(now))
            self.bars.append(begun.close(at, status, now))

    def _lose(self, turn: int, at: float) -> None:
        """End the phases of a turn that has ended, of which the journal has lost the ends."""
        for each in [it for it in self._open if it.kind == "phase" and it.turn == turn]:
            self._open.remove(each)
            self.bars.append(each.close(at, "", None))


def _shown(phases: Sequence[Bar]) -> list[float]:
    """Return for how many seconds each phase was the one shown: the latest that was still open.

    phases: in the order of their beginnings.
    """
    own, now, still = [0.0] * len(phases), 0.0, list[int]()
    begins = ((bar.start, n, False) for n, bar in enumerate(phases))
    ends = ((bar.end, n, True) for n, bar in enumerate(phases))
    for at, n, is_end in sorted((*begins, *ends)):
        if still:
            own[still[-1]] += at - now
        now = at
        if is_end:
            still.remove(n)
        else:
            insort(still, n)
    return own


def read_marks(run: Run, offset: float = 0.0) -> Iterator[Mark]:
    """Yield what was decided in a run, and what has failed in it.

    offset: when the run has begun, as in the timeline.
    """
    turn: int | None = None  # that is open, 0: none; None: the journal begins in it
    for event, time in zip(run.events, run.times, strict=True):
        now, at = event.progress, time + offset
        if event.event in {"build.started", "turn.started", "turn.ended"}:
            turn = now.turn if event.event == "turn.started" else 0
        own = now.turn if turn is None else turn
        if event.event == "decided" and now.decision:
            why = "" if now.message is None else _short(now.message)
            text = _short(now.decision)
            yield Mark(at=at, kind="decided", text=text, why=why, turn=own)
        elif event.event == "failed":
            yield Mark(at=at, kind="failed", text="failed", why=_short(now.error), turn=own)


def read_counts(known: Iterable[tuple[float, Snapshot]]) -> list[Count]:
    """Return what had been counted, once for each time that it had changed.

    known: snapshots, and seconds from the beginning until each.
    """
    found: list[Count] = []
    for at, now in known:
        made = now.metrics
        files, total = made.files_created + made.files_modified, made.tests_total
        total = max(total, made.tests_passed)
        new = Count(at=at, files=files, passed=made.tests_passed, total=total)
        if not found or _counted(found[-1]) != _counted(new):
            found.append(new)
    return found


def sum_counts(own: Sequence[Count], tasks: Sequence[Sequence[Count]]) -> list[Count]:
    """Return what a feature had counted: its own journal tells of it at the ends of waves alone.

    own: what that tells; what is in it when the first task begins is of earlier runs.
    tasks: what each of the tasks had counted.
    """
    steps = sorted((each.at, n, each) for n, counts in enumerate(tasks) for each in counts)
    if not steps:
        return [*own]
    before = [each for each in own if each.at <= steps[0][0]]
    now, found = {-1: before[-1] if before else Count(at=0.0)}, before[:1]
    for at, n, newer in steps:
        now[n] = newer
        files, passed, total = map(sum, zip(*map(_counted, now.values()), strict=True))
        found.append(Count(at=at, files=files, passed=passed, total=total))
    return found


def _counted(it: Count) -> tuple[int, int, int]:
    return it.files, it.passed, it.total


def _key(kind: Kind, now: Snapshot) -> tuple[object, ...]:
    """Return what a beginning and its end have in common."""
    if kind == "phase":
        number = now.tracker.phase_number
        return kind, number, "" if number else now.phase
    return kind, now.turn if kind == "turn" else now.wave


def _name(kind: Kind, now: Snapshot) -> str:
    numbers = {"wave": f"Wave {now.wave}/{now.wave_total}", "turn": f"Turn {now.turn}"}
    return numbers.get(kind) or _short(now.phase)


def _short(text: str | None) -> str:
    return clip(clean(text), TEXT_MAX)

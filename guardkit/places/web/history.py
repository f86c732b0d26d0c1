"""What the journal tells of one run: its turns, their phases, what was decided and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from guardkit.places.words import clean, clip, counts, duration, local, tests, used
from guardkit.progress.paths import is_task_id
from guardkit.progress.snapshot import Event, Snapshot

TURNS_MAX, PHASES_MAX, RUNS_MAX = 50, 200, 20  # that are shown, the newest
TEXT_MAX = 1000  # characters of a reason


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """A phase: its name, when it began after the run did, how long it took, and what came of it."""

    name: str
    began: str
    took: str
    status: str
    made: str = ""


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """A turn, and what was decided in it; number 0: what was outside of turns.

    tests: how the latest ones went. decision, reason: of the last decision; `""`: none yet.
    """

    number: int
    phases: tuple[Phase, ...]
    decision: str = ""
    reason: str = ""
    tests: str = ""


class Past(msgspec.Struct, frozen=True):
    """An earlier run: when it began, and how it has ended."""

    run_id: str
    began: str
    ended: str


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of the latest run, and of those before it, the newest first.

    about: who builds, since when. feature: the id of the feature that the task is part of, or `""`.
    left_out: of the turns of the latest run, how many came before those that are told of.
    """

    about: str = ""
    feature: str = ""
    turns: tuple[Turn, ...] = ()
    left_out: int = 0
    past: tuple[Past, ...] = ()


def make_history(events: Iterable[Event], now: Snapshot | None, since: float = 0.0) -> History:
    """Return what the journal of a task tells.

    now: the newest document; its run is the latest one. since: seconds that it has gone on since.
    """
    runs: dict[str, list[Event]] = {}
    for event in events:
        runs.setdefault(event.run_id, []).append(event)
    latest = runs.pop(now.tracker.run_id, []) if now else []
    past = tuple(_past(run) for run in reversed([*runs.values()][-RUNS_MAX:]))
    if not now:
        return History(past=past)
    feature = now.build_id if now.tracker.parent_run and is_task_id(now.build_id) else ""
    if not latest:
        return History(about=_about(now), feature=feature, past=past)
    run = _Run(latest[0].progress, latest[-1].progress, _ends(latest), now, since)
    turns = [_turn(number, own, run) for number, own in _by_turn(latest)]
    turns = [turn for turn in turns if turn.phases or turn.decision]
    shown = tuple(turns[-TURNS_MAX:])
    return History(
        about=_about(now),
        feature=feature,
        turns=shown,
        left_out=len(turns) - len(shown),
        past=past,
    )


class _Run(NamedTuple):
    """The run that is told of: its first and last event, the ends of phases by number, and now."""

    first: Snapshot
    last: Snapshot
    ends: dict[int, Snapshot]
    now: Snapshot
    since: float


def _ends(run: Sequence[Event]) -> dict[int, Snapshot]:
    ended = (each.progress for each in run if each.event == "phase.ended")
    return {it.tracker.phase_number: it for it in ended if it.tracker.phase_number}


def _by_turn(run: Iterable[Event]) -> list[tuple[int, list[Event]]]:
    """Return the events of a run in stretches: of a turn with its number, of what is outside 0."""
    found: list[tuple[int, list[Event]]] = []
    turn = 0
    for event in run:
        turn = event.progress.turn if event.event == "turn.started" else turn
        if not (found and found[-1][0] == turn):
            found.append((turn, []))
        found[-1][1].append(event)
        turn = 0 if event.event == "turn.ended" else turn
    return found


def _turn(number: int, own: Sequence[Event], run: _Run) -> Turn:
    begun = [event.progress for event in own if event.event == "phase.started"]
    decided = [event.progress for event in own if event.event == "decided"]
    last = decided[-1] if decided else None
    is_open = own[-1].event != "turn.ended" and own[-1].progress is run.last
    newest = run.now if is_open else own[-1].progress
    return Turn(
        number=number,
        phases=tuple(_phase(each, run) for each in begun[-PHASES_MAX:]),
        decision=clean(last.decision) if last else "",
        reason=clip(clean(last.message), TEXT_MAX) if last else "",
        tests=", ".join(tests(newest)) if number else "",
    )


def _phase(first: Snapshot, run: _Run) -> Phase:
    number, now = first.tracker.phase_number, run.now
    end = run.ends.get(number)
    goes_on = end is None and not now.terminal
    newest = end or (now if now.tracker.phase_number == number else run.last)
    known = counts(first)
    made = ", ".join(each for each in counts(newest) if each not in known)
    took = _clock(end or now) - _clock(first) + (run.since if goes_on else 0.0)
    return Phase(
        name=clip(clean(first.phase), TEXT_MAX),
        began=duration(_clock(first) - _clock(run.first)),
        took=duration(took),
        status=end.phase_status if end else "in_progress" if goes_on else "",
        made=" - ".join(filter(None, (made, clip(clean(newest.error), TEXT_MAX)))),
    )


def _clock(snapshot: Snapshot) -> float:
    """Return seconds that tell how long is between two documents of a run."""
    return snapshot.tracker.beat or float(snapshot.metrics.elapsed_seconds)


def _past(run: Sequence[Event]) -> Past:
    first, last = run[0], run[-1].progress
    began = first.progress.started_at
    ended = f"{last.status} after {duration(last.metrics.elapsed_seconds)}"
    if not last.terminal:
        ended = "it has left no end"
    told = (ended, clip(clean(last.error), TEXT_MAX), ", ".join(used(last)))
    return Past(clean(first.run_id), _date(began), ", ".join(filter(None, told)))


def _about(now: Snapshot) -> str:
    tracker = now.tracker
    who = (
        f", by process {tracker.pid} on {clip(clean(tracker.host), TEXT_MAX)}"
        if tracker.pid
        else ""
    )
    return f"began {_date(now.started_at)}{who}"


def _date(at: datetime) -> str:
    return local(at, "%Y-%m-%d %H:%M")

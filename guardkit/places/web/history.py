"""What the page tells of a build from its timeline, and of the runs before it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from guardkit.places.expected import Expected, words
from guardkit.places.plain import clean, clip
from guardkit.places.runs import Run
from guardkit.places.timeline.model import Bar, Lane, Mark, Timeline
from guardkit.places.timeline.told import missing
from guardkit.places.words import duration, local, passing, used
from guardkit.progress.journal import CRASHED
from guardkit.progress.paths import is_task_id
from guardkit.progress.snapshot import Snapshot

TURNS_MAX, PHASES_MAX, TASKS_MAX, RUNS_MAX = 50, 200, 400, 20  # that are shown
TEXT_MAX = 1000  # characters of a text


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """A turn, and what was decided in it last; number 0: what was decided outside of turns.

    tests: how the latest ones went. decision, reason: `""`: none yet.
    """

    number: int
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

    about: who builds, since when. expected: how much longer it may take, or `""`.
    feature: the id of the feature that the task is part of, or `""`.
    timeline: what is drawn; None where the journal has nothing of the run.
    missing: which tasks of a feature are not among `tasks`, or `""`.
    tasks, phases: what is told of in tables. left_out: how many phases came before these.
    turns: oldest first, then what was decided last outside of them.
    """

    about: str = ""
    expected: str = ""
    feature: str = ""
    timeline: Timeline | None = None
    missing: str = ""
    tasks: tuple[Lane, ...] = ()
    phases: tuple[Bar, ...] = ()
    left_out: int = 0
    turns: tuple[Turn, ...] = ()
    past: tuple[Past, ...] = ()


def make_history(
    now: Snapshot | None,
    timeline: Timeline | None = None,
    past: Sequence[Run] = (),
    expected: Expected | None = None,
) -> History:
    """Return what is told of a build.

    now: its newest document. timeline: of the run of that. past: the runs before it, oldest first.
    """
    told = tuple(_past(run) for run in reversed(past[-RUNS_MAX:]))
    if not now:
        return History(past=told)
    build = timeline.build if timeline else Lane(task_id=now.task_id)
    phases = build.of_kind("phase")
    return History(
        about=_about(now),
        expected=words(expected) if expected else "",
        feature=now.build_id if now.tracker.parent_run and is_task_id(now.build_id) else "",
        timeline=timeline,
        missing=missing(timeline, now) if timeline else "",
        tasks=timeline.tasks[:TASKS_MAX] if timeline else (),
        phases=tuple(phases[-PHASES_MAX:]),
        left_out=max(0, len(phases) - PHASES_MAX),
        turns=tuple(_turns(build)),
        past=told,
    )


def _turns(build: Lane) -> Iterable[Turn]:
    """Yield the newest turns, and what was decided last outside of them."""
    last = {mark.turn: mark for mark in build.marks}
    for bar in build.of_kind("turn")[-TURNS_MAX:]:
        yield _decided(bar.turn, last.get(bar.turn), _tests(build, bar))
    if 0 in last:
        yield _decided(0, last[0])


def _tests(build: Lane, turn: Bar) -> str:
    """Return how the tests of a turn went; while it goes on, those that it has had itself."""
    told = [passing(each.passed, each.total) for each in build.counts if each.at <= turn.end]
    if turn.status == "in_progress":
        before = sum(each.at <= turn.start for each in build.counts)
        told = [new for old, new in pairwise(told[max(0, before - 1) :]) if new != old]
    return ", ".join(told[-1]) if told else ""


def _decided(number: int, mark: Mark | None, tests: str = "") -> Turn:
    decision, reason = (mark.text, mark.why) if mark else ("", "")
    return Turn(number=number, decision=decision, reason=reason, tests=tests)


def _past(run: Run) -> Past:
    last = run.last
    began = local(run.events[0].progress.started_at, "%Y-%m-%d %H:%M")
    ended = f"{run.outcome} after {duration(run.times[-1])}"
    told = (
        ended if run.outcome else "it has left no end",
        clip(clean(last.error).removeprefix(CRASHED), TEXT_MAX),
        ", ".join(used(last)),
    )
    return Past(clean(run.run_id), began, ", ".join(filter(None, told)))


def _about(now: Snapshot) -> str:
    tracker = now.tracker
    host = clip(clean(tracker.host), TEXT_MAX)
    who = f", by process {tracker.pid} on {host}" if tracker.pid else ""
    return f"began {local(now.started_at, '%Y-%m-%d %H:%M')}{who}"

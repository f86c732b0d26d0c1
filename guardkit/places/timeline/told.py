"""A timeline in words: what its picture says to those who do not see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardkit.places.timeline.scale import brief
from guardkit.places.words import duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardkit.places.timeline.model import Bar, Count, Gap, Lane, Mark, Timeline
    from guardkit.progress.snapshot import Snapshot

LINES_MAX = 400
OVER = frozenset({"completed", "failed", "cancelled", "crashed"})


def headline(lane: Lane) -> str:
    """Return how a build is, in a line: `completed after 12m 5s`, `running, 4m 5s elapsed`."""
    long = duration(lane.seconds)
    if lane.state == "unknown":
        return f"how it has ended is unknown, {long} elapsed"
    return f"{lane.state} after {long}" if lane.state in OVER else f"{lane.state}, {long} elapsed"


def result(lane: Lane) -> str:
    """Return what a build has to show: turns, files and tests."""
    turns = len(lane.of_kind("turn"))
    least = "at least " * any(gap.sign == "unknown" for gap in lane.gaps)
    found = [f"{least}{turns} turn{'s' * (turns != 1)}"] if turns else []
    if lane.counts:
        last = lane.counts[-1]
        found += [f"{last.files} file{'s' * (last.files != 1)}"] if last.files else []
        found += [f"{tests_of(last)} tests passing"] if last.total else []
    return ", ".join(found)


def missing(timeline: Timeline, newest: Snapshot) -> str:
    """Return how many tasks of a feature are not among its own; empty where all are.

    newest: its newest document.
    """
    begun = newest.tasks.total - newest.tasks.pending if newest.tasks else 0
    many = begun - len(timeline.tasks)
    if many < 1:
        return ""
    tasks = f"{many} of its tasks are" if many > 1 else "a task of it is"
    journals = "their journals are" if many > 1 else "its journal is"
    return f"{tasks} not shown: of an earlier run, or {journals} elsewhere"


def tests_of(count: Count) -> str:
    """Return how the tests were: `8/9`."""
    return f"{count.passed}/{count.total}"


def sign_words(gap: Gap) -> str:
    """Return what a gap is, in words."""
    long = duration(gap.seconds)
    words = {
        "slept": f"the machine slept, or its clock was set, for {long}: not in these times",
        "set back": f"the machine's clock was set back by {long}",
        "silent": f"no heartbeat for {long}",
        "idle": f"no activity for {long}",
        "unknown": f"the journal has nothing of the first {long} any more",
    }
    return words[gap.sign]


def bar_words(bar: Bar) -> str:
    """Return what a bar shows: `Coach Validation, 1m 5s, from 4m 2s on, completed`."""
    state = {"in_progress": "in progress", "": "how it ended is unknown"}
    status = state.get(bar.status, bar.status)
    over = ""
    if bar.budget is not None and bar.seconds > bar.budget:
        over = f", {duration(bar.seconds - bar.budget)} over its budget"
    made = f": {bar.made}" if bar.made else ""
    return f"{bar.name}, {duration(bar.seconds)}, from {brief(bar.start)} on, {status}{over}{made}"


def mark_words(mark: Mark) -> str:
    """Return what was decided: `feedback after 5m 2s: 6 of 9 tests passed`."""
    why = f": {mark.why}" if mark.why else ""
    return f"{mark.text} after {brief(mark.at)}{why}"


def describe(timeline: Timeline) -> str:
    """Return the whole timeline in lines, as much as there is room for."""
    lines: list[str] = []
    for line in _lines(timeline):
        if len(lines) == LINES_MAX:
            return "\n".join([*lines, "and more"])
        lines.append(line)
    return "\n".join(lines)


def _lines(timeline: Timeline) -> Iterator[str]:
    build = timeline.build
    yield ", ".join(filter(None, (headline(build), result(build))))
    things: list[tuple[float, int, str]] = []
    things += ((bar.start, 0, bar_words(bar)) for bar in build.bars if bar.kind != "turn")
    things += ((bar.start, -1, f"{bar.name} begins at {brief(bar.start)}") for bar in _turns(build))
    things += ((mark.at, 1, mark_words(mark)) for mark in build.marks)
    yield from (words for _, _, words in sorted(things))
    for lane in timeline.tasks:
        also = ", on the critical path" if lane.is_critical else ""
        where = f"Wave {lane.wave}, {lane.task_id}: {headline(lane)}, from {brief(lane.start)} on"
        yield ", ".join(filter(None, (where + also, result(lane))))
    yield from map(sign_words, timeline.gaps)


def _turns(lane: Lane) -> list[Bar]:
    return lane.of_kind("turn")

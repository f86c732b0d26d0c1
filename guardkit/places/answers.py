"""Four answers about a build that goes on, from its snapshot and its journal; nothing is guessed.

What changed last, what it does now, what shows that it advances, and what will end it. An answer
that is not known is left out.
"""

from __future__ import annotations

from itertools import pairwise

from guardkit.places.plain import clean
from guardkit.places.words import between_phases, counts, duration, tasks, tests, work

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from guardkit.progress.snapshot import Event, Snapshot


def answers(snapshot: Snapshot, events: Iterable[Event], since: float = 0.0) -> dict[str, str]:
    """Return the answers that are known, in one line each, by the words that ask for them.

    snapshot: of a build that has not ended.
    events: of its journal, oldest first; those of other runs, or newer ones, do not count.
    since: seconds for which the build has gone on since its snapshot.
    """
    run, seq = snapshot.tracker.run_id, snapshot.tracker.seq
    own = [each for each in events if each.run_id == run and each.seq <= seq]
    found = {
        "changed last": changed_last(snapshot, own, since),
        "does now": does_now(snapshot, own, since),
        "advances": advances(snapshot, own),
        "will end": will_end(snapshot, since),
    }
    return {asked: answer for asked, answer in found.items() if answer}


def answer_lines(found: dict[str, str]) -> list[str]:
    """Return the answers in lines below each other."""
    width = max(map(len, found), default=0) + 1
    return [f"{asked + ':':<{width}} {answer}" for asked, answer in found.items()]


def changed_last(snapshot: Snapshot, events: Sequence[Event], since: float = 0.0) -> str:
    """Return what was counted last: `3 files created, recorded 2m 5s ago`.

    A transition records what has been counted until then. What came after the latest one is told as
    `within the last 40s`. Of what the oldest event has already, nobody knows when it was counted.

    events: of the run, oldest first. All else as in `answers`.
    """
    seen = [*(each.progress for each in events), snapshot]
    for before, after in reversed([*pairwise(seen)]):
        if new := _new(after, before):
            if after is snapshot:
                return f"{new}, within the last {_ago(snapshot, before, since)}"
            return f"{new}, recorded {_ago(snapshot, after, since)} ago"
    return ", ".join(counts(seen[0]))


def does_now(snapshot: Snapshot, events: Sequence[Event], since: float = 0.0) -> str:
    """Return the phase that is open, for how long it has been, and its latest message.

    `Coach Validation for 1m 5s - running the tests`. A message that is older than the phase is left
    out. Between phases it is the one that has ended last; of a feature the tasks that run.

    events: of the run, oldest first. All else as in `answers`.
    """
    phase = clean(snapshot.phase)
    if snapshot.tasks and snapshot.tasks.total and snapshot.phase_status != "in_progress":
        running = snapshot.tasks.running
        counted = f"{running:,} task{'s' * (running != 1)} running" if running else ""
        return between_phases(snapshot) or counted
    if not phase:
        return ""
    number = snapshot.tracker.phase_number
    own = {each.event: each.progress for each in events if _number(each) == number}
    if snapshot.phase_status != "in_progress":
        ended = own.get("phase.ended")
        ago = f" {_ago(snapshot, ended, since)} ago" if ended else ""
        return f"between phases: {phase} {snapshot.phase_status}{ago}"
    spent = spent_in_phase(snapshot, since)
    taken = "" if spent is None else f" for {duration(spent)}"
    began = own.get("phase.started")
    is_new = began and began.message != snapshot.message
    return " - ".join(filter(None, (f"{phase}{taken}", clean(snapshot.message) if is_new else "")))


def advances(snapshot: Snapshot, events: Sequence[Event]) -> str:
    """Return what is counted towards an end: work, tasks, tests, and how these were a turn before.

    `8 of 9 tests passing, before that 6 of 9 tests passing (after turn 1)`.

    events: of the run, oldest first.
    """
    results = [
        (each.progress.turn, result)
        for each in events
        if each.event == "turn.ended"
        for result in tests(each.progress)
    ]
    for result in tests(snapshot):  # it is that of the turn before, until there is another one
        if not results or results[-1][1] != result:
            results.append((snapshot.turn, result))
    latest = [results[-1][1]] if results else []
    if results[1:]:
        turn, result = results[-2]
        latest = [f"{latest[0]}, before that {result} (after turn {turn})"]
    return "; ".join((*work(snapshot), *tasks(snapshot)[:1], *latest))


def will_end(snapshot: Snapshot, since: float = 0.0) -> str:
    """Return what the build is bound by: `turn 3 of 5, 4m 0s of budget left`; a feature by waves.

    All as in `answers`.
    """
    turn = snapshot.turn
    bounds = (
        f"wave {snapshot.wave} of {snapshot.wave_total}" if snapshot.tasks else "",
        f"turn {turn} of {snapshot.turn_max}" if turn else "",
        _budget(snapshot, since),
    )
    return ", ".join(filter(None, bounds))


def _budget(snapshot: Snapshot, since: float) -> str:
    """Return what is left of the budget of the phase that is open, `""` where it has none."""
    budget, spent = snapshot.tracker.budget_seconds, spent_in_phase(snapshot, since)
    if budget is None or spent is None or snapshot.phase_status != "in_progress":
        return ""
    if spent > budget:
        return f"budget outrun by {duration(spent - budget)}"
    return f"{duration(budget - spent)} of budget left"


def spent_in_phase(snapshot: Snapshot, since: float = 0.0) -> float | None:
    """Return for how many seconds the phase has been shown, None where nothing says so.

    Instants are whole seconds, so that two of them may be a second too far from each other.
    """
    if not (began := snapshot.tracker.phase_started_at):
        return None
    spent = max(0.0, (snapshot.updated_at - began).total_seconds())
    return min(spent, snapshot.metrics.elapsed_seconds) + since


def _ago(snapshot: Snapshot, then: Snapshot, since: float) -> str:
    """Return the time since an earlier snapshot of the run; no clock of the wall tells it."""
    return duration(snapshot.metrics.elapsed_seconds - then.metrics.elapsed_seconds + since)


def _new(after: Snapshot, before: Snapshot) -> str:
    known = counts(before)
    return ", ".join(each for each in counts(after) if each not in known)


def _number(event: Event) -> int:
    return event.progress.tracker.phase_number

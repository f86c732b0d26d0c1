"""What people read of builds: words and lines for snapshots, verdicts and events.

Lines hold printable characters only, whatever a build says. Times of day are local. A status line
starts with this module, so that it needs the standard library alone.
"""

from __future__ import annotations

import time
from contextlib import suppress

from guardkit.errors import nearest
from guardkit.places.plain import clean
from guardkit.progress.lock import boot_id

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from guardkit.monitor.look import Look
    from guardkit.monitor.verdict import Verdict
    from guardkit.progress.snapshot import Snapshot

OVER = frozenset({"completed", "failed", "cancelled", "crashed", "lost"})
WELL = frozenset({"running", "completed", "cancelled"})  # what needs no person
LATELY = 60.0  # seconds for which an end is news
TASK_STATES = ("running", "failed", "cancelled", "pending")  # besides those that are completed


def duration(seconds: float) -> str:
    """Return whole seconds in words: `5s`, `4m 5s`, `2h 0m 5s`; never below zero."""
    minutes, rest = divmod(max(int(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    words = (f"{hours}h", f"{minutes}m", f"{rest}s")
    return " ".join(words[0 if hours else 1 if minutes else 2 :])


def age(snapshot: Snapshot, now: float) -> float:
    """Return seconds since a snapshot was written, 0.0 where this machine cannot know.

    now: seconds of this boot's monotonic clock. Only builders of the same boot have written down
        what it showed; clocks of the wall step, and those of two machines never agree.
    """
    tracker = snapshot.tracker
    known = tracker.boot_id and tracker.boot_id == boot_id()
    return max(0.0, now - tracker.beat) if known else 0.0


def one_line(snapshot: Snapshot, since: float = 0.0) -> str:
    """Return the one-line form of a build, everywhere the same.

    `Wave 1/3, TASK-FB-002 (Turn 2/5, Coach Validation) - 4m 5s elapsed`. Before the first turn
    the brackets hold the phase alone, before the first phase the turn, before both `starting`; of
    a feature what `position` tells.

    since: seconds for which the build has gone on since its snapshot.
    """
    build = f"Wave {snapshot.wave}/{snapshot.wave_total}, {clean(snapshot.task_id)}"
    return f"{build} ({position(snapshot)}) - {elapsed(snapshot, since)}"


def position(snapshot: Snapshot) -> str:
    """Return what stands in the brackets of the one-line form: `Turn 2/5, Coach Validation`.

    Of a feature: `2 of 5 tasks; running TASK-3, TASK-4; next TASK-5`, as its builder says; or its
    own phase while that runs, or how many tasks are in which state.
    """
    phase, found = clean(snapshot.phase), snapshot.tasks
    if found and found.total and (phase or found.pending < found.total):
        return "; ".join(filter(None, (_tasks_done(snapshot), _goes_on(snapshot))))
    turn = f"Turn {snapshot.turn}/{snapshot.turn_max}" if snapshot.turn else ""
    return ", ".join(filter(None, (turn, phase))) or "starting"


def between_phases(snapshot: Snapshot) -> str:
    """Return what a feature that runs says of its tasks: `running TASK-3; next TASK-5`, or ""."""
    done, _, told = clean(snapshot.message).partition("; ")
    return told if done == _tasks_done(snapshot) else ""


def _goes_on(snapshot: Snapshot) -> str:
    if snapshot.terminal:
        return ", ".join(tasks(snapshot)[1:])
    if snapshot.phase_status == "in_progress":
        return clean(snapshot.phase)
    return between_phases(snapshot) or ", ".join(tasks(snapshot)[1:])


def _tasks_done(snapshot: Snapshot) -> str:
    """Return how many tasks of a feature are completed, such as `3 of 7 tasks`."""
    if not (found := snapshot.tasks):
        return ""
    return f"{found.completed:,} of {found.total:,} task{'s' * (found.total != 1)}"


def elapsed(snapshot: Snapshot, since: float = 0.0) -> str:
    """Return for how long a build has gone on, `4m 5s elapsed`; since: as for `one_line`."""
    return f"{duration(snapshot.metrics.elapsed_seconds + int(since))} elapsed"


def counts(snapshot: Snapshot) -> list[str]:
    """Return what has been made, such as `4,200 of 11,800 rows` and `3 files created`."""
    return [*work(snapshot), *files(snapshot), *tests(snapshot)]


def work(snapshot: Snapshot) -> list[str]:
    """Return how far the phase that is shown has come: `4,200 of 11,800 rows`, or `45%`."""
    if not (found := snapshot.work):
        return []
    if (found.total, found.unit) == (100, "%"):
        return [f"{found.done:,}%"]
    of = "" if found.total is None else f" of {found.total:,}"
    return [f"{found.done:,}{of} {clean(found.unit)}".rstrip()]


def files(snapshot: Snapshot) -> list[str]:
    """Return how many files there are, such as `3 files created`, `1 modified`."""
    created, modified = snapshot.metrics.files_created, snapshot.metrics.files_modified
    noun = "" if created else " file" + "s" * (modified != 1)
    parts = (
        (created, f"{created:,} file{'s' * (created != 1)} created"),
        (modified, f"{modified:,}{noun} modified"),
    )
    return [text for number, text in parts if number]


def tests(snapshot: Snapshot) -> list[str]:
    """Return how the latest tests went, such as `8 of 9 tests passing`."""
    return passing(snapshot.metrics.tests_passed, snapshot.metrics.tests_total)


def passing(passed: int, total: int) -> list[str]:
    """Return how tests went, `8 of 9 tests passing`; nothing where there were none."""
    if not (total := max(passed, total)):
        return []
    some = f"{passed:,} of " if passed < total else ""
    return [f"{some}{total:,} test{'s' * (total != 1)} passing"]


def used(snapshot: Snapshot) -> list[str]:
    """Return what the agents have used, such as `81,500 tokens` and `$3.40`."""
    tokens = snapshot.usage.tokens if snapshot.usage else 0
    number = [f"{tokens:,} token{'s' * (tokens != 1)}"] if tokens else []
    return [*number, *cost(snapshot)]


def cost(snapshot: Snapshot) -> list[str]:
    """Return what the agents have cost, such as `$3.40`."""
    dollars = snapshot.usage.cost_usd if snapshot.usage else 0.0
    return [f"${dollars:,.2f}"] if dollars else []


def tasks(snapshot: Snapshot) -> list[str]:
    """Return how the tasks of a feature are, such as `3 of 7 tasks completed`, `2 running`."""
    if not (found := snapshot.tasks):
        return []
    states = [(getattr(found, state), state) for state in TASK_STATES]
    first = f"{_tasks_done(snapshot)} completed"
    return [first, *(f"{number:,} {state}" for number, state in states if number)]


def is_over(verdict: Verdict) -> bool:
    """Return whether nothing more comes of a build: it has ended, or its builder is gone."""
    return verdict.state in OVER


def is_news(look: Look, now: float) -> bool:
    """Return whether a build goes on, needs somebody, or has ended within the last minute.

    Only ends that this boot's clock has seen are known to be so new.

    now: seconds of this boot's monotonic clock.
    """
    if not is_over(look.verdict) or not look.snapshot:
        return True
    tracker = look.snapshot.tracker
    return tracker.boot_id == boot_id() != "" and now - tracker.beat <= LATELY


def unknown(task_id: str, where: str, known: Iterable[str]) -> str:
    """Return what is said where there is no build of a task; it names the nearest one.

    where: as the end of a sentence. known: the ids that there are.
    """
    return f"no build of {task_id} is known {where}{nearest(task_id, known)}"


def run_of(look: Look) -> str | None:
    """Return the run_id of what a look has seen, None where that has no snapshot."""
    return look.snapshot.tracker.run_id if look.snapshot else None


def is_past_watching(verdict: Verdict) -> bool:
    """Return whether a build is over, or cannot be looked at."""
    return verdict.state in OVER or verdict.state == "unreadable"


def look_line(look: Look, now: float, *, width: int = 0) -> str:
    """Return one look at a build in one line: its state, where it is, and what is wrong.

    now: seconds of this boot's monotonic clock. width: of the state, in characters.
    """
    state, evidence = look.verdict
    why = "" if state in WELL and look.snapshot else f" - {clean(evidence)}"
    return f"{state + ':':<{width}} {place(look, now)}{why}"


def status_lines(looks: Sequence[Look], now: float, answers: Sequence[str] = ()) -> list[str]:
    """Return one look at some builds: a few lines about one, a line for each of several.

    now: seconds of this boot's monotonic clock.
    answers: of one, further lines; its message is not repeated where they, or the evidence, end
        with it, nor where it stands in the one-line form.
    """
    snapshot = looks[0].snapshot if len(looks) == 1 else None
    if not snapshot:
        width = max((len(look.verdict.state) + 1 for look in looks), default=0)
        return [look_line(look, now, width=width) for look in looks]
    [look] = looks
    state = f"{look.verdict.state}: {clean(look.verdict.evidence)}"
    more = (", ".join(words(snapshot)) for words in (counts, tasks, used))
    message = clean(snapshot.message)
    ends = any(line.endswith(f" - {message}") for line in answers) or state.endswith(f": {message}")
    told = ends or message in {*counts(snapshot), position(snapshot) if snapshot.tasks else ""}
    return [place(look, now), state, *filter(None, (*more, "" if told else message)), *answers]


def place(look: Look, now: float) -> str:
    """Return the one-line form of a build, its id alone where there is no snapshot."""
    if not look.snapshot:
        return clean(look.task_id)
    return one_line(look.snapshot, 0.0 if is_over(look.verdict) else age(look.snapshot, now))


def local(at: datetime, form: str) -> str:
    """Return an instant in local time, in a form of `strftime`; of year 1 or 9999 in UTC."""
    with suppress(ValueError, OverflowError, OSError):
        return time.strftime(form, time.localtime(at.timestamp()))
    return at.strftime(form)

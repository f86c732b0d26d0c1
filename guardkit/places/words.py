"""What a person sees of builds: from snapshots and verdicts to lines of text.

Lines hold only printable characters, whatever a build says. Times of day are local.
"""

import re
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime

from guardkit.monitor.verdict import Verdict
from guardkit.progress.snapshot import Metrics, Snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from guardkit.progress.journal import Event

ESCAPES = r"(?s)\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)|\x1b.?"
MARKS = {"completed": "OK", "failed": "FAIL", "cancelled": "CANCELLED"}


def clean(text: str | None) -> str:
    """Return `text` on one line, without escape sequences, controls and bidirectional marks."""
    text = text or ""
    if not text.isprintable():
        plain = re.sub(ESCAPES, "", text)
        text = "".join(c for c in plain if c.isprintable() or c.isspace())
    return " ".join(text.split())


def duration(seconds: float) -> str:
    """Return whole seconds in words: `5s`, `4m 5s`, `2h 0m 5s`; never below zero."""
    minutes, rest = divmod(max(int(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    words = (f"{hours}h", f"{minutes}m", f"{rest}s")
    return " ".join(words[0 if hours else 1 if minutes else 2 :])


def one_line(snapshot: Snapshot, now: datetime | None = None) -> str:
    """Return the one-line form of a build, everywhere the same.

    `Wave 1/3, TASK-FB-002 (Turn 2/5, Coach Validation) - 4m 5s elapsed`. Before the first turn
    only the phase stands in the brackets, before the first phase only the turn, before both
    `starting`. The time counts up to `now`, for a build that has gone on since its snapshot.
    """
    turn = f"Turn {snapshot.turn}/{snapshot.turn_max}" if snapshot.turn else ""
    where = ", ".join(filter(None, (turn, clean(snapshot.phase)))) or "starting"
    since = max(int((now - snapshot.updated_at).total_seconds()), 0) if now else 0
    build = f"Wave {snapshot.wave}/{snapshot.wave_total}, {clean(snapshot.task_id)} ({where})"
    return f"{build} - {duration(snapshot.metrics.elapsed_seconds + since)} elapsed"


def counts(metrics: Metrics) -> list[str]:
    """Return what has been made: `3 files created`, `1 modified`, `4 of 5 tests passing`."""
    created, modified = metrics.files_created, metrics.files_modified
    passed, total = metrics.tests_passed, max(metrics.tests_passed, metrics.tests_total)
    files, some = "" if created else " file" + "s" * (modified != 1), f"{passed} of "
    parts = (
        (created, f"{created} file{'s' * (created != 1)} created"),
        (modified, f"{modified}{files} modified"),
        (total, f"{some * (passed < total)}{total} test{'s' * (total != 1)} passing"),
    )
    return [text for number, text in parts if number]


def order(snapshot: Snapshot) -> tuple[str, int]:
    """Return the run that a snapshot is of, and its place in it; "" and 0 where unknown."""
    return snapshot.tracker.run_id, snapshot.tracker.seq


def is_over(snapshot: Snapshot, verdict: Verdict) -> bool:
    """Return whether nothing more comes of a build: it has ended, or its builder is gone."""
    return snapshot.terminal or verdict.state in {"crashed", "lost"}


def look_line(snapshot: Snapshot, verdict: Verdict, now: datetime, *, width: int = 0) -> str:
    """Return one look at a build in one line: its state, where it is, and what is wrong."""
    line = one_line(snapshot, None if is_over(snapshot, verdict) else now)
    well = verdict.state in {"running", "completed", "cancelled"}
    why = "" if well else f" - {clean(verdict.evidence)}"
    return f"{verdict.state + ':':<{width}} {line}{why}"


def status_lines(builds: Sequence[tuple[Snapshot, Verdict]], now: datetime) -> list[str]:
    """Return one look at some builds: a few lines about one, a line for each of several."""
    if len(builds) != 1:
        width = max(len(verdict.state) + 1 for _, verdict in builds)
        return [look_line(snapshot, verdict, now, width=width) for snapshot, verdict in builds]
    [(snapshot, verdict)] = builds
    line = one_line(snapshot, None if is_over(snapshot, verdict) else now)
    state = f"{verdict.state}: {clean(verdict.evidence)}"
    made = ", ".join(counts(snapshot.metrics))
    return [line, state, *filter(None, (made, clean(snapshot.message)))]


def log_line(event: "Event") -> str:
    """Return an event of the journal in a line."""
    now, name = event.progress, clean(event.event)
    turn = f"Turn {now.turn}/{now.turn_max}" if now.turn else ""
    phase = ", ".join(filter(None, (turn, clean(now.phase))))
    ended = f"{now.status} after {duration(now.metrics.elapsed_seconds)}"
    what: dict[str, tuple[str | None, ...]] = {
        "build.started": (now.task_name,),
        "build.ended": (ended, now.error),
        "turn.started": (turn,),
        "turn.ended": (turn,),
        "phase.ended": (phase, now.phase_status, ", ".join(counts(now.metrics))),
        "decided": (now.decision, now.message),
        "failed": (now.error,),
    }
    told = " - ".join(filter(None, map(clean, what.get(name, (phase,)))))
    at = now.updated_at
    with suppress(ValueError):
        at = datetime.fromisoformat(event.at)
    return f"{_local(at, '%Y-%m-%d %H:%M:%S')}  {name:<13}  {told}".rstrip()


def board(snapshots: Iterable[Snapshot], now: datetime) -> list[str]:
    """Return the lines that tick below the events: each build that runs, and its signs of life."""
    lines: list[str] = []
    for snapshot in snapshots:
        if not snapshot.terminal:
            signs = counts(snapshot.metrics)
            if active := snapshot.tracker.activity_at:
                beat, activity = now - snapshot.updated_at, now - active
                signs.append(f"heartbeat {duration(beat.total_seconds())} ago")
                signs.append(f"activity {duration(activity.total_seconds())} ago")
            lines += filter(None, (one_line(snapshot, now), ", ".join(signs)))
    return lines


class Story:
    """What has been told of a task, so that of its next snapshot only what is new is told.

    `last` is the newest snapshot. `label` puts the task id into the lines, for several builds.
    """

    last: Snapshot | None = None
    _since: Snapshot  # the one before the phase began, or of the latest decision
    _outcomes: list[str]  # the summary's line for each phase that has ended

    def __init__(self, *, label: bool = False) -> None:
        self._label = label

    def tell(self, now: Snapshot) -> list[str]:
        """Return the lines that are new with `now`.

        The first snapshot of a run gives its one-line form; then there is a line for each phase
        that begins, message, phase that ends and decision; none for a snapshot older than the
        last. The one that ends the run gives the summary, too.
        """
        before = self.last if self.last and order(self.last)[0] == order(now)[0] else None
        if before and order(now) < order(before):
            return []
        self.last = now
        label = f"{clean(now.task_id)} " if self._label else ""
        if before is None:
            self._since, self._outcomes = now, []
            text = one_line(now)
        elif text := self._news(before, now):
            turn = f"Turn {now.turn}/{now.turn_max}: " if now.turn else ""
            text = label + turn + text
        lines = [f"[{_local(now.updated_at, '%H:%M:%S')}] {text}"] if text else []
        if now.terminal and not (before and before.terminal):
            word = now.decision if now.status == "completed" and now.decision else now.status
            status = " - ".join(filter(None, (f"Status: {clean(word).upper()}", clean(now.error))))
            lines += ["", f"== AutoBuild Summary {label}==", *self._outcomes, status]
        return lines

    def _news(self, before: Snapshot, now: Snapshot) -> str:
        """Return what is new, or `""`."""
        old, new = _place(before), _place(now)
        said = clean(now.message) if now.message != self._since.message else ""
        if now.phase_status == "in_progress":
            if new != old and new[0] >= old[0]:  # else an outer phase is shown again
                self._since = before
                return f"{clean(now.phase)} starting..."
            return said if now.message != before.message else ""
        if new != old and now.phase_status in MARKS:
            mark, known = MARKS[now.phase_status], counts(self._since.metrics)
            made = ", ".join(each for each in counts(now.metrics) if each not in known)
            how = (now.phase_status == "failed" and clean(now.error)) or made or said
            title = (f"Turn {now.turn}: " if now.turn else "") + clean(now.phase)
            self._outcomes.append(" - ".join(filter(None, (title, mark, how))))
            return f"[{mark}] {how or clean(now.phase)}"
        if now.decision != before.decision or now.message != before.message:
            self._since = now
            return ": ".join(filter(None, (clean(now.decision), said)))
        return ""


def _place(snapshot: Snapshot) -> tuple[datetime, int, str, str]:
    began = snapshot.tracker.phase_started_at or snapshot.started_at
    return began, snapshot.turn, snapshot.phase, snapshot.phase_status


def _local(at: datetime, form: str) -> str:
    return time.strftime(form, time.localtime(at.timestamp()))

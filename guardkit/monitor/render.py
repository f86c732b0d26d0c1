"""What a person sees of a build: pure functions from snapshots and verdicts to lines of text.

No line holds anything but printable characters, whatever a build puts into its texts. A `width`
is in terminal cells. Times of day are local; `zone` is there for tests.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import partial
from itertools import starmap

from rich.cells import cell_len, set_cell_size

from guardkit.progress.snapshot import Metrics, Snapshot
from guardkit.progress.verdict import Verdict

ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)|\x1b.?", re.DOTALL)
SPACES = frozenset({"Cc", "Zl", "Zp", "Zs"})
HIDDEN = frozenset({"Cf", "Cs"})
LIVING = frozenset({"unresponsive", "overdue", "stalled", "running"})
MARKS = {"completed": "OK", "failed": "FAIL", "cancelled": "CANCELLED"}


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What has been shown of one run, so that the next snapshot shows only what is new.

    `snapshot` is the last one seen, `opened` the one before its phase began, and `outcomes` holds
    the summary's line for each phase that has ended.
    """

    snapshot: Snapshot
    opened: Snapshot
    outcomes: tuple[str, ...] = ()


def clean(text: str | None) -> str:
    """Return `text` on one line, without escape sequences, controls and bidirectional marks."""
    kinds = ((char, unicodedata.category(char)) for char in ESCAPES.sub("", text or ""))
    shown = (" " if kind in SPACES else char for char, kind in kinds if kind not in HIDDEN)
    return " ".join("".join(shown).split())


def cut(text: str, width: int | None) -> str:
    """Return `text` in at most `width` cells, ending in an ellipsis where something was cut."""
    if width is None or cell_len(text) <= width:
        return text
    return set_cell_size(text, max(width - 1, 0)).rstrip() + "…"


def duration(seconds: float) -> str:
    """Return whole seconds in words: `5s`, `4m 5s`, `2h 0m 5s`; never below zero."""
    minutes, rest = divmod(max(int(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h " * (hours > 0)) + (f"{minutes}m " * (hours + minutes > 0)) + f"{rest}s"


def one_line(snapshot: Snapshot, *, since: float = 0) -> str:
    """Return the one-line form of a build, everywhere the same.

    `Wave 1/3, TASK-FB-002 (Turn 2/5, Coach Validation) - 4m 5s elapsed`. Before the first turn
    only the phase stands in the brackets, before the first phase only the turn, before both
    `starting`. `since` is how many seconds have passed since the snapshot.
    """
    where = ", ".join(filter(None, (_turn(snapshot), clean(snapshot.phase)))) or "starting"
    build = f"Wave {snapshot.wave}/{snapshot.wave_total}, {clean(snapshot.task_id)} ({where})"
    return f"{build} - {duration(snapshot.metrics.elapsed_seconds + since)} elapsed"


def counts(metrics: Metrics) -> list[str]:
    """Return what has been made: `3 files created`, `1 modified`, `4 of 5 tests passing`."""
    passed, total = metrics.tests_passed, max(metrics.tests_passed, metrics.tests_total)
    some = f"{passed} of " if passed < total else ""
    files = "" if metrics.files_created else " file" + "s" * (metrics.files_modified != 1)
    created = f"{metrics.files_created} file{'s' * (metrics.files_created != 1)} created"
    parts = (
        (metrics.files_created, created),
        (metrics.files_modified, f"{metrics.files_modified}{files} modified"),
        (total, f"{some}{total} test{'s' * (total != 1)} passing"),
    )
    return [text for number, text in parts if number]


def follow(
    view: View | None, snapshot: Snapshot, *, label: bool = False, zone: tzinfo | None = None
) -> tuple[View, list[str]]:
    """Return the view after `snapshot`, and the lines that tell what is new in it.

    The first snapshot of a run gives its one-line form; then there is a line for each phase that
    begins, message, phase that ends and decision; none for a snapshot older than the last.
    `label` puts the task id in front, for several builds.
    """
    at = snapshot.updated_at
    with suppress(OverflowError):  # in year 1, which a hostile file may claim
        at = at.astimezone(zone)
    head = f"[{at:%H:%M:%S}] "
    if view is None or run_of(view.snapshot) != run_of(snapshot):
        return View(snapshot=snapshot, opened=snapshot), [head + one_line(snapshot)]
    if seq_of(snapshot) < seq_of(view.snapshot):
        return view, []
    head += f"{clean(snapshot.task_id)} " if label else ""
    head += f"{_turn(snapshot)}: " if snapshot.turn else ""
    after, text = _news(view, snapshot)
    return after, [head + text] if text else []


def _news(view: View, now: Snapshot) -> tuple[View, str]:
    """Return the view after `now`, and what is new in it, or `""`."""
    before, opened, outcomes = view.snapshot, view.opened, view.outcomes
    text = clean(now.message) if now.message != before.message else ""
    working, mark = now.phase_status == "in_progress", MARKS.get(now.phase_status, "")
    title = ": ".join(filter(None, (_turn(now).partition("/")[0], clean(now.phase))))
    moved = _place(before) != _place(now)
    if moved and working:
        if _phase_began(now) >= _phase_began(before):  # else an outer one is shown again
            text, opened = f"{clean(now.phase)} starting...", before
    elif moved and mark:
        how = _how(opened, now)
        text = f"[{mark}] {how or clean(now.phase)}"
        outcomes += (" - ".join(filter(None, (title, mark, how))),)
    elif not working and (text or now.decision != before.decision):
        said = clean(now.message) if now.message != opened.message else ""
        text = ": ".join(filter(None, (clean(now.decision), said)))
        if said and outcomes and not any(line.endswith(said) for line in outcomes):
            outcomes = (*outcomes[:-1], f"{title} - {mark} - {text}")
    return View(snapshot=now, opened=opened, outcomes=outcomes), text


def summary(view: View) -> list[str]:
    """Return the plain summary of a run that has ended: a line per phase, then its status."""
    last = view.snapshot
    word = last.decision if last.status == "completed" and last.decision else last.status
    reason = f" - {clean(last.error)}" if last.status == "failed" and last.error else ""
    status = f"Status: {clean(word).upper()}{reason}"
    return ["", "== AutoBuild Summary ==", *view.outcomes, status]


def status_lines(
    builds: Sequence[tuple[Snapshot, Verdict]], width: int | None, now: datetime
) -> list[str]:
    """Return one look at some builds: a few lines about one, an aligned table of several."""
    if len(builds) == 1:
        [(snapshot, verdict)] = builds
        made = ", ".join(counts(snapshot.metrics))
        state = f"{verdict.state}: {clean(verdict.evidence)}"
        line = one_line(snapshot, since=_since(snapshot, verdict, now))
        lines = [line, state, made, clean(snapshot.message)]
    else:
        titles = ("TASK", "STATE", "TURN", "ELAPSED", "PHASE", "NOTE")
        rows = [titles, *starmap(partial(_row, now), builds)]
        sizes = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(set_cell_size, row, sizes)).rstrip() for row in rows]
    return [cut(line, width) for line in lines if line]


def board(snapshots: Iterable[Snapshot], now: datetime, width: int) -> list[str]:
    """Return the lines that tick below the events: each build that runs, and its signs of life."""
    lines: list[str] = []
    for snapshot in snapshots:
        if snapshot.terminal:
            continue
        since = max((now - snapshot.updated_at).total_seconds(), 0)
        line = one_line(snapshot, since=since)
        lines += [line] if cell_len(line) <= width else line.rsplit(" - ", 1)
        lines.append(", ".join(counts(snapshot.metrics)))
        if tracker := snapshot.tracker:
            quiet = duration((now - (tracker.activity_at or now)).total_seconds())
            lines.append(f"heartbeat {duration(since)} ago, activity {quiet} ago")
    return [cut(line, width) for line in lines if line]


def run_of(snapshot: Snapshot) -> str:
    """Return what tells one run of a task from the next."""
    return snapshot.tracker.run_id if snapshot.tracker else ""


def seq_of(snapshot: Snapshot) -> int:
    """Return what orders the snapshots of one run."""
    return snapshot.tracker.seq if snapshot.tracker else 0


def _since(snapshot: Snapshot, verdict: Verdict, now: datetime) -> float:
    """Return the seconds that a living build has gone on for after its snapshot."""
    passed = (now - snapshot.updated_at).total_seconds()
    return max(passed, 0.0) if verdict.state in LIVING else 0.0


def _row(now: datetime, snapshot: Snapshot, verdict: Verdict) -> tuple[str, ...]:
    """Return the cells of one build; the note is what it says, or what is wrong with it."""
    note = snapshot.message if verdict.state in {"running", "completed"} else verdict.evidence
    spent = duration(snapshot.metrics.elapsed_seconds + _since(snapshot, verdict, now))
    turn = f"{snapshot.turn}/{snapshot.turn_max}"
    return tuple(map(clean, (snapshot.task_id, verdict.state, turn, spent, snapshot.phase, note)))


def _how(opened: Snapshot, after: Snapshot) -> str:
    """Return how a phase ended: why it failed, else what was counted in it, or said."""
    if after.phase_status == "failed" and after.error:
        return clean(after.error)
    made = [each for each in counts(after.metrics) if each not in counts(opened.metrics)]
    said = clean(after.message) if after.message != opened.message else ""
    return ", ".join(made) or said


def _turn(snapshot: Snapshot) -> str:
    return f"Turn {snapshot.turn}/{snapshot.turn_max}" if snapshot.turn else ""


def _place(snapshot: Snapshot) -> tuple[int, str, str]:
    return snapshot.turn, snapshot.phase, snapshot.phase_status


def _phase_began(snapshot: Snapshot) -> datetime:
    return (snapshot.tracker and snapshot.tracker.phase_started_at) or snapshot.started_at

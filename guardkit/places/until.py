"""What a wait is for, and when it is over: `guardkit wait` and the MCP server agree by this module.

The MCP server starts with this module, so that it needs the standard library alone.
"""

from __future__ import annotations

import re
from collections import namedtuple

from guardkit.monitor.verdict import Signs, Verdict, judge
from guardkit.places.words import WELL, is_over
from guardkit.progress.lock import Hold
from guardkit.progress.order import moved, place
from guardkit.progress.paths import is_run_id, is_task_id

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, NamedTuple, Self

    from guardkit.monitor.verdict import Case
    from guardkit.places.wait import Until
    from guardkit.progress.snapshot import Event

    class _Watch(NamedTuple):
        task_id: str
        run: str
        until: Until
        seen: str

else:
    _Watch = namedtuple("_Watch", ("task_id", "run", "until", "seen"))

UNTIL: tuple[Until, ...] = ("done", "change", "trouble")
SEEN = r"[0-9]{1,16}(?:-[0-9a-f]{8})?"
WATCH = rf"([^:]*):([^:]*):({'|'.join(UNTIL)}):({SEEN})"


def ends_alone(until: Until, verdict: Verdict, *, changed: bool) -> bool:
    """Return whether one build ends a wait, whatever else is waited for.

    changed: whether the build is no longer as it was when the waiting began, see `differs`.
    """
    if verdict.state == "unreadable":
        return True
    return changed if until == "change" else until == "trouble" and verdict.state not in WELL


def differs(now: Case, first: Case) -> bool:
    """Return whether a build has changed its turn, its phase or its state between two looks."""
    if now[1].state != first[1].state:
        return True
    return now[0] is not None and moved(now[0], first[0])


def recall(task_id: str, run: str, events: Iterable[Event]) -> Case | None:
    """Return how a run has ended that another one has followed; None: the journal has no such run.

    events: the journal of the task, oldest first.
    """
    last = None
    for event in events:
        last = event.progress if event.run_id == run else last
    if not last:
        return None
    if last.terminal:
        return last, judge(last, Signs(Hold.UNKNOWN))
    why = f"it has left no end, and another run has taken {task_id}"
    return last, Verdict("crashed", why)


class Watch(_Watch):
    """A wait for one build, so that its text holds all that is needed to go on with it.

    The text is `TASK:RUN:UNTIL:SEQ`; no part of it has a colon. Whoever has the text can go on
    with the wait in another process.

    task_id: the task.
    run: the run_id; `""`: whichever is the latest, as a builder has not written yet, or does not
        name its runs as guardkit does.
    until: what ends the wait.
    seen: the seq of the snapshot with which the wait began. Of a wait for a change it goes on with
        a hyphen and eight hexadecimal digits, which tell turn, phase and state of then.
    """

    __slots__ = ()

    @classmethod
    def begin(cls, task_id: str, until: Until, first: Case) -> Self:
        """Return a wait that begins with a look."""
        tracker = first[0].tracker if first[0] else None
        seen = f"{tracker.seq if tracker else 0}"
        if until == "change":
            seen = f"{seen}-{_mark(first)}"
        run = tracker.run_id if tracker and is_run_id(tracker.run_id) else ""
        return cls(task_id, run, until, seen)

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Return the wait of which that is the text, None where it is none."""
        found: re.Match[Any] | None = re.fullmatch(WATCH, text)
        if not (found and is_task_id(found[1]) and (is_run_id(found[2]) or not found[2])):
            return None
        watch = cls(*found.groups())
        return watch if ("-" in watch.seen) == (watch.until == "change") else None

    def __str__(self) -> str:
        return ":".join(self)

    def concerns(self, now: Case) -> bool:
        """Return whether a look is at the run that is waited for, as far as can be told."""
        document = now[0]  # without one, the run has not written yet
        return not (self.run and document) or document.tracker.run_id == self.run

    def is_met(self, now: Case) -> bool:
        """Return whether a look at that run ends the wait."""
        changed = now[0] is not None and self.seen.partition("-")[2] != _mark(now)
        return ends_alone(self.until, now[1], changed=changed) or is_over(now[1])


def _mark(case: Case) -> str:
    """Return eight hexadecimal digits that change when the build does, as `differs` tells."""
    from zlib import crc32

    document, verdict = case
    words = ascii((verdict.state, document and place(document)))
    return f"{crc32(words.encode()):08x}"

"""What a reader concludes of a build: one word, and a sentence of evidence that can be checked.

`judge` is a pure function of a document and of what else was seen, which `evidence` collects. A
status line starts with this module, so that it needs the standard library alone.
"""

from __future__ import annotations

from collections import namedtuple

from guardkit.progress.lock import BEATS_MISSED, Hold
from guardkit.progress.plain import clean

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from typing import Literal, NamedTuple

    from guardkit.progress.snapshot import Snapshot

    Ended = Literal["completed", "failed", "cancelled"]
    Doubted = Literal["crashed", "unresponsive", "lost", "overdue", "stalled"]
    State = Literal[Ended, Doubted, "unreadable", "running"]

    class _Verdict(NamedTuple):
        state: State
        evidence: str

    class _Signs(NamedTuple):
        hold: Hold
        silence: float = 0.0
        age: float | None = None
        restarted: bool = False

    Case = tuple[Snapshot | None, "Verdict"]
    Found = dict[str, Case]  # by task id

else:
    _Verdict = namedtuple("_Verdict", ("state", "evidence"))
    _Signs = namedtuple("_Signs", ("hold", "silence", "age", "restarted"), defaults=(0.0, None, 0))

WALL_DOUBT = 600.0  # seconds by which two machines may differ about the time
ROUNDING = 1.0  # seconds that the whole seconds of a document may hide
RANKS = ("running", "stalled", "overdue", "unresponsive", "lost", "crashed")  # from the best


class Verdict(_Verdict):
    """How a build is, as seen from outside.

    state: one word; the first of these that applies:
        completed, failed, cancelled: the document says so, and no other builder has taken the task.
        unreadable: what stands in place of the document is none.
        crashed: the builder is gone, which is proven, and has left no end in the journal.
        unresponsive: the builder lives, and has missed three heartbeats: it is stopped, or its
            event loop is blocked.
        lost: three heartbeats are missing, and nothing can be proven from here.
        overdue: the phase has outrun the budget that it declared.
        stalled: nothing was done for 30 minutes, or as long as the reader chose.
        running: none of these; also where another builder has taken the task and has not written
            yet.
    evidence: why, in a sentence of printable characters on one line, whatever the document says;
        its figures are whole seconds.
    """

    __slots__ = ()

    def __new__(cls, state: State, evidence: str) -> Verdict:
        """Return a verdict; what cannot be printed of the evidence is shown as `ascii` shows it."""
        if not evidence.isprintable():
            words = " ".join(evidence.split())
            evidence = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in words)
        return super().__new__(cls, state, evidence)


class Signs(_Signs):
    """What was seen of a build besides its document.

    hold: what the locks tell.
    silence: seconds in which a heartbeat could have come and been seen, and none was.
    age: seconds since the document was written, by two wall clocks, where there is nothing better
        (then `silence` is 0); else None.
    restarted: the builder's machine, by its name, has been restarted since.
    """

    __slots__ = ()


def judge(document: Snapshot, signs: Signs, *, stall_after: float = 1800.0) -> Verdict:
    """Return what follows from a document and the signs.

    stall_after: seconds without activity that make a build stalled.
    """
    if signs.hold is Hold.TAKEN:
        return taken(document.task_id)
    if document.status != "running":
        after = f"ended after {document.metrics.elapsed_seconds} s"
        return Verdict(document.status, ": ".join(filter(None, (after, clean(document.error)))))
    if signs.hold is Hold.GONE:
        who, task_id = _who(document), document.task_id
        why = f"{who} no longer holds the lock of {task_id}: it ended without a word"
        return Verdict("crashed", why)
    return _judge_silence(document, signs) or _judge_work(document, signs, stall_after)


def taken(task_id: str) -> Verdict:
    """Return the verdict on a task of which the newest document is that of a run before."""
    return Verdict("running", f"another process has taken {task_id} and has not written yet")


def let_go(task_id: str) -> Verdict:
    """Return the verdict on a task that was taken, and let go of, without a document."""
    return Verdict("crashed", f"whoever had taken {task_id} is gone, and has written nothing")


def judge_feature(own: Verdict, tasks: Iterable[tuple[str, Verdict]]) -> Verdict:
    """Return the verdict on a feature that runs: at best that on the worst of its running tasks."""
    for task_id, verdict in tasks:
        if own.state in RANKS and verdict.state in RANKS[RANKS.index(own.state) + 1 :]:
            own = Verdict(verdict.state, f"{task_id}: {verdict.evidence}")
    return own


def needs_tasks(found: Found) -> bool:
    """Return whether there is a feature that runs, so that its tasks have to be looked at, too."""
    seen = filter(None, (document for document, _ in found.values()))
    return any(each.build_type == "feature" and not each.terminal for each in seen)


def judge_features(found: Found) -> Found:
    """Return what was found, with each feature judged by its tasks, too."""
    tasks: dict[str | None, list[tuple[str, Verdict]]] = {}
    for task_id, (document, verdict) in found.items():
        if document and document.status == "running" and document.tracker.parent_run:
            tasks.setdefault(document.tracker.parent_run, []).append((task_id, verdict))
    judged: Found = {}
    for task_id, (document, verdict) in found.items():
        own = tasks.get(document.tracker.run_id, ()) if document else ()
        judged[task_id] = document, judge_feature(verdict, own)
    return judged


def _judge_silence(document: Snapshot, signs: Signs) -> Verdict | None:
    """Return the verdict on a build whose heartbeats are missing, else None."""
    every, silent = document.tracker.heartbeat_seconds, signs.silence
    if signs.age is not None:
        silent = abs(signs.age) - WALL_DOUBT - ROUNDING
    if every <= 0 or silent <= BEATS_MISSED * every:
        return None
    said = f"no heartbeat for {_seconds(signs.silence)}"
    if signs.age is not None:
        said = f"no heartbeat for {_seconds(signs.age)} by the wall clock"
        if signs.age < 0:
            said = f"the last heartbeat is {_seconds(-signs.age)} ahead by the wall clock"
    who, said = _who(document), f"{said} (every {every:g} s is due)"
    if signs.hold is not Hold.LIVES:
        why = "this machine has been restarted since"
        if not signs.restarted:
            why = f"{who} cannot be examined from here"
        return Verdict("lost", f"{said}, and {why}")
    if signs.age is None:
        blocked = f"{said}, {who} still holds the lock: it is stopped or blocked"
        return Verdict("unresponsive", blocked)
    return None


def _judge_work(document: Snapshot, signs: Signs, stall_after: float) -> Verdict:
    """Return the verdict on a build that lives, as far as anybody can see."""
    tracker, silence = document.tracker, signs.silence

    def since(instant: datetime) -> float:
        return max(0.0, (document.updated_at - instant).total_seconds())

    budget, began = tracker.budget_seconds, tracker.phase_started_at
    if began and budget is not None and document.phase_status == "in_progress":
        spent = since(began) + silence
        if spent - ROUNDING > budget:
            late = f"{document.phase} has taken {_seconds(spent)} of {budget:g} s"
            return Verdict("overdue", late)
    idle = since(tracker.activity_at or document.updated_at)
    if idle + silence - ROUNDING > stall_after:
        return Verdict("stalled", f"no activity for {_seconds(idle + silence)}")
    ago = min(idle, document.metrics.elapsed_seconds) + silence  # the document's seconds are whole
    if signs.age is None:
        return Verdict("running", f"last activity {int(ago)} s ago")
    return Verdict(
        "running", f"last activity {int(ago + max(0.0, signs.age))} s ago by the wall clock"
    )


def _who(document: Snapshot) -> str:
    return f"process {document.tracker.pid} on {document.tracker.host}"


def _seconds(number: float) -> str:
    return f"{int(number)} s" if number >= 1 else f"{number:.1f} s"

"""What a reader concludes of a build: one word, and a sentence of evidence that can be checked."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from math import inf
from typing import Literal

import msgspec

from guardkit.clock import SYSTEM_CLOCK, Clock
from guardkit.errors import GuardKitError
from guardkit.progress.lock import are_held
from guardkit.progress.reader import read_progress
from guardkit.progress.snapshot import Outcome, Snapshot

State = Literal[Outcome, "crashed", "unresponsive", "lost", "overdue", "stalled", "running"]
UNDOUBTED = frozenset({"running", "completed", "failed", "cancelled"})
BEATS_MISSED = 3
ROUNDING = 1.0  # seconds that the whole seconds of the document may hide


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a build as seen from outside, and why, in a sentence."""

    state: State
    evidence: str


Judge = Callable[[Sequence[Snapshot]], list[Verdict]]


def assess(
    snapshot: Snapshot,
    *,
    root: str | os.PathLike[str] | None = ".",
    stall_after: float = 1800.0,
    clock: Clock | None = None,
) -> Verdict:
    """Return the verdict on a snapshot that was read below `root`, as of now.

    Where it came over NATS the root is None, as there is no proof of life here. `stall_after` is
    how many seconds without activity make a build stalled.
    """
    now = (clock or SYSTEM_CLOCK).now
    [verdict] = assess_each([snapshot], root=root, stall_after=stall_after, now=now)
    return verdict


def assess_each(
    snapshots: Sequence[Snapshot],
    *,
    root: str | os.PathLike[str] | None,
    stall_after: float,
    now: Callable[[], datetime] = SYSTEM_CLOCK.now,
    silence: Callable[[str], float] = lambda _: inf,
) -> list[Verdict]:
    """Return the verdict on each of the snapshots that were read below `root`, as of now.

    `silence` gives for how many seconds nothing was heard of a task, where anybody knows.
    """

    def judge_now(snapshots: Sequence[Snapshot]) -> list[Verdict]:
        at, looks = now(), zip(snapshots, look(snapshots, root), strict=True)
        return [
            judge(each, held, at, stall_after=stall_after, silence=silence(each.task_id))
            for each, held in looks
        ]

    verdicts = judge_now(snapshots)
    doubted = [number for number, each in enumerate(verdicts) if each.state not in UNDOUBTED]
    fresh = judge_now([_read_again(snapshots[number], root) for number in doubted])
    for number, verdict in zip(doubted, fresh, strict=True):
        verdicts[number] = verdict
    return verdicts


def look(snapshots: Sequence[Snapshot], root: str | os.PathLike[str] | None) -> list[bool | None]:
    """Return whether living builders hold the tasks, None where that cannot be told from here.

    Nothing is taken: a builder that is just starting is not disturbed.
    """
    if root is None:
        return [None for _ in snapshots]
    here = os.uname().nodename  # as socket has it, which takes a status line too long to import
    held = are_held(root, [snapshot.task_id for snapshot in snapshots])
    looks = zip(snapshots, held, strict=True)
    # another machine's locks may be out of sight
    return [held if held or snapshot.tracker.host == here else None for snapshot, held in looks]


def judge(
    snapshot: Snapshot,
    held: bool | None,
    now: datetime,
    *,
    stall_after: float = 1800.0,
    silence: float = inf,
) -> Verdict:
    """Return what follows from a snapshot, from who holds the task, and from the time.

    The document's times are of whole seconds, so that each age may be one second too high; who has
    heard something less than `silence` seconds ago knows better.
    """
    tracker = snapshot.tracker
    if snapshot.status != "running":
        spent = f"{snapshot.metrics.elapsed_seconds} s"
        reason = f": {snapshot.error}" if snapshot.error else ""
        return Verdict(state=snapshot.status, evidence=f"it ended after {spent}{reason}")
    silent = min((now - snapshot.updated_at).total_seconds(), silence)
    who = f"process {tracker.pid} on {tracker.host}"
    beat = f"no heartbeat for {silent:.0f} s (every {tracker.heartbeat_seconds:g} s is due)"
    if held is False:
        gone = f"{who} no longer holds the lock of {snapshot.task_id}: it ended without a word"
        return Verdict(state="crashed", evidence=gone)
    if tracker.heartbeat_seconds and silent - ROUNDING > BEATS_MISSED * tracker.heartbeat_seconds:
        if held:
            blocked = f"{beat}, {who} still holds the lock: its event loop is blocked"
            return Verdict(state="unresponsive", evidence=blocked)
        return Verdict(state="lost", evidence=f"{beat}, and {who} cannot be examined from here")
    return _judge_living(snapshot, now, stall_after)


def _read_again(snapshot: Snapshot, root: str | os.PathLike[str] | None) -> Snapshot:
    """Return what is there now: the build may have ended, and another begun, since it was read."""
    if root is not None:
        with suppress(GuardKitError):
            return read_progress(snapshot.task_id, root=root)
    return snapshot


def _judge_living(snapshot: Snapshot, now: datetime, stall_after: float) -> Verdict:
    tracker = snapshot.tracker
    idle = (now - (tracker.activity_at or snapshot.updated_at)).total_seconds()
    if tracker.phase_started_at and tracker.budget_seconds is not None:
        spent = (now - tracker.phase_started_at).total_seconds()
        if spent - ROUNDING > tracker.budget_seconds and snapshot.phase_status == "in_progress":
            late = f"{snapshot.phase} has taken {spent:.0f} s of {tracker.budget_seconds:g} s"
            return Verdict(state="overdue", evidence=late)
    if idle - ROUNDING > stall_after:
        still = f"no activity for {idle:.0f} s"
        return Verdict(state="stalled", evidence=still)
    return Verdict(state="running", evidence=f"it did something {max(idle, 0):.0f} s ago")

"""Waiting for a build: made for shells in which nothing is seen until a command has ended."""

import time
from contextlib import nullcontext, suppress
from math import inf
from pathlib import Path
from typing import Literal

from guardkit.clock import SystemClock
from guardkit.errors import GuardKitError
from guardkit.monitor.verdict import Judge
from guardkit.places.words import is_over, look_line
from guardkit.progress.reader import read_progress

LOOK_EVERY = 0.2  # seconds
WELL = frozenset({"running", "completed", "cancelled"})  # what needs no person


def wait(
    task_id: str,
    until: Literal["done", "change", "trouble"],
    *,
    timeout: float | None,
    root: Path,
    judge: Judge,
) -> tuple[str | None, str]:
    """Return when a build is done, has changed or is in trouble, or nothing more can come of it.

    Returns its state, or None where `timeout` seconds were up, and a line that tells of it. Raises
    what `read_progress` raises at the first look; later, a read that fails is no evidence.
    """
    clock, first = SystemClock(), None
    deadline = clock.monotonic() + (inf if timeout is None else timeout)
    while True:
        with suppress(GuardKitError) if first else nullcontext():
            snapshot = read_progress(task_id, root=root)
            [verdict] = judge([snapshot])
            place = snapshot.turn, snapshot.phase, snapshot.phase_status, snapshot.decision
            seen = verdict.state, snapshot.tracker.run_id, *place
            first = first or seen
            line = look_line(snapshot, verdict, clock.now())
            changed = until == "change" and seen != first
            if changed or is_over(snapshot, verdict):
                return verdict.state, line
            if until == "trouble" and verdict.state not in WELL:
                return verdict.state, line
        if (left := deadline - clock.monotonic()) <= 0:
            return None, f"timed out after {timeout:g} s: {line}"
        time.sleep(min(LOOK_EVERY, left))

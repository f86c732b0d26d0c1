"""The numbers of traces and spans: they follow from that of the run.

So who makes a span anew, after a crash, makes the same one; and what runs within a build can be
told which span it is in before that has been sent anywhere.
"""

import re
from hashlib import sha256
from typing import Self

import msgspec

from guardkit.progress.snapshot import Snapshot

TRACEPARENT = re.compile(r"(?!ff)[\da-f]{2}-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(?:-.*)?")
SAMPLED = 1  # the flag of a trace that is kept


class Outer(msgspec.Struct, frozen=True):
    """The span that a build is part of, such as the job of a CI system.

    trace_id, span_id: its numbers, neither of them 0.
    sampled: whether the trace is kept by anybody.
    """

    trace_id: int
    span_id: int
    sampled: bool = True

    @classmethod
    def parse(cls, traceparent: str | None) -> Self | None:
        """Return what a TRACEPARENT, as the W3C has it, tells; None where it is none."""
        found = TRACEPARENT.fullmatch(traceparent or "")
        trace_id, span_id, flags = (
            (int(each, 16) for each in found.groups()) if found else (0, 0, 0)
        )
        return cls(trace_id, span_id, bool(flags & SAMPLED)) if trace_id and span_id else None

    def __str__(self) -> str:
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{self.sampled:02x}"


class Origin(msgspec.Struct, frozen=True):
    """Where a run hangs.

    trace_id: of its trace. above: the span that it is in, 0: in none.
    outer: what its build, or its feature, is part of; None: of nothing.
    """

    trace_id: int
    above: int
    outer: Outer | None

    @classmethod
    def of(cls, run: Snapshot, outer: Outer | None) -> Self:
        """Return where the run of a snapshot hangs: in a wave of its feature, else in `outer`."""
        feature = run.tracker.parent_run
        trace_id = outer.trace_id if outer else trace_of(feature or run.tracker.run_id)
        above = outer.span_id if outer else 0
        return cls(trace_id, span_of(feature, "wave", run.wave) if feature else above, outer)


def trace_of(run_id: str) -> int:
    """Return the number of the trace of a run that is part of nothing."""
    return int.from_bytes(sha256(f"trace {run_id}".encode()).digest()[:16])


def span_of(run_id: str, unit: str, number: int = 0) -> int:
    """Return the number of a span: of the build of a run, or of a wave, turn or phase in it."""
    return int.from_bytes(sha256(f"{unit} {number} of {run_id}".encode()).digest()[:8])


def number_of(unit: str, now: Snapshot) -> int:
    """Return the number, within its run, of the unit that an event is of; that of a build is 0."""
    numbers = {"wave": now.wave, "turn": now.turn, "phase": now.tracker.phase_number}
    return numbers.get(unit, 0)


def innermost(now: Snapshot) -> int:
    """Return the number of the span that a running build is in: a phase, a turn, or its own."""
    run_id = now.tracker.run_id
    if now.phase_status == "in_progress":
        return span_of(run_id, "phase", number_of("phase", now))
    return span_of(run_id, "turn", now.turn) if now.turn else span_of(run_id, "build")

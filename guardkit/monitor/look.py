"""A look: what is shown of a build."""

from __future__ import annotations

import msgspec

from guardkit.monitor.verdict import Verdict
from guardkit.progress.snapshot import Event, Snapshot


class Look(msgspec.Struct, frozen=True):
    """A look at one build.

    task_id: the task.
    snapshot: its document; None where none can be read, and where another run has taken the task
        and has not written yet.
    verdict: how it is, and why.
    where: the folder or the server that it is in.
    events: in a watch, the transitions since the look before, oldest first.
    """

    task_id: str
    snapshot: Snapshot | None
    verdict: Verdict
    where: str
    events: tuple[Event, ...] = ()

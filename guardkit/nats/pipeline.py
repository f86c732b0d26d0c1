"""The five `pipeline.build-*` messages of nats-core, which its dashboard and agents read."""

import asyncio
import re
from collections import deque
from uuid import NAMESPACE_OID, uuid5

import msgspec

from guardkit.clock import SYSTEM_CLOCK, Clock
from guardkit.errors import NatsError
from guardkit.nats.line import Line
from guardkit.nats.settings import find_settings
from guardkit.progress.snapshot import Snapshot, Tasks

SOURCE = "guardkit"
ENDS = {"completed": "complete", "failed": "failed", "cancelled": "cancelled"}
QUEUE_MAX = 1000  # messages that wait for a connection; then the oldest are dropped


class PipelineSink:
    """Tells nats-core's dashboard and agents of builds, in their messages, if they listen.

    Nobody keeps the messages: what a server misses is told by the next one. The tasks of a feature
    are told of as the feature. url, clock: as for `NatsSink`. Raises NatsError for an invalid URL
    or context; whatever is wrong later is a warning.
    """

    transitions = True

    def __init__(self, url: str | None = None, *, clock: Clock | None = None) -> None:
        self._settings = find_settings(url)
        self._clock = clock or SYSTEM_CLOCK
        self._begun: set[str] = set()  # runs
        self._queue: deque[tuple[str, bytes]] = deque(maxlen=QUEUE_MAX)
        self._line: Line | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def __str__(self) -> str:
        return f"PipelineSink({self._settings})"

    async def write(self, snapshot: Snapshot, /) -> None:
        """Have a transition told; returns at once."""
        run_id = snapshot.tracker.run_id
        if snapshot.tracker.parent_run:
            return
        self._queue.append(wrap(snapshot, begins=run_id not in self._begun))
        (self._begun.discard if snapshot.terminal else self._begun.add)(run_id)
        if not self._tasks or self._tasks[0].done():
            line = self._line = Line(self._settings, self._clock)
            self._tasks = [*map(asyncio.create_task, (line.keep(), self._tell(line)))]
        elif self._line:
            self._line.news()

    async def aclose(self) -> None:
        """Return when all is told, or cannot be; the last build ends the connection."""
        if not self._line:
            return
        try:
            await self._line.settle(lambda: not self._queue)
        finally:  # also for who does not wait any longer
            if not self._begun:
                tasks, self._tasks, self._line = self._tasks, [], None
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)

    async def _tell(self, line: Line) -> None:
        while True:
            await line.until(lambda: self._queue)
            client = await line.connected()
            try:
                await client.tell(*self._queue[0])
            except NatsError as error:
                line.fail(error)
                if client.lost.done():
                    continue
            self._queue.popleft()
            line.news()


def wrap(snapshot: Snapshot, *, begins: bool = False) -> tuple[str, bytes]:
    """Return the subject and the message that tell what a snapshot shows.

    begins: whether it is the first of its run. A message that is made twice has the same id.
    """
    kind = ENDS.get(snapshot.status, "started" if begins else "progress")
    feature_id, tracker = identifier(snapshot.task_id), snapshot.tracker
    at = snapshot.updated_at.isoformat().replace("+00:00", "Z")
    envelope = {  # what nats-core wraps around every message
        "message_id": str(uuid5(NAMESPACE_OID, f"{tracker.run_id}:{tracker.seq}:{at}")),
        "timestamp": at,
        "version": "1.0",
        "source_id": SOURCE,
        "event_type": f"build_{kind}",
        "correlation_id": tracker.run_id,
        "payload": {
            "feature_id": feature_id,
            "build_id": identifier(snapshot.build_id),
            **_details(kind, snapshot, at),
        },
    }
    return f"pipeline.build-{kind}.{feature_id}", msgspec.json.encode(envelope)


def identifier(text: str) -> str:
    """Return `text` as nats-core wants identifiers: of letters, digits, `_` and `-`."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", text)


def percent(snapshot: Snapshot) -> float:
    """Return how far a build is at least: by its tasks, or its waves and the turns within one."""
    if snapshot.tasks and snapshot.tasks.total:
        ended = snapshot.tasks.completed + snapshot.tasks.failed + snapshot.tasks.cancelled
        return round(100 * min(ended / snapshot.tasks.total, 1.0), 1)
    turns = max(snapshot.turn - 1, 0) / snapshot.turn_max
    return round(100 * min((snapshot.wave - 1 + turns) / snapshot.wave_total, 1.0), 1)


def _details(kind: str, snapshot: Snapshot, at: str) -> dict[str, object]:
    waves = {"wave_total": max(snapshot.wave, snapshot.wave_total)}
    seconds = snapshot.metrics.elapsed_seconds
    reason = snapshot.error or snapshot.decision or snapshot.status
    match kind:
        case "started":
            return {**waves}
        case "progress":
            done = {"overall_progress_pct": percent(snapshot), "elapsed_seconds": seconds}
            return {"wave": snapshot.wave, **waves, **done}
        case "complete":
            tasks = snapshot.tasks or Tasks()
            total = max(tasks.completed, tasks.total)
            completed = tasks.completed if total else 1  # nats-core knows no build of no tasks
            return {
                "tasks_completed": completed,
                "tasks_failed": max(total, 1) - completed,
                "tasks_total": max(total, 1),
                "duration_seconds": seconds,
                "summary": snapshot.message or snapshot.decision or snapshot.status,
            }
        case "failed":
            failed = identifier(snapshot.task_id)
            return {"failure_reason": reason, "recoverable": True, "failed_task_id": failed}
        case _:
            run_id = snapshot.tracker.run_id
            who = {"cancelled_by": SOURCE, "cancelled_at": at, "correlation_id": run_id}
            return {"reason": reason, **who}

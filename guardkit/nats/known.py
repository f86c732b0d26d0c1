"""What is known of one task by the messages of both streams.

Nothing here waits, or reads a clock. The last document is what is shown: the server's order
decides. An event shows a later point of the same run, until the next document.
"""

from datetime import datetime
from math import inf

import msgspec

from guardkit.monitor.verdict import Signs, Verdict, judge
from guardkit.nats.documents import AFTER, BESIDE, read_document, read_number
from guardkit.nats.jetstream import Message
from guardkit.nats.run import EVERY
from guardkit.progress.lock import BEATS_MISSED, Hold
from guardkit.progress.snapshot import Event, Snapshot, is_newer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from guardkit.monitor.verdict import Case

HOLD = 1.0  # seconds for which a document waits for its events, and events for their document
EVENTS_MAX = 1000  # events that wait; then the oldest are dropped


class Other(msgspec.Struct):
    """Another builder that had taken the task. run_id: its run. who: process and host."""

    run_id: str
    who: str
    has_ended: bool = False


class Known:
    """What is known of a task.

    others: is told of tasks and runs of which it is asked whether they have an end.

    snapshot: what is shown; None: there is no document that can be read.
    events: those that nobody was told of yet.
    other: another builder, as the document tells.
    """

    def __init__(self, task_id: str, others: set[tuple[str, str]]) -> None:
        self.snapshot: Snapshot | None = None
        self.events: list[Event] = []
        self.other: Other | None = None
        self._task_id, self._others = task_id, others
        self._number = 0  # of the last document in the stream
        self._time: datetime | None = None  # and when the server took it
        self._heard = 0.0  # when the builder was heard of last, in monotonic seconds
        self._age = 0.0  # of the document then, by the server's clock; 0: it came as it was new
        self._by_event = -inf  # when an event has changed what is shown, in monotonic seconds
        self._after = 0  # the seq of the last event that is known, of the run that is shown
        self._again = 0  # up to which one they come again, in a stream that was made anew
        self._held: Message | None = None  # a document that waits for its events
        self._since = inf  # when something began to wait

    @property
    def waits(self) -> bool:
        """Whether a document waits for its events, or events for their document."""
        return self._since < inf

    def take_document(
        self, message: Message, now: float, *, time: datetime | None = None, waits: bool = True
    ) -> None:
        """Take a message of the stream of documents.

        time: the server's where it was there before; None: it comes as it is new.
        waits: whether one that is new waits for the events before it.
        """
        if message.seq <= self._number and (not time or message.time == self._time):
            return  # it came before
        document = read_document(message.data, self._task_id)
        if not document and self.snapshot:
            return  # a peer's
        same, after = self._is_shown(document), read_number(message.headers, AFTER)
        waits = waits and not time
        if waits and after > (self._after if same else self._last_of(document)):
            self._held, self._since = message, min(self._since, now)
            return
        self._number, self._time, self._held = message.seq, message.time, None
        told_more = same and now < self._by_event + HOLD
        if document and told_more and not (document.terminal or is_newer(document, self.snapshot)):
            document = self.snapshot  # by an event; no other document follows an end
        if not same:
            self._after, self._again = self._last_of(document), 0
        if not waits:
            self._after = max(self._after, after)
        self.snapshot, self._heard = document, now
        self._age = max(0.0, (time - message.time).total_seconds()) if time else 0.0
        self._read_other(message.headers.get(BESIDE, ""))

    def take_event(self, event: Event, now: float) -> None:
        """Take an event of the task."""
        same = self._is_shown(event.progress)
        if same and event.seq <= self._again:
            return
        self.events.append(event)
        del self.events[:-EVENTS_MAX]
        if event.progress.terminal:
            self.end(event.run_id)
        if same:
            self._heard, self._age, self._after = now, 0.0, event.seq
            if is_newer(event.progress, self.snapshot):
                self.snapshot, self._by_event = event.progress, now
        else:
            self._since = min(self._since, now)
        if self._held:
            self.take_document(self._held, now)

    def begin_again(self) -> None:
        """Pass over the events that are known, as they come again."""
        self._again = self._after

    def end(self, run_id: str) -> None:
        """Hear that a run has ended, which may be that of another builder."""
        if self.other and self.other.run_id == run_id:
            self.other.has_ended = True

    def release(self, now: float) -> None:
        """Let nothing wait for what has come, or does not come."""
        if now >= self._since + HOLD:
            if self._held:
                self.take_document(self._held, now, waits=False)
            elif not self.snapshot and self.events:
                self.snapshot, self._heard = self.events[-1].progress, now
            self._since = inf
        elif not self._held and all(self._is_shown(each.progress) for each in self.events):
            self._since = inf

    def judge(self, since: float, until: float, stall_after: float) -> "Case | None":
        """Return the document and the verdict on it, None where nothing is known.

        since, until: from and up to when the builder could be heard of, in monotonic seconds.
        """
        if not self.snapshot:
            what = f"what NATS has of {self._task_id} is no progress document"
            return (None, Verdict("unreadable", what)) if self._number else None
        signs = sign(self.snapshot, max(0.0, until - max(self._heard, since)), self._age)
        verdict = judge(self.snapshot, signs, stall_after=stall_after)
        if self.other and not (self.other.has_ended or self.snapshot.terminal):
            also = f"{self.other.who} has taken {self._task_id}, too, and left no end"
            verdict = Verdict(verdict.state, f"{verdict.evidence}; {also}")
        return self.snapshot, verdict

    def _is_shown(self, document: Snapshot | None) -> bool:
        """Return whether a document is of the run that is shown."""
        return bool(document and self.snapshot and _run_of(document) == _run_of(self.snapshot))

    def _last_of(self, document: Snapshot | None) -> int:
        """Return the seq of the last event that waits of the run of a document."""
        run_id = _run_of(document) if document else None
        return max((each.seq for each in self.events if each.run_id == run_id), default=0)

    def _read_other(self, text: str) -> None:
        """Note another builder of which a header tells; one that is new is asked about."""
        before, self.other = self.other, None
        run_id, _, rest = text[:128].partition(" ")
        pid, _, host = rest.partition(" ")
        if before and before.run_id == run_id:
            self.other = before
        elif f"{run_id}{pid}".isascii() and run_id.isalnum() and pid.isdigit():
            self.other = Other(run_id, f"process {pid} on {host}")
            self._others.add((self._task_id, run_id))


def sign(document: Snapshot, silence: float, age: float) -> Signs:
    """Return the signs of a document that has come over NATS.

    silence: seconds in which news could have come, and have not.
    age: of the document when it was seen first, by the server's clock, in seconds. As the server
        may have been away meanwhile, it counts like the age by a wall clock.
    """
    every = document.tracker.heartbeat_seconds
    missing = BEATS_MISSED * max(every, EVERY)
    if age + silence <= missing:
        return Signs(Hold.UNKNOWN, min(age + silence, BEATS_MISSED * every))
    if not age or silence > missing:
        return Signs(Hold.UNKNOWN, silence)
    return Signs(Hold.UNKNOWN, age=age + silence)


def _run_of(document: Snapshot) -> str:
    return document.tracker.run_id

"""What is known of builds by the messages of both streams, and what of it is new.

Nothing here waits, or reads a clock. The last document of a task is what is shown: the server's
order decides. An event shows a later point of the same run, until the next document.
"""

from collections.abc import Collection
from datetime import datetime
from math import inf

import msgspec

from guardkit.monitor.look import Look, differ
from guardkit.monitor.verdict import (
    Signs,
    Verdict,
    judge,
    judge_features,
    needs_tasks,
)
from guardkit.nats.documents import AFTER, BESIDE, read_document, read_number
from guardkit.nats.jetstream import Message
from guardkit.nats.run import EVERY
from guardkit.nats.streams import DOCUMENTS, Stream, read_subject
from guardkit.progress.lock import BEATS_MISSED, Hold
from guardkit.progress.snapshot import Event, Snapshot, decode_event, is_newer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from guardkit.monitor.verdict import Found

HOLD = 1.0  # seconds for which a document waits for its events, and events for their document
EVENTS_MAX = 1000  # events that wait; then the oldest are dropped


class Other(msgspec.Struct):
    """Another builder that had taken the task. run_id: its run. who: process and host."""

    run_id: str
    who: str
    has_ended: bool = False


class Known(msgspec.Struct):
    """What is known of one task.

    number, time: of the last document in the stream.
    snapshot: what is shown; None: there is no document that can be read.
    heard: when the builder was heard of last, in monotonic seconds.
    age: how old the document was then, by the server's clock, in seconds; 0: it came as it was new.
    by_event: when an event has changed what is shown, in monotonic seconds; -inf: none has.
    after: the seq of the last event that is known, of the run that is shown; told: up to which one
        they do not come again, where a publisher brings them into a stream that was made anew.
    other: another builder, as the document tells.
    events: those that nobody was told of yet.
    held: a document that waits for its events; since: when something began to wait.
    """

    number: int = 0
    time: datetime | None = None
    snapshot: Snapshot | None = None
    heard: float = 0.0
    age: float = 0.0
    by_event: float = -inf
    after: int = 0
    told: int = 0
    other: Other | None = None
    events: list[Event] = []
    held: Message | None = None
    since: float = inf


class Board:
    """What is known of some builds, by default of all of one project.

    where: the server, as looks name it.
    others: tasks and runs of which it is asked whether they have an end; `end` takes the answer.
    """

    def __init__(
        self, where: str, project: str, wanted: Collection[str], *, stall_after: float
    ) -> None:
        self.others: set[tuple[str, str]] = set()
        self._where, self._project = where, project
        self._wanted = frozenset(wanted)
        self._stall_after = stall_after
        self._known: dict[str, Known] = {}
        self._new: set[str] = set()  # tasks of which something has come
        self._told: Found = {}
        self._judged: Found = {}
        self._since = -inf  # when the connection was made, in monotonic seconds
        self._until: float | None = None  # and lost

    @property
    def needs_tasks(self) -> bool:
        """Whether a feature that is asked for runs, so that its tasks have to be known, too."""
        names = self._wanted & self._known.keys()
        cases = {name: self._judge(name, self._since) for name in names}
        return needs_tasks({name: case for name, case in cases.items() if case})

    def join(self, now: float, *, afresh: bool = False) -> None:
        """Hear of builds from now on; `afresh`: from the beginning of another stream of events."""
        self._since, self._until = now, None
        for known in self._known.values() if afresh else ():
            known.told = known.after

    def lose(self, now: float) -> None:
        """Hear of no builds from now on: no silence counts."""
        self._until = self._until or now

    def take(
        self, stream: Stream, message: Message, now: float, *, time: datetime | None = None
    ) -> None:
        """Take a message of either stream.

        time: the server's where it was there before; None: it comes as it is new.
        """
        if stream is DOCUMENTS:
            self._take_document(message, now, time=time, live=time is None)
        else:
            self._take_event(message, now)

    def _take_document(
        self, message: Message, now: float, *, time: datetime | None, live: bool
    ) -> None:
        """Take a message of the stream of documents.

        time: the server's, None: it comes as it is new.
        live: whether its events come as well, and are waited for.
        """
        project, task_id, run = read_subject(message.subject)
        if run or project != self._project or not task_id:
            return
        known = self._known.setdefault(task_id, Known())
        if message.seq <= known.number and (not time or message.time == known.time):
            return  # it came before
        document = read_document(message.data, task_id)
        if not document and known.snapshot:
            return  # a peer's
        same = _is_run(document, known.snapshot)
        after = read_number(message.headers, AFTER)
        if live and after > (known.after if same else self._last_of(known, document)):
            known.held, known.since = message, min(known.since, now)
            return
        known.number, known.time, known.held = message.seq, message.time, None
        told_more = same and now < known.by_event + HOLD
        if document and told_more and not (document.terminal or is_newer(document, known.snapshot)):
            document = known.snapshot  # by an event; no other document follows an end
        if not same:
            known.after, known.told = self._last_of(known, document), 0
        known.after = max(known.after, after) if not live else known.after
        known.snapshot, known.heard = document, now
        known.age = max(0.0, (time - message.time).total_seconds()) if time else 0.0
        self._read_other(known, task_id, message.headers.get(BESIDE, ""))
        self._new.add(task_id)

    def _take_event(self, message: Message, now: float) -> None:
        """Take a message of the stream of events."""
        event = read_event(message, self._project)
        if not event:
            return
        task_id = event.progress.task_id
        known = self._known.setdefault(task_id, Known())
        if _is_run(event.progress, known.snapshot) and event.seq <= known.told:
            return
        known.events.append(event)
        del known.events[:-EVENTS_MAX]
        if event.progress.terminal:
            self._end(known, event.run_id)
        if _is_run(event.progress, known.snapshot):
            known.heard, known.age, known.after = now, 0.0, event.seq
            if is_newer(event.progress, known.snapshot):
                known.snapshot, known.by_event = event.progress, now
        else:
            known.since = min(known.since, now)
        self._new.add(task_id)
        if held := known.held:
            self._take_document(held, now, time=None, live=True)

    def take_history(self, task_id: str, events: list[Event]) -> None:
        """Take the events of a run before those that have come."""
        known = self._known[task_id]
        known.events = list(dict.fromkeys([*events, *known.events]))
        self._new.add(task_id)

    def shown(self) -> dict[str, Snapshot]:
        """Return the document of each task, where there is one."""
        return {name: known.snapshot for name, known in self._known.items() if known.snapshot}

    def end(self, task_id: str, run_id: str) -> None:
        """Hear that another builder has left an end."""
        self._end(self._known[task_id], run_id)
        self._new.add(task_id)

    def tell(self, now: float, *, all_: bool = False) -> list[Look]:
        """Return looks at the builds that are new; `all_`: time may have changed any of them."""
        names = [*self._known] if all_ else [*self._new]
        self._new.clear()
        for name in names:
            self._release(name, now)
        self._judged |= {name: case for name in names if (case := self._judge(name, now))}
        judged = self._judged
        if needs_tasks(judged):
            names, judged = [*judged], judge_features(judged)
        looks: list[Look] = []
        for name in sorted(names):
            if name in judged and (not self._wanted or name in self._wanted):
                looks += self._tell(name, judged[name], now)
        return looks

    def _tell(self, name: str, case: tuple[Snapshot | None, Verdict], now: float) -> list[Look]:
        known, told = self._known[name], self._told.get(name)
        snapshot, verdict = case
        ready = known.events if known.since == inf else []
        is_new = not told or told[1].state != verdict.state or differ(told[0], snapshot)
        if not is_new and not ready:
            return []
        self._told[name] = case
        if ready:
            known.events = []
        return [Look(name, snapshot, verdict, self._where, tuple(ready))]

    def _release(self, name: str, now: float) -> None:
        """Let nothing wait for what has come, or does not come."""
        known = self._known[name]
        if now >= known.since + HOLD:
            if held := known.held:
                self._take_document(held, now, time=None, live=False)
            elif not known.snapshot and known.events:
                known.snapshot, known.heard = known.events[-1].progress, now
            known.since = inf
        elif not known.held and all(_is_run(e.progress, known.snapshot) for e in known.events):
            known.since = inf

    def _judge(self, name: str, now: float) -> tuple[Snapshot | None, Verdict] | None:
        known = self._known[name]
        if not known.snapshot:
            if not known.number:
                return None
            return None, Verdict("unreadable", f"what NATS has of {name} is no progress document")
        until = now if self._until is None else self._until
        silence = max(0.0, until - max(known.heard, self._since))
        signs = sign(known.snapshot, silence, known.age)
        verdict = judge(known.snapshot, signs, stall_after=self._stall_after)
        if known.other and not (known.other.has_ended or known.snapshot.terminal):
            also = f"{verdict.evidence}; {known.other.who} has taken {name}, too, and left no end"
            verdict = Verdict(verdict.state, also)
        return known.snapshot, verdict

    def _last_of(self, known: Known, document: Snapshot | None) -> int:
        """Return the seq of the last event that waits of the run of a document."""
        events = (each.seq for each in known.events if _is_run(each.progress, document))
        return max(events, default=0)

    def _read_other(self, known: Known, task_id: str, text: str) -> None:
        """Note another builder of which a header tells; one that is new is asked about."""
        before, known.other = known.other, None
        run_id, _, rest = text[:128].partition(" ")
        pid, _, host = rest.partition(" ")
        if before and before.run_id == run_id:
            known.other = before
        elif f"{run_id}{pid}".isascii() and run_id.isalnum() and pid.isdigit():
            known.other = Other(run_id, f"process {pid} on {host}")
            self.others.add((task_id, run_id))

    def _end(self, known: Known, run_id: str) -> None:
        if known.other and known.other.run_id == run_id:
            known.other.has_ended = True


def read_event(message: Message, project: str) -> Event | None:
    """Return the event of a message, None for what is none of its subject and project."""
    of_project, task_id, run_id = read_subject(message.subject)
    event = decode_event(message.data)
    if not event or of_project != project or event.progress.task_id != task_id:
        return None
    is_whole = event.run_id == event.progress.tracker.run_id == run_id
    return event if is_whole and run_id else None


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


def _is_run(one: Snapshot | None, other: Snapshot | None) -> bool:
    return bool(one and other and one.tracker.run_id == other.tracker.run_id)

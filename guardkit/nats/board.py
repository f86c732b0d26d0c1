"""What is known of builds by the messages of both streams, and what of it is new.

Nothing here waits, or reads a clock.
"""

from collections.abc import Collection
from datetime import datetime
from math import inf

from guardkit.monitor.look import Look, differ
from guardkit.monitor.verdict import judge_features, needs_tasks
from guardkit.nats.jetstream import Message
from guardkit.nats.known import Known
from guardkit.nats.streams import DOCUMENTS, Stream, read_subject
from guardkit.progress.snapshot import Event, Snapshot, decode_event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from guardkit.monitor.verdict import Case, Found


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
        return needs_tasks(self._judge(names, self._since))

    def join(self, now: float, *, afresh: bool = False) -> None:
        """Hear of builds from now on; `afresh`: from the beginning of another stream of events."""
        self._since, self._until = now, None
        for known in self._known.values() if afresh else ():
            known.begin_again()

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
            project, task_id, run_id = read_subject(message.subject)
            if task_id and project == self._project and not run_id:
                self._find(task_id).take_document(message, now, time=time)
        elif event := read_event(message, self._project):
            self._find(event.progress.task_id).take_event(event, now)

    def take_history(self, task_id: str, events: list[Event]) -> None:
        """Take the events of a run before those that have come."""
        known = self._find(task_id)
        known.events = list(dict.fromkeys([*events, *known.events]))

    def shown(self) -> dict[str, Snapshot]:
        """Return the document of each task, where there is one."""
        return {name: known.snapshot for name, known in self._known.items() if known.snapshot}

    def end(self, task_id: str, run_id: str) -> None:
        """Hear that another builder has left an end."""
        self._find(task_id).end(run_id)

    def tell(self, now: float, *, all_: bool = False) -> list[Look]:
        """Return looks at the builds that are new; `all_`: time may have changed any of them."""
        names: Collection[str] = self._known.keys() if all_ else self._new
        for name in names:
            self._known[name].release(now)
        self._judged |= self._judge(names, now)
        judged = self._judged
        if needs_tasks(judged):
            names, judged = judged.keys(), judge_features(judged)
        self._new = set()
        shown = judged.keys() & names & (self._wanted or judged.keys())
        return [look for name in sorted(shown) for look in self._tell(name, judged[name])]

    def _tell(self, name: str, case: "Case") -> list[Look]:
        known, told = self._known[name], self._told.get(name)
        ready = () if known.waits else tuple(known.events)
        is_new = not told or told[1].state != case[1].state or differ(told[0], case[0])
        if not is_new and not ready:
            return []
        self._told[name] = case
        if ready:
            known.events = []
        return [Look(name, *case, self._where, ready)]

    def _find(self, task_id: str) -> Known:
        """Return what is known of a task, of which there is something new."""
        self._new.add(task_id)
        if task_id not in self._known:
            self._known[task_id] = Known(task_id, self.others)
        return self._known[task_id]

    def _judge(self, names: Collection[str], now: float) -> "Found":
        until = now if self._until is None else self._until
        cases = {n: self._known[n].judge(self._since, until, self._stall_after) for n in names}
        return {name: case for name, case in cases.items() if case}


def read_event(message: Message, project: str) -> Event | None:
    """Return the event of a message, None for what is none of its subject and project."""
    of_project, task_id, run_id = read_subject(message.subject)
    event = decode_event(message.data)
    if not event or of_project != project or event.progress.task_id != task_id:
        return None
    is_whole = event.run_id == event.progress.tracker.run_id == run_id
    return event if is_whole and run_id else None

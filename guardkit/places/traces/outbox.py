"""The way of runs to a receiver of traces: read from their journals, sent, and noted as sent."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import takewhile
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from guardkit.places.traces.ids import Outer
from guardkit.places.traces.notes import Note, read_notes, write_notes
from guardkit.places.traces.spans import Span, Tree
from guardkit.places.traces.transitions import Transitions
from guardkit.progress.folder import Folder, open_builds
from guardkit.progress.journal import Spot, read_all, read_on
from guardkit.progress.paths import root_of
from guardkit.progress.snapshot import Event, Snapshot, make_event

if TYPE_CHECKING:
    from guardkit.places.traces.otlp import Otlp

BATCH = 500  # spans that are sent at once
DUE_MAX = 10_000  # spans of a run that wait for a receiver; then the oldest are dropped
RUNS_MAX = 1000  # runs that have ended and wait for it, likewise


class Heard(NamedTuple):
    """What a sink has heard of a run.

    folder: of its files, None: nothing is on disk.
    snapshots: the newest, each with the time at which it came; all of them where there is no
        journal, else the last.
    """

    folder: str | None
    snapshots: list[tuple[datetime, Snapshot]]


class Run:
    """The spans of one run, on their way.

    folder: of its files; None: nothing is on disk, and what is heard is all that is known.
    is_heard: whether more is heard of it, up to its end.
    """

    def __init__(
        self, task_id: str, run_id: str, folder: str | None, note: Note, *, is_heard: bool
    ) -> None:
        self.due: list[Span] = []
        self.folder = folder
        self.run_id = run_id
        self.is_heard = is_heard
        self.tree = Tree(note.outer)
        self._task_id = task_id
        self._note = note
        self._spot: Spot | None = None
        self._transitions = Transitions()

    @property
    def note(self) -> Note | None:
        """What is to be noted of it, None where it has ended and all was sent."""
        return None if self.tree.ended and not self.due else self._note

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.note is None and not self.is_heard

    def hear(self, snapshots: Iterable[tuple[datetime, Snapshot]]) -> None:
        """Take what a sink has heard: of a run on disk the end alone, as the rest is there."""
        for at, now in snapshots:
            names = ["build.ended"] * now.terminal
            if self.folder is None:
                names = self._transitions.take(now)
            self._take([make_event(name, at, now) for name in names])
            self.is_heard = self.is_heard and not now.terminal

    def read(self, folder: Folder, *, whole: bool = False) -> None:
        """Take what is new in the journal; whole: also what is older than its last rotation."""
        events, self._spot = read_all(folder) if whole else read_on(folder, self._spot or Spot())
        run = self.run_id, self._task_id
        self._take([each for each in events if (each.run_id, each.progress.task_id) == run])

    def batch(self) -> list[Span]:
        """Return what is to be sent next: of spans that end at once either all or none."""
        batch = self.due[:BATCH]
        rest = takewhile(lambda span: span.seq == batch[-1].seq, self.due[BATCH:])
        return [*batch, *rest]

    def sent(self, spans: Sequence[Span]) -> None:
        """Take note that the first of what was due was sent."""
        self.due = self.due[len(spans) :]
        self._note = Note(spans[-1].seq, self._note.traceparent)

    def _take(self, events: Sequence[Event]) -> None:
        self.due += (each for each in self.tree.take(events) if each.seq > self._note.seq)
        del self.due[:-DUE_MAX]


class Outbox:
    """The runs that a sink has heard of, and those before them that died; for use in threads."""

    def __init__(self, otlp: "Otlp", outer: Outer | None) -> None:
        self._otlp = otlp
        self._traceparent = str(outer) if outer else None
        self._runs: dict[str, Run] = {}
        self._lock = Lock()

    def send(self, news: Mapping[str, Heard]) -> bool:
        """Send what has ended of all runs; return whether the receiver has it.

        news: what the sink has heard, by run.
        """
        with self._lock:
            for run_id, heard in news.items():
                if run_id not in self._runs:
                    task_id = heard.snapshots[0][1].task_id
                    self._begin(task_id, run_id, heard.folder)
                run = self._runs[run_id]
                if run.folder is not None:
                    with suppress(OSError), _open(run.folder) as folder:
                        run.read(folder)
                run.hear(heard.snapshots)
            over = [run.run_id for run in self._runs.values() if not run.is_heard]
            for run_id in over[:-RUNS_MAX]:  # of those on disk there are notes
                del self._runs[run_id]
            return all(self._deliver(run) for run in [*self._runs.values()])

    def _begin(self, task_id: str, run_id: str, path: str | None) -> None:
        """Begin with a run, and with those of its task that could not end by themselves."""
        note = Note(traceparent=self._traceparent)
        self._runs[run_id] = Run(task_id, run_id, path, note, is_heard=True)
        if path is None:
            return
        with suppress(OSError), _open(path) as folder:
            notes = read_notes(folder)
            for left, its_note in [*notes.items()]:
                run = Run(task_id, left, path, its_note, is_heard=False)
                run.read(folder, whole=True)
                if run.due and run.tree.ended:
                    self._runs[left] = run
                elif run.tree.ended or not run.tree.begun:  # the journal has forgotten it
                    del notes[left]
            write_notes(folder, notes | {run_id: note})

    def _deliver(self, run: Run) -> bool:
        """Send what is due of a run; return whether the receiver has it."""
        while spans := run.batch():
            if not self._otlp.send(spans):
                return False
            run.sent(spans)
            _tell(run)
        if run.is_over:
            del self._runs[run.run_id]
        return True


def _tell(run: Run) -> None:
    """Note how far a run was sent."""
    if run.folder is not None:
        with suppress(OSError), _open(run.folder) as folder:
            notes = read_notes(folder)
            notes.pop(run.run_id, None)
            write_notes(folder, notes | ({run.run_id: run.note} if run.note else {}))


def _open(path: str) -> Folder:
    with open_builds(root_of(path)) as builds:
        return builds.folder(path.rpartition("/")[2])

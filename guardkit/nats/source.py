"""What the files of one run tell; for use in a thread, as a disk may hang."""

from contextlib import suppress
from typing import NamedTuple

from guardkit.errors import GuardKitError
from guardkit.nats.notes import Step, note
from guardkit.progress import snapshot
from guardkit.progress.folder import Folder, open_builds
from guardkit.progress.journal import Spot, read_all, read_on
from guardkit.progress.reader import read_in
from guardkit.progress.snapshot import Event, Snapshot


class Told(NamedTuple):
    """What the files tell.

    document: that of the run, if the file is of this run.
    events: those of the run that are new, oldest first.
    spot: up to where the journal was read.
    before: the runs that came before this one, where all of the journal was read.
    followed: whether another one has begun since.
    """

    document: Snapshot | None
    events: list[Event]
    spot: Spot
    before: frozenset[str]
    followed: bool


class Source:
    """The files of a run below a root."""

    def __init__(self, root: str, task_id: str, run_id: str) -> None:
        self.root = root
        self._task_id, self._run_id = task_id, run_id

    def read(self, spot: Spot | None) -> Told:
        """Return what the files tell past a spot, None: from the beginning on.

        First the document, then the journal, which so has all that came before the document.
        Raises OSError where they cannot be read.
        """
        with self._open() as folder:
            document = None
            with suppress(GuardKitError, FileNotFoundError):
                document = read_in(folder, snapshot.decode)
            events, new = read_on(folder, spot) if spot else read_all(folder)
        events = [each for each in events if each.progress.task_id == self._task_id]
        if document and document.tracker.run_id != self._run_id:
            document = None
        runs = list(dict.fromkeys(event.run_id for event in events))
        before = runs[: runs.index(self._run_id)] if self._run_id in runs else ()
        ours = [event for event in events if event.run_id == self._run_id]
        followed = runs[-1:] not in ([], [self._run_id]) and bool(spot or ours)
        return Told(document, ours, new, frozenset(before), followed)

    def note(self, to: str, step: Step) -> None:
        """Note how far the run is on its way to a server; raises OSError.

        A run that is due may come before its folder.
        """
        with self._open(make=step == "due") as folder:
            note(folder, self._run_id, to, step)

    def _open(self, *, make: bool = False) -> Folder:
        with open_builds(self.root, make=make) as builds:
            return builds.folder(self._task_id, make=make)

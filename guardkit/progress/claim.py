"""Whether a task is ours: taken for a run, proven by a lock or not, given back."""

from contextlib import suppress
from enum import Enum

from guardkit.errors import BuildAlreadyRunningError, InvalidProgressError, ProgressNotFoundError
from guardkit.progress.lock import BEATS_MISSED, Hold, UnprovenError, boot_id, look
from guardkit.progress.place import Place
from guardkit.progress.reader import read_progress
from guardkit.progress.snapshot import Snapshot

ANOTHER = "another process"


class Stage(Enum):
    """How far a claim has come."""

    NEW = "not taken yet"
    PROVEN = "a lock proves it"
    UNPROVEN = "there are no locks to be relied on"
    OVER = "given back"


class Claim:
    """The claim of a run to a task; for use in the thread alone.

    doubt: why nothing proves it, "" where a lock does.
    """

    def __init__(self, task_id: str, run_id: str) -> None:
        self.stage = Stage.NEW
        self.doubt = ""
        self._run = task_id, run_id

    def take(self, place: Place) -> bool:
        """See that the task is ours; return whether that is proven for the first time.

        Raises BuildAlreadyRunningError where the task is another run's, and OSError.
        """
        is_new = self.stage is Stage.NEW
        try:
            place.locks.take(place.builds(), *self._run)
        except UnprovenError as doubt:
            self.stage, self.doubt = Stage.UNPROVEN, str(doubt)
            return False
        except BuildAlreadyRunningError:
            if is_new:
                raise self._refuse(self._find_holder(place, or_else=ANOTHER)) from None
            raise
        if is_new and (holder := self._find_holder(place, or_else=None)):
            place.locks.give_back(*self._run)
            raise self._refuse(holder)
        self.stage, self.doubt = Stage.PROVEN, ""
        return is_new

    def give_back(self, place: Place) -> None:
        """Let go of the task, for good."""
        if self.stage is Stage.PROVEN:
            with suppress(OSError):  # then the last one to close the file does it
                place.locks.give_back(*self._run)
        self.stage = Stage.OVER

    def _find_holder(self, place: Place, *, or_else: str | None) -> str | None:
        """Name who builds the task, None where no document tells of it yet.

        or_else: what is returned where the document cannot be read.
        """
        try:
            snapshot = read_progress(self._run[0], root=place.root)
        except ProgressNotFoundError:
            return None
        except InvalidProgressError:
            return or_else
        tracker = snapshot.tracker
        run = self._run[0], tracker.run_id, tracker.boot_id, tracker.lock
        if look(place.builds(), [run]) == [Hold.LIVES] or self._may_live(place, snapshot):
            since = f"{snapshot.started_at:%Y-%m-%d %H:%M:%S} UTC"
            return f"process {tracker.pid} on {tracker.host}, since {since}"
        return None

    def _may_live(self, place: Place, snapshot: Snapshot) -> bool:
        """Return whether a build whose lock is not seen from here has a fresh heartbeat."""
        tracker = snapshot.tracker
        if snapshot.terminal or tracker.run_id == self._run[1] or tracker.boot_id != boot_id():
            return False
        unseen = tracker.lock is None or tracker.lock != place.locks.identity
        silent = place.clock.monotonic() - tracker.beat
        return unseen and 0 <= silent < BEATS_MISSED * tracker.heartbeat_seconds

    def _refuse(self, holder: str | None) -> BuildAlreadyRunningError:
        task_id, who = self._run[0], holder or ANOTHER
        what = f"{task_id} is being built by {who}: see `guardkit status {task_id}`"
        return BuildAlreadyRunningError(what, holder)

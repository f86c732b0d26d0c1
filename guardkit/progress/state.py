"""The state of one build as it changes: no waiting, no files."""

from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from msgspec.structs import replace

from guardkit.clock import Clock
from guardkit.progress.snapshot import COUNT_MAX, Metrics, Snapshot, clip

NAME_SIZE, TEXT_SIZE = 256, 640  # bytes of JSON; all texts at their most, it is below 4 KiB
SECOND = timedelta(seconds=1)


class State:
    """The latest snapshot of a build; the counts and the message are what `update` has left.

    `since` and `budget` are those of the phase that is shown. Instants are kept as the wall clock
    said at the start that it would be, and shown as it says now: it may have been set meanwhile.
    """

    files_created = files_modified = tests_passed = tests_total = 0
    message: str | None = None
    clean = True  # `update` has left nothing that nobody was told of
    since: datetime | None = None
    budget: float | None = None

    def __init__(self, snapshot: Snapshot, clock: Clock) -> None:
        self.snapshot = snapshot
        self._clock = clock
        self._lock = Lock()  # `build.snapshot` may be asked for in any thread
        self.start()

    def start(self) -> None:
        """Let the time of the build count from now, and nothing that was left before."""
        self.files_created = self.files_modified = self.tests_passed = self.tests_total = 0
        self.message = None
        self._began, self._began_at = self._clock.monotonic(), self._clock.now()
        self._set_by = timedelta()  # in whole seconds, since the start
        self._now = self._active = self._began_at.replace(microsecond=0)
        self.snapshot = replace(self.snapshot, started_at=self._now)

    def now(self) -> datetime:
        """Return the time in whole seconds, for `since`."""
        return self._wall() - self._set_by

    def renew(self, event: str | None = None, **changes: Any) -> Snapshot:
        """Bring the snapshot up to now, with fields of it changed, and return it.

        Its `seq` rises by one if an event has made it, or if more than its time is new.
        """
        with self._lock:
            clean, self.clean = self.clean, True  # first: what comes from here on is told of again
            new = self._view(clean, event, changes)
            if new.tracker.seq > self.snapshot.tracker.seq:
                self._active = self.now()
            self.snapshot = new
        return new

    def _view(self, clean: bool, event: str | None, changes: dict[str, Any]) -> Snapshot:
        old, now, active = self.snapshot, self._wall(), self._active
        if old.terminal:
            return old
        new = replace(old, **changes)
        if not clean:
            metrics = Metrics(
                elapsed_seconds=old.metrics.elapsed_seconds,
                files_created=min(self.files_created, COUNT_MAX),
                files_modified=min(self.files_modified, COUNT_MAX),
                tests_passed=min(self.tests_passed, COUNT_MAX),
                tests_total=min(self.tests_total, COUNT_MAX),
            )
            message = old.message if self.message is None else clip(self.message, TEXT_SIZE)
            new = replace(new, metrics=metrics, message=message)
        seq = old.tracker.seq
        if event or changes or new != old:
            seq, active = seq + 1, now - self._set_by
        elapsed = max(0, int(self._clock.monotonic() - self._began))
        return replace(
            new,
            metrics=replace(new.metrics, elapsed_seconds=elapsed),
            updated_at=now,
            tracker=replace(
                old.tracker,
                seq=seq,
                activity_at=active + self._set_by,
                phase_started_at=self.since and self.since + self._set_by,
                budget_seconds=self.budget,
            ),
        )

    def _wall(self) -> datetime:
        """Return the wall time in whole seconds, and see whether the clock was set."""
        now = self._clock.now()
        if not self._now <= now < self._now + SECOND:
            self._now = now.replace(microsecond=0)
            passed = timedelta(seconds=self._clock.monotonic() - self._began)
            set_by = now - self._began_at - passed
            if abs(set_by - self._set_by) >= SECOND:
                self._set_by = timedelta(seconds=round(set_by.total_seconds()))
        return self._now

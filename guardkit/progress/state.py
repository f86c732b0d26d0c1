"""The state of one build as it changes: no waiting, no files."""

from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from guardkit.clock import Clock
from guardkit.progress.snapshot import COUNT_MAX, Metrics, Snapshot, clip

NAME_SIZE, TEXT_SIZE = 256, 640  # bytes of JSON; all texts at their most, it is below 4 KiB
SECOND = timedelta(seconds=1)


class State:
    """The latest snapshot of a build; the counts and the message are what `update` has left."""

    files_created = files_modified = tests_passed = tests_total = 0
    message: str | None = None
    clean = True  # `update` has left nothing that nobody was told of

    def __init__(self, snapshot: Snapshot, clock: Clock) -> None:
        self.snapshot = snapshot
        self._clock = clock
        self._began = clock.monotonic()
        self._now = snapshot.updated_at

    def start(self) -> None:
        """Let the time of the build count from now, and nothing that was left before."""
        self.files_created = self.files_modified = self.tests_passed = self.tests_total = 0
        self.message = None
        self._began = self._clock.monotonic()
        self.snapshot = replace(self.snapshot, started_at=self.now())

    def now(self) -> datetime:
        """Return the wall time in whole seconds."""
        now = self._clock.now()
        if not self._now <= now < self._now + SECOND:
            self._now = now.replace(microsecond=0)
        return self._now

    def renew(self, event: str | None = None, **changes: Any) -> Snapshot:
        """Bring the snapshot up to now, with fields of it changed, and return it.

        Its `seq` rises by one if an event has made it, or if more than its time is new.
        """
        clean, self.clean = self.clean, True  # first: what comes from here on is told of again
        self.snapshot = self._view(clean, event, changes)
        return self.snapshot

    def view(self) -> Snapshot:
        """Return the snapshot as it is by now; the state stays as it is."""
        return self._view(self.clean, None, {})

    def _view(self, clean: bool, event: str | None, changes: dict[str, Any]) -> Snapshot:
        old, now = self.snapshot, self.now()
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
        tracker = new.tracker
        if event or new != old:
            tracker = replace(tracker, seq=tracker.seq + 1, activity_at=now)
        elapsed = max(0, int(self._clock.monotonic() - self._began))
        metrics = replace(new.metrics, elapsed_seconds=elapsed)
        return replace(new, metrics=metrics, updated_at=now, tracker=tracker)

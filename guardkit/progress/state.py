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
    """What is known of a build; a snapshot of it is made when somebody looks.

    The counts and the message are what `update` has left, `since` and `budget` are those of the
    phase that is shown. Instants are kept in seconds of the monotonic clock, and shown as the wall
    clock says now: it may have been set meanwhile.
    """

    __slots__ = (  # as `update` is to be quick
        "_active",
        "_began",
        "_changes",
        "_clock",
        "_lock",
        "_now",
        "_seq",
        "_snapshot",
        "_zero",
        "_zero_at",
        "budget",
        "clean",
        "files_created",
        "files_modified",
        "message",
        "since",
        "tests_passed",
        "tests_total",
    )

    def __init__(self, snapshot: Snapshot, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()  # `build.snapshot` may be asked for in any thread
        self._snapshot = snapshot
        self._changes: dict[str, Any] = {}  # fields of it, since it was made
        self.start()

    def start(self) -> None:
        """Let the time of the build count from now, and nothing that was left before."""
        self.files_created = self.files_modified = self.tests_passed = self.tests_total = 0
        self.message: str | None = None
        self.clean = True  # `update` has left nothing that nobody was told of
        self.since: float | None = None
        self.budget: float | None = None
        self._seq = 0
        now = self._clock.now()
        self._began = self._active = self._clock.monotonic()
        self._zero = self._began - now.microsecond / 1e6  # when a second of the wall clock began,
        self._zero_at = self._now = now.replace(microsecond=0)  # and which
        self._snapshot = replace(self._snapshot, started_at=self._now)

    def change(self, changes: dict[str, Any], now: float) -> None:
        """Change fields of the document; its `seq` rises by one."""
        with self._lock:
            self._changes.update(changes)
            self._seq += 1
            self._active = now

    def view(self) -> Snapshot:
        """Return the snapshot as of now; its `seq` rises if `update` has left anything new."""
        with self._lock:
            if not self._snapshot.terminal:
                self._snapshot = self._make()
            return self._snapshot

    def _make(self) -> Snapshot:
        old, now, zero_at, wall = (
            self._snapshot,
            self._clock.monotonic(),
            self._zero_at,
            self._wall(),
        )
        metrics, message, tracker = old.metrics, old.message, old.tracker
        if not self.clean:
            self.clean = True  # first: what comes from here on is told of again
            if self.message is not None:
                message = clip(self.message, TEXT_SIZE)
            metrics = Metrics(
                elapsed_seconds=metrics.elapsed_seconds,
                files_created=min(self.files_created, COUNT_MAX),
                files_modified=min(self.files_modified, COUNT_MAX),
                tests_passed=min(self.tests_passed, COUNT_MAX),
                tests_total=min(self.tests_total, COUNT_MAX),
            )
            if self._seq == tracker.seq and (metrics, message) != (old.metrics, old.message):
                self._seq += 1
                self._active = now
        elapsed = max(0, int(now - self._began))
        if elapsed != metrics.elapsed_seconds:
            metrics = replace(metrics, elapsed_seconds=elapsed)
        if self._seq != tracker.seq or self._zero_at != zero_at:
            tracker = replace(
                tracker,
                seq=self._seq,
                activity_at=self._show(self._active),
                phase_started_at=None if self.since is None else self._show(self.since),
                budget_seconds=self.budget,
            )
        changes, self._changes = self._changes, {}
        return replace(
            old, metrics=metrics, message=message, updated_at=wall, tracker=tracker, **changes
        )

    def _wall(self) -> datetime:
        """Return the wall time in whole seconds, and see whether the clock was set."""
        now = self._clock.now()
        if not self._now <= now < self._now + SECOND:
            self._now = now.replace(microsecond=0)
            passed = timedelta(seconds=self._clock.monotonic() - self._zero)
            set_by = now - self._zero_at - passed
            if abs(set_by) >= SECOND:
                self._zero_at += timedelta(seconds=round(set_by.total_seconds()))
        return self._now

    def _show(self, instant: float) -> datetime:
        """Return a time of the monotonic clock as one of the wall clock, in whole seconds."""
        return min(self._zero_at + timedelta(seconds=int(instant - self._zero)), self._now)

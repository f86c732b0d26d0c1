"""What is known of all builds: the newest look at each, or why there is none."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from guardkit.monitor.look import Look
from guardkit.places.web.projects import Key
from guardkit.places.words import is_over, is_past_watching, run_of
from guardkit.progress.snapshot import Event, is_newer

EVENTS_MAX = 48  # of the journal of a build that goes on, the newest: what the answers need


class Seen:
    """The newest look at each build, and which of them are new.

    looks: by build. troubles: by project, why its builds cannot be seen.
    ready: projects that were looked at.
    """

    def __init__(self) -> None:
        self.looks: dict[Key, Look] = {}
        self.troubles: dict[str, str] = {}
        self.ready: set[str] = set()
        self._events: dict[Key, deque[Event]] = {}
        self._new: dict[Key, None] = {}
        self._active: dict[Key, None] = {}  # they go on; first the one that was told of longest ago

    def take(self, slug: str, look: Look) -> None:
        """Take the next look of a watch."""
        key = slug, look.task_id
        before = self.looks.get(key)
        if before is None or run_of(before) != run_of(look) or is_past_watching(look.verdict):
            self._events.pop(key, None)
        self.looks[key] = look
        if is_past_watching(look.verdict):
            self._active.pop(key, None)
        else:
            self._active.setdefault(key)
            self.add_events(key, look.events)
        self._new.setdefault(key)

    def add_events(self, key: Key, events: Sequence[Event]) -> None:
        """Take what a journal has of the run of a build that goes on."""
        run = run_of(self.looks[key])
        known = self._events.setdefault(key, deque(maxlen=EVENTS_MAX))
        own = {(it.seq, it.event): it for it in (*known, *events) if it.run_id == run}
        known.extend(sorted(own.values(), key=lambda it: it.seq))
        self._new.setdefault(key)

    def events(self, key: Key) -> Sequence[Event]:
        """Return the newest events of the run of a build that goes on, oldest first."""
        return self._events.get(key, ())

    def refresh(self, slug: str, looks: Iterable[Look]) -> None:
        """Take newer figures from single looks that say of a run what the watch says.

        A watch tells of no heartbeats, and so not when a build was last active.
        """
        for look in looks:
            key = slug, look.task_id
            known = self.looks.get(key)
            if not (known and known.snapshot and look.snapshot) or is_over(known.verdict):
                continue
            is_same = (run_of(known), known.verdict.state) == (run_of(look), look.verdict.state)
            if is_same and not is_newer(known.snapshot, look.snapshot):
                self.looks[key] = look

    def find(self, slug: str, looks: Iterable[Look]) -> None:
        """Take the first looks at a project, of which there may be none."""
        for look in looks:
            self.take(slug, look)
        self.ready.add(slug)
        self.troubles.pop(slug, None)

    def active(self, slug: str) -> list[str]:
        """Return the tasks of a project whose builds go on."""
        return [task_id for of, task_id in self._active if of == slug]

    def age(self, most: int) -> None:
        """Have some builds that go on told of anew, those that were told of longest ago."""
        for key in [*self._active][:most]:
            self._new.setdefault(key)

    def take_new(self) -> list[Key]:
        """Return which builds are to be told of anew, once."""
        new = [*self._new]
        self._new.clear()
        for key in new:
            if key in self._active:
                self._active[key] = self._active.pop(key)
        return new

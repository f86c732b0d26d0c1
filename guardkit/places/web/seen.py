"""What is known of all builds: the newest look at each, or why there is none."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence

from guardkit.monitor.look import Look
from guardkit.places.web.projects import Key
from guardkit.places.words import is_over, is_past_watching, run_of
from guardkit.progress.snapshot import Event, is_newer

EVENTS_MAX = 48  # of the journal of a build that goes on, the newest: what the answers need


class Seen:
    """The newest look at each build, and which of them are new.

    looks: by build. troubles: by project, why its builds cannot be seen.
    blind: by such a project, since when: seconds of this boot's monotonic clock.
    ready: projects that were looked at.
    """

    def __init__(self) -> None:
        self.looks: dict[Key, Look] = {}
        self.troubles: dict[str, str] = {}
        self.blind: dict[str, float] = {}
        self.ready: set[str] = set()
        self._events: dict[Key, deque[Event]] = {}
        self._new: dict[Key, None] = {}
        self._active: dict[Key, None] = {}  # they go on; first the one that was told of longest ago
        self._unproven: dict[Key, Look] = {}  # by a watch that knows less than the first look did

    def take(self, slug: str, look: Look) -> None:
        """Take the next look of a watch, unless it has heard nothing new of a build that is lost.

        A watch that begins counts silence from then on, and takes what fell silent a day ago for
        well.
        """
        key = slug, look.task_id
        before = self.looks.get(key)
        if before and before.verdict.state == "lost" and _is_guess(look, before):
            self._unproven[key] = look
            return
        self._unproven.pop(key, None)
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

        A watch tells of no heartbeats, and so not when a build was last active. What beats is not
        lost, whatever the wall clocks say.
        """
        for look in looks:
            key = slug, look.task_id
            if key in self._unproven and look.snapshot != self.looks[key].snapshot:
                self.looks[key] = self._unproven.pop(key)
                self._active.setdefault(key)
                self._new.setdefault(key)
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
        self.see(slug)

    def survey(self, slug: str, known: Collection[str], looks: Iterable[Look]) -> bool:
        """Forget builds that are gone, and take those that were missed; return whether any was.

        known: the tasks that were known before the looks, which are at all builds.
        """
        found = {look.task_id: look for look in looks}
        gone = [(slug, task_id) for task_id in known if task_id not in found]
        for key in gone:
            for kept in (self.looks, self._events, self._new, self._active, self._unproven):
                kept.pop(key, None)
        missed = [look for name, look in found.items() if (slug, name) not in self.looks]
        for look in missed:
            self.take(slug, look)
        return bool(gone or missed)

    def lose(self, slug: str, why: str, now: float, time: str) -> None:
        """Take note why the builds of a project cannot be seen, from now on.

        now: seconds of this boot's monotonic clock. time: the same, for people.
        """
        if slug not in self.blind:
            self.blind[slug] = now
            old = f"; what is below is as of {time}" if self.names(slug) else ""
            self.troubles[slug] = why + old

    def see(self, slug: str) -> None:
        """Take note that the builds of a project can be seen."""
        self.troubles.pop(slug, None)
        self.blind.pop(slug, None)

    def names(self, slug: str) -> list[str]:
        """Return the tasks of a project whose builds are known."""
        return [task_id for of, task_id in self.looks if of == slug]

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


def _is_guess(look: Look, before: Look) -> bool:
    """Return whether a look has neither news of a builder nor a proof that another had not."""
    is_proven = look.verdict.state in {"crashed", "unresponsive"}
    return look.snapshot == before.snapshot and not is_proven

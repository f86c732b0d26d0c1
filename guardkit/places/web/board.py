"""The page of all builds as HTML, and what of it has changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from guardkit.clock import Clock
from guardkit.monitor.look import Look
from guardkit.places.web.groups import group, members
from guardkit.places.web.pages import Listed, Pages, Sum, summarize
from guardkit.places.web.projects import Key, Project
from guardkit.places.web.seen import Seen
from guardkit.places.web.view import View, row_id, view

SHOWN_MAX = 1000  # builds of one project on the page


class News(NamedTuple):
    """HTML of what has changed, each piece with the id of what it takes the place of.

    page: what concerns the page of all builds as a whole. parts: of the rows, by build.
    """

    page: list[str]
    parts: dict[Key, list[str]]


class Board:
    """The page of all builds.

    projects: in their order. seen: what is known of their builds. pages: makes HTML.
    clock: tells for how long builds have gone on.
    """

    def __init__(self, projects: Sequence[Project], seen: Seen, pages: Pages, clock: Clock) -> None:
        self._projects, self._seen, self._pages, self._clock = projects, seen, pages, clock
        self._parts: dict[Key, dict[str, str]] = {}
        self._shown: set[Key] = set()
        self._places: dict[Key, object] = {}  # what says where on the page a build is
        self._known: object = None
        self._listed: list[Listed] = []
        self._sum = summarize([])
        self._whole: bytes | None = None

    def tell(self) -> News:
        """Return what is new since the last time."""
        new, page = self._seen.take_new(), list[str]()
        moved = self._arrange(new)
        parts: dict[Key, list[str]] = {}
        for key in new:
            if (before := self._parts.get(key)) is not None:
                after = self._parts[key] = self.render(key)
                parts[key] = [after[name] for name in after if after[name] != before[name]]
        if moved:
            kept = self._shown & self._parts.keys()
            self._parts = {key: self._parts.get(key) or self.render(key) for key in self._shown}
            page.append(self._pages.listing(self._listed, self._rows(kept)))
        if (total := self.sum()) != self._sum:
            self._sum = total
            page.append(self._pages.sum(total))
        self._whole = None
        return News(page, parts)

    def whole(self) -> bytes:
        """Return all builds, as HTML."""
        if self._whole is None:
            self._whole = self._pages.listing(self._listed, self._rows(set())).encode()
        return self._whole

    def sum(self) -> Sum:
        """Return how all builds stand."""
        looks = self._seen.looks.items()
        return summarize((row_id(key), look.verdict.state) for key, look in looks)

    def view(self, key: Key) -> View:
        """Return what is shown of a build; nothing grows of one that cannot be seen."""
        now = self._seen.blind.get(key[0], self._clock.monotonic())
        found = view(key, self._seen.looks[key], self._seen.events(key), now)
        return replace(found, trouble=self._seen.troubles.get(key[0], ""))

    def render(self, key: Key) -> dict[str, str]:
        """Return the parts of the row of a build."""
        return self._pages.parts(self.view(key))

    def _arrange(self, new: Iterable[Key]) -> bool:
        """Put all builds in order, if anything may have moved; return whether it has."""
        places = {key: _place(self._seen.looks[key]) for key in new}
        known = sorted(self._seen.ready), dict(self._seen.troubles), len(self._seen.looks)
        if places.items() <= self._places.items() and known == self._known:
            return False
        kept = self._places.keys() & self._seen.looks.keys()
        self._places = {key: self._places[key] for key in kept} | places
        self._known = known
        listed, self._listed = self._listed, [self._list(each) for each in self._projects]
        if listed == self._listed:
            return False
        ids = ((each.project.slug, members(each.groups)) for each in self._listed)
        self._shown = {(slug, task_id) for slug, tasks in ids for task_id in tasks}
        return True

    def _list(self, project: Project) -> Listed:
        slug = project.slug
        looks = [look for (of, _), look in self._seen.looks.items() if of == slug]
        trouble, ready = self._seen.troubles.get(slug, ""), slug in self._seen.ready
        left_out = max(0, len(looks) - SHOWN_MAX)
        return Listed(project, group(looks, SHOWN_MAX), trouble, ready, left_out)

    def _rows(self, kept: set[Key]) -> dict[str, dict[str, str]]:
        """Return the rows by project and task; of those that a browser keeps the id alone."""
        rows: dict[str, dict[str, str]] = {each.slug: {} for each in self._projects}
        for key in self._shown:
            parts = None if key in kept else self._parts[key]
            rows[key[0]][key[1]] = self._pages.row(row_id(key), parts)
        return rows


def _place(look: Look) -> tuple[object, ...]:
    """Return what says where on the page a build is."""
    seen = look.snapshot
    where = (seen.wave, seen.wave_total, seen.build_type, seen.build_id) if seen else ()
    return look.verdict.state, bool(seen and seen.tracker.parent_run), *where

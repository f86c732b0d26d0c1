"""The projects whose builds are on the page, and how each is named in addresses."""

from __future__ import annotations

import os
from collections.abc import Iterable

import msgspec

from guardkit.monitor.look import Source
from guardkit.places.plain import clean
from guardkit.progress.paths import LENGTH_MAX, LETTERS, PUNCTUATION

Key = tuple[str, str]  # the slug of a project, and the id of a task: names one build on the page

UNNAMED = "builds"


class Project(msgspec.Struct, frozen=True):
    """Builds of one folder, or of one server.

    slug: names it in addresses: letters, digits, `.`, `_` and `-`.
    title: names it for people.
    source: where its builds are looked for.
    """

    slug: str
    title: str
    source: Source

    @property
    def where(self) -> str:
        """The folder or the server, on one plain line."""
        return clean(self.source.where)


def name_projects(sources: Iterable[Source]) -> list[Project]:
    """Return a project for each source; of those with one name, all but the first are numbered."""
    found: dict[str, Project] = {}
    for source in sources:
        name, title = _names(source)
        slug = first = _slug(name)
        number = 1
        while slug in found:
            number += 1
            slug = f"{first}-{number}"
        found[slug] = Project(slug, title, source)
    return [*found.values()]


def _names(source: Source) -> tuple[str, str]:
    """Return what names a source in addresses, and for people: its project, or its folder."""
    project = getattr(source, "project", "")
    if "://" in source.where:
        return project or "nats", clean(project or source.where)
    folder = clean(os.path.basename(source.where.rstrip("/")))  # noqa: PTH119 - it is no file's
    return folder, folder or UNNAMED


def _slug(title: str) -> str:
    allowed = LETTERS | {chr(each) for each in PUNCTUATION}
    letters = "".join(each if each in allowed else "-" for each in title)
    return letters.strip("-._")[:LENGTH_MAX] or UNNAMED

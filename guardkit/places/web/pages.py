"""HTML from templates: pages whole, and the parts of them that change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from zlib import crc32

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from guardkit.places.order import STATES, TROUBLE
from guardkit.places.plain import printable
from guardkit.places.timeline.model import Timeline
from guardkit.places.timeline.svg import STYLE, draw
from guardkit.places.timeline.told import result
from guardkit.places.web.groups import Group
from guardkit.places.web.history import History
from guardkit.places.web.papers import Paper
from guardkit.places.web.projects import Project
from guardkit.places.web.view import View
from guardkit.places.words import duration
from guardkit.progress.paths import is_task_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from guardkit.monitor.verdict import State

PARTS = ("state", "name", "at", "time", "made", "why", "said")  # of a row, in its order
NEEDS_MAX = 100  # builds in trouble that a browser is told of by name
HERE = "<!-- builds -->"
WIDTHS = {"broad": 1070, "narrow": 360}  # pixels of a timeline: what a page and a phone have
OWN = {  # what is served as it is, by its address
    "/style.css": "text/css",
    "/script.js": "text/javascript",
    "/trouble.svg": "image/svg+xml",
    "/running.svg": "image/svg+xml",
    "/idle.svg": "image/svg+xml",
    "/lost.svg": "image/svg+xml",
}


class Sum(msgspec.Struct, frozen=True):
    """How all that is on a page stands.

    text: how many builds are in which state. title: of the tab. icon: its address.
    needs: names those that need somebody, and changes when one more does.
    """

    text: str
    title: str
    icon: str
    needs: str = ""


class Listed(msgspec.Struct, frozen=True):
    """The builds of one project, as they stand below each other.

    trouble: why none can be seen; `""`: they can. ready: whether they were looked at.
    left_out: builds that are not shown.
    """

    project: Project
    groups: Sequence[Group]
    trouble: str = ""
    ready: bool = True
    left_out: int = 0


class Pages:
    """Makes HTML. Whatever is put into it is escaped, and has nothing that is not printable."""

    def __init__(self) -> None:
        self._env = Environment(
            loader=PackageLoader("guardkit.places.web"),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=StrictUndefined,
            finalize=_plain,
            auto_reload=False,
        )
        macros = self._env.get_template("parts.html").module
        self._macros = {
            name: getattr(macros, name) for name in (*PARTS, "row", "kept", "own", "sum")
        }

    def parts(self, view: View) -> dict[str, str]:
        """Return what changes of a row, by the name of the part."""
        return {name: f"{self._macros[name](view)}" for name in PARTS}

    def row(self, view_id: str, parts: Mapping[str, str] | None) -> str:
        """Return a row of these parts; None: of one that a browser has and keeps."""
        if parts is None:
            return f"{self._macros['kept'](view_id)}"
        return f"{self._macros['row'](view_id, _marked(parts))}"

    def sum(self, how: Sum) -> str:
        """Return what tells how all stands."""
        return f"{self._macros['sum'](how)}"

    def sum_of(self, view: View) -> Sum:
        """Return how one build stands, for its own page."""
        icons = {"running": "/running.svg"} | dict.fromkeys(TROUBLE, "/trouble.svg")
        needs = f"{view.id}={view.state}" if view.is_in_trouble else ""
        title = f"{view.state}: {view.task_id} - guardkit"
        text = "; ".join(filter(None, (view.state, view.trouble)))
        return Sum(text, title, icons.get(view.state, "/idle.svg"), needs)

    def listing(self, listed: Sequence[Listed], rows: Mapping[str, Mapping[str, str]]) -> str:
        """Return all builds, in their order.

        rows: HTML by slug and task id; one that is kept may be empty.
        """
        seen = [(it.project.slug, it.groups, it.trouble, it.ready, it.left_out) for it in listed]
        order = f"{crc32(repr(seen).encode()):08x}"
        return self._env.get_template("listing.html").render(
            listed=listed, rows=rows, order=order, mark=Markup
        )

    def history(
        self, view_id: str, history: History, papers: Mapping[int, Paper], trouble: str = ""
    ) -> str:
        """Return what the journal tells of a build.

        papers: what was left of its turns. trouble: why it tells nothing; `""`: it does.
        """
        return self._env.get_template("history.html").render(
            id=view_id,
            history=history,
            pictures=_draw(history.timeline) if history.timeline else {},
            papers=papers,
            trouble=trouble,
            duration=duration,
            result=result,
            is_task_id=is_task_id,
        )

    def list_page(self, how: Sum) -> tuple[str, str]:
        """Return the page of all builds: what comes before them, and what comes after."""
        page = self._page("builds.html", how, listing=Markup(HERE))  # noqa: S704 - a comment
        before, _, after = page.partition(HERE)
        return before, after

    def build_page(
        self, project: Project, view: View, parts: Mapping[str, str], history: str
    ) -> str:
        """Return the page of one build."""
        own = self._macros["own"](view.id, _marked(parts))
        told = Markup(history)  # noqa: S704 - made here
        how = self.sum_of(view)
        return self._page("build.html", how, project=project, view=view, own=own, history=told)

    def notice(self, title: str, text: str) -> str:
        """Return a page that says why there is no other one."""
        return self._env.get_template("notice.html").render(title=title, text=text)

    def own_files(self) -> dict[str, tuple[bytes, str]]:
        """Return what is served as it is: content and kind, by its address."""
        here = files("guardkit.places.web") / "static"
        own = {address: ((here / address[1:]).read_bytes(), kind) for address, kind in OWN.items()}
        style, kind = own["/style.css"]
        return {**own, "/style.css": (STYLE.encode() + style, kind)}

    def _page(self, name: str, how: Sum, **context: object) -> str:
        total = Markup(self.sum(how))  # noqa: S704 - made here
        return self._env.get_template(name).render(how=how, sum=total, **context)


def summarize(builds: Iterable[tuple[str, State]]) -> Sum:
    """Return how builds stand, of their names and states."""
    numbers: dict[str, int] = dict.fromkeys(STATES, 0)
    needs: list[str] = []
    for name, state in builds:
        numbers[state] += 1
        if state in TROUBLE:
            needs.append(f"{name}={state}")
    ill = len(needs)
    text = ", ".join(f"{number:,} {state}" for state, number in numbers.items() if number)
    running = numbers["running"]
    told = ((ill, f"{ill:,} in trouble"), (running, f"{running:,} running"))
    title = ", ".join(words for number, words in told if number)
    icon = "/trouble.svg" if ill else "/running.svg" if running else "/idle.svg"
    title = " - ".join(filter(None, (title, "guardkit")))
    return Sum(text or "no builds", title, icon, " ".join(needs[:NEEDS_MAX]))


def _draw(timeline: Timeline) -> dict[str, Markup]:
    """Return a timeline in the widths that there are, of which a page shows one."""
    return {
        name: Markup(draw(timeline, width=width, name=name, heading=False, styled=False))  # noqa: S704 - made here
        for name, width in WIDTHS.items()
    }


def _marked(parts: Mapping[str, str]) -> dict[str, Markup]:
    return {name: Markup(html) for name, html in parts.items()}  # noqa: S704 - made here


def _plain(value: object) -> object:
    """Return what is put into a template: of a text what is printable."""
    return printable(value) if type(value) is str else value

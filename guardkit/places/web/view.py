"""What is shown of one build, in words: all places say the same of the same look."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from guardkit.monitor.look import Look
from guardkit.places.answers import answers
from guardkit.places.order import TROUBLE
from guardkit.places.plain import clean, clip
from guardkit.places.web.projects import Key
from guardkit.places.words import age, counts, elapsed, is_over, position, tasks, used
from guardkit.progress.snapshot import Event, Snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from guardkit.monitor.verdict import State

TEXT_MAX = 300  # characters of a text that a build has written
BAR_MAX = 16  # marks in a bar; of more turns or tasks a share is shown


class View(msgspec.Struct, frozen=True, kw_only=True):
    """One build on the page; texts are on one plain line, and bounded.

    id: of its row. href: the address of its own page.
    state: of the verdict. why: the evidence.
    name: the title of the task. at: where it is. time: for how long it has gone on.
    made: what was counted and used, each apart.
    said: the four answers, by the words that ask for them; empty when it is over.
    bar: the state of each turn, of a feature that of each task; empty where there are too many.
    share: how far it is instead: of how many.
    trouble: why it cannot be seen now; `""`: it can.
    """

    id: str
    href: str
    task_id: str
    state: State
    why: str
    name: str = ""
    at: str = ""
    time: str = ""
    made: tuple[str, ...] = ()
    said: dict[str, str] = {}
    bar: tuple[str, ...] = ()
    share: tuple[int, int] = (0, 0)
    trouble: str = ""

    @property
    def is_in_trouble(self) -> bool:
        """Whether the state is one that needs somebody."""
        return self.state in TROUBLE


def view(key: Key, look: Look, events: Iterable[Event], now: float) -> View:
    """Return what is shown of a build.

    events: of its journal, oldest first. now: seconds of this boot's monotonic clock.
    """
    (slug, task_id), snapshot, over = key, look.snapshot, is_over(look.verdict)
    bare = View(
        id=row_id(key),
        href=f"/builds/{slug}/{task_id}",
        task_id=clean(task_id),
        state=look.verdict.state,
        why=_text(look.verdict.evidence),
    )
    if not snapshot:
        return bare
    since = 0.0 if over else age(snapshot, now)
    bar, share = _bar(snapshot, look.verdict.state)
    where = position(snapshot)
    others = [each for each in tasks(snapshot)[1:] if each not in where]
    made = (*counts(snapshot), *others, *used(snapshot))
    found = {} if over else answers(snapshot, events, since)
    return replace(
        bare,
        name=_text(snapshot.task_name),
        at=_text(where),
        time=elapsed(snapshot, since),
        made=tuple(map(_text, made)),
        said={asked: _text(answer) for asked, answer in found.items()},
        bar=bar,
        share=share,
    )


def row_id(key: Key) -> str:
    """Return the id of the row of a build; no other one is like it, as a colon is in no name."""
    return ":".join(key)


def _text(text: str) -> str:
    return clip(clean(text), TEXT_MAX)


def _bar(snapshot: Snapshot, state: str) -> tuple[tuple[str, ...], tuple[int, int]]:
    """Return the marks of a bar, none where they are too many; and how many of how many."""
    if found := snapshot.tasks:
        numbers = {
            "good": found.completed,
            "bad": found.failed,
            "past": found.cancelled,
            "now": found.running,
            "next": found.pending,
        }
        share, total = (found.completed, found.total), sum(numbers.values())
        marks = [word for word, number in numbers.items() for _ in range(min(number, BAR_MAX))]
    else:
        share, total = (snapshot.turn, snapshot.turn_max), snapshot.turn_max
        left = min(snapshot.turn_max - snapshot.turn, BAR_MAX)
        past = min(snapshot.turn - 1, BAR_MAX)
        last = {"completed": "good", "cancelled": "past", "running": "now"}.get(state, "bad")
        marks = [*["past"] * past, *[last] * bool(snapshot.turn), *["next"] * left]
    return (tuple(marks) if total <= BAR_MAX else ()), share

"""The display of builds on a terminal, in a log or a pipe: a sink, and what `watch` prints with."""

import os
import re
from collections import Counter
from contextlib import AbstractContextManager, nullcontext

from rich.text import Text

from guardkit.clock import SYSTEM_CLOCK, Clock
from guardkit.monitor.verdict import Verdict
from guardkit.places.answers import answers
from guardkit.places.order import TROUBLE, count_states, feature_of, trouble_first
from guardkit.places.plain import printable
from guardkit.places.terminal.board import draw_many, room_for
from guardkit.places.terminal.console import QuietOutput, make_console
from guardkit.places.terminal.headline import headline
from guardkit.places.terminal.layout import on_terminal
from guardkit.places.terminal.lines import IN_FILES, ON_TERMINALS, Line, in_file
from guardkit.places.terminal.marks import marks_for
from guardkit.places.terminal.panel import draw_one
from guardkit.places.terminal.screen import Headline, Screen
from guardkit.places.terminal.seen import Running, Size
from guardkit.places.terminal.story import Story, ended_line
from guardkit.places.words import OVER
from guardkit.progress.snapshot import Snapshot
from guardkit.progress.worker import Worker

STAMP = r"(?m)^\[[\d:]{8}\] "


class Display:
    """A sink that prints a line for each thing that happens, and a summary when a build ends.

    On a terminal, while the context manager `shown` is entered, what runs is drawn below the lines;
    of several builds there are lines for ends and troubles alone, and a table.

    fd: the descriptor that is printed to.
    labels: whether there are several builds, so that lines name their task.
    plain: whether a terminal is printed to as a file is.
    clock: by default the machine's.
    """

    transitions = True

    def __init__(
        self, fd: int, *, labels: bool = False, plain: bool = False, clock: Clock | None = None
    ) -> None:
        self.fd = fd
        self.labels = labels
        self.clock = clock or SYSTEM_CLOCK
        self._stories: dict[str, Story] = {}
        self._running: dict[str, Running] = {}
        self._order: list[str] | None = None  # of the builds that are drawn, None: unknown
        self._states: dict[str, str] = {}
        self._features: dict[str, str] = {}  # of which one each task is
        self._changes = self._frames = 0
        self._worker = Worker()
        self._waiting = 0  # lines that are not printed yet
        self._file = QuietOutput(fd)
        self.console = make_console(self._file, plain=plain)
        is_terminal = self.console.is_interactive
        self.marks = marks_for(self.console.encoding, os.environ.get("TERM", "") * is_terminal)
        self._screen = Screen(self, self._file.write) if is_terminal else None
        self.shown: AbstractContextManager[object] = self._screen or nullcontext()

    @property
    def error(self) -> OSError | None:
        """What the first try to print that failed has raised, None while none has."""
        return self._file.error

    @property
    def lost(self) -> str:
        """Why not all has been printed, "" where it has."""
        if self.error:
            return self.error.strerror or "it failed"
        return "nobody reads it" if self._waiting else ""

    @property
    def ticking(self) -> list[str]:
        """The tasks that are drawn now, of which `show` wants to know each second."""
        return self._drawn()[0] if self.console.is_interactive else []

    @property
    def has_table(self) -> bool:
        """Whether there are several builds on a terminal."""
        return self.labels and self.console.is_interactive

    async def write(self, snapshot: Snapshot, /) -> None:
        """Print what is new in `snapshot`."""
        self.labels |= bool(self._stories) and snapshot.task_id not in self._stories
        await self.say(*self.tell(snapshot))

    def tell(self, snapshot: Snapshot, verdict: Verdict | None = None) -> list[Line]:
        """Return the lines that are new with `snapshot`, for `say`; verdict as for `show`."""
        task_id = snapshot.task_id
        self.show(task_id, snapshot, verdict)
        story = self._stories.get(task_id)
        if not story:
            story = self._stories[task_id] = Story()
        if self.has_table:
            was, story.last = story.last, snapshot
            is_told = was and was.terminal and was.tracker.run_id == snapshot.tracker.run_id
            return [ended_line(snapshot)] if snapshot.terminal and not is_told else []
        story.label = self.labels
        leave = IN_FILES if self.console.is_interactive else ON_TERMINALS
        return [line for line in story.tell(snapshot) if line.kind not in leave]

    def show(self, task_id: str, snapshot: Snapshot | None, verdict: Verdict | None = None) -> None:
        """Draw a build below the lines; or no longer, if it is over, and no trouble.

        snapshot: None where none can be read. verdict: by default as its own process knows.
        """
        found = verdict or Verdict(snapshot.status if snapshot else "running", "")
        is_past = found.state in OVER and not (self.labels and found.state in TROUBLE)
        if self._states.get(task_id) != found.state or (task_id in self._running) is is_past:
            self._order = None
        self._states[task_id] = found.state
        if head := feature_of(snapshot):
            self._features[task_id] = head
        self._changes += 1
        if is_past:
            self._running.pop(task_id, None)
            return
        now, before = self.clock.monotonic(), self._running.get(task_id)
        stale = before.still(snapshot) if before else None
        self._running[task_id] = Running(task_id, snapshot, found, now, verdict is None, stale)

    async def say(self, *lines: Line | str) -> None:
        """Print lines in a thread: a pipe that nobody empties holds up no build, and no exit."""
        if lines:
            self._waiting += len(lines)
            with self.clock.busy():
                await self._worker.submit(self.print, *lines)
            self._waiting -= len(lines)

    def print(self, *lines: Line | str) -> None:
        """Print lines at once, whole: a terminal wraps what is too long for it."""
        texts = [text for line in lines for text in self._lay_out(line)]
        if texts:
            self.console.print(Text("\n").join(texts), soft_wrap=True)

    def ring(self, sequence: bytes) -> None:
        """Write what a terminal obeys and does not show, between two lines; from any thread."""
        if self._screen:
            self._screen.ring(sequence)

    def board(self) -> Text:
        """Return what is drawn below the lines, as much as has room."""
        now, size = self.clock.monotonic(), self._size()
        task_ids, rest = self._drawn()
        builds = [self._running[each].at(now) for each in task_ids]
        if self.labels:
            counted = count_states(self._states, self._features)
            return draw_many(builds, rest, counted, size, self.marks)
        if not builds:
            return Text()
        self._frames += 1
        seen = builds[0]
        story = self._stories.get(seen.task_id)
        found = (
            answers(seen.snapshot, [*story.events], seen.since) if story and seen.snapshot else {}
        )
        return draw_one(seen, found, size, self._frames, self.marks)

    def headline(self) -> Headline | None:
        """Return what the tab of the terminal says."""
        heads = [each for each in self._states if self._features.get(each) not in self._states]
        alone = self._running.get(heads[0]) if len(heads) == 1 else None
        return headline(self._states, alone, self._features)

    def _drawn(self) -> tuple[list[str], Counter[str]]:
        """Return which builds are drawn, and how many of the others are in which state."""
        order = self._order
        if order is None:
            order = self._order = [each.task_id for each in trouble_first(self._running.values())]
        room = room_for(len(order), self._size())
        return order[:room], Counter(self._states[each] for each in order[room:])

    def _size(self) -> Size:
        return Size(self.console.width, self.console.height)

    def version(self) -> object:
        """Return another value when there is something to be drawn anew.

        Times are told in seconds; a single build spins.
        """
        now = self.clock.monotonic()
        beat = now if self._running and not self.labels else int(now)
        return self._changes, beat, self._size()

    def _lay_out(self, line: Line | str) -> list[Text]:
        if isinstance(line, str):
            return [Text(printable(line))]
        if self.console.is_interactive:
            return on_terminal(line, self.console, self.marks)
        text = Text(printable("\n".join(in_file(line, self.marks))))
        text.highlight_regex(STAMP, "dim")
        for mark, style in ((self.marks.passed, "green"), (self.marks.failed, "red")):
            text.highlight_regex(rf"(?<!\S){re.escape(mark)}(?!\S)", style)
        return [text] if text else []

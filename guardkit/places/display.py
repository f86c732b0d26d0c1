"""The display of builds on a terminal, in a log or a pipe: a sink, and what `watch` prints with."""

import io
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any, NamedTuple

from rich.console import Console
from rich.live import Live
from rich.text import Text

from guardkit.clock import SYSTEM_CLOCK, Clock
from guardkit.monitor.verdict import Signs, Verdict, judge
from guardkit.places.cells import cut
from guardkit.places.output import Output
from guardkit.places.story import Story
from guardkit.places.words import age, board, is_over, printable
from guardkit.progress.lock import Hold
from guardkit.progress.snapshot import Snapshot
from guardkit.progress.worker import Worker

WIDTH, HEIGHT = 80, 25  # of a terminal that does not know its own
STYLES = {r"(?m)^\[[\d:]{8}\] ": "dim", r"\[OK\] ": "green", r"\[(FAIL|CANCELLED)\] ": "red"}


class QuietOutput(Output):
    """An output that raises nothing, as a display must not: what nobody takes is lost.

    error: why the first of that was lost, None while nothing was.
    """

    error: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Write all of `data`, or keep the error."""
        try:
            return super().write(data)
        except OSError as error:
            self.error = self.error or error
            return memoryview(data).nbytes


class Display:
    """A sink that prints a line for each thing that happens, and a summary when a build ends.

    fd: the descriptor that is printed to. On a terminal, while the context manager `shown` is
        entered, what runs ticks below the lines.
    labels: whether the task id is put into every line.
    clock: by default the machine's.
    """

    transitions = True

    def __init__(self, fd: int, *, labels: bool = False, clock: Clock | None = None) -> None:
        self.fd = fd
        self.labels = labels
        self._clock = clock or SYSTEM_CLOCK
        self._stories: dict[str, Story] = {}
        self._running: dict[str, Running] = {}
        self._worker = Worker()
        self._waiting = 0  # lines that are not printed yet
        self._file = QuietOutput(fd)
        self.console = make_console(self._file)
        self.shown: AbstractContextManager[object] = nullcontext()
        if self.console.is_interactive:
            self.shown = Live(console=self.console, get_renderable=self.board, transient=True)

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
        """The tasks that tick below the lines, of which `show` wants to know each second."""
        return [*self._running] if self.console.is_interactive else []

    async def write(self, snapshot: Snapshot, /) -> None:
        """Print what is new in `snapshot`."""
        await self.say(*self.tell(snapshot))

    def tell(self, snapshot: Snapshot) -> list[str]:
        """Return the lines that are new with `snapshot`, for `say`."""
        story = self._stories.setdefault(snapshot.task_id, Story())
        story.label = self.labels
        self.show(snapshot)
        return story.tell(snapshot)

    def show(self, snapshot: Snapshot, verdict: Verdict | None = None) -> None:
        """Let a build tick below the lines; or no longer, if it is over.

        verdict: how it is; by default as its own process knows.
        """
        if snapshot.terminal or (verdict and is_over(verdict)):
            self._running.pop(snapshot.task_id, None)
        else:
            now = self._clock.monotonic()
            self._running[snapshot.task_id] = Running(snapshot, now, verdict)

    async def say(self, *lines: str) -> None:
        """Print lines in a thread: a pipe that nobody empties holds up no build, and no exit."""
        if lines:
            self._waiting += len(lines)
            with self._clock.busy():
                await self._worker.submit(self.print, *lines)
            self._waiting -= len(lines)

    def print(self, *lines: str) -> None:
        """Print lines at once, whole: a terminal wraps what is too long for it."""
        text = Text(printable("\n".join(lines)))
        for pattern, style in STYLES.items():
            text.highlight_regex(pattern, style)
        self.console.print(text, soft_wrap=True)

    def board(self) -> Text:
        """Return the lines that tick below the others, as many as have room."""
        now = self._clock.monotonic()
        fits = islice([*self._running.values()], self.console.height)
        lines = board(each.at(now) for each in fits)
        text = "\n".join(["", *(cut(line, self.console.width) for line in lines)])
        return Text(printable(text), "cyan")


class Running(NamedTuple):
    """A build that ticks: its snapshot, when that came, and the verdict that came with it."""

    snapshot: Snapshot
    heard: float
    verdict: Verdict | None

    def at(self, now: float) -> tuple[Snapshot, float, Verdict]:
        """Return what `board` takes, at an instant of the monotonic clock."""
        since = age(self.snapshot, now) or max(0.0, now - self.heard)
        verdict = self.verdict or judge(self.snapshot, Signs(Hold.LIVES, since))
        return self.snapshot, since, verdict


def make_console(file: Output) -> Console:
    """Return what prints to a file; a terminal that says it has no room has 80 columns."""
    unbuffered = io.TextIOWrapper(file, errors="replace", write_through=True)
    console = Console(file=unbuffered, force_terminal=file.isatty())
    if console.width < 1:  # COLUMNS=0
        console.width = WIDTH
    if console.height < 1:
        console.height = HEIGHT
    return console

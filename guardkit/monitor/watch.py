"""Builds as they happen, on a terminal or in a log: a display that is a sink, and `watch`."""

import asyncio
import io
import select
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.live import Live
from rich.text import Text

from guardkit.clock import SystemClock
from guardkit.errors import GuardKitError
from guardkit.monitor.render import MARKS, Story, board, clean, is_over, order
from guardkit.progress.journal import read_on
from guardkit.progress.paths import build_dir
from guardkit.progress.reader import read_progress
from guardkit.progress.snapshot import Snapshot
from guardkit.progress.verdict import Verdict, assess
from guardkit.progress.writer import Writer

LOOK_EVERY = 0.2  # seconds between two looks at a build that is watched
STYLES = {r"(?m)^\[[\d:]{8}\] ": "dim", r"\[OK\] ": "green", r"\[(FAIL|CANCELLED)\] ": "red"}


class QuietFile(io.FileIO):
    """A file whose reader may go away: what nobody takes is dropped, and nothing is raised."""

    def write(self, data: Any, /) -> int:
        """Write `data`, as far as anybody takes it."""
        with suppress(OSError):
            super().write(data)
        return memoryview(data).nbytes


class Display:
    """A sink that prints to a descriptor: a line per event, and a summary when a build ends.

    On a terminal, while the context manager `shown` is entered, what runs ticks below the lines.
    `labels` puts the task id into every line.
    """

    transitions = True

    def __init__(self, fd: int, *, labels: bool = False) -> None:
        self._labels = labels
        self._stories: dict[str, Story] = {}
        self._writer = Writer()
        file = QuietFile(fd, "w", closefd=False)  # unbuffered: an exit need not wait for the rest
        stream = io.TextIOWrapper(file, errors="replace", write_through=True)
        self.console = Console(file=stream, force_terminal=stream.isatty())
        self.shown: AbstractContextManager[object] = nullcontext()
        if self.console.is_interactive:
            self.shown = Live(console=self.console, get_renderable=self._board, transient=True)

    async def write(self, snapshot: Snapshot, /) -> None:
        """Print what is new in `snapshot`."""
        story = self._stories.setdefault(snapshot.task_id, Story(label=self._labels))
        if lines := story.tell(snapshot):
            await self.say(*lines)

    async def say(self, *lines: str) -> None:
        """Print lines in a thread: a pipe that nobody empties holds up no build, and no exit."""
        await asyncio.get_running_loop().run_in_executor(self._writer, self.print, *lines)

    def print(self, *lines: str) -> None:
        """Print lines at once, whole: a terminal wraps what is too long for it."""
        text = Text("\n".join(lines))
        for pattern, style in STYLES.items():
            text.highlight_regex(pattern, style)
        self.console.print(text, soft_wrap=True)

    def unread(self) -> bool:
        """Return whether this prints to a pipe that nobody will ever read from again."""
        looking = select.poll()
        looking.register(self.console.file, 0)
        return any(events & select.POLLERR for _, events in looking.poll(0))

    def _board(self) -> Text:
        snapshots = [story.last for story in self._stories.values() if story.last]
        lines = board(snapshots, SystemClock().now())
        return Text("\n".join(["", *(cut(line, self.console.width) for line in lines)]), "cyan")


def cut(text: str, width: int) -> str:
    """Return `text` in at most `width` terminal cells, an ellipsis for what is cut off."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(width - 1, 0)).rstrip() + "…"


async def watch(task_id: str, display: Display, *, root: Path, stall_after: float) -> Verdict:
    """Feed `display` until a build has ended or is gone, or nobody reads; return the last verdict.

    What is wrong with a build that has not ended is printed when it changes.
    """
    verdict, offset = Verdict(state="running", evidence=""), 0
    journal = build_dir(root, task_id) / "events.jsonl"
    while True:
        with suppress(GuardKitError):  # a read that fails is no evidence of anything
            said, snapshot = verdict.state, read_progress(task_id, root=root)
            events, offset = read_on(journal, offset)
            for each in (*(event.progress for event in events), snapshot):
                if order(each)[0] == order(snapshot)[0]:  # not of an earlier run
                    await display.write(each)
            verdict = assess(snapshot, root=root, stall_after=stall_after)
            if verdict.state not in {said, "running", *MARKS}:
                await display.say(f"{task_id} {verdict.state}: {clean(verdict.evidence)}")
            if is_over(snapshot, verdict):
                return verdict
        if display.unread():
            return verdict
        await asyncio.sleep(LOOK_EVERY)

"""Builds as they happen, on a terminal or in a log: a display that is a sink, and `watch`."""

import asyncio
import io
import os
import select
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from itertools import chain, islice
from pathlib import Path
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.live import Live
from rich.text import Text

from guardkit.clock import SystemClock
from guardkit.errors import GuardKitError
from guardkit.monitor.changes import Changes
from guardkit.monitor.verdict import Judge, Verdict
from guardkit.places.words import MARKS, Story, board, clean, is_over, order
from guardkit.progress.journal import Spot, read_on
from guardkit.progress.paths import build_dir
from guardkit.progress.reader import read_progress
from guardkit.progress.snapshot import Snapshot
from guardkit.progress.worker import Writer

PAST_MAX = 100  # builds of which it is told what happened before; of more only where they are
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
        if lines := self.tell(snapshot):
            await self.say(*lines)

    def tell(self, snapshot: Snapshot) -> list[str]:
        """Return the lines that are new with `snapshot`, for `say`."""
        story = self._stories.setdefault(snapshot.task_id, Story(label=self._labels))
        return story.tell(snapshot)

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
        snapshots = (story.last for story in self._stories.values())
        running = (each for each in snapshots if each and not each.terminal)
        shown = islice(running, self.console.height)  # what is below is not seen
        lines = board(shown, SystemClock().now())
        return Text("\n".join(["", *(cut(line, self.console.width) for line in lines)]), "cyan")


def cut(text: str, width: int) -> str:
    """Return `text` in at most `width` terminal cells, an ellipsis for what is cut off."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(width - 1, 0)).rstrip() + "…"


async def watch(
    task_ids: Sequence[str], display: Display, *, root: Path, judge: Judge
) -> list[Verdict]:
    """Feed `display` until all the builds have ended or are gone, or nobody reads.

    Returns the last verdicts. What is wrong with a build that has not ended is printed when it
    changes.
    """
    builds = [Watched(task_id, root, past=len(task_ids) <= PAST_MAX) for task_id in task_ids]
    left = {build.folder: build for build in builds}
    async with Changes(left, SystemClock()) as changes:
        changed = {*left}
        while True:
            found = [left[folder] for folder in sorted(changed & left.keys())]
            if lines := _tell(found, display, judge):
                await display.say(*lines)
            left = {folder: build for folder, build in left.items() if not build.over}
            if not left or display.unread():
                return [build.verdict for build in builds]
            changed = await changes.next()


def _tell(builds: Sequence["Watched"], display: Display, judge: Judge) -> list[str]:
    """Return the lines that are new of some builds."""
    lines: list[str] = []
    seen: dict[Watched, Snapshot] = {}
    for build in builds:
        with suppress(GuardKitError):  # a read that fails is no evidence of anything
            seen[build], news = build.read()
            lines += chain.from_iterable(map(display.tell, news))
    for (build, snapshot), verdict in zip(seen.items(), judge([*seen.values()]), strict=True):
        if verdict.state not in {build.verdict.state, "running", *MARKS}:
            lines.append(f"{build.task_id} {verdict.state}: {clean(verdict.evidence)}")
        build.judge(snapshot, verdict)
    return lines


class Watched:
    """One build that is watched, and how much of it has been told.

    Of its `past`, which the journal has, all is told, or nothing.
    """

    def __init__(self, task_id: str, root: Path, *, past: bool) -> None:
        folder = build_dir(root, task_id)
        self.task_id = task_id
        self.folder = os.fspath(folder)
        self.verdict = Verdict(state="running", evidence="")
        self.over = False
        self._root = root
        self._journal = folder / "events.jsonl"
        self._spot = Spot()
        if not past:
            with suppress(OSError):
                status = self._journal.stat()
                self._spot = Spot(status.st_ino, status.st_size)

    def read(self) -> tuple[Snapshot, list[Snapshot]]:
        """Return the newest snapshot, and what is to be told, in order; raises as `read_progress`.

        The journal is read after the file, as it is written before it.
        """
        snapshot = read_progress(self.task_id, root=self._root)
        events, self._spot = read_on(self._journal, self._spot)
        run_id = order(snapshot)[0]
        return snapshot, [*(each.progress for each in events if each.run_id == run_id), snapshot]

    def judge(self, snapshot: Snapshot, verdict: Verdict) -> None:
        """Note the verdict on what has been read; it is `over` when nothing more comes of it."""
        self.verdict = verdict
        self.over = is_over(snapshot, verdict)

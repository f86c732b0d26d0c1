"""Builds as they happen, on a terminal or in a log: displays that are sinks, and `watch`."""

import io
import os
import select
from asyncio import get_running_loop
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, aclosing, nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING

import anyio
import msgspec
from rich.console import Console
from rich.live import Live
from rich.text import Text

from guardkit.clock import SystemClock
from guardkit.errors import GuardKitError
from guardkit.monitor.render import View, board, clean, cut, follow, run_of, seq_of, summary
from guardkit.progress.paths import build_dir
from guardkit.progress.reader import read_progress, watch_progress
from guardkit.progress.snapshot import Snapshot
from guardkit.progress.verdict import Verdict, assess
from guardkit.progress.writer import Writer

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

ENDED = frozenset({"completed", "failed", "cancelled"})
GONE = frozenset({"crashed", "lost"})
LOOK_EVERY = 1.0  # seconds between two looks whether a watched build is still alive
_STYLES = {r"^\[[\d:]{8}\] ": "dim", r"\[OK\] ": "green", r"\[(FAIL|CANCELLED)\] ": "red"}


class TextDisplay:
    """A sink that prints a line per event, flushed at once, and a summary when a build ends.

    Printing runs in a thread: a pipe that nobody empties holds up no build. `labels` puts the
    task id into every line. It is displayed within the context manager `shown`.
    """

    transitions = True

    def __init__(self, console: Console, *, labels: bool = False) -> None:
        self._console = console
        self._labels = labels
        self._views: Mapping[str, View] = {}
        self.stuck = False  # while lines are on their way
        self.shown: AbstractContextManager[object] = nullcontext()

    async def write(self, snapshot: Snapshot, /) -> None:
        """Print what is new in `snapshot`."""
        before = self._views.get(snapshot.task_id)
        view, lines = follow(before, snapshot, label=self._labels)
        self._views = {**self._views, snapshot.task_id: view}
        if view.snapshot.terminal and not (before and before.snapshot.terminal):
            lines += summary(view)
        if lines:
            await self.say(*lines)

    def unread(self) -> bool:
        """Say whether this prints to a pipe that nobody will ever read from again."""
        looking = select.poll()
        looking.register(self._console.file.fileno(), 0)
        return any(events & select.POLLERR for _, events in looking.poll(0))

    async def say(self, *lines: str) -> None:
        """Print lines, cut to the width of a terminal."""
        width = self._console.width if self._console.is_terminal else None
        cut_lines = [cut(line, width) for line in lines]
        writers = Writer()  # daemons: a pipe that nobody empties keeps no process alive
        await get_running_loop().run_in_executor(writers, partial(self.print, *cut_lines))

    def print(self, *lines: str) -> None:
        """Print lines as they are, in this thread."""
        self.stuck = True
        for line in lines:
            text = Text(line)
            for pattern, style in _STYLES.items():
                text.highlight_regex(pattern, style)
            self._console.print(text, soft_wrap=True)
        self.stuck = False


class LiveDisplay(TextDisplay):
    """A `TextDisplay` for terminals: below its lines, what runs ticks until it has ended."""

    def __init__(self, console: Console, *, labels: bool = False) -> None:
        super().__init__(console, labels=labels)
        self.shown = Live(console=console, get_renderable=self._board, transient=True)

    def _board(self) -> Text:
        snapshots = [view.snapshot for view in self._views.values()]
        lines = board(snapshots, SystemClock().now(), self._console.width)
        return Text("\n".join(["", *lines]), "cyan")


class QuietFile(io.FileIO):
    """A file whose reader may go away: what nobody takes is dropped, and nothing is raised."""

    def write(self, data: "ReadableBuffer", /) -> int:
        """Write `data`, as far as anybody takes it."""
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def display_on(fd: int, *, labels: bool = False) -> TextDisplay:
    """Return the display that fits what the descriptor is: live on a terminal, else lines."""
    file = QuietFile(fd, "w", closefd=False)
    stream = io.TextIOWrapper(io.BufferedWriter(file), errors="replace", line_buffering=True)
    console = Console(file=stream)
    live = stream.isatty() and console.is_interactive
    return (LiveDisplay if live else TextDisplay)(console, labels=labels)


async def watch(
    task_ids: Iterable[str],
    display: TextDisplay,
    *,
    root: str | os.PathLike[str] = ".",
    stall_after: float = 1800.0,
) -> list[Verdict]:
    """Feed `display` until every build has ended or is gone; return the last verdicts.

    What is wrong with a build that has not ended is printed when it changes. Ends also when nobody
    is left to read the display. Raises what `read_progress` raises, before anything is shown.
    """
    verdicts: dict[str, Verdict] = {}

    def look(task_id: str) -> Verdict:
        snapshot = read_progress(task_id, root=root)
        verdicts[task_id] = assess(snapshot, root=root, stall_after=stall_after)
        return verdicts[task_id]

    async def look_after(task_id: str) -> None:
        said = "running"
        async with anyio.create_task_group() as group:
            group.start_soon(_show, task_id, display, root, group.cancel_scope)
            while said not in GONE and not display.unread():
                await anyio.sleep(LOOK_EVERY)
                with suppress(GuardKitError):  # a read that fails is no evidence of anything
                    state, evidence = look(task_id).state, clean(verdicts[task_id].evidence)
                    if state not in {said, "running", *ENDED}:
                        await display.say(f"{task_id} {state}: {evidence}")
                    said = state
            group.cancel_scope.cancel()
        with suppress(GuardKitError):
            look(task_id)

    for task_id in task_ids:
        look(task_id)
    async with anyio.create_task_group() as group:
        for task_id in verdicts:
            group.start_soon(look_after, task_id)
    return list(verdicts.values())


async def _show(
    task_id: str, display: TextDisplay, root: str | os.PathLike[str], over: anyio.CancelScope
) -> None:
    """Feed `display` with a build's past and present, in order; cancel `over` when it has ended."""
    offset = 0
    async with aclosing(watch_progress(task_id, root=root)) as snapshots:
        async for snapshot in snapshots:
            past, offset = read_journal(task_id, offset, root=root)
            run = [each for each in (*past, snapshot) if run_of(each) == run_of(snapshot)]
            for each in sorted(run, key=seq_of):
                await display.write(each)
    over.cancel()


class _Line(msgspec.Struct):
    progress: Snapshot


def read_journal(
    task_id: str, offset: int = 0, *, root: str | os.PathLike[str] = "."
) -> tuple[list[Snapshot], int]:
    """Return the snapshots in the journal's whole lines past `offset` bytes, and where they end.

    A journal shorter than `offset` is a new one; lines that are no events are passed over.
    """
    snapshots: list[Snapshot] = []
    path = build_dir(root, task_id) / "events.jsonl"
    with suppress(OSError), path.open("rb") as file:
        offset = file.seek(offset if offset <= path.stat().st_size else 0)
        for line in file:
            if line.endswith(b"\n"):
                offset += len(line)
                with suppress(msgspec.MsgspecError, UnicodeDecodeError):
                    snapshots.append(msgspec.json.decode(line, type=_Line).progress)
    return snapshots, offset

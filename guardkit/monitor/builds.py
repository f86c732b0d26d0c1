"""Builds below a root, as anybody looks at them: once, or at each change.

A single look does not wait for asyncio to be imported.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing, suppress

from guardkit.clock import SYSTEM_CLOCK, Clock
from guardkit.errors import GuardKitError
from guardkit.monitor.evidence import Examiner, check_ids
from guardkit.monitor.look import Look
from guardkit.monitor.verdict import Verdict, judge
from guardkit.progress import snapshot
from guardkit.progress.folder import Folder, open_builds
from guardkit.progress.journal import read_events
from guardkit.progress.lock import Hold
from guardkit.progress.reader import read_progress
from guardkit.progress.snapshot import Event, Snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar("T")


class Builds:
    """The builds below a root.

    root: the folder in which `.guardkit` is; it need not be there yet.
    stall_after: seconds without activity that make a build stalled.
    clock: by default the machine's.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] = ".",
        *,
        stall_after: float = 1800.0,
        clock: Clock | None = None,
    ) -> None:
        self.where = os.path.abspath(root)  # the process may change its working directory
        self.clock = clock or SYSTEM_CLOCK
        self._stall_after = stall_after

    def look_now(self, task_ids: str | Iterable[str] = ()) -> list[Look]:
        """Return a look at each of some builds, by default of all, at once, in this thread.

        In the order of the ids; those without a build are left out. A build that cannot be read is
        `unreadable`. Raises InvalidTaskIdError, and InvalidProgressError
        where the builds cannot be listed.
        """
        found = self.examiner().look(self.where, check_ids(task_ids))
        return [Look(task_id, *case, self.where) for task_id, case in found.items()]

    async def look(self, task_ids: str | Iterable[str] = ()) -> list[Look]:
        """Return what `look_now` does, from a thread: a mount that hangs holds up nobody else."""
        ids = check_ids(task_ids)
        return await _in_thread(self.clock, lambda: self.look_now(ids))

    async def events(self, task_id: str) -> list[Event]:
        """Return what the journal of a task still has, oldest first; raises as `read_events`."""
        return await _in_thread(self.clock, lambda: read_events(task_id, root=self.where))

    def watch(
        self, task_ids: str | Iterable[str] = (), *, past: bool = False
    ) -> AsyncGenerator[Look]:
        """Yield a look at each of some builds, by default of all, then at each change, for ever.

        A change is one of the snapshot, heartbeats aside, or of the verdict's state. Builds that
        begin meanwhile are told of, too.

        past: whether the first look at a build has the events of its run until then.
        Raises InvalidTaskIdError at once, and InvalidProgressError where
        the builds cannot be listed.
        """
        from guardkit.monitor.memory import watch

        return watch(self.where, self.clock, self.examiner, check_ids(task_ids), past=past)

    def examiner(self, heard: Callable[[str], float] | None = None) -> Examiner:
        """Return what finds out about these builds; `heard` as there."""
        decoders = snapshot.decode, snapshot.decode_event
        return Examiner(decoders, self.clock, self._stall_after, heard)


async def watch_progress(
    task_id: str, *, root: str | os.PathLike[str] = ".", clock: Clock | None = None
) -> AsyncGenerator[Snapshot]:
    """Yield the progress of a build now and at every change, heartbeats included.

    Ends with the terminal snapshot, be it that in the journal where the file could not be written.
    A file that cannot be read later on, or that a new run has not written yet, is waited for. When
    the builder dies, nothing changes any more: ask `assess`.

    task_id: the task.
    root: the folder in which `.guardkit` is.
    clock: by default the machine's.
    Raises at the first look what `read_progress` raises.
    """
    from guardkit.monitor.memory import watch

    builds, latest = Builds(root, clock=clock), None
    await _in_thread(builds.clock, lambda: read_progress(task_id, root=root))
    async with aclosing(
        watch(builds.where, builds.clock, builds.examiner, [task_id], beats=True)
    ) as looks:
        async for look in looks:
            if look.snapshot and look.snapshot != latest:
                latest = look.snapshot
                yield latest
                if latest.terminal:
                    return


def assess(
    snapshot: Snapshot,
    *,
    root: str | os.PathLike[str] = ".",
    stall_after: float = 1800.0,
    clock: Clock | None = None,
) -> Verdict:
    """Return the verdict on a snapshot that was read below `root`, as of now.

    Where the build seems to be in trouble, its file is read again: it may have gone on meanwhile.

    root: the folder in which `.guardkit` is.
    stall_after: seconds without activity that make a build stalled.
    clock: by default the machine's.
    """
    clock, task_id = clock or SYSTEM_CLOCK, snapshot.task_id
    examiner = Builds(root, stall_after=stall_after, clock=clock).examiner()

    def first(folder: Folder, name: str) -> Snapshot:
        return snapshot if name == task_id else examiner.read(folder, name)

    def again(folder: Folder, name: str) -> Snapshot:
        with suppress(GuardKitError, OSError):  # a read that fails is no evidence of anything
            return examiner.read(folder, name)
        return first(folder, name)

    with suppress(GuardKitError, OSError), open_builds(root) as folder:
        return examiner.look_in(folder, check_ids([task_id]), first, again)[task_id][1]
    signs = examiner.sign(snapshot, Hold.UNKNOWN, clock.monotonic(), clock.now())
    return judge(snapshot, signs, stall_after=stall_after)


async def _in_thread(clock: Clock, function: Callable[[], T]) -> T:
    """Return what a function does, in a thread of its own for which no exit waits."""
    from aiofiles.os import wrap

    from guardkit.progress.worker import Worker

    worker = Worker()
    try:
        with clock.busy():
            return await wrap(function)(executor=worker)
    finally:
        worker.shutdown()

"""Builds below a root, as anybody looks at them: once, or at each change.

A single look does not wait for asyncio to be imported.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import suppress

import msgspec

from guardkit.clock import SYSTEM_CLOCK, Clock
from guardkit.errors import GuardKitError
from guardkit.monitor.evidence import Examiner
from guardkit.monitor.verdict import Signs, Verdict, judge
from guardkit.progress import snapshot
from guardkit.progress.folder import Folder
from guardkit.progress.journal import read_events
from guardkit.progress.lock import Hold
from guardkit.progress.paths import builds_dir, check_task_id
from guardkit.progress.reader import read_progress
from guardkit.progress.snapshot import Event, Snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar("T")

# Seconds a build between two rounds of looks, for more than a few builds: to look whenever one of
# them has changed would cost more than to read them all.
PACE, FEW = 5e-5, 50


class Look(msgspec.Struct, frozen=True):
    """A look at one build.

    task_id: the task.
    snapshot: its document; None where none can be read, and where another run has taken the task
        and has not written yet.
    verdict: how it is, and why.
    where: the folder or the server that it is in.
    events: in a watch, the transitions since the look before, oldest first.
    """

    task_id: str
    snapshot: Snapshot | None
    verdict: Verdict
    where: str
    events: tuple[Event, ...] = ()


class Builds(Examiner):
    """The builds below a root.

    root: the folder in which `.guardkit` is; it need not be there yet.
    stall_after: seconds without activity that make a build stalled.
    clock: by default the machine's.
    silence: returns for how many seconds a build that could be heard was not, or None where that is
        not known. Only for documents that have come another way than through the file system.
    """

    decode = staticmethod(snapshot.decode)
    decode_event = staticmethod(snapshot.decode_event)

    def __init__(
        self,
        root: str | os.PathLike[str] = ".",
        *,
        stall_after: float = 1800.0,
        clock: Clock | None = None,
        silence: Callable[[Snapshot], float | None] | None = None,
    ) -> None:
        self.where = os.path.abspath(root)  # the process may change its working directory
        super().__init__(self.where, stall_after, clock or SYSTEM_CLOCK)
        self.silence = silence

    def look_now(self, task_ids: Iterable[str] = ()) -> list[Look]:
        """Return a look at each of some builds, by default of all, at once, in this thread.

        In the order of the ids; those without a build are left out. A build that cannot be read is
        `unreadable`. Raises InvalidTaskIdError, and InvalidProgressError where the builds cannot be
        listed.
        """
        found = self.examine(task_ids)
        return [Look(task_id, *case, self.where) for task_id, case in found.items()]

    async def look(self, task_ids: Iterable[str] = ()) -> list[Look]:
        """Return what `look_now` does, from a thread: a mount that hangs holds up nobody else."""
        return await _call_in_thread(self.clock, self.look_now, [*task_ids])

    async def events(self, task_id: str) -> list[Event]:
        """Return what the journal of a task still has, oldest first; raises InvalidTaskIdError."""
        return await _call_in_thread(self.clock, read_events, task_id, root=self.root)

    async def watch(
        self, task_ids: Iterable[str] = (), *, past: bool = False
    ) -> AsyncGenerator[Look]:
        """Yield a look at each of some builds, by default of all, then at each change, for ever.

        A change is one of the snapshot, heartbeats aside, or of the verdict's state. Builds that
        begin meanwhile are told of, too.

        past: whether the first look at a build has the events of its run until then.
        Raises InvalidTaskIdError, and InvalidProgressError where the builds cannot be listed.
        """
        from guardkit.monitor.changes import Changes
        from guardkit.monitor.memory import Memory

        wanted, changed = [check_task_id(task_id) for task_id in task_ids], None
        async with Changes(builds_dir(self.root), self.clock) as changes:
            memory = Memory(self, changes, wanted, past=past)
            while True:
                for look in await changes.call(memory.scan, changed):
                    yield look
                await self.clock.sleep(PACE * (len(memory.known) - FEW))
                changed = await changes.next()

    def sign(self, task_id: str, document: Snapshot, hold: Hold, now: float) -> Signs:
        """Return the signs that go with a document that was read after `now`, monotonic seconds."""
        silent = self.silence(document) if self.silence else None
        if silent is not None:
            return Signs(hold, silent)
        return super().sign(task_id, document, hold, now)


async def watch_progress(
    task_id: str, *, root: str | os.PathLike[str] = ".", clock: Clock | None = None
) -> AsyncGenerator[Snapshot]:
    """Yield the progress of a build now and at every change, heartbeats included.

    Ends with the terminal snapshot. A file that cannot be read later on is waited for. When the
    builder dies, nothing changes any more: ask `assess`.

    task_id: the task.
    root: the folder in which `.guardkit` is.
    clock: by default the machine's.
    Raises at the first look what `read_progress` raises.
    """
    from guardkit.monitor.changes import Changes

    latest: Snapshot | None = None
    name = check_task_id(task_id)
    async with Changes(builds_dir(root), clock or SYSTEM_CLOCK) as changes:

        def read() -> Snapshot:
            changes.watch()
            changes.watch(name)
            return read_progress(name, root=root)

        while True:
            try:
                newest = await changes.call(read)
            except GuardKitError:
                if latest is None:
                    raise
            else:
                if newest != latest:
                    latest = newest
                    yield newest
                if newest.terminal:
                    return
            while (changed := await changes.next()) is not None and name not in changed:
                pass


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
    builds, task_id = Given(root, stall_after=stall_after, clock=clock), snapshot.task_id
    builds.given = snapshot
    with suppress(GuardKitError):
        if case := builds.examine([task_id]).get(task_id):
            return case[1]
    signs = builds.sign(task_id, snapshot, Hold.UNKNOWN, builds.clock.monotonic())
    return judge(snapshot, signs, stall_after=stall_after)


class Given(Builds):
    """Builds, of one of which a document was read before: its file counts only in doubt."""

    given: Snapshot

    def read(self, folder: Folder, task_id: str, *, again: bool) -> Snapshot:
        """Return the document of a build; a read that fails is no evidence of anything."""
        if task_id != self.given.task_id:
            return super().read(folder, task_id, again=again)
        with suppress(GuardKitError, OSError):
            return super().read(folder, task_id, again=again) if again else self.given
        return self.given


async def _call_in_thread(
    clock: Clock, function: Callable[..., T], *args: object, **named: object
) -> T:
    """Return what a function does, in a thread of its own for which no exit waits."""
    from aiofiles.os import wrap

    from guardkit.progress.worker import Worker

    worker = Worker()
    try:
        with clock.busy():
            return await wrap(function)(*args, executor=worker, **named)
    finally:
        worker.shutdown()

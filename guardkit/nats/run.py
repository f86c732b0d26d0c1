"""A run that is published: from when it is known until all of it is delivered."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from math import inf

from guardkit.nats.client import Client
from guardkit.nats.documents import DocumentOutbox, Mine
from guardkit.nats.events import EventOutbox
from guardkit.nats.source import Source, Told
from guardkit.nats.streams import events_subject, status_subject
from guardkit.progress.build import Build
from guardkit.progress.journal import Spot
from guardkit.progress.order import moved
from guardkit.progress.sinks import LAST
from guardkit.progress.snapshot import Snapshot, is_newer
from guardkit.progress.timer import Timer

EVERY = 1.0  # seconds at least between two documents of a build, unless it has ended
LOOK_AGAIN = 0.001  # seconds until a file that is behind is read again, each time twice as long
DISK_LATE = 1.0  # seconds for which a document waits for its events on the disk
CLASH = 0.02  # seconds at most that are left to another who publishes the same

Read = Callable[[Source, Spot | None], Awaitable[Told | None]]


class Run:
    """One run of a task.

    source: its files; None: nothing is on disk.
    builder: the build, where it is in this process.
    lives: whether its builder is at work.
    new: whether it has just begun, though it may have ended, too.
    over: whether nothing more is to be published.
    delivered: whether the streams have all that the run has told, up to its end.
    """

    def __init__(
        self,
        task_id: str,
        run_id: str,
        project: str,
        timer: Timer,
        source: Source | None,
        *,
        builder: Build | None = None,
        lives: bool = False,
        new: bool = False,
    ) -> None:
        self.task_id, self.run_id = task_id, run_id
        self.source = source
        self.lives = lives
        self.over = self.delivered = False
        self._builder = builder
        self._timer = timer
        self._events = EventOutbox(events_subject(task_id, run_id, project))
        self._document = DocumentOutbox(status_subject(task_id, project), task_id)
        self._newest: Snapshot | None = None
        self._told: Snapshot | None = None  # the newest that the files have shown
        self._behind: float | None = None  # since when they show nothing newer, and are behind
        self._news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Until when the builder counts as living though it has ended, in monotonic seconds
        self._late = timer.clock.monotonic() + LAST if new else -inf
        self._followed = False
        self._urgent = True

    def tell(self, snapshot: Snapshot) -> None:
        """Hear from the builder what it is at now."""
        self._urgent |= snapshot.terminal or moved(snapshot, self._newest)
        self._newest, self.lives = snapshot, not snapshot.terminal
        now = self._timer.clock.monotonic()
        if snapshot.terminal:
            self._late = now + LAST
        if self.source and self._behind is None:
            self._behind = now
        self._wake()

    def look(self, *, lives: bool) -> None:
        """Have the files looked at, which have changed."""
        self.lives, self._urgent = lives, True
        self._wake()

    def forget(self) -> None:
        """Find out anew what the streams have, over another connection."""
        self._events.forget()
        self._document.forget()
        self._urgent = True
        self._wake()

    async def deliver(self, client: Client, read: Read) -> float:
        """Publish what is new; return in how many seconds to look again, inf: at the next news.

        read: returns what the files tell past a spot, None where they are not there, or cannot be
            read; raises TimeoutError where the disk is late.
        Raises NatsError.
        """
        now = self._timer.clock.monotonic()
        pause = max(0.0, self._document.sent_at + EVERY - now)
        if pause and not self._urgent:
            return pause
        self._urgent = False
        told, late = None, False
        if self.source:
            last = await self._events.look(client)
            try:
                told = await read(self.source, self._events.spot)
            except TimeoutError:
                late = True
            if told:
                self._take(told, now)
                if not await self._events.send(client, told, last):
                    return self._again(random.uniform(0, CLASH))  # noqa: S311
        if self._behind is not None and now < self._behind + DISK_LATE:
            return self._again(max(LOOK_AGAIN, now - self._behind))
        newest = self._newest
        if newest and newest != self._document.sent:
            if pause and not newest.terminal:
                return pause
            mine = self._mine(newest, now)
            if not await self._document.send(client, mine, self._events.after, now):
                return self._again(random.uniform(0, CLASH))  # noqa: S311
        if late and not self.lives:
            return self._again(DISK_LATE)
        self.over = not self.lives and newest is self._newest
        # An end that is not in the journal may come there as long as the file does not show it.
        ended = self._events.whole or bool(told and told.document and told.document.terminal)
        self.delivered = self.over and bool(told) and ended
        return 0.0 if self.over else inf

    async def rest(self, seconds: float) -> None:
        """Wait for news, for some seconds at most."""
        if seconds < inf:
            await self._timer.hangs(self._news, seconds)
        else:
            await asyncio.wait({self._news})
        if self._news.done():
            self._news = asyncio.get_running_loop().create_future()

    def _take(self, told: Told, now: float) -> None:
        """Take what the files tell."""
        for document in (told.document, *(event.progress for event in told.events[-1:])):
            if document and is_newer(document, self._told):
                self._told = document
                self._behind = now if self._behind is not None else None
        if self._told and is_newer(self._told, self._newest):
            self._newest = self._told
        if self._newest and self._told and not is_newer(self._newest, self._told):
            self._behind = None
        self._followed |= told.followed

    def _mine(self, newest: Snapshot, now: float) -> Mine:
        """Return what there is to show.

        A builder that waits for its sinks still lives: a short build has ended before there is a
        connection. A run of another process, of which the stream has events, was published before,
        and so is not new: it has claimed its task before who is shown now. One that was followed by
        another on its machine has ended, whatever we heard of it before.
        """
        published = self._builder is None and self._events.found
        return Mine(
            snapshot=newest,
            truth=self._builder.snapshot if self._builder else None,
            claim=self._document.claim or int(bool(published)),
            lives=(self.lives or now < self._late) and not self._followed,
            before=self._events.before,
        )

    def _again(self, seconds: float) -> float:
        """Have the files looked at again, in so many seconds."""
        self._urgent = True
        return seconds

    def _wake(self) -> None:
        if not self._news.done():
            self._news.set_result(None)

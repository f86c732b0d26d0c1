"""Brings builds into the stream, as long as it runs, whatever becomes of the server.

One task owns one connection. When that fails it is thrown away, and with it all that was known of
the stream: the next one finds out anew what is there, and goes on from there.
"""

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import aclosing, suppress
from datetime import datetime
from math import inf
from typing import Any

from guardkit.clock import SYSTEM_CLOCK
from guardkit.errors import NatsError
from guardkit.nats.connection import Client, connected, pauses
from guardkit.nats.notice import changes, find_left
from guardkit.nats.outbox import Outbox
from guardkit.nats.settings import Settings
from guardkit.nats.source import Source
from guardkit.nats.stream import ensure_stream, keeps_since
from guardkit.progress.snapshot import Snapshot
from guardkit.progress.worker import Worker

log = logging.getLogger("guardkit.progress")

RETRY = 10.0  # seconds until a build is tried again whose messages the server refuses
AT_ONCE = 32  # builds that are delivered side by side
LOOK_EVERY = 10.0  # seconds between two looks at what the stream still keeps


class Relay:
    """Delivers what the builds below `root` tell; `root=None`: only snapshots passed to `note`.

    It follows all builds below the root as their files change, or else, if it is not to `follow`,
    those that are noted, and delivers at each connect what dead ones have left. With `envelope` it
    tells nats-core's dashboard and agents of them too. `warned` are the kinds of failures that
    nobody needs to be warned of again.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        root: str | None,
        follow: bool = True,
        envelope: bool = False,
        warned: set[str] | None = None,
    ) -> None:
        self.newest: dict[str, Snapshot] = {}  # of builds that are noted
        self.finished: set[str] = set()  # runs of these whose end is in the stream
        self.failures = 0
        self.files = Worker()
        self.root = root
        self.follow = follow
        self.told: dict[str, float] | None = {} if envelope else None
        self._settings = settings
        self._session: Session | None = None
        self._news, self._hurry = asyncio.Event(), asyncio.Event()
        self._warned = set[str]() if warned is None else warned

    async def run(self) -> None:
        """Deliver until cancelled."""
        waits = pauses()
        try:
            while True:
                self._hurry.clear()
                try:
                    async with connected(self._settings) as client:
                        session = await self._begin(client)
                        waits = pauses()
                        await session.serve()
                except Exception as error:  # whatever nats-py comes upon, the builds go on
                    self.fail(error)
                finally:
                    self._session = None
                await self._rest(next(waits))
        finally:
            self.files.shutdown()

    def note(self, snapshot: Snapshot) -> None:
        """Have a build delivered, of which this is the newest snapshot."""
        self.newest[snapshot.task_id] = snapshot
        if self._session:
            self._session.due(snapshot.task_id)

    def heard(self, task_id: str, runs: set[str]) -> None:
        """Note that the ends of some runs of a task are in the stream."""
        if newest := self.newest.get(task_id):
            self.finished |= runs
            self._news.set()
            if newest.tracker.run_id in runs:
                del self.newest[task_id]

    def fail(self, error: Exception) -> None:
        """Let nobody wait any longer, and warn."""
        self.failures += 1
        self._news.set()
        self.warn(error)

    def warn(self, error: Exception) -> None:
        """Say what has gone wrong, if it is the first time of its kind."""
        kind = str(error) if type(error) is NatsError else type(error).__name__
        if kind not in self._warned:
            self._warned.add(kind)
            what = error if isinstance(error, NatsError) else repr(error)
            log.warning("publishing to NATS failed, the builds go on: %s", what)

    async def settle(self, runs: set[str]) -> None:
        """Return when the ends of some runs are in the stream, or it fails again."""
        failures = self.failures
        self._hurry.set()
        while self.failures == failures and not runs <= self.finished:
            self._news.clear()
            await self._news.wait()

    async def _begin(self, client: Client) -> "Session":
        """Return what serves a new connection; from here on it is told what is noted."""
        client.unheard = self.warn
        await ensure_stream(client)
        session = Session(client, self)
        await session.kept_since()  # before anybody asks
        self._session = session
        for task_id in self.newest:
            self._session.due(task_id)
        return self._session

    async def _rest(self, seconds: float) -> None:
        """Wait for some seconds, or until somebody is in a hurry."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurry.wait()


class Session:
    """What a relay does with one connection."""

    def __init__(self, client: Client, relay: Relay) -> None:
        self._client = client
        self._relay = relay
        self._since: datetime | None = None  # from when on the stream keeps anything, as looked up
        self._looked = -inf
        self._outboxes: dict[str, Outbox] = {}
        self._due: dict[str, None] = {}  # tasks, in order
        self._busy: dict[str, bool] = {}  # tasks that are being delivered; whether they are due
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    def due(self, task_id: str) -> None:
        """Have a build delivered, now or, if it is just being so, again."""
        if task_id in self._busy:
            self._busy[task_id] = True
            return
        if timer := self._timers.pop(task_id, None):
            timer.cancel()
        self._due[task_id] = None
        if len(self._tasks) <= AT_ONCE and not self._closed:
            self._start(self._work())

    async def serve(self) -> None:
        """Deliver until the connection is lost; raises what has gone wrong."""
        self._start(self._notice())
        try:
            ends: set[asyncio.Future[Any]] = {self._client.lost, self._failure}
            await asyncio.wait(ends, return_when="FIRST_COMPLETED")
        finally:
            self._closed = True
            for timer in self._timers.values():
                timer.cancel()
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)
        raise (self._failure if self._failure.done() else self._client.lost).result()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) and not self._failure.done():
            self._failure.set_result(error)

    async def _notice(self) -> None:
        """Have builds delivered when their files change, or once those which nobody builds."""
        root, files = self._relay.root, self._relay.files
        if root is None:
            return
        if not self._relay.follow:
            for task_id in await files.submit(find_left, root, await self.kept_since()):
                self.due(task_id)
            return
        async with aclosing(changes(root, await self.kept_since())) as changed:
            async for tasks in changed:
                for task_id in tasks:
                    self.due(task_id)

    async def kept_since(self) -> datetime | None:
        """Return from when on the stream keeps anything, as it was a while ago at most."""
        now = asyncio.get_running_loop().time()
        if now >= self._looked + LOOK_EVERY:
            self._looked = now
            self._since = await keeps_since(self._client, SYSTEM_CLOCK.now())
        return self._since

    async def _work(self) -> None:
        while self._due:
            task_id = next(iter(self._due))
            del self._due[task_id]
            self._busy[task_id] = False
            pause = await self._deliver(task_id)
            if self._busy.pop(task_id):
                self.due(task_id)
            elif pause < inf:
                self._call_in(pause, task_id)

    def _call_in(self, seconds: float, task_id: str) -> None:
        loop = asyncio.get_running_loop()
        self._timers[task_id] = loop.call_later(seconds, self.due, task_id)

    async def _deliver(self, task_id: str) -> float:
        """Deliver a build; return in how many seconds it is due again, inf for never."""
        relay = self._relay
        outbox = self._outboxes.get(task_id)
        if not outbox:
            outbox = self._outboxes[task_id] = Outbox(
                self._client,
                task_id,
                source=Source(relay.root, task_id, relay.files) if relay.root else None,
                keeps_since=self.kept_since,
                warn=relay.warn,
                told=relay.told,
            )
        try:
            pause = await outbox.deliver(relay.newest.get(task_id))
        except OSError as error:
            del self._outboxes[task_id]
            if not self._client.lost.done():  # it is this build alone
                relay.fail(error)
            return RETRY
        relay.heard(task_id, outbox.finished)
        if outbox.over and pause == inf:
            del self._outboxes[task_id]
        return pause

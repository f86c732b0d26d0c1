"""A connection that is made again whenever it is lost, for all who publish over it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from guardkit.clock import Clock
from guardkit.errors import NatsError
from guardkit.nats.client import Client, connected, pauses
from guardkit.nats.settings import Settings
from guardkit.progress.timer import Timer

log = logging.getLogger("guardkit.progress")


class Line:
    """Keeps a connection to one of the servers, as long as `keep` runs.

    prepare: is called with each new connection, before anybody else has it; None: nothing is.
    client: the connection; None while there is none.
    failures: how often something has gone wrong.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        prepare: Callable[[Client], Awaitable[object]] | None = None,
    ) -> None:
        self.client: Client | None = None
        self._settings, self._clock = settings, clock
        self.failures = 0
        self._prepare = prepare
        self._warned: set[str] = set()
        self._changed = asyncio.Condition()
        self._hurry = asyncio.Event()

    async def keep(self) -> None:
        """Connect, and connect again, until cancelled."""
        waits, timer = pauses(), Timer.join(self._clock)
        try:
            while True:
                self._hurry.clear()
                try:
                    async with connected(self._settings, self._clock) as client:
                        client.unheard = self.warn
                        if self._prepare:
                            await self._prepare(client)
                        waits = pauses()
                        await self._set(client)
                        await asyncio.wait({client.lost})
                        raise client.lost.result()
                except Exception as error:  # whatever nats-py comes upon, the builds go on
                    await self._set(None)
                    await self.fail(error)
                hurry = asyncio.ensure_future(self._hurry.wait())
                try:
                    await timer.hangs(hurry, next(waits))
                finally:
                    hurry.cancel()
        finally:
            await timer.leave()

    async def connected(self) -> Client:
        """Return the connection, as soon as there is one."""
        async with self._changed:
            while self.client is None or self.client.lost.done():
                await self._changed.wait()
            return self.client

    async def settle(self, done: Callable[[], bool]) -> None:
        """Return when something is done, or has failed once more; a pause is cut short."""
        failures = self.failures
        self._hurry.set()
        async with self._changed:
            while not done() and self.failures == failures:
                await self._changed.wait()

    async def news(self) -> None:
        """Have those look who wait for something to be done."""
        async with self._changed:
            self._changed.notify_all()

    async def fail(self, error: Exception) -> None:
        """Warn, and let nobody wait any longer."""
        self.failures += 1
        self.warn(error)
        await self.news()

    def warn(self, error: Exception) -> None:
        """Say what has gone wrong, if it is the first time of its kind."""
        kind = str(error) if type(error) is NatsError else type(error).__name__
        if kind not in self._warned:
            self._warned.add(kind)
            what = error if isinstance(error, NatsError) else repr(error)
            with suppress(Exception):  # the log handler's
                log.warning("publishing to NATS failed, the builds go on: %s", what)

    async def _set(self, client: Client | None) -> None:
        self.client = client
        await self.news()

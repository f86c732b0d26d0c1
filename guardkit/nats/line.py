"""A connection to one of some servers: for once, or made again whenever it is lost."""

import asyncio
import random
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

from guardkit.clock import Clock
from guardkit.errors import NatsError
from guardkit.nats.client import Client, UnreachableError
from guardkit.nats.settings import Server, Settings
from guardkit.progress.sinks import Warner
from guardkit.progress.timer import Timer
from guardkit.progress.worker import Worker

PAUSE, PAUSE_MAX = 0.2, 10.0  # seconds until the next connection, each time twice as long


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
        self._warner = Warner("publishing to NATS failed", "the builds continue")
        self._news = asyncio.Event()  # another one each time
        self._pause: asyncio.Future[None] | None = None

    async def keep(self) -> None:
        """Connect, and connect again, until cancelled."""
        waits = pauses()
        while True:
            try:
                async with connected(self._settings, self._clock) as client:
                    client.unheard = self.warn
                    if self._prepare:
                        await self._prepare(client)
                    waits = pauses()
                    self.client = client
                    self.news()
                    await asyncio.wait({client.lost})
                    raise client.lost.result()
            except Exception as error:  # whatever nats-py comes upon, the builds go on
                self.client = None
                self.fail(error)
            self._pause = asyncio.ensure_future(self._clock.sleep(next(waits)))
            try:
                await asyncio.wait({self._pause})
            finally:
                self._pause.cancel()

    async def connected(self) -> Client:
        """Return the connection, as soon as there is one."""
        while self.client is None or self.client.lost.done():
            await self._news.wait()
        return self.client

    async def settle(self, done: Callable[[], bool]) -> None:
        """Return when something is done, or has failed once more; a pause is cut short."""
        failures = self.failures
        if self._pause:
            self._pause.cancel()
        await self.until(lambda: done() or self.failures != failures)

    async def until(self, condition: Callable[[], object]) -> None:
        """Return when a condition holds; whenever there is news, it is looked at."""
        while not condition():
            await self._news.wait()

    def news(self) -> None:
        """Have those look who wait for something."""
        self._news.set()
        self._news = asyncio.Event()

    def fail(self, error: Exception) -> None:
        """Warn, and let nobody wait any longer."""
        self.failures += 1
        self.warn(error)
        self.news()

    def warn(self, error: Exception) -> None:
        """Say what has gone wrong, if it is the first time of its kind."""
        kind = str(error) if type(error) is NatsError else type(error).__name__
        self._warner.warn(kind, str(error) if isinstance(error, NatsError) else repr(error))


@asynccontextmanager
async def connected(settings: Settings, clock: Clock) -> AsyncGenerator[Client]:
    """Connect to one of the servers, and end that at last; raises NatsError where none will do."""
    timer = Timer.join(clock)
    try:
        client = await _connect(settings, timer)
        try:
            yield client
        finally:
            await client.end()
    finally:
        await timer.leave()


def pauses() -> Iterator[float]:
    """Yield, without end, how many seconds to wait after each connection that has failed."""
    pause = PAUSE
    while True:
        yield random.uniform(pause / 2, pause)  # noqa: S311
        pause = min(2 * pause, PAUSE_MAX)


async def _connect(settings: Settings, timer: Timer) -> Client:
    failure = NatsError("there is no server to connect to")
    for server in random.sample(settings.servers, len(settings.servers)):
        try:
            addresses = await _resolve(server)
        except (OSError, UnicodeError) as error:  # the latter for what can be no name
            failure = UnreachableError(f"no server answers at {server}: {error}")
            continue
        for address in addresses:
            client = Client(server, settings, timer)
            try:
                await client.open(address)
                return client
            except BaseException as error:
                await client.end()
                if not isinstance(error, NatsError):
                    raise
                failure = error
    raise failure


async def _resolve(server: Server) -> list[str]:
    """Return the addresses of a server; raises OSError.

    In a thread for which no exit waits: a name server that is away takes its time.
    """
    worker = Worker()
    try:
        found = await worker.submit(
            socket.getaddrinfo, server.host, server.port, type=socket.SOCK_STREAM
        )
    finally:
        worker.shutdown()
    return list(dict.fromkeys(str(each[4][0]) for each in found))

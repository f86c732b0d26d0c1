"""A connection to NATS that is thrown away when it fails, and in which nothing waits for ever.

nats-py is not left to reconnect: it swallows cancellation, and nobody knows what has arrived.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# nats-py leaves some of its types open

import asyncio
import random
import ssl
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import nats.errors
from nats.aio.client import NO_RESPONDERS_STATUS
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from guardkit.errors import NatsError
from guardkit.nats.settings import Server, Settings, options, resolve

CONNECT = 2.0  # seconds that connecting to one address may take
ANSWER = 2.0  # seconds in which a living server answers
CLOSE = 0.1  # seconds to send what is left, and as many for what was cancelled to end
PING_EVERY = 5  # seconds between two looks whether the server is still there
PAUSE, PAUSE_MAX = 0.2, 10.0  # seconds until the next connection, each time twice as long


class UnreachableError(NatsError):
    """No server answers, or the one that did has gone."""


class ForbiddenError(NatsError):
    """The login has no permission for a subject."""


class Client(NatsClient):
    """A client of nats-py that is bounded in time, and knows the error by which it was `lost`.

    `js` is its JetStream context, `domain` and `api` are where that is, `unheard` is told what else
    is wrong.
    """

    def __init__(self, server: Server, settings: Settings) -> None:
        super().__init__()
        self.server = server
        self.lost: asyncio.Future[NatsError] = asyncio.get_running_loop().create_future()
        self.js: JetStreamContext = self.jetstream(
            domain=settings.jetstream_domain or None, timeout=ANSWER
        )
        self.domain = settings.jetstream_domain
        self.api = f"$JS.{self.domain}.API".replace("..", ".")
        self._settings = settings
        self._answers: dict[str, asyncio.Future[Msg]] = {}  # by where they are to come
        self._asked: dict[str, str] = {}  # on which subject
        self.unheard: Callable[[NatsError], None] | None = None
        self._number = 0
        self._trouble: Exception | None = None
        self._opening: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def open(self, address: str) -> None:
        """Connect to the server at an address; raises NatsError."""
        self._opening = asyncio.create_task(self._open(address))
        await asyncio.wait({self._opening}, timeout=CONNECT)
        if not self._opening.done():
            raise UnreachableError(f"{self.server} accepts, but does not answer: it may hang")
        try:
            self._opening.result()
        except Exception as error:  # whatever nats-py, its parser or TLS come upon
            raise self._explain(self._trouble or error) from error

    async def end(self) -> None:
        """Send what is left and close, whether or not the server takes part."""
        self.lose(UnreachableError(f"the connection to {self.server} is closed"))
        closing = asyncio.create_task(self._shut())
        try:
            await asyncio.wait({closing}, timeout=CLOSE)
        finally:
            if writer := getattr(self._transport, "_io_writer", None):
                writer.transport.abort()
        theirs = (self._reading_task, self._ping_interval_task, self._flusher_task)
        tasks = {closing, self._opening, *(task for task in theirs if task)}
        for task in tasks:
            task.cancel()
            task.add_done_callback(_see)
        await asyncio.wait(tasks, timeout=CLOSE)

    def lose(self, error: NatsError) -> None:
        """Give this client up: all who wait for an answer are given the error."""
        if not self.lost.done():
            self.lost.set_result(error)
            self._refuse(self._answers, error)

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        timeout: float = ANSWER,  # noqa: ASYNC109
        old_style: bool = False,
        headers: dict[str, Any] | None = None,
    ) -> Msg:
        """Return the answer to a message; without one in time the client is lost.

        Raises NatsError, and as nats-py does where nobody listens, or the message is too large.
        """
        self._number += 1
        inbox = f"{self._inbox}.{self._number}"
        answer: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(_see)
        self._answers[inbox] = answer
        self._asked[inbox] = subject
        try:
            if self.lost.done():
                raise self.lost.result()
            size = sum(len(f"{name}: {value}\r\n") for name, value in (headers or {}).items())
            if len("NATS/1.0\r\n\r\n") + size + len(payload) > self.max_payload:
                raise nats.errors.MaxPayloadError  # before the server closes the connection for it
            await self.publish(subject, payload, inbox, headers)
            async with asyncio.timeout(timeout):
                message = await answer
        except TimeoutError:
            self.lose(UnreachableError(f"{self.server} does not answer: it may hang"))
            raise self.lost.result() from None
        except (nats.errors.ConnectionClosedError, nats.errors.OutboundBufferLimitError):
            self.lose(UnreachableError(f"the connection to {self.server} is lost"))
            raise self.lost.result() from None
        finally:
            answer.cancel()
            del self._answers[inbox], self._asked[inbox]
        if message.headers and message.headers.get("Status") == NO_RESPONDERS_STATUS:
            raise nats.errors.NoRespondersError
        return message

    async def _open(self, address: str) -> None:
        await self.connect(
            str(Server(address, self.server.port)),
            name="guardkit",
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            ping_interval=PING_EVERY,
            pending_size=0,
            error_cb=self._note,
            closed_cb=self._closed,
            **options(self._settings, self.server),
        )
        self._inbox = self.new_inbox()
        await self.subscribe(f"{self._inbox}.*", cb=self._hear)

    def _connect_command(self) -> bytes:
        encrypts = bool(self._server_info.get("tls_required"))
        if self.server.tls and not encrypts:
            raise NatsError(f"{self.server} does not encrypt: it is not told the login")
        if (writer := getattr(self._transport, "_io_writer", None)) and encrypts:
            # nats-py does not tell asyncio, which would complain of each connection that ends
            writer.transport.get_protocol()._over_ssl = True
        return super()._connect_command()

    async def _shut(self) -> None:
        self._opening.cancel()  # first: asyncio cannot have closed what it begins to encrypt
        await asyncio.wait({self._opening})
        await self.close()

    async def _hear(self, message: Msg) -> None:
        answer = self._answers.get(message.subject)
        if answer and not answer.done():
            answer.set_result(message)

    async def _note(self, error: Exception) -> None:
        """Hear of trouble from nats-py; of a missing permission it tells nobody else."""
        self._trouble, text = error, str(error)
        if "permissions violation for subscription" in text:
            what = text.removeprefix("nats: ")
            if f'"{self._inbox}.*"'.lower() in text:
                what = "no permission to hear answers, set NATS_INBOX_PREFIX to what is allowed"
            self.lose(NatsError(f"{self.server} refuses: {what}"))
        elif "permissions violation" in text:
            told = text.partition('"')[2].partition('"')[0]  # in lower case
            subject = next((each for each in self._asked.values() if each.lower() == told), told)
            refusal = ForbiddenError(f"{self.server} gives no permission to publish to {subject}")
            asking = [inbox for inbox, asked in self._asked.items() if asked == subject]
            self._refuse(asking, refusal)
            if not asking and self.unheard:
                self.unheard(refusal)

    def _refuse(self, inboxes: Iterable[str], error: NatsError) -> None:
        for answer in (self._answers[inbox] for inbox in inboxes):
            if not answer.done():
                answer.set_exception(error)

    async def _closed(self) -> None:
        why = self._trouble or self.last_error
        self.lose(UnreachableError(f"the connection to {self.server} is lost: {why}"))

    def _explain(self, error: Exception) -> NatsError:
        text = str(error).removeprefix("nats: ") or type(error).__name__
        if isinstance(error, NatsError):
            return error
        if "authorization" in text.lower() or "authentication" in text.lower():
            return NatsError(
                f"{self.server} refuses the login: set NATS_CREDS, NATS_USER and NATS_PASSWORD, "
                "or NATS_TOKEN, or select a context of the nats command"
            )
        if isinstance(error, ssl.SSLError) or not isinstance(error, OSError | TimeoutError):
            return NatsError(f"{self.server} cannot be used: {text}")
        return UnreachableError(f"no server answers at {self.server}: {text}")


async def connect(settings: Settings) -> Client:
    """Connect to one of the servers; raises NatsError where none will do."""
    failure = NatsError("there is no server to connect to")
    for server in random.sample(settings.servers, len(settings.servers)):
        try:
            addresses = await resolve(server)
        except (OSError, UnicodeError) as error:  # the latter for what can be no name
            failure = UnreachableError(f"no server answers at {server}: {error}")
            continue
        for address in addresses:
            client = Client(server, settings)
            try:
                await client.open(address)
                return client
            except BaseException as error:
                await client.end()
                if not isinstance(error, NatsError):
                    raise
                failure = error
    raise failure


@asynccontextmanager
async def connected(settings: Settings) -> AsyncGenerator[Client]:
    """Connect to one of the servers, and end that at last; raises as `connect` does."""
    client = await connect(settings)
    try:
        yield client
    finally:
        await client.end()


def pauses() -> Iterator[float]:
    """Yield, without end, how many seconds to wait after each connection that has failed."""
    pause = PAUSE
    while True:
        yield random.uniform(pause / 2, pause)  # noqa: S311
        pause = min(2 * pause, PAUSE_MAX)


def _see(done: asyncio.Future[Any]) -> None:
    """Take the exception of what nobody may wait for any more, or asyncio would complain of it."""
    if not done.cancelled():
        done.exception()

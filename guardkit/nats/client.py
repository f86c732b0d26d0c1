"""A connection to NATS that is thrown away when it fails, and in which nothing waits for ever.

nats-py is not left to reconnect: it swallows cancellation, and nobody knows what has arrived. All
that is private in it is used here: the reasons stand beside it, and `tests/integration` misses it.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportPrivateUsage=false
# nats-py leaves some of its types open

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import nats.errors
from nats.aio.client import NO_RESPONDERS_STATUS
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg
from nats.protocol.parser import Parser

from guardkit.errors import NatsError
from guardkit.nats.settings import Server, Settings, options
from guardkit.progress.timer import Timer

CONNECT = 2.0  # seconds that connecting to one address may take
ANSWER = 2.0  # seconds in which a living server answers
CLOSE = 0.1  # seconds to send what is left, and as many for what was cancelled to end
PING_EVERY = 5  # seconds between two looks whether the server is still there
MESSAGE_MAX = 2**20  # bytes of a message, or a line, of the server's
PENDING_MAX = 2**23  # bytes of messages that wait to be heard

NO_JETSTREAM = (
    "has no JetStream for this login: start it with `nats-server -js`, and enable JetStream for "
    "the account"
)


class UnreachableError(NatsError):
    """No server answers, or the one that did has gone."""


class ForbiddenError(NatsError):
    """The login has no permission for a subject."""


class Client(NatsClient):
    """A client of nats-py that is bounded in time and size, and knows why it was `lost`.

    server: to which it is connected.
    api: the subject below which JetStream is asked.
    timer: by which it waits.
    lost: is done when the connection is; its result is the reason.
    unheard: is told what else is wrong.
    """

    def __init__(self, server: Server, settings: Settings, timer: Timer) -> None:
        super().__init__()
        self._ps: Parser = _Bounded(self)  # else a message of 4 GB that is announced is waited for
        self.server = server
        self.lost: asyncio.Future[NatsError] = asyncio.get_running_loop().create_future()
        self.api = f"$JS.{settings.jetstream_domain}.API".replace("..", ".")
        self.unheard: Callable[[NatsError], None] | None = None
        self._settings = settings
        self.timer = timer
        # What is asked for, by where the answer is to come: on which subject, and the answer
        self._asked: dict[str, tuple[str, asyncio.Future[Msg]]] = {}
        self._number = 0
        self._trouble: Exception | None = None
        self._opening: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def open(self, address: str) -> None:
        """Connect to the server at an address; raises NatsError."""
        self._opening = asyncio.create_task(self._open(address))
        if await self.timer.hangs(self._opening, CONNECT):
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
            await self.timer.hangs(closing, CLOSE)
        finally:  # `close` waits for a server that hangs, and we may be cancelled
            if writer := getattr(self._transport, "_io_writer", None):
                writer.transport.abort()
            # `close` cancels these, unless it fails half-way, but does not wait for their ends.
            theirs = [self._reading_task, self._ping_interval_task, self._flusher_task]
            theirs += [each._wait_for_msgs_task for each in self._subs.values()]
            tasks = {closing, self._opening, *(task for task in theirs if task)}
            for task in tasks:
                task.cancel()
                task.add_done_callback(see)
        for task in tasks:
            await self.timer.hangs(task, CLOSE)

    def lose(self, error: NatsError) -> None:
        """Give this client up: all who wait for an answer are given the error."""
        if not self.lost.done():
            self.lost.set_result(error)
            self._refuse(error)

    async def hear(self, subject: str, call: Callable[[Msg], Awaitable[None]]) -> None:
        """Have a function called with each message on a subject."""
        await self.subscribe(subject, cb=call, pending_bytes_limit=PENDING_MAX)

    async def ask(
        self,
        subject: str,
        payload: bytes = b"",
        headers: dict[str, str] | None = None,
        *,
        patience: float = ANSWER,
    ) -> Msg:
        """Return the answer to a message; without one in time the client is lost.

        patience: for so many seconds it is waited for.
        Raises NatsError; ForbiddenError where the login may not publish on the subject.
        """
        self._number += 1
        inbox = f"{self._inbox}.{self._number}"
        answer: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(see)
        self._asked[inbox] = subject, answer
        try:
            if self.lost.done():
                raise self.lost.result()
            with self.timer.clock.busy():
                await self._send(subject, payload, inbox, headers)
                if await self.timer.hangs(answer, patience):
                    self.lose(UnreachableError(f"{self.server} does not answer: it may hang"))
            message = answer.result()
        finally:
            answer.cancel()
            del self._asked[inbox]
        if message.headers and message.headers.get("Status") == NO_RESPONDERS_STATUS:
            raise NatsError(f"{self.server} {NO_JETSTREAM}")
        return message

    async def tell(self, subject: str, payload: bytes = b"") -> None:
        """Send a message to whoever hears it; raises NatsError."""
        if self.lost.done():
            raise self.lost.result()
        await self._send(subject, payload, "", None)

    async def _send(
        self, subject: str, payload: bytes, inbox: str, headers: dict[str, str] | None
    ) -> None:
        size = sum(len(f"{name}: {value}\r\n") for name, value in (headers or {}).items())
        if len("NATS/1.0\r\n\r\n") + size + len(payload) > self.max_payload:
            raise NatsError(  # before the server closes the connection for it
                f"{self.server} takes no more than {self.max_payload} bytes, and less than it is "
                "asked with: set its max_payload to 64KB at least"
            )
        try:
            await self.publish(subject, payload, inbox, headers)
        except nats.errors.BadSubjectError as error:
            raise NatsError(
                f"{subject!r:.80} can be no subject: set NATS_JS_DOMAIN to the name of the "
                "JetStream domain"
            ) from error
        except nats.errors.Error as error:
            self.lose(UnreachableError(f"the connection to {self.server} is lost"))
            raise self.lost.result() from error

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
            **options(self._settings, self.server),
        )
        for task in (self._reading_task, self._flusher_task):
            if task:  # of which one at least ends with the connection
                task.add_done_callback(self._ended)
        self._inbox = self.new_inbox()
        await self.hear(f"{self._inbox}.*", self._hear)

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes
    ) -> None:
        # What is no text, as any peer may send, would end the connection.
        subject, reply = (each.decode(errors="replace").encode() for each in (subject, reply))
        headers = (headers or b"").decode("ascii", "replace").replace("\ufffd", "?").encode()
        has_any = len(headers) > len("NATS/1.0")
        await super()._process_msg(sid, subject, reply, data, headers if has_any else b"")

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        """Pass over the servers that a server names: nobody asks them, and they may be many."""

    def _connect_command(self) -> bytes:  # the last step before the login goes out
        if not isinstance(self._server_info.get("max_payload", 0), int):
            raise NatsError(f"{self.server} says of itself what no NATS server does")
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
        _, answer = self._asked.get(message.subject, ("", None))
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
            asked = [each for each, _ in self._asked.values() if each.lower() == told]
            subject = asked[0] if asked else told
            refusal = ForbiddenError(f"{self.server} gives no permission to publish to {subject}")
            self._refuse(refusal, subject)
            if not asked and self.unheard:
                self.unheard(refusal)

    def _refuse(self, error: NatsError, subject: str = "") -> None:
        """Give the error to all who wait for an answer, or to those who asked on a subject."""
        for asked, answer in self._asked.values():
            if not answer.done() and subject in {"", asked}:
                answer.set_exception(error)

    def _ended(self, task: asyncio.Task[None]) -> None:
        see(task)
        why = self._trouble or self.last_error or "it has ended"
        self.lose(UnreachableError(f"the connection to {self.server} is lost: {why}"))

    def _explain(self, error: Exception) -> NatsError:
        text = str(error).removeprefix("nats: ") or type(error).__name__
        if isinstance(error, NatsError):
            return error
        if "authorization" in text.lower() or "authentication" in text.lower():
            return NatsError(f"{self.server} refuses {self._settings.login}")
        if isinstance(error, ssl.SSLCertVerificationError):
            return NatsError(
                f"{self.server} cannot be trusted: {error.verify_message}; where its certificate "
                "is of an authority of your own, set NATS_CA to the file of that"
            )
        if isinstance(error, ssl.SSLError) or not isinstance(error, OSError | TimeoutError):
            return NatsError(f"{self.server} cannot be used: {text}")
        return UnreachableError(f"no server answers at {self.server}: {text}")


class _Bounded(Parser):
    """The parser of nats-py, with a bound on what it gathers, and one kind of error."""

    async def parse(self, data: bytes = b"") -> None:
        try:
            await super().parse(data)
        except nats.errors.ProtocolError:
            raise
        except Exception as error:  # the parser's, of garbage: nats-py would only print it
            raise nats.errors.ProtocolError from error
        if max(self.needed, len(self.buf)) > MESSAGE_MAX:
            raise nats.errors.ProtocolError


def see(done: asyncio.Future[Any]) -> None:
    """Take the exception of what nobody may wait for any more, or asyncio would complain of it."""
    if not done.cancelled():
        done.exception()

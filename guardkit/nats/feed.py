"""What one consumer of a stream delivers: in order, without a gap, and without an end."""

import asyncio
from collections.abc import Callable, Collection
from datetime import datetime
from math import inf
from typing import Any, Self

import msgspec
from nats.aio.msg import Msg

from guardkit.errors import NatsError
from guardkit.nats.client import Client, UnreachableError
from guardkit.nats.jetstream import Answer, Consumer, Info, Message, call
from guardkit.nats.streams import MESSAGE_MAX, SECOND, Stream, find_stream

BEAT = 1.0  # seconds between two signs of life of a consumer that has nothing to say
SILENCE = 3 * BEAT  # seconds after which it is gone, as after the loss of the server that kept it
LINGERS = 2.0  # seconds until the server drops the consumer of who was killed
LEAVING = 0.3  # seconds that deleting it may take
FILTERS_MAX = 100  # subjects that the server picks out; beyond this, filtering here is faster
WAITING_MAX, BATCH = 1000, 100  # messages that wait to be taken, and that are taken in a row
TICK = 0.5  # seconds until who waits for messages looks round
PATIENCE = 30.0  # seconds in which all that is there has to come
STALLED = "Nats-Consumer-Stalled"  # where to answer, for it to go on

Queue = asyncio.Queue[tuple[Stream, Message]]
Take = Callable[[Stream, Message], object]


class Place(msgspec.Struct):
    """How far a stream was read, over one connection after another.

    number: of the last message that was read, or need not be; None: all that is there need not be.
    created: when the stream was made that it is of; `""`: it is of none yet.
    """

    number: int | None = None
    created: str = ""

    def find(self, info: Info) -> bool:
        """Find out where to go on; return whether that is the beginning of another stream."""
        last = info.state.last_seq
        is_another = self.created not in {"", info.created}
        self.number = 0 if is_another else last if self.number is None else min(self.number, last)
        self.created = info.created
        return is_another


class Feed:
    """A consumer, which is deleted in the end.

    queue: takes what is delivered; it may be shared, and is bounded: who is slow is sent no more.
    place: where it goes on; None: it begins with the last message of each subject.
    subjects: which ones, none: all.
    awaited: how many messages there are at the beginning.
    afresh: whether it goes on in another stream, from the beginning.
    time: of the server, at the beginning; None where it does not say.
    joined: whether all that was there at the beginning is in the queue.
    """

    def __init__(
        self,
        client: Client,
        stream: Stream,
        queue: Queue,
        place: Place | None,
        subjects: Collection[str],
    ) -> None:
        self.awaited = 0
        self.afresh = False
        self.time: datetime | None = None
        self.joined = False
        self._client, self._stream, self._queue, self._place = client, stream, queue, place
        self._clock = client.timer.clock
        self._subjects = sorted(subjects) if len(subjects) <= FILTERS_MAX else []
        self._inbox, self._name = client.new_inbox(), ""
        self._last = 0  # the number of the last message that was there at the beginning
        self._received = 0  # messages
        self._seen: set[str] = set()  # subjects, of which there were messages
        self._caught_up = inf  # when the server had nothing more, in monotonic seconds
        self._heard = self._clock.monotonic()

    async def __aenter__(self) -> Self:
        client, name = self._client, self._stream.name
        info = await find_stream(client, self._stream)
        if not info:
            raise NatsError(f"the stream {name} on {client.server} is gone")
        self._last = info.state.last_seq
        self.afresh = bool(self._place and self._place.find(info))
        await client.hear(self._inbox, self._hear)
        request = {"stream_name": name, "config": self._config()}
        consumer = await call(client, f"CONSUMER.CREATE.{name}", Consumer, request)
        self._name, self.time = consumer.name, consumer.ts
        self.awaited = consumer.num_pending + consumer.delivered.consumer_seq
        self.joined |= not self.awaited
        self._heard = self._clock.monotonic()
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self._client.lost.done():
            action = f"CONSUMER.DELETE.{self._stream.name}.{self._name}"
            try:
                await call(self._client, action, Answer, patience=LEAVING)
            except NatsError:  # it lingers for a while
                return

    async def read_past(self, take: Take) -> None:
        """Have a function take all that was there at the beginning; raises NatsError."""
        limit = self._clock.monotonic() + PATIENCE
        while not (self.joined and self._queue.empty()):
            await take_next(self._client, self._queue, take)
            if self._clock.monotonic() > limit:
                server, stream = self._client.server, self._stream.name
                what = f"{server} did not tell of all that is in {stream} in {PATIENCE:g} s"
                raise NatsError(what)

    def check(self) -> None:
        """Give the connection up if nothing has been heard for too long."""
        if self._clock.monotonic() > self._heard + SILENCE and not self._queue.full():
            self._client.lose(UnreachableError(f"{self._client.server} has fallen silent"))

    def _config(self) -> dict[str, Any]:
        first: dict[str, Any] = {"deliver_policy": "last_per_subject"}
        if self._place:
            next_one = (self._place.number or 0) + 1
            first = {"deliver_policy": "by_start_sequence", "opt_start_seq": next_one}
        return {
            **first,
            "deliver_subject": self._inbox,
            "filter_subjects": self._subjects or [self._stream.subjects],
            "ack_policy": "none",
            "flow_control": True,
            "idle_heartbeat": int(BEAT * SECOND),
            "inactive_threshold": int(LINGERS * SECOND),
            "num_replicas": 1,
            "mem_storage": True,
        }

    async def _hear(self, raw: Msg) -> None:
        self._heard = self._clock.monotonic()
        if raw.subject == self._inbox:  # no message, but a sign of life, or a question
            await self._answer(raw)
        elif found := _read(raw):
            number, message = found
            self._follow(number - 1)
            self._received = number
            if len(message.data) <= MESSAGE_MAX:
                await self._queue.put((self._stream, message))
            if self._place:
                self._place.number = message.seq
            self.joined = self.joined or self._has_all(message)

    def _has_all(self, message: Message) -> bool:
        """Return whether all has come that was there at the beginning.

        A document that is replaced before it comes is not counted by the server any more, and the
        newer one follows; only what was deleted does not.
        """
        self._seen.add(message.subject)
        if not message.pending or message.seq >= self._last:
            self._caught_up = min(self._caught_up, self._heard)
        grace = 0.0 if self._stream.kept < 0 or len(self._seen) >= self.awaited else BEAT
        return self._heard >= self._caught_up + grace

    async def _answer(self, raw: Msg) -> None:
        headers = raw.headers or {}
        if reply := raw.reply or headers.get(STALLED):
            await self._client.tell(reply)
            return
        text = headers.get("Nats-Last-Consumer", "")
        if text.isascii() and text.isdigit():
            self._follow(int(text[:18]))
        self.joined = True

    def _follow(self, number: int) -> None:
        """See that all messages up to a number have come; else begin anew."""
        if number > self._received:
            self._client.lose(UnreachableError(f"{self._client.server} has left something out"))


async def take_next(client: Client, queue: Queue, take: Take) -> None:
    """Have a function take what has come, after a while at most.

    Raises NatsError when the client is lost.
    """
    if queue.empty():
        getting = asyncio.ensure_future(queue.get())
        try:
            if not await client.timer.hangs(getting, TICK):
                take(*getting.result())
        finally:
            getting.cancel()
    for _ in range(min(queue.qsize(), BATCH)):
        take(*queue.get_nowait())
    if client.lost.done():
        raise client.lost.result()


def _read(raw: Msg) -> tuple[int, Message] | None:
    """Return a message, and its number among those that were delivered; None for what is none."""
    try:
        found = raw.metadata
        numbers = found.sequence
        message = Message(
            raw.subject,
            numbers.stream,
            raw.data,
            dict(raw.headers or {}),
            found.timestamp,
            found.num_pending,
        )
    except Exception:  # nats-py's, of what is no message of a stream
        return None
    return numbers.consumer, message

"""What the stream tells of builds, in order and without a gap, and how far that has been read."""

# pyright: reportUnknownMemberType=false
# nats-py leaves some of its types open

import asyncio
from collections.abc import Collection
from datetime import datetime
from math import inf
from typing import NamedTuple

from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamInfo

from guardkit.errors import InvalidProgressError
from guardkit.nats.connection import Client, UnreachableError
from guardkit.nats.order import is_newer
from guardkit.nats.stream import (
    AT,
    EVENT,
    STREAM,
    SUBJECTS,
    ensure_stream,
    subject,
    task_of,
)
from guardkit.progress.snapshot import Snapshot, decode

BEAT = 1.0  # seconds between two signs of life of a consumer that has nothing to say
SILENCE = 3 * BEAT  # seconds after which it is gone, as after the loss of the server that kept it
FILTERS_MAX = 100  # subjects that the server picks out; beyond this, filtering here is faster
STALLED = "Nats-Consumer-Stalled"  # where to answer, for it to go on
SIZE_MAX = 2**15  # bytes; a document has 4 KiB at most


class News(NamedTuple):
    """A snapshot; its event, if it is a transition; when that was; how many seconds it lay there.

    The latter is by the server's clock alone, and 0 for what comes as it happens.
    """

    snapshot: Snapshot
    event: str | None
    at: datetime
    age: float


class Place:
    """What is wanted of the stream, and how far it has been read.

    `number` is that of the last message that was read; `begun` says whether there has been a
    consumer, and `joined` whether all that was there at first has been read. `since` when, and
    until when, nothing can have been missed, is in seconds of the monotonic clock.
    """

    def __init__(self, task_ids: Collection[str], *, history: bool) -> None:
        self._wanted = {*map(subject, task_ids)}
        self.history = history
        self._newest: dict[tuple[str, str], Snapshot] = {}  # of a task and a run, or of all: ""
        self._made: datetime | None = None
        self.number = 0
        self.begun = self.joined = False
        self.since = self.until = -inf

    def consumer(self, stream: StreamInfo) -> ConsumerConfig:
        """Return what goes on from here."""
        if stream.created != self._made or stream.state.last_seq < self.number:
            self._made, self.number = stream.created, 0  # it is another one, or has lost its end
        first = DeliverPolicy.ALL if self.history else DeliverPolicy.LAST_PER_SUBJECT
        few = 0 < len(self._wanted) <= FILTERS_MAX
        return ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE if self.number else first,
            opt_start_seq=self.number + 1 if self.number else None,
            filter_subjects=sorted(self._wanted) if few else [SUBJECTS],
            ack_policy=AckPolicy.NONE,
            max_deliver=1,
            flow_control=True,
            idle_heartbeat=BEAT,
            num_replicas=1,
            mem_storage=True,
        )

    def take(self, message: Msg, age: float) -> News | None:
        """Return what a message brings; None if that is none of ours, or not newer."""
        foreign = self._wanted and message.subject not in self._wanted
        if foreign or len(message.data) > SIZE_MAX:
            return None
        try:
            snapshot = decode(message.data)
        except InvalidProgressError:
            return None
        task_id, event = snapshot.task_id, (message.headers or {}).get(EVENT)
        run = task_id, snapshot.tracker.run_id if self.history and event else ""
        if task_of(message.subject) != task_id or not is_newer(snapshot, self._newest.get(run)):
            return None
        for each in ((task_id, snapshot.tracker.run_id), (task_id, "")):
            if is_newer(snapshot, self._newest.get(each)):
                self._newest[each] = snapshot
        at = _instant((message.headers or {}).get(AT, ""))
        return News(snapshot, event, at or snapshot.updated_at, age)


class Messages:
    """What one consumer delivers, in order and without a gap."""

    def __init__(self, client: Client, place: Place) -> None:
        self.client = client
        self._place = place
        self._inbox = client.new_inbox()
        self._queue: asyncio.Queue[Msg | None] = asyncio.Queue()
        self._received = 0  # messages
        self._awaited = 0  # messages that are there at the beginning
        self._complete = False  # whether they have come
        self._subjects: set[str] = set()  # of which there were messages
        self._caught_up = inf  # when the server said that nothing is left
        client.lost.add_done_callback(lambda _: self._queue.put_nowait(None))

    async def open(self) -> None:
        """Have the server deliver what comes behind the place; raises as nats-py does."""
        info = await ensure_stream(self.client)
        config = self._place.consumer(info)
        config.deliver_subject = self._inbox
        await self.client.subscribe(self._inbox, cb=self._hear)
        consumer = await self.client.js.add_consumer(STREAM, config)
        self._opened, now = consumer.created, asyncio.get_running_loop().time()
        self._place.since, self._place.until = now if self._place.joined else -inf, now
        self._place.begun = True
        sent = consumer.delivered.consumer_seq if consumer.delivered else 0
        self._awaited = (consumer.num_pending or 0) + sent
        self._complete = not self._awaited

    async def next(self) -> News | None:
        """Return what comes next; raises NatsError."""
        while not self._complete or self._place.joined:
            message = await self._next()
            if message.subject == self._inbox:  # no message, but a sign of life, or a question
                await self._answer(message)
                self._complete = not message.reply and STALLED not in (message.headers or {})
            else:
                self._complete = self._count(message)
                if news := self._place.take(message, self._age(message)):
                    return news
        self._place.joined = True
        return None

    async def _hear(self, message: Msg) -> None:
        self._queue.put_nowait(message)

    async def _next(self) -> Msg:
        """Return the next message, or a sign of life."""
        if self._queue.empty():
            try:
                async with asyncio.timeout(SILENCE):
                    message = await self._queue.get()
            except TimeoutError:
                raise UnreachableError(f"{self.client.server} has fallen silent") from None
        else:
            message = self._queue.get_nowait()
        if message is None:
            raise self.client.lost.result()
        self._place.until = asyncio.get_running_loop().time()
        return message

    def _age(self, message: Msg) -> float:
        if self._place.joined:
            return 0.0
        return max(0.0, (self._opened - message.metadata.timestamp).total_seconds())

    def _count(self, message: Msg) -> bool:
        """Note where we are; return whether all that was there at the beginning has come.

        Of each build that is its newest message. One that is replaced before it comes is not
        counted by the server any more, and the newer one follows; only what was deleted does not.
        """
        number, now = message.metadata.sequence, asyncio.get_running_loop().time()
        self._follow(number.consumer - 1)
        self._received = number.consumer
        self._place.number = number.stream
        self._subjects.add(message.subject)
        if not message.metadata.num_pending:
            self._caught_up = min(self._caught_up, now)
        enough = 0.0 if self._place.history else BEAT
        return len(self._subjects) >= self._awaited or now >= self._caught_up + enough

    async def _answer(self, message: Msg) -> None:
        """Say that we follow, if that is the question."""
        headers = message.headers or {}
        if last := headers.get("Nats-Last-Consumer"):
            self._follow(int(last))
        if reply := message.reply or headers.get(STALLED):
            await self.client.publish(reply)

    def _follow(self, number: int) -> None:
        if number != self._received:
            raise UnreachableError(f"{self.client.server} has left something out")


def _instant(text: str) -> datetime | None:
    """Return an aware time, None where the text is none."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else None

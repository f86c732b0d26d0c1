"""What is asked of JetStream, and its answers: checked, as anybody may have sent them."""

from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, field

from guardkit.errors import NatsError
from guardkit.nats.client import ANSWER, NO_JETSTREAM, Client

Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]

# Codes of the server's errors.
NO_MESSAGE, NO_STREAM, NAME_IN_USE = 10037, 10059, 10058
WRONG_LAST = {10071, 10164, 10158}  # another one is the last, or just coming
NOT_ENABLED = {0, 10039, 10076}
NOT_NOW = {10008, 10009, 10118}  # the servers of a cluster agree on a leader
NO_ROOM = {10002, 10023, 10028, 10047, 10077, 10110, 10121}

T = TypeVar("T")


class RefusedError(NatsError):
    """The server has answered with an error. code: its number."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Error(msgspec.Struct):
    """The error in an answer."""

    code: int = 0
    err_code: int = 0
    description: str = ""


class Answer(msgspec.Struct):
    """What every answer may have."""

    error: Error | None = None


class Ack(msgspec.Struct):
    """Where a message is, that was published. seq: its number in the stream."""

    stream: str
    seq: Annotated[int, Meta(ge=1, le=2**63 - 1)]


class State(msgspec.Struct):
    """What a stream has. last_seq: the number of its last message."""

    last_seq: Number = 0


class Config(msgspec.Struct):
    """What of the configuration of a stream is looked at; 0 or less: there is no limit.

    max_age: in nanoseconds.
    """

    subjects: list[str] | None = None
    max_msgs_per_subject: int = -1
    max_age: Annotated[int, Meta(le=2**63 - 1)] = 0
    max_bytes: Annotated[int, Meta(le=2**63 - 1)] = -1
    num_replicas: int = 1


class Info(msgspec.Struct):
    """What the server says of a stream.

    created: when the stream was made; of another stream of that name it is another time.
    """

    config: Config
    state: State
    created: str


class Whole(msgspec.Struct):
    """The whole configuration of a stream."""

    config: dict[str, Any]


class Delivered(msgspec.Struct):
    """How many messages a consumer has sent."""

    consumer_seq: Number = 0


class Consumer(msgspec.Struct):
    """What the server says of a consumer. name: it is given one. ts: the server's time."""

    name: str
    num_pending: Number = 0
    delivered: Delivered = field(default_factory=Delivered)
    ts: datetime | None = None


class Message(msgspec.Struct, frozen=True):
    """A message of a stream.

    seq: its number.
    time: when the server took it.
    pending: how many came behind it when it was delivered.
    """

    subject: str
    seq: Number
    data: bytes
    headers: dict[str, str]
    time: datetime
    pending: int = 0


class Stored(msgspec.Struct):
    """A message as an answer has it. hdrs: the headers as they go over the wire."""

    subject: str
    seq: Number
    time: datetime
    data: bytes = b""
    hdrs: bytes = b""

    def parse(self) -> Message:
        """Return the message; what is no header is passed over."""
        lines = self.hdrs.decode("ascii", "replace").split("\r\n")[1:]
        parts = (line.partition(":") for line in lines)
        headers = {name: value.strip() for name, _, value in parts if name}
        return Message(self.subject, self.seq, self.data, headers, self.time)


class Found(msgspec.Struct):
    """The answer to a look for a message."""

    message: Stored


async def call(
    client: Client,
    action: str,
    kind: type[T],
    request: object = None,
    *,
    patience: float = ANSWER,
) -> T:
    """Return the answer to a request; raises NatsError, RefusedError among them.

    patience: for so many seconds it is waited for.
    """
    payload = b"" if request is None else msgspec.json.encode(request)
    answer = await client.ask(f"{client.api}.{action}", payload, patience=patience)
    return _decode(client, answer.data, kind)


async def publish(
    client: Client, stream: str, subject: str, payload: bytes, headers: dict[str, str], *, last: int
) -> int | None:
    """Publish a message if that numbered `last` is the last one of its subject, 0: none is there.

    Returns its number, None where another message is the last. Raises NatsError.
    """
    expected = {
        "Nats-Expected-Stream": stream,
        "Nats-Expected-Last-Subject-Sequence": str(last),
    }
    answer = await client.ask(subject, payload, headers | expected)
    try:
        ack = _decode(client, answer.data, Ack)
    except RefusedError as error:
        if error.code in WRONG_LAST:
            return None
        raise
    return ack.seq if ack.stream == stream else None


async def find_last(client: Client, stream: str, subject: str) -> Message | None:
    """Return the last message of a subject, None if there is none. Raises NatsError.

    It is the leader of the stream that answers: a follower may not know of the last one yet.
    """
    return await _find(client, stream, {"last_by_subj": subject})


async def find_next(client: Client, stream: str, subject: str, number: int) -> Message | None:
    """Return the first message of a subject with a number, or past it. Raises NatsError."""
    return await _find(client, stream, {"seq": number, "next_by_subj": subject})


async def _find(client: Client, stream: str, which: dict[str, object]) -> Message | None:
    try:
        return (await call(client, f"STREAM.MSG.GET.{stream}", Found, which)).message.parse()
    except RefusedError as error:
        if error.code == NO_MESSAGE:
            return None
        raise


def _decode(client: Client, answer: bytes, kind: type[T]) -> T:
    try:
        error = msgspec.json.decode(answer, type=Answer).error
        if not error:
            return msgspec.json.decode(answer, type=kind)
    except Exception as garbage:  # msgspec: also UnicodeDecodeError, RecursionError
        what = f"{client.server} answers what no NATS server does: {garbage}"
        raise NatsError(what) from garbage
    code, why = error.err_code, error.description[:200]
    text = f"{client.server} refuses: {why}"
    if error.code == 503 and code in NOT_ENABLED:  # noqa: PLR2004
        text = f"{client.server} {NO_JETSTREAM}"
    elif code in NOT_NOW:
        text = f"{client.server} cannot do that now: {why}"
    elif code in NO_ROOM:
        text += (
            "; give the streams of builds less room, as guardkit nats init --max-bytes 100MiB, or "
            "the account more"
        )
    raise RefusedError(code, text)

"""JSON-RPC 2.0, a message a line: what comes in, and what answers it.

https://www.jsonrpc.org/specification. The MCP server starts with this module, so that it needs the
standard library alone.
"""

from __future__ import annotations

import json

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Protocol

    Json = dict[str, Any]
    Deliver = Callable[[Json | None], None]

    class Server(Protocol):
        """What answers."""

        def call(self, call: Call, method: str, params: Json) -> Json | None:
            """Return the result, None where the call is given it later; may raise RpcError."""
            ...

        def notify(self, method: str, params: Json) -> None:
            """Take a message that wants no answer."""
            ...

        def tick(self) -> Iterable[Json]:
            """Do what is due, and return messages of which none is missed if it is lost."""
            ...

        def due(self) -> float | None:
            """Return in how many seconds something is due, None: nothing but the next message."""
            ...

        def finish(self) -> None:
            """Answer what has no answer yet, as nothing more comes in."""
            ...


PARSE_ERROR, INVALID_REQUEST, UNKNOWN_METHOD = -32700, -32600, -32601
INVALID_PARAMS, DEFECT = -32602, -32603
LINE_MAX = 2**20  # bytes of a line
BATCH_MAX = 100  # messages in a line
ID_MAX = 256  # characters of an id


class RpcError(Exception):
    """What a request is answered with in place of a result.

    code: as JSON-RPC and MCP number them. data: what programs are told besides.
    """

    def __init__(self, code: int, message: str, data: Json | None = None) -> None:
        super().__init__(message)
        self.code, self.data = code, data


class Call:
    """A request, which one call of `answer`, `refuse` or `drop` settles.

    name: its id, as the peer gave it; None: it has none.
    """

    def __init__(self, deliver: Deliver) -> None:
        self.name: str | int | None = None
        self._deliver = deliver

    def answer(self, result: Json) -> None:
        """Give the result."""
        self._deliver({"jsonrpc": "2.0", "id": self.name, "result": result})

    def refuse(self, error: RpcError) -> None:
        """Give an error."""
        more = {} if error.data is None else {"data": error.data}
        told = {"code": error.code, "message": str(error), **more}
        self._deliver({"jsonrpc": "2.0", "id": self.name, "error": told})

    def drop(self) -> None:
        """Give no answer, as none is wanted."""
        self._deliver(None)


class Batch:
    """The answers to the messages of one line: they go out as one message, when all are there."""

    def __init__(self, size: int, send: Callable[[list[Json]], None]) -> None:
        self._missing = size
        self._send = send
        self._answers: list[Json] = []

    def deliver(self, answer: Json | None) -> None:
        """Take the next answer, None where a message gets none."""
        self._missing -= 1
        if answer:
            self._answers.append(answer)
        if not self._missing and self._answers:
            self._send(self._answers)


class Session:
    """What comes in: each line is taken for what it is, and has the server answer it.

    send: takes each message that goes out.
    """

    def __init__(self, server: Server, send: Callable[[Json | list[Json]], None]) -> None:
        self._server = server
        self._send = send

    def take(self, line: bytes | None) -> None:
        """Take the next line, None for one that was too long."""
        try:
            message = _parse(line)
        except RpcError as error:
            Call(self._deliver).refuse(error)
            return
        if not is_array(message):
            self._take(message, self._deliver)
            return
        batch = Batch(len(message), self._send)
        for each in message:
            self._take(each, batch.deliver)

    def _take(self, message: Any, deliver: Deliver) -> None:
        call = Call(deliver)
        try:
            if is_object(message) and is_id(message.get("id")):
                call.name = message["id"]
            if (found := _check(message)) is None:
                call.drop()
            elif "id" not in message:
                self._server.notify(*found)
                call.drop()
            elif (result := self._server.call(call, *found)) is not None:
                call.answer(result)
        except RpcError as error:
            call.refuse(error)
        except Exception as error:  # a defect of ours: the session of an agent must not end by it
            call.refuse(RpcError(DEFECT, f"a defect in guardkit: {type(error).__name__}"))

    def _deliver(self, answer: Json | None) -> None:
        if answer:
            self._send(answer)


def _parse(line: bytes | None) -> Any:
    """Return the message, or the batch of some, in a line; raises RpcError."""
    if line is None:
        raise RpcError(INVALID_REQUEST, f"a line has {LINE_MAX:,} bytes at most")
    try:
        message = json.loads(line.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise RpcError(PARSE_ERROR, "a line is one message in JSON: this one is none") from None
    if is_array(message) and not 0 < len(message) <= BATCH_MAX:
        raise RpcError(INVALID_REQUEST, f"a batch has 1 to {BATCH_MAX} messages")
    return message


def _refuse(constant: str) -> None:
    raise ValueError(constant)  # NaN and infinities, which are no JSON


def _check(message: Any) -> tuple[str, Json] | None:
    """Return method and parameters of a request, None for an answer; raises RpcError."""
    if not is_object(message) or message.get("jsonrpc") != "2.0":
        raise RpcError(INVALID_REQUEST, 'a message is an object with "jsonrpc": "2.0"')
    if "method" not in message and ("result" in message or "error" in message):
        return None  # we have asked nothing
    method, params = message.get("method"), message.get("params")
    if not isinstance(method, str):
        raise RpcError(INVALID_REQUEST, "the method is a text")
    if "id" in message and not is_id(message["id"]):
        raise RpcError(INVALID_REQUEST, f"an id is a whole number or a text of up to {ID_MAX}")
    if params is not None and not is_object(params):
        raise RpcError(INVALID_PARAMS, "the parameters are an object")
    return method, params or {}


def is_object(value: object) -> bool:
    """Return whether a value of JSON is an object."""
    return isinstance(value, dict)


def is_array(value: object) -> bool:
    """Return whether a value of JSON is an array."""
    return isinstance(value, list)


def is_id(value: object) -> bool:
    """Return whether a value may name a request, or its progress."""
    is_number = type(value) is int and abs(value) < 2**63
    return is_number or (isinstance(value, str) and len(value) <= ID_MAX)

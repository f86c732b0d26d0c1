"""Who speaks JSON-RPC, a message a line: one question at a time, and what is heard meanwhile.

It reads no further ahead than it answers, so a peer that floods it has to wait itself.
"""

import json
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream

from guardkit.orchestrator.agents.fields import at, parse, text
from guardkit.orchestrator.agents.lines import Lines

UNKNOWN_METHOD = -32601
NOISE_MAX = 1000  # bytes
GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)

Hear = Callable[[str, object], object]
"""Is given the method and parameters of what the peer tells or asks; returns the result.

None: the method is not known.
"""


class Reply(NamedTuple):
    """The answer to a question: its result, or else its error."""

    result: object = None
    error: object = None
    gone: bool = False  # the peer is, and will not answer


class Peer:
    """The other side of two streams of bytes; `noise` is the first line that was no message."""

    def __init__(self, receive: ByteReceiveStream, send: ByteSendStream, hear: Hear) -> None:
        self.noise = ""
        self._receive, self._send, self._hear = receive, send, hear
        self._lines, self._pending = Lines(), deque[bytes]()
        self._asked = 0

    async def ask(self, method: str, params: object) -> Reply:
        """Return the answer to a question, after all that comes before it."""
        self._asked += 1
        await self._write({"id": self._asked, "method": method, "params": params})
        return await self.reply()

    async def tell(self, method: str, params: object) -> None:
        """Tell what needs no answer."""
        await self._write({"method": method, "params": params})

    async def reply(self) -> Reply:
        """Return the answer to the latest question, if it was left before it came."""
        while True:
            while not self._pending:
                try:
                    self._pending.extend(self._lines.take(await self._receive.receive()))
                except GONE:
                    return Reply(gone=True)
            line = self._pending.popleft()
            message = parse(line)
            if method := text(message, "method"):
                await self._answer(method, message)
            elif at(message, "id") == self._asked:
                return Reply(at(message, "result"), at(message, "error"))
            elif at(message, "id") is None and not self.noise:
                self.noise = line[:NOISE_MAX].decode(errors="replace").strip()

    async def _answer(self, method: str, message: object) -> None:
        key, result = at(message, "id"), self._hear(method, at(message, "params"))
        unknown = {"code": UNKNOWN_METHOD, "message": f"{method:.100} is not known here"}
        if key is not None:
            told = {"error": unknown} if result is None else {"result": result}
            await self._write({"id": key, **told})

    async def _write(self, message: dict[str, object]) -> None:
        with suppress(*GONE):  # who reads next will see that the peer has gone
            await self._send.send(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

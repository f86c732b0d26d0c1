"""JSON-RPC over two descriptors, in one thread, without an event loop.

An MCP server starts with each session of an agent, so that it needs the standard library alone, and
of that the cheap part. What comes in and what goes out is bounded.
"""

from __future__ import annotations

import json
import os
import select
from collections import deque

from guardkit.places.mcp.rpc import LINE_MAX, Session

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from guardkit.clock import Clock
    from guardkit.places.mcp.rpc import Json, Server

QUEUE_MAX = 2**20  # bytes that wait for the peer, past which nothing more is taken in
LOSSY_MAX = 2**16  # bytes that wait for the peer, past which what may be lost is lost
READ, WRITE = 2**16, 4096  # bytes at a time; a pipe that has any room takes the latter unblocked
PATIENCE = 5.0  # seconds for the peer to take the last answers


class Inbox:
    """Lines as they come in.

    lines: those that nobody has taken yet, None for one that was too long.
    ended: whether no more come.
    """

    def __init__(self, fd: int) -> None:
        self.lines: deque[bytes | None] = deque()
        self.ended = False
        self.fd = fd
        self._rest: bytearray | None = bytearray()  # of a line that has no end yet

    def read(self) -> None:
        """Take what has come; raises OSError."""
        data = os.read(self.fd, READ)
        self.ended = not data
        *ends, rest = data.split(b"\n") if data else (b"", b"")
        for each in ends:
            self._add(each)
            line, self._rest = self._rest, bytearray()
            if line is None or line.strip():
                self.lines.append(None if line is None else bytes(line))
        self._add(rest)

    def _add(self, part: bytes) -> None:
        if self._rest is not None and len(self._rest) + len(part) <= LINE_MAX:
            self._rest += part
        else:
            self._rest = None


class Outbox:
    """Messages that wait to be read by the peer."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._bytes = bytearray()

    def __len__(self) -> int:
        return len(self._bytes)

    def put(self, message: Json | list[Json]) -> None:
        """Add a message."""
        self._bytes += json.dumps(message).encode() + b"\n"

    def write(self) -> None:
        """Write a part of what waits; raises OSError."""
        del self._bytes[: os.write(self.fd, self._bytes[:WRITE])]


def serve(server: Server, clock: Clock, *, reader: int = 0, writer: int = 1) -> bool:
    """Answer what comes in until that ends; return whether the peer has taken all answers.

    A peer may send much before it reads: what comes in is read while answers wait, up to a bound,
    and no write waits for the peer. Raises OSError.

    reader, writer: descriptors.
    """
    inbox, outbox = Inbox(reader), Outbox(writer)
    session = Session(server, outbox.put)
    while inbox.lines or not inbox.ended:
        has_room = len(outbox) < QUEUE_MAX
        if inbox.lines and has_room:
            session.take(inbox.lines.popleft())
            continue
        if not _wait(inbox if has_room else None, outbox, server.due()):
            return False
        for message in server.tick():
            if len(outbox) < LOSSY_MAX:
                outbox.put(message)
    server.finish()
    end = clock.monotonic() + PATIENCE
    while outbox and (left := end - clock.monotonic()) > 0 and _wait(None, outbox, left):
        pass
    return not outbox


def _wait(inbox: Inbox | None, outbox: Outbox, seconds: float | None) -> bool:
    """Read and write as soon as one of that can be done; return whether the peer still reads.

    inbox: None: nothing is read. seconds: at most, None: for ever.
    """
    poll = select.poll()
    poll.register(outbox.fd, select.POLLOUT if outbox else 0)
    if inbox:
        poll.register(inbox.fd, select.POLLIN)
    ready = dict(poll.poll(None if seconds is None else max(0, int(seconds * 1000) + 1)))
    if ready.get(outbox.fd, 0) & ~select.POLLOUT:
        return False
    if outbox.fd in ready:
        outbox.write()
    if inbox and inbox.fd in ready:
        inbox.read()
    return True

"""What is sent to browsers as it happens: server-sent events that carry HTML, ready to be put in.

Each browser has a bounded queue. One that takes less than there is loses what is in it, and is sent
all anew when it takes again: a slow browser costs updates, not memory.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable

from guardkit.places.web.projects import Key

WAITING_MAX = 2**20  # bytes that wait for one browser, besides what concerns all of the page
PIECE = 2**16  # bytes that are sent at once
BEAT = 10.0  # seconds between two signs of life


def encode(html: Iterable[bytes]) -> bytes:
    """Return the event that puts HTML in place, b"" where there is none."""
    text = b"".join(html)
    return b"event: put\ndata: " + text.replace(b"\n", b"\ndata: ") + b"\n\n" if text else b""


class Browser:
    """One that looks on.

    key: the build whose page it shows; None: that of all builds.
    whole: returns all of the page, as an event.
    """

    def __init__(self, key: Key | None, whole: Callable[[], bytes]) -> None:
        self.key = key
        self._whole = whole
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._behind = True  # it has nothing yet
        self._is_over = False
        self._news = asyncio.Event()
        self._news.set()

    def put(self, event: bytes) -> None:
        """Have an event sent as soon as there is time."""
        if self._behind or not event:
            return
        self._waiting.append(event)
        self._size += len(event)
        if self._size > WAITING_MAX and len(self._waiting) > 1:
            self._waiting.clear()
            self._size, self._behind = 0, True
        self._news.set()

    def end(self) -> None:
        """Have nothing more sent."""
        self._is_over = True
        self._news.set()

    async def events(self) -> AsyncGenerator[bytes]:
        """Yield what is to be sent, in pieces: first all of the page, then what is new."""
        yield b"retry: 1000\n\n"
        while not self._is_over:
            await self._news.wait()
            self._news.clear()
            if self._behind:
                self._behind = False
                for piece in pieces(self._whole()):
                    yield piece
            while self._waiting:
                event = self._waiting.popleft()
                self._size -= len(event)
                for piece in pieces(event):
                    yield piece


def pieces(text: bytes) -> Iterable[bytes]:
    """Return a text in pieces, so that none who takes the rest slowly has more in his buffer."""
    return (text[at : at + PIECE] for at in range(0, len(text), PIECE))

"""What a command writes, passed on: byte by byte as it is, and no faster than it is taken."""

import asyncio
import os
import select
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import Thread

CHUNK = 64 * 1024
BACKLOG = 2**20  # bytes: no pipe and no terminal holds more


class Pump:
    """A thread that passes on what comes from a descriptor, as a write may take for ever.

    source: the descriptor, which does not block once it has something.
    write: is given each chunk, and writes all of it.
    hear: is given each chunk after that.
    lost: is called, on the event loop, when `write` has raised OSError: then the thread leaves
        the source alone. `error` holds it.
    """

    def __init__(
        self,
        source: int,
        *,
        write: Callable[[bytes], object],
        hear: Callable[[bytes], object],
        lost: Callable[[], object],
    ) -> None:
        self.error: OSError | None = None
        self._source = source
        self._write = write
        self._hear = hear
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._bell, self._ring = os.pipe()
        self._asked: deque[asyncio.Future[None]] = deque()
        self._coming = select.poll()
        self._is_open = True
        Thread(target=self._run, name="guardkit-pump", daemon=True).start()

    async def drain(self) -> None:
        """Return when all is passed on that is there now."""
        passed = self._loop.create_future()
        self._asked.append(passed)
        os.write(self._ring, b"?")
        await passed

    def close(self) -> None:
        """Let the thread end, as soon as what it writes is taken."""
        os.close(self._ring)

    def _run(self) -> None:
        self._coming.register(self._source, select.POLLIN)
        both = select.poll()
        both.register(self._source, select.POLLIN)
        both.register(self._bell, select.POLLIN)
        while True:
            ready = {fd for fd, _ in both.poll()}
            if self._source in ready:
                self._pass()
                if not self._is_open:
                    both.unregister(self._source)
            if self._bell in ready:
                if not os.read(self._bell, 1):
                    break
                self._pass_what_is_there()
                self._call(self._answer)
        os.close(self._bell)

    def _pass_what_is_there(self) -> None:
        """Pass on as much as can be there, and not what is added meanwhile for ever."""
        rest = BACKLOG
        while rest > 0 and self._is_open and self._coming.poll(0):
            rest -= self._pass()

    def _pass(self) -> int:
        """Pass a chunk on, and return its length; see whether any can follow."""
        try:
            chunk = os.read(self._source, CHUNK)
        except BlockingIOError:  # the command has taken it back
            return 0
        except OSError:  # EIO: nobody is left on the terminal
            chunk = b""
        self._is_open = bool(chunk)
        if chunk:
            try:
                self._write(chunk)
                self._hear(chunk)
            except OSError as error:
                self.error, self._is_open = error, False
                self._call(self._lost)
        return len(chunk)

    def _answer(self) -> None:
        passed = self._asked.popleft()
        if not passed.done():
            passed.set_result(None)

    def _call(self, function: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the event loop is closed
            self._loop.call_soon_threadsafe(function)

"""Output that is written whole, whatever it is connected to."""

from __future__ import annotations

import io
import select

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from typing import Any

NAMES = {1: "standard output", 2: "standard error"}


class Output(io.FileIO):
    """An open descriptor that writes all it is given, and waits where there is no room.

    Programs such as node and CI systems hand on pipes that do not block. Writing to these takes a
    part, or nothing, which Python's own files drop or raise BlockingIOError for.

    fd: the descriptor, which is not closed by this object.
    """

    def __init__(self, fd: int) -> None:
        super().__init__(fd, "w", closefd=False)

    def write(self, data: Any, /) -> int:
        """Write all of `data`.

        Raises OSError, which names the output, where it is closed, the reader has gone or the disk
        is full.
        """
        rest = whole = memoryview(data).cast("B")
        while rest:
            try:
                taken = super().write(rest)
            except OSError as error:
                raise OSError(error.errno, error.strerror, NAMES.get(self.fileno())) from None
            rest = rest[taken or 0 :]
            if rest:
                self._wait()
        return whole.nbytes

    def _wait(self) -> None:
        """Return when there is room again, or the reader has gone."""
        room = select.poll()
        room.register(self.fileno(), select.POLLOUT)
        room.poll()


def unread(fd: int) -> bool:
    """Return whether a descriptor leads to somebody who will never read from it again."""
    looking = select.poll()
    looking.register(fd, 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in looking.poll(0))

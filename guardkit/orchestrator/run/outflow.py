"""All that a command writes, on its way to where we write."""

import asyncio
import errno
from collections.abc import Callable, Mapping
from functools import partial

import anyio

from guardkit.orchestrator.run.listener import Listener
from guardkit.orchestrator.run.pump import Pump
from guardkit.orchestrator.run.wires import Wires

FLUSH = 1.0  # seconds in which output is taken, where somebody wants the command to stop or end

Write = Callable[[bytes], object]


class Outflow:
    """The outputs of a command, passed on from now; made on the event loop.

    wires: what leads out of the command.
    writes: by descriptor, 1 and 2, what writes all that it is given.
    listener: is told what has been written.
    """

    def __init__(self, wires: Wires, writes: Mapping[int, Write], listener: Listener) -> None:
        self._wires = wires
        self._untaken: OSError | None = None
        self._pumps = [
            Pump(
                wire.ours,
                write=writes[wire.fd],
                hear=partial(listener.hear, wire.fd),
                lost=partial(wires.cut, wire),
            )
            for wire in wires.each
        ]

    @property
    def lost(self) -> OSError | None:
        """Why some of it could not be written, None where all of it could."""
        return next((pump.error for pump in self._pumps if pump.error), self._untaken)

    async def flush(self) -> None:
        """Return when all is written that is there now, or nobody takes it."""
        with anyio.move_on_after(FLUSH):
            await self._drain()

    async def finish(self, enough: asyncio.Event) -> None:
        """Return when all is written that the command has left, which has ended.

        Whoever it has left behind may hold the outputs open, and is not waited for.

        enough: is set when somebody wants it to end; then what is not taken soon is lost.
        """
        self._wires.close_theirs()
        drained, wanted = asyncio.ensure_future(self._drain()), asyncio.ensure_future(enough.wait())
        await asyncio.wait({drained, wanted}, return_when=asyncio.FIRST_COMPLETED)
        with anyio.move_on_after(FLUSH):
            await asyncio.wait({drained})
        if not drained.done():
            self._untaken = OSError(errno.EAGAIN, "nobody reads it", "output")
        for task in (drained, wanted):
            task.cancel()
        for pump in self._pumps:
            pump.close()

    async def _drain(self) -> None:
        await asyncio.gather(*(pump.drain() for pump in self._pumps))

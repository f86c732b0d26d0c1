"""Connections, with bounds on how many there are, and on how long one may keep others waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

CONNECTIONS_MAX = 200
SWEEP = 5.0  # seconds between two looks at all connections
ASKS, READS = 2, 5  # sweeps in which a request has to be there, and something to be read


class Door(H11Protocol):
    """One connection.

    Of those that ask for nothing the oldest goes where there is no room; where all are busy, a new
    one is not let in. One that sends no request in time, or reads nothing, is closed.
    """

    sweeps = 0  # in which nothing has come of it

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered."""
        cycle: RequestResponseCycle | None = self.cycle
        return not cycle or cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, if there is room, or make some."""
        super().connection_made(transport)
        others = [each for each in doors(self.connections) if each is not self]
        if len(others) >= CONNECTIONS_MAX:
            idle = (each for each in others if each.is_idle)
            max(idle, key=lambda each: each.sweeps, default=self).close()

    def on_response_complete(self) -> None:
        """Take note that a request was answered."""
        self.sweeps = 0
        super().on_response_complete()

    def resume_writing(self) -> None:
        """Take note that something was read."""
        self.sweeps = 0
        super().resume_writing()

    def sweep(self) -> None:
        """Close the connection if nothing has come of it for too long."""
        if self.is_idle:
            self.sweeps += 1
            limit = ASKS
        elif self.flow.write_paused:
            self.sweeps += 1
            limit = READS
        else:
            self.sweeps, limit = 0, READS
        if self.sweeps > limit:
            self.close()

    def close(self) -> None:
        """Close the connection at once, whatever is still to be sent."""
        self.connections.discard(self)
        self.transport.abort()


def doors(connections: Iterable[object]) -> list[Door]:
    """Return those of a server's connections that are ours, which all of them are."""
    return [each for each in connections if isinstance(each, Door)]

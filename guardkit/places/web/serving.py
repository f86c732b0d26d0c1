"""The server: where it listens, and how long it lives."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address

import uvicorn
from anyio import CancelScope

from guardkit.clock import SYSTEM_CLOCK, Clock
from guardkit.monitor.look import Source
from guardkit.places.web.app import Page
from guardkit.places.web.door import SWEEP, Door, doors
from guardkit.places.web.guard import Guard, Token
from guardkit.places.web.live import Live
from guardkit.places.web.projects import name_projects

BACKLOG = 64  # connections that wait to be accepted, and are then at once
SENT_MAX = 2**18  # bytes that the kernel holds for one who reads slowly, instead of megabytes
HEADERS_MAX = 2**14  # bytes of the head of a request
NO_ENTRY = (
    "This page shows builds to those who have its token. Open it by the address with ?token= that "
    "guardkit serve has told; if you have done so before, follow the link."
)


class Server(uvicorn.Server):
    """A server that leaves the signals to who runs it."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Capture none."""
        yield


def listen(host: str, port: int) -> socket.socket:
    """Return a socket on which the page is to be served; raises OSError.

    host: an address of this machine, or a name of one. port: 0: any that is free.
    """
    kind = {"type": socket.SOCK_STREAM, "proto": socket.IPPROTO_TCP}
    [family, *_, address], *_ = socket.getaddrinfo(host, port, flags=socket.AI_PASSIVE, **kind)
    # asyncio sends small pieces at once where it is told that this is TCP; else each takes 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SENT_MAX)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def is_loopback(listening: socket.socket) -> bool:
    """Return whether nobody but this machine can reach a socket."""
    return ip_address(listening.getsockname()[0]).is_loopback


async def serve(
    sources: Sequence[Source],
    listening: socket.socket,
    *,
    names: Sequence[str] = (),
    token: Token | None = None,
    clock: Clock | None = None,
) -> None:
    """Serve the page until this is cancelled.

    sources: whose builds are on it. listening: as `listen` returns it; it is closed in the end.
    names: host names of this machine. token: is asked for; None: none is.
    """
    clock = clock or SYSTEM_CLOCK
    async with Live(name_projects(sources), clock) as live:
        no_entry = live.pages.notice("A token is needed", NO_ENTRY)
        page = Page(live).app()
        guard = Guard(page, clock, names=names, token=token, no_entry=no_entry)
        server = Server(
            uvicorn.Config(
                guard,
                http=Door,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="critical",
                access_log=False,
                backlog=BACKLOG,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                h11_max_incomplete_event_size=HEADERS_MAX,
            )
        )
        sweeping = asyncio.create_task(_sweep(server, clock))
        try:
            await server.serve(sockets=[listening])
        finally:
            sweeping.cancel()
            with CancelScope(shield=True):
                await _close(server, listening)


async def _sweep(server: Server, clock: Clock) -> None:
    while True:
        await clock.sleep(SWEEP)
        for door in doors(server.server_state.connections):
            door.sweep()


async def _close(server: Server, listening: socket.socket) -> None:
    """End all that is being answered; nothing of it is worth waiting for."""
    listening.close()
    tasks = [*server.server_state.tasks]
    for task in tasks:
        task.cancel()
    for door in doors(server.server_state.connections):
        door.close()
    if tasks:
        await asyncio.wait(tasks)

"""The command that shows builds in a browser."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager

from guardkit.cli import codes, values
from guardkit.errors import GuardKitError, MisuseError
from guardkit.places.plain import clean

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    import socket
    from collections.abc import Generator

    from guardkit.cli.parser import Commands, Parser
    from guardkit.monitor.look import Source
    from guardkit.places.web.guard import Token

HOST, PORT = "127.0.0.1", 4747


def add_commands(commands: Commands) -> None:
    """Declare the command."""
    commands.add("serve", serve, _declare_serve)


def _declare_serve(command: Parser) -> None:
    about = "Folders of projects that are shown on one page; by default that of --root."
    command.add_argument("dirs", nargs="*", type=values.guarded, metavar="DIR", help=about)
    about = f"The port; by default {PORT}, and 0 is any that is free."
    command.add_argument("--port", type=values.port, default=PORT, metavar="N", help=about)
    about = f"The address to listen on; by default {HOST}, which this machine alone can reach. At "
    about += "any other one the page asks for a token."
    command.add_argument("--host", default=HOST, metavar="ADDRESS", help=about)
    command.add_stall_after()
    command.add_root()
    command.add_nats(about="Show the builds of all machines, on a NATS server, too.")
    command.add_project()


def serve(
    *,
    dirs: list[str],
    port: int,
    host: str,
    stall_after: float,
    root: str,
    nats: str | None,
    project: str | None,
) -> int:
    """Show builds in a browser, live, until Ctrl-C; nothing can be changed there.

    $ guardkit serve
    $ guardkit serve ~/shop ~/site --port 8080
    """
    from guardkit.cli.signals import until_signal
    from guardkit.places.web.serving import serve

    sources = _find_sources(dirs, root, nats, project, stall_after)
    listening = _listen(host, port)
    with listening, _admission(listening, host) as token:
        print("Ctrl-C ends it; builds go on.", flush=True)
        work = serve(sources, listening, names=_names(host), token=token)
        until_signal(work)
    return codes.STOPPED


def _find_sources(
    dirs: list[str], root: str, nats: str | None, project: str | None, stall_after: float
) -> list[Source]:
    """Return where builds are looked for: in folders, and on a server."""
    from guardkit.cli.finder import find

    for each in dirs:
        if not os.path.isdir(each):  # noqa: PTH112 - pathlib is slow to import
            raise MisuseError(f"{clean(f'{each}')} is no folder: name folders of projects")
    folders = dirs or ([root] if nats is None else [])
    by_path = {os.path.realpath(each): str.__str__(each) for each in folders}
    sources = [find(each, None, None, stall_after=stall_after).builds for each in by_path.values()]
    if nats is not None or project:
        sources.append(find(root, nats, project, stall_after=stall_after).builds)
    return sources


def _listen(host: str, port: int) -> socket.socket:
    from guardkit.places.web.serving import listen

    try:
        return listen(host, port)
    except OSError as error:
        why = f"cannot listen on port {port} of {clean(f'{host}')}: {_reason(error)}"
        raise GuardKitError(f"{why}; give others by --port and --host") from error


def _reason(error: OSError) -> str:
    """Return why; Python adds an address in brackets to what the system says."""
    number = error.errno or 0  # below zero where the name of a host is none
    return os.strerror(number) if number > 0 else f"{error.strerror}"


@contextmanager
def _admission(listening: socket.socket, host: str) -> Generator[Token | None]:
    """Say where the page is; where others can reach it, make the token that lets them in.

    The token is in a file that its owner alone can read, as long as the page is served; it is
    printed to a terminal only, as other outputs end up in logs.
    """
    from tempfile import NamedTemporaryFile

    from guardkit.clock import SYSTEM_CLOCK
    from guardkit.places.web.guard import Token
    from guardkit.places.web.serving import is_loopback

    url = f"http://{_host_shown(listening, host)}:{listening.getsockname()[1]}/"
    if is_loopback(listening):
        print(url)
        yield None
        return
    token = Token(SYSTEM_CLOCK)
    with NamedTemporaryFile("w", prefix="guardkit-serve-") as file:
        file.write(f"{url}?token={token.secret}\n")
        file.flush()
        print(f"{url}?token={token.secret}" if sys.stdout.isatty() else url)
        print(f"The address with its token is in {file.name}, which you alone can read.")
        print("What is sent is not encrypted: give the token to nobody, and trust the network.")
        yield token


def _host_shown(listening: socket.socket, host: str) -> str:
    """Return by which host the page is to be called."""
    import socket

    address = listening.getsockname()[0]
    if address in {"0.0.0.0", "::"}:  # noqa: S104 - what is compared
        return socket.gethostname()
    if _is_name(host):
        return clean(f"{host}")
    return f"[{address}]" if ":" in address else f"{address}"


def _names(host: str) -> list[str]:
    """Return the names under which the page may be called, besides the addresses."""
    import socket

    own = socket.gethostname()
    return [own, f"{own}.local", *([str.__str__(host)] if _is_name(host) else [])]


def _is_name(host: str) -> bool:
    """Return whether a host is a name, and no address."""
    return ":" not in host and not host.replace(".", "").isdigit() and bool(host)

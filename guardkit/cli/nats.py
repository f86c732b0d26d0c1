"""The commands that serve builds on many machines: making their stream, and relaying them to it."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError

from guardkit.cli import codes
from guardkit.cli.values import at_least
from guardkit.errors import MisuseError

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from collections.abc import Callable

    from guardkit.cli.parser import Commands, Parser
    from guardkit.nats.jetstream import Config, Info
    from guardkit.nats.settings import Settings
    from guardkit.nats.streams import Limits

SECONDS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
BYTES = {"GiB": 2**30, "MiB": 2**20, "KiB": 2**10, "B": 1}


def add_commands(commands: Commands) -> None:
    """Declare the commands."""
    commands.add("relay", relay, _declare_relay)
    about = "Look after the streams of builds on a NATS server."
    commands.add_group("nats", about, lambda group: group.add("init", init, _declare_init))


def _declare_relay(command: Parser) -> None:
    command.add_root()
    command.add_nats(about="The server.", default="")
    command.add_project()


def _declare_init(command: Parser) -> None:
    about = "How long a message is kept, such as 12h or 7d."
    command.add_argument("--max-age", type=_amount(SECONDS), metavar="AGE", help=about)
    about = "How much room they take at most in all, such as 500MiB or 10GiB; the oldest go first."
    command.add_argument("--max-bytes", type=_amount(BYTES), metavar="SIZE", help=about)
    about = "On how many servers of a cluster they are kept."
    command.add_argument("--replicas", type=at_least(1), metavar="N", help=about)
    command.add_nats(about="The server.", default="")


def relay(*, root: str, nats: str, project: str | None) -> int:
    """Publish all builds below a root to a NATS server.

    It goes on until Ctrl-C. What happened while no server was there is delivered, too; the builds
    need know nothing of it.
    """
    from pathlib import Path

    from guardkit.cli.signals import until_signal
    from guardkit.nats import Relay

    if not Path(root).is_dir():
        raise MisuseError(f"{root} is no folder: give that of the project with --root")
    relay = Relay(nats, root=root, project=project)
    print(f"Relaying the builds below {root} to {relay}; Ctrl-C ends it.", flush=True)
    until_signal(relay.run())
    return codes.STOPPED


def init(*, max_age: int | None, max_bytes: int | None, replicas: int | None, nats: str) -> None:
    """Make the streams of builds, or change their limits; what is not given stays as it is.

    Builds make them themselves, with the usual limits, where nobody else has done so.
    """
    import asyncio

    from guardkit.nats.settings import find_settings
    from guardkit.nats.streams import Limits

    limits = Limits(max_age=max_age, max_bytes=max_bytes, replicas=replicas)
    print("\n".join(asyncio.run(_init(find_settings(nats), limits))))


async def _init(settings: Settings, limits: Limits) -> list[str]:
    """Make or change the streams; return the lines that tell of them."""
    from guardkit.clock import SYSTEM_CLOCK
    from guardkit.nats.line import connected
    from guardkit.nats.streams import STREAMS, ensure_streams, find_stream

    async with connected(settings, SYSTEM_CLOCK) as client:
        before = [await find_stream(client, stream) for stream in STREAMS]
        await ensure_streams(client, limits)
        after = [await find_stream(client, stream) for stream in STREAMS]
    lines: list[str] = []
    for stream, was, now in zip(STREAMS, before, after, strict=True):
        lines += [f"{stream.name} on {settings} {_done(was, now)}.", *_lines(was, now)]
    return lines


def _done(before: Info | None, after: Info | None) -> str:
    if not before:
        return "was made"
    return "is as it was" if after and before.config == after.config else "was changed"


def _lines(before: Info | None, after: Info | None) -> list[str]:
    """Return what a person wants to know of a stream, and what that was before."""
    old, lines = _words(before.config) if before else {}, list[str]()
    for name, value in (_words(after.config) if after else {}).items():
        was = f" (was {old[name]})" if old and old[name] != value else ""
        lines.append(f"  {name:<9}  {value}{was}")
    return lines


def _words(config: Config) -> dict[str, str]:
    return {
        "subjects": ", ".join(config.subjects or []),
        "max-age": _in_words(config.max_age / 10**9, SECONDS),
        "max-bytes": _in_words(config.max_bytes, BYTES),
        "replicas": f"{config.num_replicas}",
    }


def _amount(units: dict[str, int]) -> Callable[[str], int]:
    """Return what reads a number of units, and returns that of the smallest of them."""

    def read(text: str) -> int:
        found = re.fullmatch(rf"([1-9]\d{{0,8}})({'|'.join(units)})", text)
        if not found:
            *names, last = units
            example = f"12{names[0]}"
            raise ArgumentTypeError(
                f"a number of {', '.join(names)} or {last} is wanted, as {example}"
            )
        return int(found[1]) * units[found[2]]

    return read


def _in_words(amount: float, units: dict[str, int]) -> str:
    """Return an amount in the largest of the units in which it has one decimal at most."""
    if amount <= 0:
        return "unlimited"
    unit, size = next(each for each in units.items() if 10 * amount % each[1] == 0 or each[1] == 1)
    return f"{amount / size:g}{unit}"

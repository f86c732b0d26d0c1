"""What the stream has of a build, as the messages of its subject say."""

# pyright: reportUnknownMemberType=false
# nats-py leaves some of its types open

from contextlib import suppress
from typing import cast

import msgspec
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from guardkit.errors import GuardKitError
from guardkit.progress.nats.connection import Client
from guardkit.progress.nats.stream import AFTER, EVENT, REPLACES, RUN, SEQ, STREAM
from guardkit.progress.snapshot import Snapshot, decode


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """The last message of a build's subject: its number in the stream, and what it shows.

    `after` is the seq of the last transition of its run up to here, `replaces` the number of the
    state that it makes needless. Without a message the number is 0.
    """

    number: int = 0
    run_id: str = ""
    after: int = 0
    replaces: int = 0
    is_state: bool = False
    shows: Snapshot | None = None


def read_mark(message: RawStreamMsg) -> Mark:
    """Return what the last message says; one that is none of ours is of no run."""
    headers = cast("dict[str, str]", message.headers or {})
    shows = None
    with suppress(GuardKitError):
        shows = decode(message.data or b"")
    is_state = EVENT not in headers
    return Mark(
        number=message.seq or 0,
        run_id=headers.get(RUN, ""),
        after=_number(headers, AFTER if is_state else SEQ),
        replaces=_number(headers, REPLACES),
        is_state=is_state and RUN in headers,
        shows=shows,
    )


def _number(headers: dict[str, str], name: str) -> int:
    text = headers.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else 0


async def find_last(client: Client, subject: str) -> Mark:
    """Return the last message of a subject; raises as nats-py does."""
    try:
        return read_mark(await client.js.get_last_msg(STREAM, subject))
    except NotFoundError:
        return Mark()


async def find_all(client: Client, subject: str) -> dict[str, float]:
    """Return up to which seq the transitions of each run are there; raises as nats-py does."""
    through: dict[str, float] = {}
    number = 1
    with suppress(NotFoundError):
        while True:
            message = await client.js.get_msg(STREAM, number, subject=subject, next=True)
            mark = read_mark(message)
            through[mark.run_id] = max(through.get(mark.run_id, 0), mark.after)
            number = mark.number + 1
    return through


def is_newer(snapshot: Snapshot, than: Snapshot | None) -> bool:
    """Return whether a snapshot shows a build at a later point than another one does."""
    if than is None:
        return True
    if snapshot.tracker.run_id != than.tracker.run_id:
        return snapshot.started_at >= than.started_at
    new, old = snapshot.tracker.seq, than.tracker.seq
    return not than.terminal and (new, snapshot.updated_at) > (old, than.updated_at)


def moved(snapshot: Snapshot, since: Snapshot | None) -> bool:
    """Return whether there may have been a transition between two snapshots."""

    def place(of: Snapshot) -> tuple[object, ...]:
        run, phase_since = of.tracker.run_id, of.tracker.phase_started_at
        where = of.turn, of.phase, of.phase_status, phase_since
        return run, *where, of.status, of.decision, of.error

    return since is None or place(snapshot) != place(since)

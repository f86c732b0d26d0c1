"""What the messages of a build's subject say: what the stream has of it, and where to go on."""

# pyright: reportUnknownMemberType=false
# nats-py leaves some of its types open

from contextlib import suppress
from datetime import datetime
from typing import cast

import msgspec
from msgspec.structs import replace
from nats.js.api import Header, RawStreamMsg
from nats.js.errors import NotFoundError

from guardkit.errors import GuardKitError
from guardkit.nats.connection import Client
from guardkit.nats.order import is_newer
from guardkit.nats.stream import AFTER, AT, EVENT, REPLACES, RUN, SEQ, STREAM
from guardkit.progress.snapshot import Event, Snapshot, decode

DIGITS_MAX = 20


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """The last message of a build's subject: its number in the stream, and what it shows.

    `after` is the seq of the last transition of its run up to here, `replaces` the number of the
    state that it makes needless, `latest` the newest snapshot that is known of all up to here.
    Without a message the number is 0.
    """

    number: int = 0
    run_id: str = ""
    after: int = 0
    replaces: int = 0
    is_state: bool = False
    shows: Snapshot | None = None
    latest: Snapshot | None = None


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
        latest=shows,
    )


def _number(headers: dict[str, str], name: str) -> int:
    text = headers.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < DIGITS_MAX else 0


def make_headers(
    snapshot: Snapshot, event: Event | None, *, after: int, last: Mark
) -> dict[str, str]:
    """Return the headers of a transition, or of a state which comes `after` one.

    The server is to take the message only if `last` is still the last one, and once.
    """
    run_id, seq = snapshot.tracker.run_id, snapshot.tracker.seq
    headers = {
        Header.EXPECTED_STREAM.value: STREAM,
        Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: str(last.number),
        RUN: run_id,
        SEQ: str(seq),
    }
    if last.is_state:
        headers[REPLACES] = str(last.number)
    if event:
        transition = {Header.MSG_ID.value: f"{run_id}:{seq}", EVENT: event.event, AT: event.at}
        return headers | transition
    return headers | {AFTER: str(after), AT: instant(snapshot)}


def instant(snapshot: Snapshot) -> str:
    """Return when a state was, as it is written."""
    return snapshot.updated_at.isoformat().replace("+00:00", "Z")


async def find_last(client: Client, subject: str) -> Mark:
    """Return the last message of a subject; raises as nats-py does."""
    try:
        return read_mark(await client.js.get_last_msg(STREAM, subject))
    except NotFoundError:
        return Mark()


async def find_later(
    client: Client, subject: str, mark: Mark, through: dict[str, float]
) -> tuple[Mark, dict[str, float]]:
    """Return the last message, and up to which seq the transitions of each run are there.

    It goes on from a message of which both are known. Raises as nats-py does.
    """
    through, latest = dict(through), mark.latest
    with suppress(NotFoundError):
        while True:
            number = mark.number + 1
            message = await client.js.get_msg(STREAM, number, subject=subject, next=True)
            mark = read_mark(message)
            through[mark.run_id] = max(through.get(mark.run_id, 0), mark.after)
            latest = mark.shows if mark.shows and is_newer(mark.shows, latest) else latest
    return replace(mark, latest=latest), through


def settled(runs: dict[str, datetime], last: str, since: datetime | None) -> list[str]:
    """Return the runs of a journal that are not to be published, whatever the stream has of them.

    `runs` gives the time of the last event of each, oldest first. Those before the `last` one that
    is in the stream are there, or have been; of those that ended before `since` only the last one
    counts.
    """
    known = list(runs)
    earlier = known[: known.index(last)] if last in runs else []
    old = [each for each in known[:-1] if since and runs[each] < since]
    return [*earlier, *old]

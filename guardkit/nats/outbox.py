"""One run's way into the streams: its events, each once and in order, and behind them its document.

No connection remembers what an earlier one has delivered: the last message of the run's own subject
says where to go on, if it is a line of the journal. The server takes a message only if the one that
we know is still the last, so that a sink, the next one and a relay can publish the same run at
once, and nothing is doubled.
"""

from collections.abc import Sequence
from math import inf

import msgspec

from guardkit.nats.client import Client
from guardkit.nats.jetstream import Message, find_last, find_next, publish
from guardkit.nats.shown import (
    AFTER,
    BESIDE,
    CLAIM,
    Mine,
    Shown,
    is_same_run,
    may_replace,
    name_other,
    read_shown,
)
from guardkit.nats.source import Told
from guardkit.nats.streams import DOCUMENTS, EVENTS, MESSAGE_MAX
from guardkit.progress.journal import Spot
from guardkit.progress.snapshot import Event, Snapshot, decode_event


class EventOutbox:
    """Brings the events of a run into their stream.

    spot: up to where the journal was read, None: it is to be read from the beginning on.
    after: the seq of the last event that the stream has, as far as we know.
    whole: whether the stream was seen to have all, up to the end of the run.
    before: the runs that came before this one on its machine.
    found: whether the stream had events of the run when it was looked at first; None: it was not.
    """

    def __init__(self, subject: str) -> None:
        self.found: bool | None = None
        self.spot: Spot | None = None
        self.after = 0
        self.whole = False
        self.before: frozenset[str] = frozenset()
        self._subject = subject
        self._events: list[Event] = []  # which the stream does not have
        self._number = 0  # of the last message, as far as we know
        self._theirs: list[Message] = []  # what was found there, and not yet held against _events
        self._searches = False  # whether all messages are looked at

    def forget(self) -> None:
        """Find out anew what the stream has."""
        self.spot = None
        self._events.clear()

    async def look(self, client: Client) -> None:
        """See what the stream has, before the journal is read: what is in neither is not ours."""
        if self.spot is not None:
            return
        last = await find_last(client, EVENTS.name, self._subject)
        self.found = bool(last) if self.found is None else self.found
        self._number = last.seq if last else 0
        self._theirs = [last] if last else []
        number = 0
        while last and self._searches and number < last.seq:
            if not (each := await find_next(client, EVENTS.name, self._subject, number + 1)):
                break
            number = each.seq
            self._theirs.append(each)

    async def send(self, client: Client, told: Told) -> bool:
        """Publish what is new, one by one; return False where it has to be looked at anew."""
        if self.spot is None:
            self.before = told.before
        self.spot = told.spot
        self._events += told.events
        if self._theirs and not self._settle():
            return False
        ends = False
        while self._events:
            event = self._events[0]
            payload = msgspec.json.encode(event)
            if len(payload) <= MESSAGE_MAX:  # else it is none of guardkit's
                number = await publish(
                    client, EVENTS.name, self._subject, payload, {}, last=self._number
                )
                if number is None:
                    await self._catch_up(client)
                    return False
                self._number = number
            self.after, ends = event.seq, event.progress.terminal
            self._events.pop(0)
        if ends:  # a server that was lost may have lost what it had confirmed
            self.forget()
        return not ends

    async def _catch_up(self, client: Client) -> None:
        """See how far another one is who publishes the same, without reading the journal anew."""
        last = await find_last(client, EVENTS.name, self._subject)
        if last and last.seq == self._number:  # the next one is just coming
            return
        place = find_place(self._events, [last]) if last else 0
        if not last or not place or self._events[place - 1].progress.terminal:
            self.forget()
            return
        self._number, self.after = last.seq, self._events[place - 1].seq
        del self._events[:place]

    def _settle(self) -> bool:
        """Drop the events that the stream has; return False where more has to be looked at."""
        theirs, self._theirs = self._theirs, []
        place = find_place(self._events, theirs)
        if not place and not self._searches:  # a peer's, or of lines that the journal has lost
            self._searches = True
            self.forget()
            return False
        self._searches = False
        if place:
            self.after = self._events[place - 1].seq
            self.whole = self._events[-1].progress.terminal and place == len(self._events)
            del self._events[:place]
        return True


class DocumentOutbox:
    """Brings the newest document of a run to where it is seen, unless another run has claimed that.

    sent: what was published last, or need not be any more.
    sent_at: when that was, in monotonic seconds.
    claim: the number by which the run has claimed its task, 0: it has not.
    """

    def __init__(self, subject: str, task_id: str) -> None:
        self.sent: Snapshot | None = None
        self.sent_at = -inf
        self.claim = 0
        self._subject, self._task_id = subject, task_id
        self._shown: Shown | None = None
        self._seen = (0, 0.0)  # the number of the last message, and since when it is that
        self._beside = ""

    def forget(self) -> None:
        """Find out anew what the stream has."""
        self._shown = self.sent = None

    async def send(self, client: Client, mine: Mine, after: int, now: float) -> bool:
        """Publish a document that is newer; return False where another one was faster."""
        shown = self._shown or await self._look(client, now)
        if is_same_run(mine.snapshot, shown.snapshot):
            self.claim = max(self.claim, shown.claim)  # another one may have claimed for the run
        if not may_replace(mine, shown, silent=now - self._seen[1]):
            self._shown = None  # when there is news, it may be otherwise
            self.sent, self.sent_at = mine.snapshot, now
            return True
        claim, beside = self.claim, self._beside
        if not is_same_run(mine.snapshot, shown.snapshot) and claim <= shown.claim:
            claim, beside = 0, name_other(mine, shown)
        headers = {AFTER: str(after)}
        headers |= {CLAIM: str(claim)} if claim else {}
        headers |= {BESIDE: beside} if beside else {}
        payload = msgspec.json.encode(mine.snapshot)
        number = await publish(
            client, DOCUMENTS.name, self._subject, payload, headers, last=shown.number
        )
        if number is None:
            self._shown = None
            return False
        self.claim, self._beside = claim, beside
        if mine.lives or claim:
            self.claim = min(claim or number, number)
        self._shown = Shown(number=number, claim=self.claim or number, snapshot=mine.snapshot)
        self._seen, self.sent, self.sent_at = (number, now), mine.snapshot, now
        return True

    async def _look(self, client: Client, now: float) -> Shown:
        message = await find_last(client, DOCUMENTS.name, self._subject)
        self._shown = read_shown(message, self._task_id)
        if self._seen[0] != self._shown.number:
            self._seen = self._shown.number, now
        return self._shown


def find_place(events: Sequence[Event], messages: Sequence[Message]) -> int:
    """Return how many of the events of a run, in order, are there up to the last one that is."""
    places = {event: place for place, event in enumerate(events, 1)}
    found = (decode_event(message.data) for message in messages)
    return max((places.get(event, 0) for event in found if event), default=0)

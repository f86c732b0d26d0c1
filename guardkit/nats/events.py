"""The way of one run's events into their stream: each once and in order.

No connection remembers what an earlier one has delivered: the last message of the run's own subject
says where to go on, if it is a line of the journal. The server takes a message only if the one that
we know is still the last, so that a sink, the next one and a relay can publish the same run at
once, and nothing is doubled.
"""

from collections.abc import Sequence

import msgspec

from guardkit.nats.client import Client
from guardkit.nats.jetstream import Message, find_last, find_next, publish
from guardkit.nats.source import Told
from guardkit.nats.streams import EVENTS, MESSAGE_MAX
from guardkit.progress.journal import Spot
from guardkit.progress.snapshot import Event, decode_event


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

    def forget(self) -> None:
        """Find out anew what the stream has."""
        self.spot = None
        self._events.clear()

    async def look(self, client: Client) -> Message | None:
        """Return the last message if the journal is to be read from the beginning on.

        It is looked for before that is read: what is in neither is not ours.
        """
        if self.spot is not None:
            return None
        last = await self._find_last(client)
        self.found = bool(last) if self.found is None else self.found
        return last

    async def send(self, client: Client, told: Told, last: Message | None = None) -> bool:
        """Publish what is new, one by one; return False where it has to be looked at anew.

        last: what `look` has returned before.
        """
        if self.spot is None:
            self.before = told.before
        self.spot = told.spot
        self._events += told.events
        if last and not self._drop([last]):  # a peer's, or of a line that the journal has lost
            self._drop(await self._find_all(client, last.seq))
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
        before, last = self._number, await self._find_last(client)
        is_coming = last and last.seq == before  # the message of the other one
        if not is_coming and not (last and self._drop([last])):
            self.forget()

    async def _find_last(self, client: Client) -> Message | None:
        last = await find_last(client, EVENTS.name, self._subject)
        self._number = last.seq if last else 0
        return last

    async def _find_all(self, client: Client, end: int) -> list[Message]:
        """Return all messages up to a number."""
        found: list[Message] = []
        number = 0
        while number < end:
            each = await find_next(client, EVENTS.name, self._subject, number + 1)
            if not each:
                break
            number = each.seq
            found.append(each)
        return found

    def _drop(self, messages: Sequence[Message]) -> bool:
        """Drop the events up to the last one that is among some messages; return whether one is."""
        place = find_place(self._events, messages)
        if place:
            last = self._events[place - 1]
            self.after = last.seq
            self.whole = last.progress.terminal and place == len(self._events)
            del self._events[:place]
        return bool(place)


def find_place(events: Sequence[Event], messages: Sequence[Message]) -> int:
    """Return how many of the events of a run, in order, are there up to the last one that is."""
    places = {event: place for place, event in enumerate(events, 1)}
    found = (decode_event(message.data) for message in messages)
    return max((places.get(event, 0) for event in found if event), default=0)

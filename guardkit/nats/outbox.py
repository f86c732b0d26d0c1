"""One build's way into the stream: what its journal tells and the stream does not, then its state.

No connection remembers what an earlier one has delivered: the messages of the build's subject, as
a rule the last one, say where to go on. The server takes a message only if the one that we know is
still the last, so that the build itself, the next one and a relay can publish the same journal at
once, and nothing is doubled.
"""

# pyright: reportUnknownMemberType=false
# nats-py leaves some of its types open

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from math import inf

import msgspec
import nats.errors
from nats.js.api import Header
from nats.js.errors import APIError

from guardkit.errors import NatsError
from guardkit.nats.connection import Client
from guardkit.nats.envelope import wrap
from guardkit.nats.mark import (
    Mark,
    find_last,
    find_later,
    instant,
    make_headers,
    settled,
)
from guardkit.nats.order import is_newer
from guardkit.nats.pace import Pace
from guardkit.nats.source import Source
from guardkit.nats.stream import delete_message, explained, subject
from guardkit.progress.snapshot import Event, Snapshot

YIELD, YIELD_MAX = 0.02, 1.0  # seconds at most that are left to another who publishes the same
WRONG_LAST = {10071, 10164, 10158}  # the server's codes: another one is the last, or just coming
TOO_LARGE = 10054  # and: it has more bytes than the stream takes


class TooLargeError(NatsError):
    """The server or the stream does not take a message of this size."""


class Outbox:
    """Brings one build into the stream, over one connection.

    Without a `source` the states are all there is. `keeps_since` tells from when on the stream
    keeps anything. `warn` is told of what cannot be delivered. With `told` our runs are told in
    nats-core's messages as well. `told`: run id → last seq sent, inf after the end.
    """

    def __init__(
        self,
        client: Client,
        task_id: str,
        *,
        source: Source | None,
        keeps_since: Callable[[], Awaitable[datetime | None]],
        warn: Callable[[Exception], None],
        told: dict[str, float] | None,
    ) -> None:
        self.finished: set[str] = set()  # runs of which nothing more is to come into the stream
        self._client = client
        self._subject = subject(task_id)
        self._source = source
        self._keeps_since = keeps_since
        self._warn = warn
        self._told = told
        self._runs: dict[str, datetime] = {}  # ours, oldest first; when there was news of each
        self._found = False  # whether it is known what is there already:
        self._mark = Mark()
        self._through: dict[str, float] = {}  # up to which seq the transitions of each run are
        self._doubtful = False  # whether the last message does not tell
        self._events: deque[Event] = deque()
        self._pace = Pace()
        self._yielding = YIELD

    @property
    def over(self) -> bool:
        """Whether the last that the stream has of this build is its end."""
        return bool(self._mark.shows and self._mark.shows.terminal)

    async def deliver(self, newest: Snapshot | None) -> float:
        """Publish what is new; return in how many seconds to look again, inf for never.

        `newest` is the newest snapshot where the build itself asks; else its file is read. Raises
        NatsError, and OSError.
        """
        async with explained(self._client):
            newest = await self._look(newest)
            if await self._publish_events() and await self._publish_state(newest):
                self._yielding = YIELD
                if self.over:
                    self.finished.add(self._mark.run_id)
                return self._pace.next_look(asyncio.get_running_loop().time(), self._mark.shows)
            if self._found:
                await self._follow()
        self._yielding = min(2 * self._yielding, YIELD_MAX)
        return random.uniform(0.0, self._yielding)  # noqa: S311

    async def _look(self, newest: Snapshot | None) -> Snapshot | None:
        """Read the file, if need be, then the last message, and then what is new in the journal.

        In this order the journal tells of all the runs whose transitions are before that message.
        """
        events: list[Event] = []
        if self._source:
            self._pace.ahead = newest is not None  # while the file comes after its journal
            newest = newest or await self._source.newest()
        if found := self._found:
            events = await self._source.new_events() if self._source else []
        else:
            self._mark = await find_last(self._client, self._subject)
            events = await self._source.all_events() if self._source else []
            self._runs.clear()
            self._events.clear()
        self._runs.update((event.run_id, event.progress.updated_at) for event in events)
        if newest:
            self._runs.setdefault(newest.tracker.run_id, newest.updated_at)
        if not found:
            await self._find()
        self._events.extend(events)
        return newest

    async def _find(self) -> None:
        """Find out how far the stream is with each run.

        The last message tells if it is one of ours, behind a transition; else all do.
        """
        last = self._mark.run_id
        self._through = {last: float(self._mark.after)}
        tells = last in self._runs and self._mark.after and not self._doubtful
        if self._runs and self._mark.number and not tells:
            self._mark, self._through = await find_later(self._client, self._subject, Mark(), {})
            last = ""
        over = settled(self._runs, last, await self._keeps_since())
        self._through |= dict.fromkeys(over, inf)
        self.finished.update(over)
        self._found = True
        if self._mark.replaces:  # as its publisher may have died before that
            await self._forget(self._mark.replaces)

    async def _follow(self) -> None:
        """Find out what another one has published.

        If that is nothing, or knows of less than we do, something was deleted, or a server was lost
        with what it had confirmed: then all is to be found out anew.
        """
        number, through = self._mark.number, self._through
        found = await find_later(self._client, self._subject, self._mark, through)
        self._mark, self._through = found
        knows = self._mark.after >= through.get(self._mark.run_id, 0)
        self._found = self._mark.number != number and knows

    async def _publish_events(self) -> bool:
        """Publish the transitions, one by one; return False where another one was faster."""
        while self._events:
            event = self._events[0]
            is_news = event.seq > self._through.get(event.run_id, 0)
            if is_news and not await self._publish(event.progress, event):
                return False
            if is_news or (self._pace.ahead and event.run_id == next(reversed(self._runs))):
                await self._tell(event.progress, event)  # whoever has published it
            if event.progress.terminal:
                self.finished.add(event.run_id)
            self._events.popleft()
        return True

    async def _publish_state(self, newest: Snapshot | None) -> bool:
        """Publish the state if one is due; return False where another one was faster.

        It is that of the newest run that is known, also where another machine builds that: what
        comes late is not to be the last that is seen.
        """
        now, latest = asyncio.get_running_loop().time(), self._mark.latest
        if latest and self._is_news(latest) and not (newest and is_newer(newest, latest)):
            newest = latest
        state = self._pace.take(now)
        if state and self._is_news(state):
            if not await self._publish(state, None):
                return False
            await self._tell(state, None)
        self._pace.note(newest, now, is_news=bool(newest and self._is_news(newest)))
        return True

    def _is_news(self, snapshot: Snapshot) -> bool:
        run_id, runs, mark = snapshot.tracker.run_id, self._runs, self._mark
        if run_id in runs and run_id != next(reversed(runs)):
            return False
        if not mark.shows or run_id == mark.run_id:
            return is_newer(snapshot, mark.shows)
        return mark.run_id in runs or not is_newer(mark.shows, snapshot)

    async def _publish(self, snapshot: Snapshot, event: Event | None) -> bool:
        """Publish a transition or a state, and delete the state before it.

        Return False if the last message is not the one that we know of.
        """
        number = await self._send(snapshot, event)
        if number is None:
            return False
        run_id, seq, mark = snapshot.tracker.run_id, snapshot.tracker.seq, self._mark
        if event:
            self._through[run_id] = seq
        else:
            self._pace.sent(asyncio.get_running_loop().time())
        if snapshot.terminal:
            self.finished.add(run_id)
        if number:
            is_state = event is None
            latest = snapshot if is_newer(snapshot, mark.latest) else mark.latest
            self._mark = Mark(
                number=number, run_id=run_id, is_state=is_state, shows=snapshot, latest=latest
            )
            if mark.is_state:
                await self._forget(mark.number)
        return True

    async def _send(self, snapshot: Snapshot, event: Event | None) -> int | None:
        """Return the number of the message in the stream, 0 if it is too large, or None."""
        after = self._through.get(snapshot.tracker.run_id, 0)
        headers = make_headers(snapshot, event, after=int(after), last=self._mark)
        if self._doubtful:  # the server remembers more than it has
            headers.pop(Header.MSG_ID.value, None)
        payload = msgspec.json.encode(snapshot)
        try:
            ack = await self._client.js.publish(self._subject, payload, headers=headers)
            if ack.duplicate:  # of one that somebody has deleted, or that we did not know of
                self._doubtful, self._found = True, False
                return None
        except (APIError, nats.errors.MaxPayloadError) as error:
            code = error.err_code if isinstance(error, APIError) else TOO_LARGE
            if code in WRONG_LAST:
                return None
            if code != TOO_LARGE:
                raise
            server, size = self._client.server, len(payload)
            what = f"{server} takes no message of {size} bytes, which is left out"
            self._warn(TooLargeError(what))
            return 0
        return ack.seq

    async def _tell(self, snapshot: Snapshot, event: Event | None) -> None:
        """Tell nats-core's dashboard and agents, if they are to be told, and of nothing twice."""
        run_id, seq = snapshot.tracker.run_id, snapshot.tracker.seq
        if self._told is None or run_id not in self._runs:
            return
        if self._told.get(run_id, 0) < seq + (event is None):
            self._told[run_id] = inf if snapshot.terminal else seq
            name, at = (event.event, event.at) if event else (None, instant(snapshot))
            with suppress(nats.errors.Error):  # they are told, or not: nobody keeps it
                await self._client.publish(*wrap(snapshot, name, at))

    async def _forget(self, number: int) -> None:
        """Delete a state that is not the newest any more."""
        try:
            await delete_message(self._client, number)
        except NatsError as error:  # one too many does no harm
            self._warn(error)

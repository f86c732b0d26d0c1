"""When the state of a build is published: once a second, and behind the transitions before it."""

from math import inf

from guardkit.nats.order import moved
from guardkit.progress.snapshot import Snapshot

STATE_EVERY = 1.0  # seconds between two states of a build
SETTLED = 0.05  # seconds after which the journal has told of the transitions before a state
FIRST_LOOK = 0.001  # seconds until the journal is looked at again for what may be a transition
JOURNAL_LATE = 0.5  # seconds after which it is not expected to tell of the end any more


class Pace:
    """Says which state of a build to publish, and when. Times are seconds, of any clock.

    States may be `ahead` of the journal: then it is given time to tell of the transitions before
    one. Meanwhile a newer one may take its place, unless it is late already.
    """

    def __init__(self) -> None:
        self.ahead = False
        self._newest: Snapshot | None = None  # and since when:
        self._newest_at = -inf
        self._state: Snapshot | None = None  # which is to be published
        self._seen = self._sent = -inf  # when it was seen first, and when the last one was sent

    def take(self, now: float) -> Snapshot | None:
        """Return the state that is due, if one is, for once."""
        if not self._state or now < self._due():
            return None
        state, self._state = self._state, None
        return state

    def note(self, newest: Snapshot | None, now: float, *, is_news: bool) -> None:
        """See what is the newest now, and whether that is news to the stream."""
        if newest != self._newest:
            self._newest, self._newest_at = newest, now
        if not newest or not is_news:
            self._state = None
        elif not self._state or (newest != self._state and self._may_wait(newest, now)):
            self._state, self._seen = newest, now

    def sent(self, now: float) -> None:
        """See that a state was published."""
        self._sent = now

    def next_look(self, now: float, shown: Snapshot | None) -> float:
        """Return in how many seconds to look again, inf for never.

        That is soon, and then less often, where the journal may tell of a transition that lies
        between the newest and what the stream has `shown`.
        """
        if not self._state:
            return inf
        passed, pause = now - self._newest_at, max(0.0, self._due() - now)
        if passed < self._behind() and moved(self._newest or self._state, shown):
            return min(pause, max(FIRST_LOOK, passed / 2))
        return pause

    def _may_wait(self, newest: Snapshot, now: float) -> bool:
        return newest.terminal or now < self._sent + STATE_EVERY

    def _behind(self) -> float:
        """Return how many seconds the journal may be behind."""
        if not self.ahead:
            return 0.0
        return JOURNAL_LATE if self._state and self._state.terminal else SETTLED

    def _due(self) -> float:
        """Return when to publish the state, which is not held up if it is the end."""
        settled = self._seen + self._behind()
        ends = self._state and self._state.terminal
        return settled if ends else max(settled, self._sent + STATE_EVERY)

"""The time in which something could have come over a connection."""

from guardkit.clock import Clock
from guardkit.nats.feed import TICK

PAUSE = 2 * TICK  # seconds between two looks at the time that count at most


class Heard:
    """Counts the seconds in which something could have come: a pause of this process is none.

    Who was stopped, or got no processor, finds the time that has passed before what has come.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seconds = 0.0
        self._at = clock.monotonic()

    def seconds(self) -> float:
        """Return how many there were until now."""
        now = self._clock.monotonic()
        self._seconds += min(now - self._at, PAUSE)
        self._at = now
        return self._seconds

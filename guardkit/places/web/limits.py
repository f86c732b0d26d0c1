"""How much one address may ask for."""

from __future__ import annotations

from guardkit.clock import Clock

ADDRESSES_MAX = 1000  # that are remembered


class Allowance:
    """What each address may do: so much at once, and then so much each second.

    burst: how many times at once. rate: how many times a second after that.
    """

    def __init__(self, clock: Clock, *, burst: float, rate: float) -> None:
        self._clock, self._burst, self._rate = clock, burst, rate
        self._left: dict[str, tuple[float, float]] = {}  # how many times, and when that was

    def take(self, address: str) -> bool:
        """Return whether an address may do it once more, and count it."""
        now = self._clock.monotonic()
        left, since = self._left.pop(address, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._rate)
        allowed = left >= 1
        self._left[address] = (left - 1 if allowed else left), now
        if len(self._left) > ADDRESSES_MAX:
            self._left.pop(next(iter(self._left)))  # who has asked longest ago
        return allowed

"""Where an instant is on a timeline, and which instants are written below it."""

from __future__ import annotations

from guardkit.places.words import duration

STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800)  # seconds; then by hours
HOURS = (1, 2, 3, 6, 12, 24, 48, 168, 720, 8760, 87_600)
APART = 72.0  # pixels between two instants that are written


class Scale:
    """Seconds on a row of pixels.

    left, right: pixels at which the row begins and ends; edge: at which the picture does.
    end: seconds at the row's right.
    """

    def __init__(self, left: float, right: float, edge: float, end: float) -> None:
        self.left, self.right, self.edge = left, right, edge
        self.end = max(end, 1.0)
        self._ratio = (right - left) / self.end

    def x(self, at: float) -> float:
        """Return the pixel of an instant, within the row."""
        return self.left + min(max(at, 0.0), self.end) * self._ratio

    def span(self, start: float, end: float) -> tuple[float, float]:
        """Return the pixel at which a stretch begins, and how many it takes: one at least."""
        x = self.x(start)
        return x, max(self.x(end) - x, 1.0)

    def ticks(self) -> list[tuple[float, str]]:
        """Return the instants that are written, and how."""
        least = APART / self._ratio
        steps = (*STEPS, *(hours * 3600 for hours in HOURS))
        step = next((each for each in steps if each >= least), steps[-1])
        count = int(self.end // step)
        return [(n * step, brief(n * step)) for n in range(count + 1)]


def brief(seconds: float) -> str:
    """Return whole seconds in words, without what is zero: `0`, `90s` is `1m 30s`, `2h`."""
    parts = (part for part in duration(seconds).split() if part[:-1] != "0")
    return " ".join(parts) or "0"

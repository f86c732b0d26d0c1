"""What the builds below one root share in an event loop: a timer, and the way to the disk."""

from anyio.lowlevel import RunVar

from guardkit.clock import Clock
from guardkit.progress.disk import Disk
from guardkit.progress.timer import Timer

Key = tuple[str | None, int]


class Hub:
    """Each build enters it and leaves it; the last one to leave ends what was started here."""

    def __init__(self, key: Key, clock: Clock) -> None:
        self._key = key
        self.clock = clock
        self.timer = Timer(clock)
        self.disk = Disk(self.timer, clock)
        self.builds = 0

    @classmethod
    def enter(cls, root: str | None, clock: Clock) -> "Hub":
        """Return that of the running event loop for a root (None: no disk) and a clock."""
        hubs, key = _hubs(), (root, id(clock))
        if key not in hubs:
            hubs[key] = cls(key, clock)
        hubs[key].builds += 1
        return hubs[key]

    async def leave(self) -> None:
        """Count one build less."""
        self.builds -= 1
        if not self.builds:
            del _hubs()[self._key]
            self.disk.close()
            await self.timer.close()


_var: RunVar[dict[Key, Hub] | None] = RunVar("guardkit.progress.hubs")


def _hubs() -> dict[Key, Hub]:
    """Return those of the running event loop."""
    hubs = _var.get(None)
    if hubs is None:
        _var.set(hubs := {})
    return hubs


def is_writing(clock: Clock) -> bool:
    """Say whether something is on its way to disk for builds with this clock."""
    return any(hub.disk.is_writing for hub in _hubs().values() if hub.clock is clock)

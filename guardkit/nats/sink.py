"""A sink that publishes builds to NATS, and for which no build waits or fails."""

import asyncio
import os

from guardkit.nats.relay import Relay
from guardkit.nats.settings import find_settings
from guardkit.progress.snapshot import Snapshot


class NatsSink:
    """Publishes the builds that it is a sink of, from their journals below `root`.

    Undelivered transitions of earlier builds are delivered too. One sink may serve all the
    builds of an event loop: they share a connection. With `root=None`, for builds that write
    nothing to disk, only the newest states are published.

    With `envelope` the builds are told in the messages of nats-core as well, to whom is listening.

    `url` counts before NATS_URL, and this before the selected context of the `nats` command.
    Raises NatsError for an invalid URL or context; whatever is wrong later is a warning.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        root: str | os.PathLike[str] | None = ".",
        envelope: bool = False,
    ) -> None:
        self._settings = find_settings(url)
        self._root = None if root is None else os.path.abspath(root)
        self._envelope = envelope
        self._running: set[str] = set()  # runs
        self._ended: set[str] = set()  # runs whose end is to be delivered
        self._warned: set[str] = set()
        self._leaving = 0  # builds that wait for it
        self._relay: Relay | None = None
        self._task: asyncio.Task[None] | None = None

    def __str__(self) -> str:
        return f"NatsSink({self._settings})"

    async def write(self, snapshot: Snapshot, /) -> None:
        """Have a build published, of which this is the newest snapshot; returns at once."""
        run_id = snapshot.tracker.run_id
        if snapshot.terminal:
            self._running.discard(run_id)
            self._ended.add(run_id)
        else:
            self._running.add(run_id)
        if not self._relay or not self._task or self._task.done():
            self._relay = Relay(
                self._settings,
                root=self._root,
                follow=False,
                envelope=self._envelope,
                warned=self._warned,
            )
            self._task = asyncio.create_task(self._relay.run())
        self._relay.note(snapshot)

    async def aclose(self) -> None:
        """Return when what has ended is delivered, or cannot be; the last build ends all here."""
        relay, ended = self._relay, set(self._ended)
        if not relay or not self._task:
            return
        self._leaving += 1
        try:
            await relay.settle(ended)
        finally:
            self._ended -= ended
            self._leaving -= 1
            if not self._leaving:
                relay.finished.clear()
                if not self._running:
                    self._relay = None
                    self._task.cancel()
                    await asyncio.wait({self._task})

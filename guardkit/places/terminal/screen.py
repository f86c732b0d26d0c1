"""What a terminal shows below the lines, drawn anew when it has changed, and its tab."""

import os
from collections.abc import Callable
from typing import NamedTuple, Protocol

from rich.console import Console, RenderableType
from rich.live import Live

from guardkit.clock import Clock
from guardkit.places.terminal.osc import State, Tab, knows_bar, knows_status

RATE = 4  # times a second at most
SHARE = 0.02  # of a core that drawing may take, else it is done less often
REST = 1.0  # seconds between two of them at most, as the first one takes long


class Headline(NamedTuple):
    """What the tab of the terminal says: how it is, in a few words, and percent, if known."""

    state: State
    text: str
    progress: int | None = None


class Drawing(Protocol):
    """What is shown: the console of a terminal, what is drawn there, and when that is new."""

    console: Console
    clock: Clock

    def board(self) -> RenderableType:
        """Return what is drawn below the lines."""
        ...

    def headline(self) -> Headline | None:
        """Return what the tab says, None where there is nothing to be said."""
        ...

    def version(self) -> object:
        """Return another value when anything of it has changed."""
        ...


class Screen(Live):
    """Draws below the lines as long as it is entered; nothing of that is left behind.

    shown: what is drawn. write: brings bytes to the terminal, and raises nothing.
    """

    def __init__(self, shown: Drawing, write: Callable[[bytes], object]) -> None:
        super().__init__(
            console=shown.console,
            get_renderable=shown.board,
            transient=True,
            refresh_per_second=RATE,
        )
        self._shown, self._write = shown, write
        self._drawn: object = None
        self._due = 0.0  # when it may be drawn anew
        self._tab: Tab | None = None

    def refresh(self) -> None:
        """Draw, if there is anything new; in the thread that does so."""
        with self._lock:
            if not self._started:
                super().refresh()
                return
            began, version = self._shown.clock.monotonic(), self._shown.version()
            if version == self._drawn or began < self._due:
                return
            self._drawn = version
            super().refresh()
            now = self._shown.clock.monotonic()
            self._due = now + min((now - began) * (1 / SHARE - 1), REST) - 1 / RATE
            if said := self._shown.headline():
                self._tab = self._tab or self._open_tab()
                self._tab.show(*said)

    def stop(self) -> None:
        """Leave the terminal as it was."""
        with self._lock:
            super().stop()
            if self._tab:
                if said := self._shown.headline():
                    self._tab.show(*said)
                self._tab.clear()
                self._tab = None

    def ring(self, sequence: bytes) -> None:
        """Write what the terminal obeys and does not show; from any thread."""
        with self._lock:
            self._write(sequence)

    def _open_tab(self) -> Tab:
        fd = self.console.file.fileno()
        return Tab(self._write, has_status=knows_status(fd), has_bar=knows_bar(os.environ))

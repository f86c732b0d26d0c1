"""What GitHub Actions is told on the output of a step: workflow commands, and nothing by accident.

The runner reads each line of standard output and standard error. It obeys `::name key=value::data`
at the beginning of a line and `##[name key=value]data` anywhere in one, whoever has printed it; and
between `::stop-commands::TOKEN` and `::TOKEN::` nothing:
https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands
"""

import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from threading import Lock

from guardkit.clock import Clock
from guardkit.monitor.verdict import Verdict
from guardkit.places.terminal.display import Display
from guardkit.places.terminal.lines import Kind, Line
from guardkit.progress.snapshot import Snapshot

PATIENCE = 1.0  # seconds in which a line is printed that was begun


def is_here() -> bool:
    """Return whether this is a step of GitHub Actions, or of what is like it."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def command(name: str, data: str = "", /, **properties: object) -> str:
    """Return a workflow command, escaped as GitHub's own toolkit does; "" is no property."""
    given = ((key, str(value)) for key, value in properties.items())
    words = ",".join(f"{key}={escape(value, ':,')}" for key, value in given if value)
    return f"::{name}{' ' * bool(words)}{words}::{escape(data)}"


def escape(text: str, more: str = "") -> str:
    """Return a text with what ends a command, and `more`, by number; `%` is escaped, too."""
    return "".join(f"%{ord(each):02X}" if each in f"%\r\n{more}" else each for each in text)


class ActionsDisplay(Display):
    """The display of builds in GitHub Actions.

    Of one build there is a group for each turn, and what it came to stands below it; the lines of
    several are mixed, and have no groups.
    While the context manager `shown` is entered, the runner obeys no lines but ours.
    """

    def __init__(self, fd: int, *, labels: bool = False, clock: Clock | None = None) -> None:
        super().__init__(fd, labels=labels, clock=clock)
        self.shown = self._guarded()
        self._token = ""
        self._grouped = 0  # the turn of the last group
        self._in_group = False
        self._last: Snapshot | None = None
        self._printing, self._is_over = Lock(), False

    def tell(self, snapshot: Snapshot, verdict: Verdict | None = None) -> list[Line | str]:  # type: ignore[override]
        """Return the lines that are new with `snapshot`, and the commands that group them."""
        before, self._last = self._last, snapshot
        lines, orders = super().tell(snapshot, verdict), list[str]()
        if self.labels:
            return [*lines]
        lines = [line for line in lines if line.kind is not Kind.TURN]  # a group has its heading
        is_at_work = snapshot.phase_status == "in_progress"
        was_at_work = before is not None and before.phase_status == "in_progress"
        begins = is_at_work and snapshot.turn > self._grouped
        if self._in_group and lines and (begins or not (is_at_work or was_at_work)):
            orders.append(command("endgroup"))
            self._in_group = False
        if lines and begins:
            orders.append(command("group", f"Turn {snapshot.turn}/{snapshot.turn_max}"))
            self._grouped, self._in_group = snapshot.turn, True
        return [*(self.obeyed(*orders) if orders else ()), *lines]

    def obeyed(self, *commands: str) -> list[str]:
        """Return the lines that have commands obeyed, and nothing behind them."""
        before, self._token = self._token, secrets.token_hex(16)
        resume = [command(before)] if before else []
        return [*resume, *commands, command("stop-commands", self._token)]

    def print(self, *lines: Line | str) -> None:
        """Print lines at once, as long as it is ours what is obeyed."""
        with self._printing:
            if not self._is_over:
                super().print(*lines)

    @contextmanager
    def _guarded(self) -> Generator[None]:
        self.print(*self.obeyed())
        try:
            yield
        finally:
            rest = [command(self._token), *([command("endgroup")] if self._in_group else [])]
            if self._printing.acquire(timeout=PATIENCE):  # else nobody reads what is printed
                self._is_over = True
                super().print(*rest)
                self._printing.release()

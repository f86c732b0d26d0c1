"""What has come of each turn of a build: a line for each when the build has ended."""

from __future__ import annotations

from typing import NamedTuple

from guardkit.places.plain import clean
from guardkit.places.terminal.lines import Kind, Line
from guardkit.places.terminal.short import has_failing_tests, short_files, short_tests, stopwatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from guardkit.progress.snapshot import Snapshot

REFUSALS = frozenset({"feedback", "error"})  # decisions by which a turn has not been good enough


class Turns:
    """The turns of one run so far.

    number: of the turn that goes on, 0 where none does. latest: of the one that began last.
    decided: whether something was decided since it began: what comes then is no part of it.
    """

    def __init__(self) -> None:
        self.number = self.latest = 0
        self.decided = False
        self._rows: list[_Row] = []
        self._began = 0
        self._is_told = self._has_tests = False
        self._status, self._why = "completed", ""

    def begin(self, now: Snapshot) -> None:
        """Begin with a turn, of which `now` is the first snapshot."""
        self.number = self.latest = now.turn
        self.decided = self._is_told = self._has_tests = False
        self._began = now.metrics.elapsed_seconds
        self._status, self._why = "completed", ""

    def end_phase(self, status: str, why: str, *, has_tests: bool) -> None:
        """Note how a phase of the turn has ended.

        status: `completed`, `failed` or `cancelled`. why: it has failed.
        has_tests: whether tests have run in it.
        """
        self._is_told = True
        self._has_tests |= has_tests
        if status != "completed":
            self._status, self._why = status, why

    def decide(self, now: Snapshot) -> None:
        """Note a decision on the turn."""
        self.decided = True
        if now.decision in REFUSALS and self._status == "completed":
            self._status = "failed"
            if not (self._has_tests and has_failing_tests(now)):
                self._why = clean(now.message) or clean(now.decision)

    def end(self, last: Snapshot) -> None:
        """End the turn that goes on, of which `last` is the last snapshot.

        Of a turn that was seen only when it was over, nobody knows how it went.
        """
        number, self.number = self.number, 0
        if not (number and self._is_told):
            return
        tests = short_tests(last) if self._has_tests else ""
        status = "failed" if tests and has_failing_tests(last) else self._status
        took = stopwatch(last.metrics.elapsed_seconds - self._began)
        told = self._why or (f"{tests} tests" if tests else "")
        self._rows.append(_Row(number, status, told, short_files(last), took))

    def lines(self) -> list[Line]:
        """Return a line for each turn that has ended, in columns."""
        rows = self._rows
        number = max((len(f"{row.number}") for row in rows), default=0)
        wide = max((len(row.told) for row in rows if row.told.endswith(" tests")), default=0)
        files = max((len(row.files) for row in rows), default=0)
        return [
            Line(
                Kind.ROW,
                "  ".join(filter(None, (f"{row.told:<{wide}}", f"{row.files:<{files}}"))).rstrip(),
                row.status,
                f"Turn {row.number:<{number}}",
                row.took,
            )
            for row in rows
        ]


class _Row(NamedTuple):
    number: int
    status: str
    told: str
    files: str
    took: str

"""Reads JUnit XML reports: which tests passed, and what in a report speaks against what it says.

The reader is our own, as junitparser 5 builds the whole tree, takes a case for passed whatever its
`status` and `result` say, compares no totals, and lets entities in. What the runners really write
stands in tests/reports, with the commands that made it.
"""

from collections.abc import Mapping
from typing import BinaryIO

import msgspec

from guardkit.orchestrator.proof.outcomes import (
    FAILS,
    MAX_WHY,
    OUTPUT,
    SKIPS,
    Case,
    Outcome,
    begin,
    first_line,
    is_again,
    line_of,
    mark,
    unknown_words,
)
from guardkit.orchestrator.proof.totals import (
    PYTEST,
    Found,
    Suite,
    begin_suite,
    end_suite,
    without_a_run,
)
from guardkit.orchestrator.proof.xmlstream import ReportError, read_xml

__all__ = ["Report", "ReportError", "read_junit"]

MAX_FAILURES, MAX_DOUBTS = 1000, 20  # that are named
MAX_REMEMBERED = 100_000  # failed tests whose teardown may be told later
SUITES = {"testsuites", "testsuite"}
TELLING = SUITES | FAILS | SKIPS | {"testcase"}


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How the tests of a run went, as far as its report tells.

    passed, skipped: how many; a test that was reported twice is one, and its worst outcome counts
    failures: "name: first line of why", of tests and of suites with an error of their own, in plain
        text; of more than `MAX_FAILURES` the last line is "and n more"
    places: of each failure "file:line", each half of it empty where the report does not tell it
    doubts: why the report may not tell the truth, a line each, of more than `MAX_DOUBTS` the last
        one as above; empty if nothing speaks against the report
    """

    passed: int
    skipped: int
    failures: list[str]
    doubts: list[str]
    places: list[str] = []


def read_junit(stream: BinaryIO) -> Report:
    """Read a JUnit XML report, in memory that does not grow with it.

    No tests at all are no error. Raises ReportError, which tells what is wrong with the report, and
    where; OSError of the stream.
    """
    reader = _Reader()
    read_xml(stream, reader.start, reader.end, reader.text)
    return reader.told.report()


class _Lines:
    """Lines, of which so many are kept, and the others counted."""

    def __init__(self, most: int) -> None:
        self._most, self._kept, self._more = most, list[str](), 0

    def add(self, line: str) -> None:
        if len(self._kept) < self._most:
            self._kept.append(line)
        else:
            self._more += 1

    def all(self) -> list[str]:
        return [*self._kept, f"and {self._more} more"] if self._more else self._kept


class _Told:
    """What the report comes to."""

    def __init__(self) -> None:
        self.passed = self.skipped = 0
        self.failures, self.doubts = _Lines(MAX_FAILURES), _Lines(MAX_DOUBTS)
        self.places = list[str]()

    def count(self, case: Case) -> None:
        self.passed += case.outcome is Outcome.PASSED
        self.skipped += case.outcome is Outcome.SKIPPED
        if case.outcome is Outcome.FAILED:
            file, _, _, line = map(line_of, case.key)
            self.fail(f"{case.name}: {case.why or case.hint or 'no reason is given'}", file, line)

    def fail(self, failure: str, file: str = "", line: str = "") -> None:
        """Take a failure, and where it is reported to be."""
        self.failures.add(failure)
        if len(self.places) < MAX_FAILURES:
            self.places.append(f"{file}:{line}")

    def to_do(self, many: int) -> None:
        """Take so many of what looked passed for skipped."""
        self.passed -= many
        self.skipped += many

    def report(self) -> Report:
        failures, doubts = self.failures.all(), self.doubts.all()
        counts = {"passed": self.passed, "skipped": self.skipped}
        return Report(**counts, failures=failures, doubts=doubts, places=self.places)


class _Reader:
    """Goes through a report, element by element."""

    def __init__(self) -> None:
        self.told = _Told()
        self._suites: list[Suite] = []
        self._case: Case | None = None  # that is open
        self._last: Case | None = None  # right before it, until no other can be the same test
        # Keys of what has failed: with xdist, pytest tells of its teardown after other tests.
        self._failed = set[int]()
        self._inside = 0  # how deep in an element of which nothing counts but its own text
        self._reason: str | None = None  # that text, where it tells why

    def start(self, tag: str, attributes: Mapping[str, str], line: int) -> None:
        """Begin an element."""
        if self._inside:
            self._inside += 1
            if tag in TELLING:
                self.told.doubts.add(f"<{tag}> in line {line}: it stands in what holds only output")
        elif not self._suites and tag not in SUITES:
            raise ReportError(f"it is no JUnit report: it begins with <{line_of(tag)}>")
        elif self._case:
            self._inside = 1
            self._mark_case(self._case, tag, attributes, line)
        elif tag in SUITES:
            self._open_suite(tag, attributes, line)
        elif tag == "testcase":
            self._case = case = begin(attributes)
            for said in unknown_words(attributes):
                self.told.doubts.add(
                    f"{case.name} in line {line}: {said} is not known to be passed"
                )
        else:
            self._inside = 1
            self._mark_suite(self._suites[-1], tag, attributes, line)

    def text(self, text: str) -> None:
        """Read on in the text of an element."""
        if self._reason is not None and self._inside == 1 and len(self._reason) < MAX_WHY:
            self._reason += text[:MAX_WHY]

    def end(self) -> None:
        """End an element."""
        if self._inside:
            self._inside -= 1
            if not self._inside and self._reason is not None:
                self._explain(self._reason)
        elif self._case:
            self._close_case(self._case, self._suites[-1])
        else:
            self._close_suite(self._suites.pop())

    def _mark_case(self, case: Case, tag: str, attributes: Mapping[str, str], line: int) -> None:
        if not mark(case, tag, attributes):
            what = f"<{line_of(tag)}> in line {line}"
            self.told.doubts.add(f"{case.name}: {what} is not known to be in what has passed")
        if tag in FAILS and not case.why:
            self._reason = ""

    def _mark_suite(self, suite: Suite, tag: str, attributes: Mapping[str, str], line: int) -> None:
        if tag in FAILS:
            suite.found = suite.found.plus(Found(marks=1, own_marks=1))
            self._reason = attributes.get("message", "")
        elif tag not in OUTPUT:
            self.told.doubts.add(f"{suite.where}: <{line_of(tag)}> in line {line} is not known")

    def _explain(self, text: str) -> None:
        """Take the text of an element for the reason."""
        self._reason, case, suite = None, self._case, self._suites[-1]
        if case:
            case.why = first_line(text, case.name)
        else:
            self.told.fail(f"{suite.where}: {first_line(text) or 'no reason is given'}")

    def _close_case(self, case: Case, suite: Suite) -> None:
        self._case = None
        if case.may_fail:
            case.outcome = Outcome.SKIPPED
        suite.direct += 1
        suite.found = suite.found.plus(_found_in(case))
        is_pytest = suite.runner == PYTEST
        if self._last and is_again(case, self._last, unique=is_pytest):
            if case.outcome > self._last.outcome:
                self._last = case
        elif not (is_pytest and case.is_error and hash(case.key) in self._failed):
            self._settle()
            self._last = case

    def _settle(self) -> None:
        """Count the last case: no other can be the same test any more."""
        if self._last:
            self.told.count(self._last)
            if self._last.outcome is Outcome.FAILED and len(self._failed) < MAX_REMEMBERED:
                self._failed.add(hash(self._last.key))
            self._last = None

    def _open_suite(self, tag: str, attributes: Mapping[str, str], line: int) -> None:
        self._settle()
        around = self._suites[-1] if self._suites else None
        self._suites.append(begin_suite(tag, attributes, line, around))

    def _close_suite(self, suite: Suite) -> None:
        self._settle()
        self.told.to_do(without_a_run(suite))
        for doubt in end_suite(suite, self._suites[-1] if self._suites else None):
            self.told.doubts.add(doubt)


def _found_in(case: Case) -> Found:
    """Return what a suite is to count for a case."""
    has_failed, is_skipped = case.outcome is Outcome.FAILED, case.outcome is Outcome.SKIPPED
    is_mended = bool(case.marks) and case.marks == case.retries
    return Found(
        cases=1,
        passed=case.outcome is Outcome.PASSED,
        skipped=max(case.skips, is_skipped),
        marks=max(case.marks, has_failed),
        failed=has_failed and not is_mended,
        retries=case.retries,
    )

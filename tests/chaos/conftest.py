"""The chaos suite: what it counts, and the table of it that ends a run."""

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import cast

import pytest

from .tally import Row, Tally, new_row, render

# what it does to builds is done with Linux's mounts, limits and locks
collect_ignore_glob = [] if sys.platform == "linux" else ["test_*.py"]


@pytest.fixture
def trials(pytestconfig: pytest.Config) -> Callable[[int, int], int]:
    """Return the first number in a short run, the second in a long one."""
    return lambda short, long: long if pytestconfig.getoption("long") else short


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Tally:
    """Open the row of a scenario, which tries to break a promise."""

    def open_row(promise: str, scenario: str) -> Row:
        row = new_row(promise, scenario)
        request.node.user_properties.append(("chaos", row))
        return row

    return open_row


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    failed = terminalreporter.getreports("failed")
    reports = [*terminalreporter.getreports("passed"), *failed]
    if rows := list(_rows(reports)):
        terminalreporter.section("chaos")
        terminalreporter.write_line(render(rows, {row["scenario"] for row in _rows(failed)}))


def _rows(reports: Iterable[pytest.TestReport]) -> Iterator[Row]:
    properties = (each for report in reports for each in report.user_properties)
    return (cast("Row", row) for name, row in properties if name == "chaos")

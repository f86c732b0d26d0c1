"""What a suite of a JUnit report says of itself in totals, beside what was found in it.

The conventions were measured: tests/reports has a report of each runner, really run. `tests=` is

- the number of cases, however deep: most runners
- less than that: without the skipped ones (Boost), without `test.todo`, which is listed as if it
  had passed (jest-junit), or only what is right in the suite, suites too (`node --test`); where a
  test has failed, also without what a hook has added (mocha, jest-junit)
- more: with skipped tests that are not listed (mocha-junit-reporter), with each try of a test that
  was run again (Surefire), with subtests that pass (pytest), with the suites themselves (node-tap)
- of something else, assertions: Catch2, doctest
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from guardkit.orchestrator.proof.outcomes import MAX_LINE, Outcome, line_of, of_word

FAILING = ("failures", "errors")
SKIPPED = ("skipped", "skip", "disabled", "ignored")
WORDS = ("status", "result")
MAX_DIGITS = 9
MAX_OPEN = 20  # doubts that are kept of a suite
# Runners that are told by what they alone write, as their `tests=` cannot be told from a false one.
PYTEST, JEST, ASSERTING, TAP = "pytest", "jest", "asserting", "tap"
NAMES = {"pytest": PYTEST, "pytest tests": PYTEST, "jest tests": JEST, "TAP Tests": TAP}


class Found(NamedTuple):
    """What is in a suite, in suites below it too."""

    cases: int = 0
    passed: int = 0
    skipped: int = 0  # elements that say so, and cases that do without one
    marks: int = 0  # the same of failures and errors
    failed: int = 0  # cases that no later try has mended, nor the runner excused
    retries: int = 0  # of the marks, those of one try of several
    suites: int = 0
    own_marks: int = 0  # marks of suites themselves: one may stand for many errors (prove)

    def plus(self, other: "Found") -> "Found":
        """Return the sum of both."""
        return Found(*map(sum, zip(self, other, strict=True)))


@dataclass(slots=True)
class Suite:
    """A suite while it is read.

    attributes: its totals and words, each cut at `MAX_LINE` characters
    where: what it is called in a doubt; runner: one of those above, "" for any other
    direct: how many cases and suites are right in it
    open: doubts about `tests` here and below, until a total around them agrees with what is found
    """

    attributes: Mapping[str, str]
    where: str
    runner: str
    direct: int = 0
    found: Found = field(default_factory=lambda: Found(suites=1))
    open: list[str] = field(default_factory=list[str])

    def claims(self, *names: str) -> int | None:
        """Return the sum of these totals, None where there is none that is a number."""
        given = [self.attributes.get(name, "") for name in names]
        numbers = [int(text) for text in given if _is_number(text)]
        return sum(numbers) if numbers else None

    def quote(self, *names: str) -> str:
        """Return these totals as they are written, after the name of the suite."""
        given = self.attributes
        said = (f'{name}="{line_of(given[name])}"' for name in names if name in given)
        return f"{self.where}: {' '.join(said)}"


def begin_suite(tag: str, attributes: Mapping[str, str], line: int, around: Suite | None) -> Suite:
    """Return the suite that begins with these attributes, in `around`."""
    where = f'{tag} "{line_of(attributes.get("name", ""))}" in line {line}'
    kept = ("tests", *FAILING, *SKIPPED, *WORDS)
    given = {name: attributes[name][:MAX_LINE] for name in kept if name in attributes}
    return Suite(given, where, _runner(attributes, around.runner if around else ""))


def end_suite(suite: Suite, around: Suite | None) -> Iterator[str]:
    """Yield the doubts about a suite that has been read, and count it in the one around it."""
    yield from _contradictions(suite)
    _settle_tests(suite)
    if around:
        around.direct += 1
        around.found = around.found.plus(suite.found)
        around.open = (around.open + suite.open)[:MAX_OPEN]
    else:
        yield from suite.open


def _runner(attributes: Mapping[str, str], around: str) -> str:
    """Return the runner of a suite, by its attributes, or as the suite around it tells."""
    # Catch2 knows no host name, and writes this one.
    if attributes.get("hostname") == "tbd" or "doctest_version" in attributes:
        return ASSERTING
    return NAMES.get(attributes.get("name", ""), around)


def _contradictions(suite: Suite) -> Iterator[str]:
    """Yield what in the totals of a suite, but for `tests`, contradicts what was found in it."""
    for name in ("tests", *FAILING, *SKIPPED):
        text = suite.attributes.get(name, "")
        if text and not _is_number(text):
            yield f"{suite.quote(name)} is no number of tests"
    found, failing, skipped = suite.found, suite.claims(*FAILING), suite.claims(*SKIPPED)
    shown = found.marks + (found.suites if found.marks and suite.runner == TAP else 0)
    if failing is not None and failing > shown and not found.own_marks:
        yield f"{suite.quote(*FAILING)}, but it shows {found.marks}"
    elif failing == 0 and found.failed:
        yield f"{suite.quote(*FAILING)}, but it shows {found.failed}"
    unlisted = (skipped or 0) - found.skipped
    if unlisted > 0 and suite.claims("tests") != found.cases + unlisted:
        yield f"{suite.quote(*SKIPPED)}, but it shows {found.skipped}"
    for name in WORDS:
        outcome = of_word(suite.attributes.get(name, ""))
        is_shown = found.marks if outcome is Outcome.FAILED else not found.passed
        if outcome is not Outcome.PASSED and not is_shown:
            yield f"{suite.quote(name)}, but it shows {found.passed} passed"


def _settle_tests(suite: Suite) -> None:
    """Hold `tests` against what was found: a doubt more is open, or none any longer."""
    tests, found, skipped = suite.claims("tests"), suite.found, suite.claims(*SKIPPED)
    if tests is None:
        return
    unlisted = max(0, (skipped or 0) - found.skipped)
    fitting = {
        found.cases,
        found.cases - found.skipped,
        found.cases + found.retries,
        found.cases + unlisted,
        suite.direct,
        found.cases + (found.suites if suite.runner == TAP else 0),
    }
    more_is_right = suite.runner == PYTEST and tests > found.cases
    less_is_right = (found.failed or suite.runner == JEST) and tests < found.cases
    if tests in fitting or more_is_right or less_is_right or suite.runner == ASSERTING:
        suite.open.clear()
    else:
        suite.open.append(f"{suite.quote('tests')}, but it lists {found.cases}")


def without_a_run(suite: Suite) -> int:
    """Return how many cases right in a suite look passed, but are tests that are yet to do."""
    tests, found = suite.claims("tests"), suite.found
    is_told = suite.runner == JEST and tests is not None and found.suites == 1 and not found.failed
    return min(found.passed, max(0, found.cases - (tests or 0))) if is_told else 0


def _is_number(text: str) -> bool:
    return text.isdecimal() and text.isascii() and len(text) <= MAX_DIGITS

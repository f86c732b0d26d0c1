"""What common tools print of how far they are: nothing is taken that does not stand there.

Known are pytest, ninja, CMake, cargo and tqdm. Lines come without escape sequences.
"""

import re
from typing import NamedTuple

from guardkit.progress.snapshot import Work

LENGTH_MAX = 1000  # characters of a line: no tool says it in more
NUMBER = r"(\d{1,15})"
PERCENT = r"\[ *(\d{1,3})%\]"
# pytest's lines end with it; CMake's begin with it, as those of pytest's workers do.
PERCENTS = re.compile(rf"^(?:\[gw\d+\] )?{PERCENT} |{PERCENT}$")
# ninja's lines begin with it, pytest's end with it where its style is "count".
PARTS = re.compile(rf"^\[ *{NUMBER}/{NUMBER}\] |\[ *{NUMBER}/{NUMBER}\]$")
CARGO = re.compile(rf"^ *[A-Z][a-z]+ \[=*>? *\] {NUMBER}/{NUMBER}(?:: |$)")
RATE = r"(?:\[[\d:]+<[\d:?]+, +(?:[\d.]+|\?)(?:s/(?P<of>[^\],]+)|(?P<unit>[^\],/]*)/s))?"
TQDM = re.compile(rf"(\d{{1,3}})%\|[^|]*\| *([\d.]+[kMGTPEZY]?)/([\d.]+[kMGTPEZY]?)(?: {RATE}|$)")
ENDLESS = re.compile(
    rf"(?:^|: ){NUMBER}(\D[^\[]{{0,40}}?) \[[\d:]+, +(?:(?:[\d.]+|\?)\2/s|[\d.]+s/\2)"
)
SUMMARY = re.compile(r"^=* ?(\d{1,9} [a-z]+(?:, \d{1,9} [a-z ]+)*) in [\d.]+s(?: \([^)]*\))? ?=*$")
PASSED = {"passed", "xpassed"}
COUNTED = PASSED | {"failed", "error", "errors"}  # those that were skipped have not run


class Passed(NamedTuple):
    """How many tests have passed, of how many that have run."""

    passed: int
    total: int


def find_work(line: str) -> Work | None:
    """Return how far a tool is by a line that it has printed, None where it does not say."""
    if len(line) > LENGTH_MAX:
        return None
    if "%" in line:
        return _find_bar(line) or _find_percents(line)
    if "/" in line:
        return _find_parts(line) or _find_endless(line)
    return None


def find_tests(line: str) -> Passed | None:
    """Return what the last line of pytest says, None for any other line.

    An error counts as a test that has not passed, also where it came after one that has: the line
    does not tell them apart.
    """
    if len(line) > LENGTH_MAX or " in " not in line or not (found := SUMMARY.search(line)):
        return None
    words = [each.split(" ", 1) for each in found[1].split(", ")]
    numbers = {what: int(number) for number, what in words}
    total = sum(number for what, number in numbers.items() if what in COUNTED)
    passed = sum(number for what, number in numbers.items() if what in PASSED)
    return Passed(passed, total) if total else None


def _find_bar(line: str) -> Work | None:
    """Return what a bar of tqdm says; of rounded numbers such as `1.46k` the percentage alone."""
    if not (found := TQDM.search(line)):
        return None
    percent, done, total = found[1], found[2], found[3]
    if not (done.isdecimal() and total.isdecimal()):
        return _work(percent, "100", "%")
    unit = found["unit"] or found["of"] or ""
    return _work(done, total, unit.strip())


def _find_percents(line: str) -> Work | None:
    found = PERCENTS.search(line)
    return _work(found[1] or found[2], "100", "%") if found else None


def _find_parts(line: str) -> Work | None:
    found = PARTS.search(line) or CARGO.search(line)
    if not found:
        return None
    done, total = [number for number in found.groups() if number]
    return _work(done, total)


def _find_endless(line: str) -> Work | None:
    """Return what tqdm says that does not know how much there is."""
    found = ENDLESS.search(line)
    return Work(int(found[1]), None, found[2].strip()) if found else None


def _work(done: str, total: str, unit: str = "") -> Work | None:
    found = Work(int(done), int(total), unit)
    return found if found.done <= int(total) else None

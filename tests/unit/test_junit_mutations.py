"""No report of a run that failed reads as a pass, whatever became of it on its way.

Each mutated report keeps one trace of the failure at least, and may lose all others:

- a case that failed, whole; the totals, and all that is said of other cases, may be gone
- a total of failures; no case tells of one any more
- `tests=`, which is more than what is listed, as the cases that failed are gone

Where every trace is gone from cases and totals, only the exit code tells.
"""

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from xml.etree.ElementTree import Element, SubElement, tostring

import pytest
from defusedxml.ElementTree import fromstring
from hypothesis import given, settings
from hypothesis import strategies as st

from guardkit.orchestrator.proof.junit import ReportError, read_junit

REPORTS = Path(__file__).parents[1] / "reports"
GREEN = ("-green", "-flaky", "-unbuilt", "-files")
RED = sorted(path.stem for path in REPORTS.glob("*.xml") if not path.stem.endswith(GREEN))
FAILS = {"failure", "error", "rerunFailure", "rerunError", "flakyFailure", "flakyError"}
FAILING = ("failures", "errors")
# Their `tests=` is no number of what they list.
COUNTING_OTHERWISE = ("pytest", "catch2", "doctest", "tap")

Way = Callable[[Element, Random], None]


def parsed(name: str) -> Element:
    text = (REPORTS / f"{name}.xml").read_bytes().decode()
    text = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]|&#x?[01]?[0-9a-fA-F];", "?", text)
    return fromstring(re.sub(r"^\s*<\?xml[^>]*>", "", text))


def suites(top: Element) -> list[Element]:
    return [each for each in top.iter() if each.tag in {"testsuite", "testsuites"}]


def cases(top: Element) -> list[tuple[Element, Element]]:
    """Return all cases, each after its suite."""
    return [(suite, case) for suite in suites(top) for case in suite.findall("testcase")]


def has_failed(case: Element) -> bool:
    """Return whether a case has failed for good, though it may have been allowed to."""
    may_fail = any(each.get("type") == "todo" for each in case.findall("skipped"))
    may_fail = may_fail or "mayfail" in str([each.attrib for each in case.findall("skipped")])
    return not may_fail and any(child.tag in {"failure", "error"} for child in case)


def tells(case: Element) -> bool:
    """Return whether anything in a case tells of a failure."""
    words = {"fail", "failed", "error"}
    by_word = {case.get("status"), case.get("result")} & words or "failure" in case.attrib
    return bool(by_word) or any(child.tag in FAILS for child in case)


def claims(suite: Element) -> int:
    return sum(int(suite.get(name) or 0) for name in FAILING)


def one_in(number: int, chance: Random) -> bool:
    return chance.randrange(number) == 0


def keep_a_case(top: Element, chance: Random) -> None:
    """Mutate all but one failed case, and all totals."""
    failed = [case for _, case in cases(top) if has_failed(case)]
    kept = chance.choice(failed)
    for suite, case in cases(top):
        if case is kept:
            continue
        if one_in(3, chance):
            suite.remove(case)
        else:
            disturb(suite, case, kept, chance)
    for suite in suites(top):
        for name in list(suite.attrib):
            if name != "name" and one_in(2, chance):
                suite.attrib.pop(name)
        if one_in(6, chance):
            suite.set(chance.choice(("tests", "failures", "errors", "skipped")), "0")


def disturb(suite: Element, case: Element, kept: Element, chance: Random) -> None:
    """Change a case that need tell of nothing any more."""
    for child in list(case):
        if one_in(2, chance):
            case.remove(child)
    for name in list(case.attrib):
        if one_in(4, chance):
            case.attrib.pop(name)
    if one_in(3, chance):  # the name of the one that counts, beside it or elsewhere
        case.attrib.update({name: kept.get(name, "") for name in ("name", "classname", "file")})
    if one_in(6, chance):
        again = SubElement(suite, "testcase", dict(case.attrib))
        again.extend(list(case))


def keep_a_total(top: Element, chance: Random) -> None:
    """Hide the failures of all cases and suites, each in one of many ways; totals stay."""
    for suite, case in cases(top):
        if tells(case):
            hide_case(suite, case, chance)
    for suite in suites(top):
        for mark in [each for each in suite if each.tag in FAILS]:
            suite.remove(mark)
    claiming = [suite for suite in suites(top) if claims(suite)]
    kept = chance.choice(claiming)
    for suite in suites(top):
        for name in list(suite.attrib):
            is_kept = suite is kept and name in FAILING
            if name != "name" and not is_kept and one_in(3, chance):
                suite.attrib.pop(name)


def hide_case(suite: Element, case: Element, chance: Random) -> None:
    if one_in(2, chance):
        suite.remove(case)
        return
    for name in ("status", "result", "failure"):
        case.attrib.pop(name, None)
    for mark in [each for each in case if each.tag in FAILS]:
        way = chance.randrange(5)
        if way == 0:
            mark.tag = "Failure"  # not known
        elif way == 1:
            case.remove(mark)
            SubElement(case, "system-out").append(mark)
        elif way == 2:
            case.remove(mark)
            SubElement(case, "properties").append(Element("property", name="failure", value="x"))
        else:
            case.remove(mark)


def keep_the_number(top: Element, chance: Random) -> None:
    """Take out what failed, and all totals but those of all tests."""
    for suite, case in cases(top):
        if tells(case):
            suite.remove(case)
    for suite in suites(top):
        for mark in [each for each in suite if each.tag in FAILS]:
            suite.remove(mark)
        for name in FAILING:
            suite.attrib.pop(name, None)
        if one_in(2, chance):
            suite.attrib.pop("timestamp", None)


def applicable(name: str) -> Iterator[Way]:
    top = parsed(name)
    yield keep_a_case
    if any(claims(suite) for suite in suites(top)):
        yield keep_a_total
    numbered = any(
        suite.get("tests") and any(tells(case) for case in suite.iter("testcase"))
        for suite in suites(top)
    )
    if numbered and not name.startswith(COUNTING_OTHERWISE):
        yield keep_the_number


def hostile(text: str, way: int) -> str:
    """Return the document with something around or in it that may lead a parser astray."""
    if way == 0:
        return '<!DOCTYPE t [<!ENTITY a "<testsuite/>">]>' + text
    if way == 1:
        return re.sub(r"^<(\w+)", r'<\1 xmlns="urn:x" xmlns:y="urn:y"', text)
    if way == 2:
        return re.sub(r"(</?)(test|fail|err|skip)", r"\1y:\2", text)
    if way == 3:
        return text.replace("</testcase>", "\x00&#8;&#xFFFF;</testcase>")
    if way == 4:
        return text + "<testsuite/>"
    if way == 5:
        return text.replace("</testcase>", "<!-- > --><![CDATA[<testcase/>]]></testcase>")
    if way == 6:
        return "<testsuites>" * 20 + text + "</testsuites>" * 20
    return text


ENCODINGS = [
    ("utf-8", ""),
    ("utf-8", "<?xml version='1.0' encoding='UTF-8'?>"),
    ("utf-8-sig", "<?xml version='1.0' encoding='latin-1'?>"),
    ("utf-16", "<?xml version='1.0' encoding='utf-16'?>"),
    ("utf-16-le", "<?xml version='1.0'?>"),
    ("utf-16-be", ""),
    ("iso-8859-1", "<?xml version='1.0' encoding='ISO-8859-1'?>"),
    ("ascii", "<?xml version='1.0' encoding='us-ascii'?>"),
    ("utf-8", "<?xml version='1.0' encoding='utf-16'?>"),
    ("utf-8", "<?xml version='1.0' encoding='utf-7'?>"),
    ("utf-8", "<?xml version='1.0' encoding='shift_jis'?>"),
    ("utf-7", "<?xml version='1.0' encoding='utf-7'?>"),
    ("cp037", "<?xml version='1.0' encoding='cp037'?>"),
]
PARSED = {name: tostring(parsed(name)) for name in RED}
WAYS = [(name, way) for name in RED for way in applicable(name)]


@given(
    st.sampled_from(WAYS),
    st.integers(0, 13),
    st.sampled_from(ENCODINGS),
    st.integers(0, 4000),
    st.randoms(use_true_random=True),
)
@settings(max_examples=500, derandomize=True, deadline=None, database=None)
def test_no_mutated_report_of_a_failed_run_reads_as_a_pass(
    name_and_way: tuple[str, Way],
    around: int,
    encoding: tuple[str, str],
    per_mille: int,
    chance: Random,
) -> None:
    name, way = name_and_way
    top = fromstring(PARSED[name])
    way(top, chance)
    codec, prolog = encoding
    text = prolog + hostile(tostring(top, encoding="unicode"), around)
    document = text.encode(codec, "xmlcharrefreplace")
    document = document[: len(document) * per_mille // 1000]  # most are left whole
    try:
        report = read_junit(io.BytesIO(document))
    except ReportError:
        return
    assert report.failures or report.doubts


@pytest.mark.parametrize("way", [keep_a_case, keep_a_total, keep_the_number])
def test_each_way_is_tried_on_many_runners(way: Way) -> None:
    assert len([name for name, each in WAYS if each is way]) > 15

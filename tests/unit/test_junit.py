"""What is counted in JUnit reports: of real runners, and of what speaks against its own words."""

import io
import tracemalloc
from itertools import chain, repeat
from pathlib import Path

import pytest

from guardkit.errors import GuardKitError
from guardkit.orchestrator.proof.junit import MAX_FAILURES, Report, ReportError, read_junit
from guardkit.orchestrator.proof.xmlstream import MAX_DEPTH, MAX_NAMES, MAX_TOKEN

REPORTS = Path(__file__).parents[1] / "reports"

# By hand, from tests/reports/sources: passed, skipped, failed.
COUNTED = {
    "bats": (2, 1, 4),
    "bats-green": (1, 1, 0),
    "behave": (5, 1, 4),
    "boost": (5, 2, 5),  # with one expected failure, which looks like any other
    "boost-green": (1, 11, 0),
    "busted": (5, 2, 6),
    "busted-green": (4, 2, 0),
    "catch2": (4, 2, 4),
    "catch2-green": (2, 1, 0),
    "cmocka": (1, 1, 3),
    "cmocka-green": (2, 0, 0),
    "ctest": (2, 4, 4),
    "ctest-green": (2, 2, 0),
    "deno": (9, 2, 6),
    "deno-green": (8, 2, 0),
    "doctest": (5, 0, 5),
    "doctest-green": (3, 0, 0),
    "googletest": (5, 4, 5),
    "googletest-green": (5, 3, 0),
    "gotestsum": (8, 1, 4),
    "gotestsum-green": (5, 1, 0),
    "gotestsum-unbuilt": (5, 1, 0),
    "jasmine": (5, 3, 5),
    "jasmine-green": (2, 3, 0),
    "jest": (14, 2, 7),  # with one that is to do: its hooks that fail hide that
    "jest-green": (6, 3, 0),
    "junit5": (11, 3, 5),
    "meson": (6, 2, 5),
    "meson-green": (4, 2, 0),
    "minitest": (3, 1, 5),
    "minitest-green": (2, 1, 0),
    "mocha": (11, 0, 6),  # what is pending is not listed
    "mocha-green": (6, 0, 0),
    "mocha-xunit": (11, 4, 6),
    "mocha-xunit-green": (6, 4, 0),
    "nextest": (4, 0, 4),
    "nextest-flaky": (4, 0, 1),
    "nextest-green": (4, 0, 0),
    "node": (13, 6, 7),
    "node-files": (1, 3, 0),  # what is only a file is no test
    "node-green": (8, 6, 0),
    "node20": (13, 6, 7),
    "node20-files": (1, 3, 0),
    "node20-green": (8, 6, 0),
    "nose2": (2, 4, 8),
    "phpunit": (3, 3, 7),
    "phpunit-green": (4, 3, 0),
    "prove": (6, 0, 6),
    "prove-green": (5, 0, 0),
    "pytest": (6, 4, 12),
    "pytest-green": (6, 2, 0),
    "pytest-reruns": (6, 4, 11),
    "pytest-xdist": (6, 4, 11),
    "robot": (2, 2, 5),
    "robot-green": (1, 1, 0),
    "rspec": (8, 4, 8),
    "rspec-green": (5, 2, 0),
    "surefire": (7, 3, 7),
    "surefire-flaky": (1, 2, 1),
    "surefire-green": (2, 2, 0),
    "surefire-reruns": (7, 3, 7),
    "tap": (11, 0, 4),
    "tap-green": (7, 0, 0),
    "unittest": (2, 3, 9),
    "unittest-green": (2, 2, 0),
    "vitest": (15, 4, 9),
    "vitest-green": (7, 3, 0),
}
# They know of more than they list.
DOUBTFUL = {
    "gotestsum-unbuilt": ['testsuites "" in line 2: failures="0" errors="1", but it shows 0'],
    "tap": [
        'testsuite "kinds.test.js" in line 12: skipped="4", but it shows 0',
        'testsuites "TAP Tests" in line 2: skipped="4", but it shows 0',
    ],
}


def of_runner(name: str) -> Report:
    with (REPORTS / f"{name}.xml").open("rb") as stream:
        return read_junit(stream)


def read(document: str | bytes) -> Report:
    return read_junit(io.BytesIO(document.encode() if isinstance(document, str) else document))


def in_suite(cases: str, attributes: str = "") -> Report:
    return read(f"<testsuite name='s' {attributes}>{cases}</testsuite>")


def counts(report: Report) -> tuple[int, int, int]:
    return report.passed, report.skipped, len(report.failures)


def refusal(document: str | bytes) -> str:
    with pytest.raises(ReportError) as raised:
        read(document)
    return str(raised.value)


@pytest.mark.parametrize("name", COUNTED)
def test_the_report_of_a_real_runner_is_counted_and_believed(name: str) -> None:
    report = of_runner(name)
    assert counts(report) == COUNTED[name]
    assert report.doubts == DOUBTFUL.get(name, [])


def test_each_stored_report_has_its_figures() -> None:
    assert {path.stem for path in REPORTS.glob("*.xml")} == COUNTED.keys()


@pytest.mark.parametrize(
    ("name", "failure"),
    [
        pytest.param("pytest", "test_kinds::test_raises: ValueError: no#x08thing", id="pytest"),
        pytest.param("node", "test::raises: no␈thing", id="a control character"),
        pytest.param("surefire", "KindsTest$Plain::raises: no&#8;thing", id="escaped twice"),
        pytest.param("jest", "suite inner fails: Error: deeper", id="a class that is the name"),
        pytest.param("phpunit", "KindsTest::testFails: one is not two", id="the name again"),
        pytest.param("robot", "Robot.Kinds::Broken Before: Setup failed: no database", id="colon"),
        pytest.param("ctest", 'is_killed: status="fail"', id="a status"),
        pytest.param("meson", "kinds::raises: no reason is given", id="no reason"),
        pytest.param(
            "busted",
            'testsuite "Run 1 of 1" in line 3: kinds_spec.lua:10: no database',
            id="an error of a suite",
        ),
    ],
)
def test_a_failure_is_named_in_one_line(name: str, failure: str) -> None:
    assert failure in of_runner(name).failures


PASSED = [
    pytest.param("<testcase name='a'/>", id="nothing"),
    pytest.param("<testcase name='a'><system-out>x</system-out><properties/></testcase>", id="out"),
    pytest.param("<testcase status='run' result='completed'/>", id="googletest"),
    pytest.param("<testcase status='Passed'/>", id="a word in capitals"),
    pytest.param("<testcase disabled='false' errors='0' failure='' skipped='0'/>", id="told not"),
    pytest.param("<testcase success='true' executed='True'/>", id="told so"),
]
SKIPPED = [
    pytest.param("<testcase><skipped/></testcase>", id="skipped"),
    pytest.param("<testcase><disabled/></testcase>", id="disabled"),
    pytest.param("<testcase><ignored/></testcase>", id="ignored"),
    pytest.param("<testcase><warning/></testcase>", id="a class without tests"),
    pytest.param("<testcase status='notrun'/>", id="not run"),
    pytest.param("<testcase status='Not Run'/>", id="not run, in words"),
    pytest.param("<testcase status='disabled'/>", id="status disabled"),
    pytest.param("<testcase status='run' result='suppressed'/>", id="suppressed"),
    pytest.param("<testcase status='run' result='skipped'/>", id="result skipped"),
    pytest.param("<testcase disabled='true'/>", id="disabled, an attribute"),
    pytest.param("<testcase ignored='1'/>", id="ignored, an attribute"),
    pytest.param("<testcase executed='False'/>", id="not executed"),
    pytest.param(
        "<testcase failure='x'><skipped type='todo'/><failure/></testcase>", id="may fail, node"
    ),
    pytest.param(
        "<testcase><skipped message='TEST_CASE tagged with !mayfail'/><failure/></testcase>",
        id="may fail, Catch2",
    ),
]
FAILED = [
    pytest.param("<testcase><failure/></testcase>", id="failure"),
    pytest.param("<testcase><error/></testcase>", id="error"),
    pytest.param("<testcase><failure/><error/></testcase>", id="both"),
    pytest.param("<testcase><skipped/><error/></testcase>", id="a skip whose teardown fails"),
    pytest.param("<testcase><failure/><skipped/></testcase>", id="a failure, then a skip"),
    pytest.param("<testcase><flakyFailure/></testcase>", id="flaky"),
    pytest.param("<testcase><rerunError/></testcase>", id="of a rerun"),
    pytest.param("<testcase status='failed'/>", id="without a child"),
    pytest.param("<testcase status='run' result='Failure'/>", id="result failure"),
    pytest.param("<testcase status='failed'><skipped/></testcase>", id="failed and skipped"),
    pytest.param("<testcase failure='why'/>", id="failure, an attribute"),
    pytest.param("<testcase success='False'/>", id="no success"),
    pytest.param("<x:testcase xmlns:x='y'><x:failure/></x:testcase>", id="with a prefix"),
]


@pytest.mark.parametrize("case", PASSED)
def test_known_ways_of_saying_passed_are_passed(case: str) -> None:
    assert in_suite(case) == Report(passed=1, skipped=0, failures=[], doubts=[])


@pytest.mark.parametrize("case", SKIPPED)
def test_what_has_not_run_is_skipped(case: str) -> None:
    assert in_suite(case) == Report(passed=0, skipped=1, failures=[], doubts=[])


@pytest.mark.parametrize("case", FAILED)
def test_what_has_failed_is_failed_whatever_else_it_says(case: str) -> None:
    report = in_suite(case)
    assert (counts(report), report.doubts) == ((0, 0, 1), [])


@pytest.mark.parametrize(
    ("case", "doubt"),
    [
        pytest.param("<testcase name='a' status='sunny'/>", 'status="sunny" is not', id="status"),
        pytest.param("<testcase name='a' result='meh'/>", 'result="meh" is not', id="result"),
        pytest.param("<testcase name='a'><Failure/></testcase>", "<Failure> in line 1", id="child"),
        pytest.param(
            "<testcase name='a'><testcase name='b'><failure/></testcase></testcase>",
            "<testcase> in line 1",
            id="a case in a case",
        ),
    ],
)
def test_what_is_not_known_is_not_passed_and_a_doubt_names_it(case: str, doubt: str) -> None:
    report = in_suite(case)
    assert counts(report) == (0, 1, 0)
    assert doubt in report.doubts[0]
    assert report.doubts[0].startswith("a")


def test_a_failure_in_what_holds_output_is_a_doubt() -> None:
    case = "<testcase name='a'><system-out><b><failure/></b></system-out></testcase>"
    assert in_suite(case).doubts == ["<failure> in line 1: it stands in what holds only output"]


def test_the_first_reason_of_several_is_told() -> None:
    case = "<testcase name='a'>{}<failure message='second'/></testcase>"
    assert in_suite(case.format("<failure message='first'/>")).failures == ["a: first"]
    assert in_suite(case.format("<failure>first</failure>")).failures == ["a: first"]
    assert in_suite(case.format("<failure/>")).failures == ["a: second"]


def test_what_stands_deeper_in_a_failure_is_not_its_reason() -> None:
    case = "<testcase name='a'><failure><trace>deep</trace>\nplain</failure></testcase>"
    assert in_suite(case).failures == ["a: plain"]


def test_of_a_syntax_error_it_is_told_what_it_is_and_not_where_alone() -> None:
    why = (
        'File "/shop/tax.py", line 1\n    def tax(\n           ^\nSyntaxError: it was never closed'
    )
    failure = f"<failure message='{why}'/>".replace("\n", "&#10;")
    told = in_suite(f"<testcase name='a'>{failure}</testcase>").failures
    assert told == ["a: SyntaxError: it was never closed"]


def test_an_error_of_a_suite_is_a_failure_with_its_first_line() -> None:
    report = read(
        "<testsuites>\n<testsuite name='s'><error>\n\x09one\ntwo</error></testsuite></testsuites>"
    )
    assert report.failures == ['testsuite "s" in line 2: one']


@pytest.mark.parametrize(
    ("attributes", "doubt"),
    [
        pytest.param("failures='1'", 'failures="1", but it shows 0', id="failures"),
        pytest.param("errors='2' failures='0'", 'failures="0" errors="2", but it', id="errors"),
        pytest.param("skipped='1'", 'skipped="1", but it shows 0', id="skipped"),
        pytest.param("disabled='2'", 'disabled="2", but it shows 0', id="disabled"),
        pytest.param("tests='3'", 'tests="3", but it lists 2', id="one is missing"),
        pytest.param("tests='1'", 'tests="1", but it lists 2', id="one too many"),
        pytest.param("tests='many'", 'tests="many" is no number', id="a word"),
        pytest.param("failures='-1'", 'failures="-1" is no number', id="negative"),
        pytest.param(f"errors='{'9' * 5000}'", "is no number", id="of 5000 digits"),
        pytest.param(
            "status='failed'", 'status="failed", but it shows 2 passed', id="a failed suite"
        ),
        pytest.param("result='suppressed'", 'result="suppressed"', id="a suite that did not run"),
    ],
)
def test_a_total_that_contradicts_the_cases_is_a_doubt(attributes: str, doubt: str) -> None:
    report = in_suite("<testcase name='a'/><testcase name='b'/>", attributes)
    assert counts(report) == (2, 0, 0)
    assert report.doubts[0].startswith('testsuite "s" in line 1: ')
    assert doubt in report.doubts[0]


def test_a_total_of_all_suites_that_contradicts_the_cases_is_a_doubt() -> None:
    suite = "<testsuite tests='1'><testcase name='a'/></testsuite>"
    assert read(f"<testsuites tests='2' failures='0'>{suite}{suite}</testsuites>").doubts == []
    report = read(f"<testsuites tests='2' failures='1'>{suite}{suite}</testsuites>")
    assert report.doubts == ['testsuites "" in line 1: failures="1", but it shows 0']


THREE, SKIP = "<testcase/>" * 3, "<testcase><skipped/></testcase>"


@pytest.mark.parametrize(
    ("document", "doubts"),
    [
        pytest.param(f"<testsuite tests='3'>{THREE}</testsuite>", 0, id="most runners"),
        pytest.param(
            f"<testsuite tests='2'><testcase/><testsuite>{THREE}</testsuite></testsuite>",
            0,
            id="what is right in a suite: node",
        ),
        pytest.param(
            f"<testsuite tests='3' skipped='1'>{THREE}<testcase><skipped/></testcase></testsuite>",
            0,
            id="without the skipped: Boost",
        ),
        pytest.param(
            "<testsuite tests='2'><testcase><flakyError/></testcase></testsuite>",
            0,
            id="each try: Surefire",
        ),
        pytest.param(f"<testsuite name='pytest' tests='4'>{THREE}</testsuite>", 0, id="subtests"),
        pytest.param(f"<testsuite name='pytest' tests='2'>{THREE}</testsuite>", 1, id="no pytest"),
        pytest.param(f"<testsuite hostname='tbd' tests='9'>{THREE}</testsuite>", 0, id="Catch2"),
        pytest.param(f"<testsuite doctest_version='2' tests='1'>{THREE}</testsuite>", 0, id="doc"),
        pytest.param(
            f"<testsuites name='TAP Tests' tests='5'><testsuite tests='4'>{THREE}</testsuite>"
            "</testsuites>",
            0,
            id="suites too: node-tap",
        ),
        pytest.param(
            f"<testsuites name='TAP Tests' errors='1'><testsuite>{THREE}</testsuite></testsuites>",
            1,
            id="a failure that node-tap does not list",
        ),
        pytest.param(
            "<testsuite tests='1' errors='3'><testcase/><error/></testsuite>",
            0,
            id="an error that stands for several: prove",
        ),
    ],
)
def test_what_totals_count_is_known_of_each_runner(document: str, doubts: int) -> None:
    assert len(read(document).doubts) == doubts


def test_what_jest_has_yet_to_do_is_not_passed() -> None:
    suites = f"<testsuite tests='2'>{THREE}</testsuite><testsuite tests='3'>{THREE}</testsuite>"
    report = read(f"<testsuites name='jest tests' tests='5'>{suites}</testsuites>")
    assert report == Report(passed=5, skipped=1, failures=[], doubts=[])
    suite = f"<testsuite name='jest tests' tests='0'><testcase/>{SKIP}{SKIP}</testsuite>"
    assert counts(read(suite)) == (0, 3, 0)


def test_totals_without_a_failure_beside_a_failed_case_are_a_doubt() -> None:
    report = in_suite("<testcase name='a'><failure/></testcase>", "tests='1' failures='0'")
    assert report.doubts == ['testsuite "s" in line 1: failures="0", but it shows 1']


def test_a_suite_that_says_it_failed_is_believed_where_a_case_has() -> None:
    assert in_suite("<testcase><failure/></testcase>", "status='failed'").doubts == []
    assert in_suite("<testcase><failure/></testcase>", "status='sunny'").doubts == []
    assert in_suite("<testcase><skipped/></testcase>", "status='skipped'").doubts == []


def test_a_right_total_above_dispels_the_doubt_about_one_below() -> None:
    suite = "<testsuite name='s' tests='2'><testcase name='a'/></testsuite>"
    assert read(f"<testsuites tests='2' skipped='1'>{suite}</testsuites>").doubts == []
    assert read(f"<testsuites>{suite}</testsuites>").doubts == [
        'testsuite "s" in line 1: tests="2", but it lists 1'
    ]


@pytest.mark.parametrize(
    ("document", "passed"),
    [
        pytest.param("<testcase name='a' classname='c'/>" * 3, 3, id="the same name"),
        pytest.param(
            "<testcase name='a'/><testcase name='a'><skipped/></testcase>", 1, id="one is skipped"
        ),
        pytest.param(
            "<testcase name='a'/><testcase name='a'><failure/></testcase><testcase name='a'/>",
            2,
            id="one has failed",
        ),
        pytest.param(
            "<testsuite><testcase name='a'/></testsuite><testsuite><testcase name='a'><error/>"
            "</testcase></testsuite>",
            1,
            id="in another suite",
        ),
    ],
)
def test_equal_names_are_several_tests(document: str, passed: int) -> None:
    assert in_suite(document).passed == passed


FAILING = "<testcase classname='c' name='a'><failure message='first'/></testcase>"
TORN = "<testcase classname='c' name='a'><error message='teardown'/></testcase>"
OTHER = "<testcase classname='c' name='b'/>"


def test_a_test_whose_teardown_fails_too_is_one_failure() -> None:
    report = in_suite(FAILING + TORN)
    assert (counts(report), report.failures) == ((0, 0, 1), ["c::a: first"])
    assert counts(in_suite(TORN + FAILING)) == (0, 0, 2)
    assert counts(in_suite(OTHER.replace("'b'", "'a'") + TORN)) == (1, 0, 1)
    assert counts(in_suite(FAILING + TORN.replace("'c'", "'d'"))) == (0, 0, 2)


def test_with_xdist_a_teardown_may_be_told_of_later() -> None:
    suite = "<testsuite name='pytest' tests='3' errors='1' failures='1'>"
    assert counts(read(f"{suite}{FAILING}{OTHER}{TORN}</testsuite>")) == (1, 0, 1)
    assert counts(in_suite(FAILING + OTHER + TORN)) == (1, 0, 2)


def test_of_a_test_that_pytest_runs_again_the_worst_outcome_counts() -> None:
    document = f"<testsuite name='pytest'>{OTHER}{OTHER}{FAILING}{OTHER}</testsuite>"
    assert counts(read(document)) == (2, 0, 1)


@pytest.mark.parametrize(
    "document",
    [
        pytest.param("<testsuites/>", id="no suite"),
        pytest.param("<testsuite tests='0' failures='0'></testsuite>", id="an empty suite"),
        pytest.param("<testsuites tests='0'><testsuite/></testsuites>", id="both"),
    ],
)
def test_no_tests_are_no_error(document: str) -> None:
    assert read(document) == Report(passed=0, skipped=0, failures=[], doubts=[])


def test_namespaces_are_left_out() -> None:
    document = "<testsuites xmlns='u:x'><testsuite xmlns:y='u:y' y:failures='3'>{}</testsuite>"
    report = read(document.format("<testcase name='a' y:status='failed'/>") + "</testsuites>")
    assert report == Report(passed=1, skipped=0, failures=[], doubts=[])


CONTROLLED = (
    "<testsuite><testcase name='ä\x1b[1mb\x00'>"
    "<failure>\x08\x1b[31mred\x1b[0m</failure></testcase></testsuite>"
)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "iso-8859-1", "windows-1252", "utf-16", "utf-16-le"]
)
def test_control_characters_are_replaced_in_whatever_encoding(encoding: str) -> None:
    document = f"<?xml version='1.0' encoding='{encoding}'?>{CONTROLLED}".encode(encoding)
    assert read(document).failures == ["äb␀: ␈red"]


def test_a_prolog_that_is_wrong_about_utf_16_is_passed_over() -> None:
    document = f"<?xml version='1.0' encoding='utf-16'?>{CONTROLLED}".encode()
    assert read(document).failures == ["äb␀: ␈red"]
    document = f"<?xml version='1.0' encoding='latin-1'?>{CONTROLLED}".encode("utf-16")
    assert read(document).failures == ["äb␀: ␈red"]


def test_bytes_that_the_encoding_does_not_know_are_replaced() -> None:
    assert in_suite("<testcase name='a'/>").passed == 1
    document = b"<testsuite><testcase name='\xe4'><failure>\xff</failure></testcase></testsuite>"
    assert read(document).failures == ["\ufffd: \ufffd"]
    assert read(b"<?xml version='1.0' encoding='ascii'?>" + document).failures == ["\ufffd: \ufffd"]


def test_references_to_what_xml_forbids_are_replaced_and_others_kept() -> None:
    text = "&#8;&#x1b;[1m&#xFFFE;&#xd800;&#x110000;&#228;&#x1F600;&#9;&lt;"
    report = in_suite(f"<testcase name='a'><failure message='{text}'/></testcase>")
    assert report.failures == ["a: ␈\ufffd\ufffd\ufffdä\U0001f600  <"]


class Trickle(io.BytesIO):
    """A stream that gives one byte at a time."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(1)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
def test_it_does_not_matter_where_a_chunk_ends(encoding: str) -> None:
    document = f"<?xml version='1.0' encoding='{encoding}'?><!-- {'-x' * 200} -->{CONTROLLED}"
    document = document.replace("red", "&#8;&#xe4;")
    assert read_junit(Trickle(document.encode(encoding))).failures == ["äb␀: ␈␈ä"]


class Pieces(io.BytesIO):
    """A stream of 4 MiB that are made as they are read."""

    def __init__(self, before: bytes, piece: bytes, after: bytes) -> None:
        super().__init__()
        many = 4 * 1024 * 1024 // len(piece)
        self._pieces = chain([before], repeat(piece, many), [after])

    def read(self, size: int | None = -1, /) -> bytes:
        return next(self._pieces, b"")


@pytest.mark.parametrize(
    ("before", "piece", "after", "passed"),
    [
        pytest.param(
            b"<testsuite><testcase><system-out>",
            b"\x01" + b"said something\n" * 4096,
            b"</system-out></testcase></testsuite>",
            1,
            id="output",
        ),
        pytest.param(
            b"<testsuite><testcase><failure>",
            b"xxx\n" * 16384,
            b"</failure></testcase></testsuite>",
            0,
            id="a reason",
        ),
        pytest.param(
            b"<testsuite><testcase>",
            b"<system-out>x</system-out>" * 2048,
            b"</testcase></testsuite>",
            1,
            id="elements",
        ),
        pytest.param(
            b"<testsuite>",
            b"<testcase><failure>%s</failure></testcase>" % (b"x" * 2000),
            b"</testsuite>",
            0,
            id="failures",
        ),
    ],
)
def test_memory_does_not_grow_with_the_report(
    before: bytes, piece: bytes, after: bytes, passed: int
) -> None:
    tracemalloc.start()
    try:
        report = read_junit(Pieces(before, piece, after))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert report.passed == passed
    assert peak < 2 * 1024 * 1024


def test_of_many_failures_and_doubts_the_first_are_named() -> None:
    report = in_suite("<testcase name='a'><failure message='b'/><odd/></testcase>" * 1500)
    assert len(report.failures) == MAX_FAILURES + 1
    assert report.failures[-2:] == ["a: b", "and 500 more"]
    assert report.doubts[-1] == "and 1480 more"
    assert len(report.doubts) == 21


def test_doubts_are_plain_and_bounded() -> None:
    suite = "<testsuite name='{0}' tests='\x1b[1m{0}'/>".format("n" * 999)
    report = read(f"<testsuites>{suite * 50}</testsuites>")
    assert (
        report.doubts[0]
        == f'testsuite "{"n" * 200}" in line 1: tests="{"n" * 196}" is no number of tests'
    )
    assert len(report.doubts) == 21
    suites = "<testsuite tests='1'/>" * 50
    report = read(f"<testsuites>{suites}</testsuites>")
    assert report.doubts == ['testsuite "" in line 1: tests="1", but it lists 0'] * 20


def test_long_names_and_reasons_are_cut() -> None:
    case = f"<testcase name='{'n' * 999}'><failure message='{'m' * 9999}'/></testcase>"
    assert in_suite(case).failures == [f"{'n' * 200}: {'m' * 200}"]
    case = f"<testcase name='a'><failure>{'t' * 9999}\nu</failure></testcase>"
    assert in_suite(case).failures == [f"a: {'t' * 200}"]


ENTITIES = "<!DOCTYPE x [<!ENTITY a 'b'>]><testsuite><testcase name='&a;'/></testsuite>"


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        pytest.param("", "it is empty", id="empty"),
        pytest.param("FAILED", "it is no XML in line 1, column 1: syntax error", id="text"),
        pytest.param("<html/>", "it is no JUnit report: it begins with <html>", id="html"),
        pytest.param("<testsuite>\n <testcase", "it is cut off in line 2, column 2", id="cut off"),
        pytest.param("<testsuite><![CDATA[x", "it is cut off in line 1", id="cut off in CDATA"),
        pytest.param(
            "<testsuite/><testsuite/>", "in line 1, column 13: junk after", id="two documents"
        ),
        pytest.param("<testsuite>\n</testsuites>", "in line 2, column 3: mismatched", id="tags"),
        pytest.param(ENTITIES, "a DTD, which may hide or multiply what it says, in", id="entities"),
        pytest.param("<!DOCTYPE x SYSTEM 'file:///y'><testsuite/>", "a DTD", id="a DTD elsewhere"),
        pytest.param("<testsuite>&nbsp;</testsuite>", "undefined entity", id="an entity"),
        pytest.param(
            "<?xml version='1.0' encoding='no-such'?><testsuite/>",
            "its encoding 'no-such' cannot be read: have it written in UTF-8",
            id="encoding",
        ),
        pytest.param(
            "<?xml version='1.0' encoding='utf-7'?><testsuite/>", "'utf-7'", id="a hostile one"
        ),
        pytest.param(
            "<?xml version='1.0' encoding='unicode_escape'?><testsuite/>", "'uni", id="another"
        ),
        pytest.param("<?xml version='1.0' encoding='zip'?><testsuite/>", "'zip'", id="no text"),
        pytest.param(
            "<testsuite>" * (MAX_DEPTH + 1), "more than 100 elements within each", id="deep"
        ),
        pytest.param(
            "<testsuite>" + "".join(f"<a{n}/>" for n in range(MAX_NAMES + 1)) + "</testsuite>",
            "more than 10000 different names in line 1",
            id="names",
        ),
        pytest.param(
            f"<testsuite>\n<testcase name='{'n' * (MAX_TOKEN + 2**20)}'/></testsuite>",
            "a tag or comment of more than 8388608 bytes in line 2, column 1",
            id="a long tag",
        ),
    ],
)
def test_what_is_wrong_with_a_report_is_said_and_where(document: str, reason: str) -> None:
    assert reason in refusal(document)


def test_a_report_error_is_ours_and_a_value_error() -> None:
    assert issubclass(ReportError, GuardKitError)
    assert issubclass(ReportError, ValueError)


@pytest.mark.parametrize("name", ["pytest", "node", "surefire", "googletest"])
def test_wherever_a_report_is_cut_off_it_is_refused(name: str) -> None:
    document = (REPORTS / f"{name}.xml").read_bytes()
    end = document.rindex(b"</testsuite")
    for length in range(0, end, 97):
        with pytest.raises(ReportError, match=r"cut off|empty"):
            read(document[:length])

"""How a test case of a JUnit report went: what runners write for passed is passed, no more."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

from guardkit.orchestrator.processes.commands import plain

MAX_LINE = 200  # characters of a name, and of why
MAX_WHY = 4000  # characters in which the first line is looked for

OUTPUT = {"system-out", "system-err", "properties"}  # says nothing about the outcome
RETRIES = {"rerunFailure", "rerunError", "flakyFailure", "flakyError"}
FAILS = {"failure", "error", "failed"} | RETRIES
SKIPS = {"skipped", "skip", "disabled", "ignored", "pending", "todo", "notrun", "warning"}
# What a test that may fail is marked with by `node --test`, and by Catch2.
MAY_FAIL = {("type", "todo"), ("message", "TEST_CASE tagged with !mayfail")}
# The words of `status` and `result`, in small letters, without spaces, hyphens and underscores.
PASSED_WORDS = {"", "completed", "ok", "pass", "passed", "run", "succeeded", "success"}
FAILED_WORDS = {"aborted", "error", "errored", "fail", "failed", "failure", "panicked", "timedout"}
SKIPPED_WORDS = SKIPS | {"ignore", "inconclusive", "suppressed", "untested"}
# A file that has begun no test is a case of `node --test`, by its path, and of this class.
FILE_CLASS, FILE_NAME = "test", re.compile(r".*\.[cm]?[jt]sx?", re.DOTALL)
NO = {"", "0", "false", "no"}
_ESCAPE = "\N{SYMBOL FOR ESCAPE}"  # as which an escape character is read


class Outcome(IntEnum):
    """How a test went: the greater, the worse."""

    PASSED = 0
    SKIPPED = 1
    FAILED = 2


@dataclass(slots=True)
class Case:
    """A test while it is read.

    key: its file, class, name and line, equal for two cases only where they may be one test
    why: what its elements, or else its attributes say, first; is_error: a mark of it is `error`
    may_fail: its runner takes its failures for no worse than a skip
    skips, marks, retries: how many elements tell of a skip, of a failure, of one try of several
    """

    key: tuple[str, str, str, str]
    outcome: Outcome = Outcome.PASSED
    why: str = ""
    hint: str = ""  # why, by its attributes
    is_error: bool = False
    may_fail: bool = False
    skips: int = 0
    marks: int = 0
    retries: int = 0

    @property
    def name(self) -> str:
        """`class::name` for people, or the name alone where it ends with the class."""
        cls, name = line_of(self.key[1]), line_of(self.key[2])
        parts = [name] if name.endswith(cls) else [cls, name]
        return "::".join(filter(None, parts)) or "a test without a name"

    def turn(self, outcome: Outcome) -> None:
        """Take an outcome, if it is worse than the one before."""
        self.outcome = max(self.outcome, outcome)


def begin(attributes: Mapping[str, str]) -> Case:
    """Return the case with these attributes, and what they say of its outcome."""
    get = attributes.get
    case = Case((get("file", ""), get("classname", ""), get("name", ""), get("line", "")))
    if _is_file(*case.key[:3]):
        case.turn(Outcome.SKIPPED)
    for outcome, why in _by_attributes(attributes):
        if outcome > case.outcome:
            case.outcome, case.hint = outcome, why
    return case


def mark(case: Case, tag: str, attributes: Mapping[str, str]) -> bool:
    """Take what an element in a case says; return whether it is one that is known."""
    if tag in FAILS:
        case.marks += 1
        case.retries += tag in RETRIES
        case.is_error |= tag == "error"
        case.turn(Outcome.FAILED)
        case.why = case.why or first_line(attributes.get("message", ""), case.name)
    elif tag in SKIPS:
        case.skips += 1
        case.may_fail |= bool(MAY_FAIL & attributes.items())
        case.turn(Outcome.SKIPPED)
    elif tag not in OUTPUT:
        case.turn(Outcome.SKIPPED)
        return False
    return True


def is_again(case: Case, last: Case, *, unique: bool) -> bool:
    """Return whether a case is the same test as the one right before it, reported again.

    A teardown that fails after its test is reported so, by pytest, unittest and nose2. unique: the
    runner gives no two tests one name; else equal names may well be several tests.
    """
    torn_down = case.is_error and last.outcome is not Outcome.PASSED
    return case.key == last.key and (unique or torn_down)


def unknown_words(attributes: Mapping[str, str]) -> list[str]:
    """Return what is said in `status` and `result` that is none of the words that are known."""
    known = PASSED_WORDS | FAILED_WORDS | SKIPPED_WORDS
    given = ((name, attributes[name]) for name in ("status", "result") if name in attributes)
    return [f'{name}="{line_of(text)}"' for name, text in given if _word(text) not in known]


def of_word(text: str) -> Outcome:
    """Return the outcome that a word stands for; one that is not known is not passed."""
    if _word(text) in PASSED_WORDS:
        return Outcome.PASSED
    return Outcome.FAILED if _word(text) in FAILED_WORDS else Outcome.SKIPPED


def first_line(text: str, name: str = "") -> str:
    """Return the first line of a text that tells something, plain, cut at `MAX_LINE` characters.

    A line that only repeats the name of the test (PHPUnit) tells nothing, one that ends with a
    colon goes on in the next, and one that names a place alone (a SyntaxError of Python) tells in
    the last line what is there.
    """
    lines = [line.strip() for line in _plain(text).splitlines() if line.strip()]
    if name and len(lines) > 1 and lines[0].startswith(name):
        lines = lines[1:]
    if lines and lines[0].startswith('File "'):
        lines = lines[-1:]
    return " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])[:MAX_LINE]


def line_of(text: str) -> str:
    """Return a text in one plain line, cut at `MAX_LINE` characters."""
    return " ".join(_plain(text).split())[:MAX_LINE]


def _plain(text: str) -> str:
    return plain(text[:MAX_WHY].replace(_ESCAPE, "\x1b"))


def _is_file(file: str, cls: str, name: str) -> bool:
    """Return whether a case is only the file in which there may be tests."""
    is_own = name.startswith("/") or file.endswith(f"/{name}")
    return cls == FILE_CLASS and is_own and bool(FILE_NAME.fullmatch(name))


def _by_attributes(attributes: Mapping[str, str]) -> Iterator[tuple[Outcome, str]]:
    for name, text in attributes.items():
        says_no = text.strip().lower() in NO
        if name in {"status", "result"}:
            yield of_word(text), f'{name}="{line_of(text)}"'
        elif name in FAILS and not says_no:  # `node --test` gives the reason
            yield Outcome.FAILED, first_line(text)
        elif (name in SKIPS and not says_no) or (name == "executed" and says_no):
            yield Outcome.SKIPPED, ""
        elif name in {"success", "passed"} and says_no:
            yield Outcome.FAILED, f'{name}="{line_of(text)}"'


def _word(text: str) -> str:
    return text.lower().translate(dict.fromkeys(map(ord, " -_\n\t")))

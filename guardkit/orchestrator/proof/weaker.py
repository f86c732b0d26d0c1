"""Which changed files are tests, and whether nothing but the tests was changed, for the worse.

That tests pass proves nothing where the Player has only deleted, skipped or disabled some.
"""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from guardkit.orchestrator.repository.git import Git
from guardkit.orchestrator.repository.trees import Changes, objects, read_lines

FOLDERS = {"test", "tests", "__tests__", "spec", "specs", "testing"}
NAMED = re.compile(
    r"test_.*|.*_tests?\.\w+|.*[.-](test|spec|cy)\.\w+|.*(Test|Tests|TestCase|Spec|IT)\.\w+|.*\.bats"
    r"|tests?\.\w+|conftest\.py|.*_spec\.\w+"
)
# Files that may say which tests run, besides all else; and the words by which they do.
# Files that say which tests run: in some nothing else stands, in others much else.
ONLY_TESTS = re.compile(
    r"\.?pytest\.(ini|toml)|conftest\.py|(jest|vitest|playwright|cypress|karma)\.config\.\w+"
    r"|\.mocharc.*|phpunit\.xml.*|\.rspec"
)
SETTINGS = re.compile(
    r"pyproject\.toml|setup\.cfg|tox\.ini|noxfile\.py|package\.json|vite\.config\.\w+|Makefile"
    r"|CMakeLists\.txt|meson\.build|Cargo\.toml|pom\.xml|build\.gradle.*"
)
OF_TESTS = re.compile(r"(?i)test|spec|jest|mocha|deselect|addopts|ignore|exclude|filter|recurse")
# A line that begins a test, in what the languages have.
BEGINS = re.compile(
    r"\s*((async\s+)?def\s+test|(it|test|specify)(\.each\b.*)?\s*\(|func\s+Test|@Test\b|@test\b"
    r"|TEST(_[FP])?\s*\(|#\[(\w+::)?test|public\s+function\s+test)"
)
SKIPS = re.compile(
    r"(?i)skip|xfail|\bdisabled?\b|@ignore|#\[ignore|\bx(it|test|describe)\b|\.only\b|\btodo\b|pending"
)
DISABLES = re.compile(
    r"\bdel\s+test|collect_ignore|__test__\s*=\s*False|deselect|norecursedirs|--ignore"
)
FEWER = "nothing but tests has changed, and none was added"
DISABLED = "nothing but tests has changed, and some do not run any more"


def find_tests(paths: Iterable[str]) -> list[str]:
    """Return those paths that look like tests, or what belongs to them."""
    return [path for path in paths if _is_test(PurePosixPath(path))]


def _is_test(path: PurePosixPath) -> bool:
    return not FOLDERS.isdisjoint(path.parts[:-1]) or bool(NAMED.fullmatch(path.name))


def find_settings(paths: Iterable[str]) -> list[str]:
    """Return those paths that may say which tests run, and how."""
    named = ((path, PurePosixPath(path).name) for path in paths)
    return [path for path, name in named if ONLY_TESTS.fullmatch(name) or SETTINGS.fullmatch(name)]


async def find_weaker(git: Git, before: str, after: str, changes: Changes, *, skipped: int) -> str:
    """Return why passing tests are no proof of a change from one tree to another, "" if they are.

    skipped: how many tests were.
    Raises GitError.
    """
    named = {path: PurePosixPath(path).name for path in changes}
    tests = {*find_tests(changes)}
    tests |= {path for path, name in named.items() if ONLY_TESTS.fullmatch(name)}
    settings = {path for path, name in named.items() if SETTINGS.fullmatch(name)} - tests
    away = {*await _moved(git, before, after, changes)} - tests
    if not changes or changes.keys() - tests - settings - away:
        return ""
    lines = await read_lines(git, before, after)
    if any(path in settings and not OF_TESTS.search(line) for path, line in lines):
        return ""
    added = [line[1:] for _, line in lines if line.startswith("+") and line[1:].strip()]
    if any(map(DISABLES.search, added)) or (skipped and any(map(SKIPS.search, added))):
        return DISABLED
    of_tests = [line for path, line in lines if path in tests and line[1:].strip()]
    signs = [line[0] for line in of_tests if BEGINS.match(line[1:])]
    if signs.count("+") < signs.count("-") or not any(line[0] == "+" for line in of_tests):
        return FEWER
    return ""


async def _moved(git: Git, before: str, after: str, changes: Changes) -> list[str]:
    """Return the new paths of tests that were given other names."""
    gone = [path for path in find_tests(changes) if changes[path] == "D"]
    new = [path for path, kind in changes.items() if kind == "A"]
    if not (gone and new):
        return []
    old = {object_ for path, object_ in await objects(git, before) if path in gone}
    return [path for path, object_ in await objects(git, after) if path in new and object_ in old]

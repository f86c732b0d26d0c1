"""Which changed files are tests, and whether nothing but the tests was changed, for the worse.

That tests pass proves nothing where the Player has only deleted, skipped or disabled some.
"""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from guardkit.orchestrator.git import Git
from guardkit.orchestrator.trees import Changes, read_lines

FOLDERS = {"test", "tests", "__tests__", "spec", "specs", "testing"}
NAMED = re.compile(
    r"test_.*|.*_tests?\.\w+|.*[.-](test|spec|cy)\.\w+|.*(Test|Tests|TestCase|Spec|IT)\.\w+|.*\.bats"
    r"|tests?\.\w+|conftest\.py|.*_spec\.\w+"
)
# Files that may say which tests run, besides all else; and the words by which they do.
SETTINGS = re.compile(
    r"pyproject\.toml|setup\.cfg|tox\.ini|pytest\.ini|\.pytest\.ini|noxfile\.py|package\.json"
    r"|(jest|vitest|playwright|cypress|karma)\.config\.\w+|\.mocharc.*|phpunit\.xml.*|\.rspec"
    r"|Makefile|CMakeLists\.txt|meson\.build|Cargo\.toml|pom\.xml|build\.gradle.*"
)
OF_TESTS = re.compile(r"(?i)test|spec|jest|mocha|deselect|addopts|ignore|exclude|filter")
SKIPS = re.compile(
    r"(?i)skip|xfail|\bdisabled?\b|@ignore|#\[ignore|\bignore\b|\bx(it|test|describe)\b|\.only\b|\btodo\b"
    r"|pending"
)
NO_MORE = "nothing but tests has changed, and nothing was added to them"
SKIPPED = "nothing but tests has changed, and some are skipped now"


def find_tests(paths: Iterable[str]) -> list[str]:
    """Return those paths that look like tests, or what belongs to them."""
    return [path for path in paths if _is_test(PurePosixPath(path))]


def _is_test(path: PurePosixPath) -> bool:
    return not FOLDERS.isdisjoint(path.parts[:-1]) or bool(NAMED.fullmatch(path.name))


async def find_weaker(git: Git, before: str, after: str, changes: Changes, *, skipped: int) -> str:
    """Return why passing tests are no proof of a change from one tree to another, "" if they are.

    skipped: how many tests were.
    Raises GitError.
    """
    tests = {*find_tests(changes)}
    settings = {path for path in changes if SETTINGS.fullmatch(PurePosixPath(path).name)} - tests
    if not changes or changes.keys() - tests - settings:
        return ""
    lines = await read_lines(git, before, after)
    if any(path in settings and not OF_TESTS.search(line) for path, line in lines):
        return ""
    kept = [line for path, line in lines if path not in settings and line[1:].strip()]
    added = [line for line in kept if line.startswith("+")]
    if skipped and any(map(SKIPS.search, added)):
        return SKIPPED
    return "" if len(added) > len(kept) - len(added) else NO_MORE

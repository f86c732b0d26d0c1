import os
from pathlib import Path

import pytest

from guardkit.orchestrator.proof.locations import Location, locate

MODULE = """\
import pytest

class TestTax:
    def test_it(self): ...

    async def test_that(self): ...

def test_more(): ...
"""


@pytest.fixture
def worktree(tmp_path: Path) -> Path:
    worktree = tmp_path / "worktree"
    (worktree / "tests/unit").mkdir(parents=True)
    (worktree / "tests/unit/test_tax.py").write_text(MODULE)
    (worktree / "tax.cpp").write_text("TEST(Tax, More) {}\n")
    (tmp_path / "outside.py").write_text("def test_it(): ...\n")
    return worktree


@pytest.mark.parametrize(
    ("failure", "place", "found"),
    [
        ("tests.unit.test_tax::test_more: no", ":", Location("tests/unit/test_tax.py", 8)),
        ("tests.unit.test_tax.TestTax::test_that: no", ":", Location("tests/unit/test_tax.py", 6)),
        ("tests.unit.test_tax::test_more[a: b]: no", ":", Location("tests/unit/test_tax.py", 8)),
        (
            "test_tax::test_it: no",
            "tests/unit/test_tax.py:3",
            Location("tests/unit/test_tax.py", 4),
        ),
        (
            "test_tax::test_gone: no",
            "tests/unit/test_tax.py:3",
            Location("tests/unit/test_tax.py", 3),
        ),
        ("Tax::More: no", "tax.cpp:1", Location("tax.cpp", 1)),
        ("Tax::More: no", "./tax.cpp:", Location("tax.cpp", 0)),
        ("./tax.cpp::more: no", ":2", Location("tax.cpp", 2)),
        ("Tax::More: no", ":", Location()),
        ("Tax::More: no", "gone.cpp:1", Location()),
        ("Tax::More: no", "../outside.py:1", Location()),
        ("Tax::More: no", "/etc/passwd:1", Location()),
        ("Tax::More: no", "tests:1", Location()),
        ("Tax::More: no", "a\0b:1", Location()),
        ("..outside::test_it: no", ":", Location()),
        ("Tax::More: no", f"tax.cpp:{'9' * 5000}", Location("tax.cpp", 0)),
        ("Tax::More: no", "tax.cpp:\u0663", Location("tax.cpp", 0)),
        ("", "", Location()),
        ("." * 10_000, ":", Location()),
    ],
)
def test_a_failed_test_is_found_in_a_file_of_the_worktree_or_nowhere(
    worktree: Path, failure: str, place: str, found: Location
) -> None:
    assert locate(failure, place, worktree) == found


def test_a_path_that_is_told_whole_is_one_of_the_worktree(worktree: Path) -> None:
    assert locate("Tax::More: no", f"{worktree}/tax.cpp:1", worktree) == Location("tax.cpp", 1)


def test_what_is_no_regular_file_is_not_waited_for(worktree: Path) -> None:
    os.mkfifo(worktree / "pipe.py")
    assert locate("pipe::test_it: no", ":", worktree) == Location()

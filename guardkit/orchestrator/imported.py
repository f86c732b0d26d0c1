"""Which code the tests have run: of the worktree, or of the checkout, as after `pip install -e .`.

Python is asked, in each process of the tests: a probe on PYTHONPATH tells what was imported. Of
other languages, and where a test command drops PYTHONPATH, nothing is told.
"""

import os
import sys
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from guardkit.progress.folder import read_file
from guardkit.progress.paths import HOME, WORKTREES

PROBE = Path(__file__).with_name("probe")
TOLD, PATH = "GUARDKIT_IMPORTED_FILE", "PYTHONPATH"
MAX_TOLD = 2**26  # bytes that are read of what the probe tells
MAX_NAMED = 1000  # files of the checkout that are kept


class Imported(msgspec.Struct, frozen=True):
    """What Python has imported in the tests.

    worktree: how many files of the worktree.
    checkout: paths in the checkout, of files that are there and not in the worktree.
    """

    worktree: int
    checkout: Sequence[str]


def search_path(worktree: Path, *, told: Path | None = None) -> dict[str, str]:
    """Return the environment in which Python finds the worktree's code before any other.

    told: a file, to which the probe is to tell what was imported.
    """
    ahead = [str(folder) for folder in (worktree / "src", worktree) if _may_lead(folder)]
    after = [os.environ[PATH]] if os.environ.get(PATH) else []
    if told is None:
        return {PATH: os.pathsep.join([*ahead, *after])} if ahead else {}
    return {PATH: os.pathsep.join([str(PROBE), *ahead, *after]), TOLD: str(told)}


def _may_lead(folder: Path) -> bool:
    """Return whether a folder has modules, and none that would hide one of Python's own."""
    names = set[str]()
    with suppress(OSError):
        for entry in os.scandir(folder):
            is_package = entry.is_dir() and Path(entry, "__init__.py").is_file()
            if is_package or entry.name.endswith(".py"):
                names.add(entry.name.removesuffix(".py"))
    return bool(names) and names.isdisjoint(sys.stdlib_module_names)


def read_imported(told: Path, worktree: Path, checkout: Path) -> Imported | None:
    """Return what the probe has told, None where it has told nothing."""
    with suppress(OSError):
        text = read_file(told, MAX_TOLD).decode(errors="surrogateescape")
        files = {*text.split("\0")[:-1]}
        ours, theirs = f"{worktree.resolve()}{os.sep}", f"{checkout.resolve()}{os.sep}"
        others = f"{theirs}{HOME}{os.sep}{WORKTREES}{os.sep}"
        own = [file for file in files if file.startswith(ours)]
        paths = [
            file.removeprefix(theirs)
            for file in files
            if file.startswith(theirs) and not file.startswith(others)
        ]
        return Imported(len(own), sorted(paths)[:MAX_NAMED]) if files else None
    return None


def not_tested(changes: Collection[str], imported: Imported | None) -> list[str]:
    """Return those changed files of which the tests have imported the checkout's own."""
    return sorted({*changes}.intersection(imported.checkout)) if imported else []

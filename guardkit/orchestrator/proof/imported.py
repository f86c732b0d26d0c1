"""Which code the tests have run: of the worktree, or of the checkout, as after `pip install -e .`.

Python is asked, in each process of the tests: a probe on PYTHONPATH tells what was run, and what
was read in the checkout. Of other languages, and where a test command drops PYTHONPATH, nothing is
told.
"""

import os
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from guardkit.orchestrator.repository.trees import shown
from guardkit.progress.folder import read_file
from guardkit.progress.paths import HOME, WORKTREES

PROBE = Path(__file__).with_name("probe")
TOLD, BELOW, PATH = "GUARDKIT_IMPORTED_FILE", "GUARDKIT_READ_BELOW", "PYTHONPATH"
READ = "<"  # before the path of a file that was read
MAX_TOLD = 2**26  # bytes that are read of what the probe tells
MAX_NAMED = 1000  # files of the checkout that are kept

State = tuple[int, ...]  # what tells that a file has changed


class Told(msgspec.Struct, frozen=True):
    """What the probe has told: paths as Python had them, and where they really are.

    ran: files whose code was run. read: other files of the checkout that were read.
    """

    ran: Collection[str]
    read: Collection[str]


class Imported(msgspec.Struct, frozen=True):
    """What Python has run and read in the tests.

    worktree: how many files of the worktree were run.
    checkout: paths in the checkout of files that were run there, and not in the worktree.
    read: the same of files that were read, and not run.
    loose: files of the worktree that were run, and are no part of what is committed.
    made: the state of those that the tests have made themselves, by path.
    """

    worktree: int
    checkout: Sequence[str]
    read: Sequence[str] = ()
    loose: Sequence[str] = ()
    made: Mapping[str, State] = {}


def search_path(
    worktree: Path, *, told: Path | None = None, below: Path | None = None
) -> dict[str, str]:
    """Return the environment in which Python finds the worktree's code before any other.

    told: a file, to which the probe is to tell what was run, and what was read in the folder
        `below`.
    """
    ahead = [str(folder) for folder in (worktree / "src", worktree) if _may_lead(folder)]
    after = [os.environ[PATH]] if os.environ.get(PATH) else []
    if told is None:
        return {PATH: os.pathsep.join([*ahead, *after])} if ahead else {}
    path = os.pathsep.join([str(PROBE), *ahead, *after])
    return {PATH: path, TOLD: str(told), BELOW: f"{below or ''}{os.sep}"}


def _may_lead(folder: Path) -> bool:
    """Return whether a folder has modules, and none that would hide one of Python's own."""
    names = set[str]()
    with suppress(OSError):
        for entry in os.scandir(folder):
            is_package = entry.is_dir() and Path(entry, "__init__.py").is_file()
            if is_package or entry.name.endswith(".py"):
                names.add(entry.name.removesuffix(".py"))
    return bool(names) and names.isdisjoint(sys.stdlib_module_names)


def read_told(told: Path) -> Told | None:
    """Return what the probe has told, None where it has told nothing."""
    with suppress(OSError):
        text = read_file(told, MAX_TOLD).decode(errors="surrogateescape")
        paths = {*text.split("\0")[:-1]}
        read = {path[1:] for path in paths if path.startswith(READ)}
        ran = {path for path in paths if not path.startswith(READ)}
        return Told(ran, read) if paths else None
    return None


def summarise(told: Told, worktree: Path, checkout: Path) -> Imported:
    """Return which files of the worktree and of the checkout were run and read."""
    own = inside(told.ran, worktree.resolve())
    return Imported(len(own), _others(told.ran, checkout), _others(told.read, checkout))


def inside(paths: Collection[str], folder: Path) -> list[str]:
    """Return those paths that are in a folder, as seen from there."""
    prefix = f"{folder}{os.sep}"
    return [path.removeprefix(prefix) for path in paths if path.startswith(prefix)]


def _others(paths: Collection[str], checkout: Path) -> list[str]:
    """Return the paths in the checkout that are in no worktree, installed packages last."""
    worktrees = f"{HOME}{os.sep}{WORKTREES}{os.sep}"
    near = [path for path in inside(paths, checkout.resolve()) if not path.startswith(worktrees)]
    return sorted(near, key=lambda path: ("-packages/" in path, path))[:MAX_NAMED]


def not_tested(changes: Collection[str], paths: Sequence[str]) -> list[str]:
    """Return those changed files of which the tests have used the checkout's own."""
    return sorted({*changes}.intersection(map(shown, paths)))

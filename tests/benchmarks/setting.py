"""Where and how long a run goes: its folders, and the peers that take part."""

import os
import tempfile
from collections.abc import Iterator
from compileall import compile_dir
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
REPOSITORY = Path(__file__).parents[2]
OF_THE_TEST_GROUP = {"tqdm", "rich"}  # the peers that a short run may use


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run: short, as among the tests, or long; `tmpfs` and `disk` are folders of its own."""

    short: bool
    tmpfs: Path
    disk: Path

    def pick(self, short: T, long: T) -> T:
        """Return the one for this run."""
        return short if self.short else long

    def peer(self, name: str) -> Any:
        """Return the module `name`, or None where it does not take part."""
        package = name.partition(".")[0]
        if (self.short and package not in OF_THE_TEST_GROUP) or not find_spec(package):
            return None
        return import_module(name)


@contextmanager
def prepare(*, short: bool) -> Iterator[Run]:
    """Make the folders of a run, and remove them after it."""
    compile_dir(REPOSITORY / "guardkit", quiet=1)  # as installing it does
    build = REPOSITORY / "build"
    build.mkdir(exist_ok=True)
    memory = Path("/dev/shm")  # noqa: S108 - the one tmpfs that every Linux has
    with (
        tempfile.TemporaryDirectory(dir=memory if memory.exists() else None) as tmpfs,
        tempfile.TemporaryDirectory(dir=build, prefix="bench-", ignore_cleanup_errors=True) as disk,
    ):
        yield Run(short=short, tmpfs=Path(tmpfs), disk=Path(disk))


def pin() -> None:
    """Stay on one core from here on, with all threads and processes that are started."""
    with suppress(AttributeError, OSError):  # where that cannot be had, the rounds are rougher
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

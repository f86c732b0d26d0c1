"""One write of a progress file, in memory and on the disk."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from guardkit import track_build
from guardkit.progress.folder import Folder, open_root
from guardkit.progress.paths import PROGRESS

from .bounds import WRITE_DISK, WRITE_TMPFS, C
from .races import OURS, Round, Row, compare, race, timed_calls
from .setting import Run, pin
from .ways import compile_floor

TIMES = 20


async def measure(run: Run) -> list[Row]:
    """Hold the write of a build's file against the same system calls in C."""
    pin()
    document = await a_document(run.tmpfs)
    floor = compile_floor(run.tmpfs)
    rows: list[Row] = []
    for subject, root in ((WRITE_TMPFS, run.tmpfs), (WRITE_DISK, run.disk)):
        with open_root(root) as builds:
            contestants = {OURS: _ours(builds, document)}
            if floor:
                contestants[C] = _in_c(floor, builds, document)
            rows += compare(subject, await race(contestants, run.pick(40, 600)))
    return rows


async def a_document(root: Path) -> bytes:
    """Return a progress file as it stands in the midst of a build."""
    async with track_build("TASK-FB-002", task_name="Implement output", root=root) as build:
        async with build.turn() as turn, turn.phase("Player Implementation", budget=900) as phase:
            phase.update(files_created=2, files_modified=1, message="writing tests")
        path = root / ".guardkit/autobuild/TASK-FB-002/progress.json"
        return path.read_bytes()


def _ours(builds: Folder, document: bytes) -> Round:
    def write() -> None:
        with builds.folder("TASK-ours", make=True) as folder:
            folder.replace(PROGRESS, document)

    return timed_calls(write, TIMES)


def _in_c(
    floor: Callable[[Folder, str, bytes, int], float], builds: Folder, document: bytes
) -> Round:
    builds.folder("TASK-in-C", make=True).close()
    write = partial(floor, builds, "TASK-in-C", document, TIMES)

    async def run() -> float:
        return write()

    return run

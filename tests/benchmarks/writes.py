"""One write of a progress file, in memory and on the disk."""

import asyncio
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

from anyio import to_thread

from guardkit import track_build
from guardkit.progress.files import replace_file

from .bounds import AIOFILES, SAMPLE, WRITE_DISK, WRITE_TMPFS, C
from .races import OURS, Round, Row, compare, race, timed_awaits, timed_calls
from .setting import Run, pin
from .ways import bare, call_by_call, compile_floor, sample, temporary_in

TIMES = 20


async def measure(run: Run) -> list[Row]:
    """Hold `replace_file` against the same calls in C, and against other ways to write."""
    pin()
    document = await a_document(run.tmpfs)
    floor = compile_floor(run.tmpfs)
    rows: list[Row] = []
    for subject, folder in ((WRITE_TMPFS, run.tmpfs), (WRITE_DISK, run.disk)):
        contestants = _in_this_thread(run, folder, document) | _elsewhere(folder, document)
        if floor:
            contestants[C] = _in_c(floor, folder, document)
        rows += compare(subject, await race(contestants, run.pick(25, 300)))
    return rows


async def a_document(root: Path) -> bytes:
    """Return a progress file as it stands in the midst of a build."""
    async with track_build("TASK-FB-002", task_name="Implement output", root=root) as build:
        async with build.turn() as turn, turn.phase("Player Implementation", budget=900) as phase:
            phase.update(files_created=2, files_modified=1, message="writing tests")
        path = root / ".guardkit/autobuild/TASK-FB-002/progress.json"
        return path.read_bytes()


def _in_this_thread(run: Run, root: Path, document: bytes) -> dict[str, Round]:
    def calls(name: str, write: Callable[[str, bytes, str], object]) -> Round:
        folder = _make(root, name)
        path = f"{folder}/progress.json"
        return timed_calls(lambda: write(path, document, temporary_in(folder)), TIMES)

    contestants = {OURS: calls("ours", replace_file), "bare os calls": calls("bare", bare)}
    data = json.loads(document)
    contestants[SAMPLE] = timed_calls(lambda: sample(root, "TASK-1", data), TIMES)
    if atomicwrites := run.peer("atomicwrites"):

        def atomic(path: str, document: bytes, _: str) -> None:
            with atomicwrites.atomic_write(path, mode="wb", overwrite=True) as file:
                file.write(document)

        contestants["atomicwrites, which syncs"] = calls("atomicwrites", atomic)
    if safer := run.peer("safer"):

        def safely(path: str, document: bytes, _: str) -> None:
            with safer.open(path, "wb", temp_file=True) as file:
                file.write(document)

        contestants["safer"] = calls("safer", safely)
    return contestants


def _elsewhere(root: Path, document: bytes) -> dict[str, Round]:
    folder = _make(root, "hops")
    path = f"{folder}/progress.json"

    def one() -> tuple[str, bytes, str]:
        return path, document, temporary_in(folder)

    return {
        AIOFILES: timed_awaits(lambda: call_by_call(*one()), TIMES),
        "one anyio.to_thread": timed_awaits(lambda: to_thread.run_sync(bare, *one()), TIMES),
        "one asyncio.to_thread": timed_awaits(lambda: asyncio.to_thread(bare, *one()), TIMES),
    }


def _in_c(floor: Callable[[Path, bytes, int], float], root: Path, document: bytes) -> Round:
    write = partial(floor, _make(root, "c"), document, TIMES)

    async def run() -> float:
        return write()

    return run


def _make(root: Path, name: str) -> Path:
    folder = root / name
    folder.mkdir()
    return folder

"""A transition of a build, awaited until it is on disk."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from anyio import to_thread

from guardkit import Snapshot, track_build

from .bounds import AIOFILES, ANYIO, ON_LOOP, SAMPLE, TRANSITION
from .races import OURS, Round, Row, compare, race, timed_awaits
from .setting import Run, meter, pin
from .ways import append_call_by_call, bare, bare_append, call_by_call, sample, temporary_in

TIMES = 20


async def measure(run: Run) -> list[Row]:
    """Hold a transition against the same bytes written in one hop, call by call, and on the loop.

    A transition writes twice: the file is replaced, and a line is added to the journal.
    """
    pin()  # which core a thread wakes up on would decide else, more than what anybody does
    async with track_build("TASK-1", root=run.tmpfs) as build, build.turn() as turn:

        async def phase() -> None:  # two transitions
            async with turn.phase("Player Implementation", budget=900):
                pass

        await phase()
        ours = run.tmpfs / ".guardkit/autobuild/TASK-1"
        document = (ours / "progress.json").read_bytes()
        line = (ours / "events.jsonl").read_bytes().splitlines(keepends=True)[-1]
        contestants = {OURS: timed_awaits(phase, TIMES // 2, each=2)}
        theirs = ours.with_name("TASK-2")  # as deep, since the kernel walks each path
        theirs.mkdir()
        contestants |= _hops(theirs, document, line, build.snapshot)
        rows = compare(TRANSITION, await race(contestants, run.pick(40, 600)))
        data = json.loads(document)

        async def on_loop() -> None:
            sample(run.tmpfs / "sample", "TASK-1", data)

        busy = {OURS: _busy(phase, each=2), SAMPLE: _busy(on_loop)}
        return rows + compare(ON_LOOP, await race(busy, run.pick(30, 300)))


def _hops(folder: Path, document: bytes, line: bytes, snapshot: Snapshot) -> dict[str, Round]:
    path, journal = f"{folder}/progress.json", f"{folder}/events.jsonl"

    def write(document: bytes, line: bytes) -> None:
        bare(path, document, temporary_in(folder))
        bare_append(journal, line)

    def encode_and_write() -> None:
        json = msgspec.json.encode(snapshot)
        write(msgspec.json.format(json, indent=2), b'{"event":"x","progress":' + json + b"}\n")

    async def each_call() -> None:
        await call_by_call(path, document, temporary_in(folder))
        await append_call_by_call(journal, line)

    ways: dict[str, Callable[[], Awaitable[object]]] = {
        ANYIO: lambda: to_thread.run_sync(write, document, line),
        "one anyio hop, file alone": lambda: to_thread.run_sync(
            bare, path, document, temporary_in(folder)
        ),
        "one anyio hop that encodes, too": lambda: to_thread.run_sync(encode_and_write),
        "one asyncio hop, file + journal": lambda: asyncio.to_thread(write, document, line),
        AIOFILES: each_call,
    }
    return {name: timed_awaits(way, TIMES) for name, way in ways.items()}


def _busy(call: Callable[[], Awaitable[object]], *, each: int = 1) -> Round:
    """Return a round whose cost is the time that the event loop has spent on one operation."""

    async def run() -> float:
        loop = meter()
        await asyncio.sleep(0.001)  # from one wait of the loop
        start = loop.busy
        for _ in range(TIMES // each):
            await call()
        await asyncio.sleep(0.001)  # to another
        return (loop.busy - start) / TIMES

    return run

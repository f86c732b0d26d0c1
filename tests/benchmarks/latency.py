"""From a phase that is entered to another process that knows it."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from subprocess import PIPE
from time import monotonic

from guardkit import Turn, track_build

from .bounds import INOTIFY, LATENCY
from .onlookers import LAST
from .races import OURS, Row, compare, limit
from .setting import REPOSITORY, Run

GAP = 0.02  # seconds from one phase to the next; no more than that in either direction


@dataclass(slots=True)
class Onlooker:
    """A process that says when it saw which phase, and how it is shown one."""

    process: asyncio.subprocess.Process
    show: Callable[[str], Awaitable[object]]
    shown: dict[str, float] = field(default_factory=dict)

    async def ask(self) -> dict[str, float]:
        """Wait until it has seen the last phase; return how long each took to be seen."""
        assert self.process.stdout
        lines = (await self.process.stdout.read()).splitlines()
        await self.process.wait()
        seen = dict(line.decode().split() for line in lines)
        return {name: float(seen[name]) - at for name, at in self.shown.items() if name in seen}


async def measure(run: Run) -> list[Row]:
    """Show the same phases to each onlooker in turn, at odd moments, and compare what it took."""
    async with AsyncExitStack() as stack:
        onlookers = {}
        for method in ("watch", "inotify", *run.pick((), ("poll",))):
            task_id = f"TASK-{method}"
            build = await stack.enter_async_context(track_build(task_id, root=run.tmpfs))
            turn = await stack.enter_async_context(build.turn())
            path = run.tmpfs / f".guardkit/autobuild/{task_id}/progress.json"
            onlookers[method] = await start(method, path, partial(enter, turn))
        if not run.short:
            onlookers |= await _logs(run, stack)
        await show(onlookers, run.pick(40, 400))
        delays = {name: await onlooker.ask() for name, onlooker in onlookers.items()}
    return _rows(delays)


def _rows(delays: dict[str, dict[str, float]]) -> list[Row]:
    named = {
        OURS: "watch",
        INOTIFY: "inotify",
        "polling at 100 ms": "poll",
        "a JSON log, tailed": "json",
        "a tqdm log, tailed": "tqdm",
    }
    known = {name: delays[method] for name, method in named.items() if method in delays}
    seen = sorted(set.intersection(*(set(each) for each in known.values())))
    costs = {name: [each[phase] for phase in seen] for name, each in known.items()}
    return [limit(LATENCY, "3 ms", costs[OURS], 0.003), *compare(LATENCY, costs)]


async def show(onlookers: dict[str, Onlooker], trials: int) -> None:
    odd = Random(4)  # noqa: S311 - the same gaps in each run
    for number in range(trials + 1):
        name = f"phase-{number}" if number < trials else LAST
        for onlooker in onlookers.values():
            await asyncio.sleep(odd.uniform(0, 2 * GAP))
            onlooker.shown[name] = monotonic()
            await onlooker.show(name)


async def _logs(run: Run, stack: AsyncExitStack) -> dict[str, Onlooker]:
    """Return those who read a log: a line of JSON for each phase, and a bar that is drawn."""
    path = run.tmpfs / "log"
    log = stack.enter_context(path.open("a", encoding="utf-8"))

    async def write(name: str) -> None:
        print(json.dumps({"phase": name}), file=log, flush=True)

    logs = {"json": await start("tail", path, write)}
    if tqdm := run.peer("tqdm"):
        path = run.tmpfs / "bar"
        drawn = stack.enter_context(path.open("a", encoding="utf-8"))
        bar = stack.enter_context(tqdm.tqdm(total=10**6, file=drawn))

        async def draw(name: str) -> None:
            bar.set_description(name)

        logs["tqdm"] = await start("tail", path, draw)
    return logs


async def start(method: str, path: Path, show: Callable[[str], Awaitable[object]]) -> Onlooker:
    command = [sys.executable, "-m", "tests.benchmarks.onlookers", method, str(path)]
    process = await asyncio.create_subprocess_exec(*command, cwd=REPOSITORY, stdout=PIPE)
    assert process.stdout
    await process.stdout.readline()  # it looks
    return Onlooker(process, show)


async def enter(turn: Turn, name: str) -> None:
    async with turn.phase(name):
        pass

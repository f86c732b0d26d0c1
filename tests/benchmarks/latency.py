"""From a phase that is entered to another process that knows it."""

import asyncio
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

from .bounds import LATENCY
from .onlookers import LAST
from .races import Row, limit
from .setting import REPOSITORY, Run

GAP = 0.02  # seconds from one phase to the next; no more than that in either direction


@dataclass(slots=True)
class Onlooker:
    """A process that says when it saw which phase, and how it is shown one."""

    process: asyncio.subprocess.Process
    show: Callable[[str], Awaitable[object]]
    shown: dict[str, float] = field(default_factory=dict)

    async def ask(self) -> list[float]:
        """Wait until it has seen the last phase; return how long each took to be seen."""
        assert self.process.stdout
        lines = (await self.process.stdout.read()).splitlines()
        await self.process.wait()
        seen = dict(line.decode().split() for line in lines)
        return [float(seen[name]) - at for name, at in self.shown.items() if name in seen]


async def measure(run: Run) -> list[Row]:
    """Show phases to a process that uses `watch_progress`, at odd moments."""
    async with AsyncExitStack() as stack:
        build = await stack.enter_async_context(track_build("TASK-1", root=run.tmpfs))
        turn = await stack.enter_async_context(build.turn())
        onlooker = await start(str(run.tmpfs), "TASK-1", turn)
        await show(onlooker, run.pick(40, 400))
        return [limit(LATENCY, "3 ms", await onlooker.ask(), 0.003)]


async def start(place: str | Path, task_id: str, turn: Turn) -> Onlooker:
    """Return a process that looks at a build, below a root or at the URL of a NATS server."""
    command = [sys.executable, "-m", "tests.benchmarks.onlookers", str(place), task_id]
    process = await asyncio.create_subprocess_exec(*command, cwd=REPOSITORY, stdout=PIPE)
    assert process.stdout
    await process.stdout.readline()  # it looks
    return Onlooker(process, partial(enter, turn))


async def show(onlooker: Onlooker, trials: int) -> None:
    """Enter phases, and keep the time of each."""
    odd = Random(4)  # noqa: S311 - the same gaps in each run
    for number in range(trials + 1):
        name = f"phase-{number}" if number < trials else LAST
        await asyncio.sleep(odd.uniform(0, 2 * GAP))
        onlooker.shown[name] = monotonic()
        await onlooker.show(name)


async def enter(turn: Turn, name: str) -> None:
    """Enter a phase and leave it."""
    async with turn.phase(name):
        pass

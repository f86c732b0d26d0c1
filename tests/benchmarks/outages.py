"""What a build loses when its NATS server fails, against the same build without NATS."""

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from time import perf_counter
from typing import NamedTuple

from guardkit import track_build
from guardkit.nats import NatsSink

from ..nats_server import NatsServer, serving
from .bounds import NATS_EXIT, NATS_WALL, WITHOUT_NATS
from .losses import work
from .races import OURS, Row, compare, limit
from .setting import Run

TURNS = 2
WORK = 100  # times 40 ms for each phase

Step = Callable[[], None]


class Spent(NamedTuple):
    """What a build has taken without its exit, and what that took, in seconds."""

    wall: float
    leaving: float


def _nothing() -> None:
    pass


# What happens to the server before a build, in its midst, and after it.
FAILURES: dict[str, Callable[[NatsServer], tuple[Step, Step, Step]]] = {
    "killed": lambda server: (_nothing, server.kill, server.start),
    "hung": lambda server: (_nothing, server.hang, server.go_on),
    "absent": lambda server: (server.kill, _nothing, _nothing),
}


async def measure_outages(run: Run) -> list[Row]:
    """Let the server of a build be killed or hang in its midst, and be absent."""
    with ExitStack() as stack:
        builds = {WITHOUT_NATS: _build(run, None, (_nothing, _nothing, _nothing))}
        for state in run.pick(("hung",), tuple(FAILURES)):
            server = stack.enter_context(serving(run.disk / state))
            builds[state] = _build(run, server.url, FAILURES[state](server))
        spent: dict[str, list[Spent]] = {state: [] for state in builds}
        for _ in range(run.pick(2, 11)):
            for state, build in builds.items():
                spent[state].append(await build())
    alone, rows = spent.pop(WITHOUT_NATS)[1:], list[Row]()  # without the first, which warms up
    for state, (_, *ours) in spent.items():
        walls = {OURS: [each.wall for each in ours], WITHOUT_NATS: [each.wall for each in alone]}
        rows += compare(f"{NATS_WALL} {state}", walls)
    rows = [{**row, "absolute": True} for row in rows]  # a short build has other proportions
    longest = max(each.leaving for ours in spent.values() for each in ours)
    return [*rows, limit(NATS_EXIT, "1 s", [longest], 1.0)]


def _build(
    run: Run, url: str | None, steps: tuple[Step, Step, Step]
) -> Callable[[], Awaitable[Spent]]:
    """Return what runs a build, with the steps before it, in its midst and after it."""
    first, midway, last = steps
    root = run.tmpfs / "outages"
    root.mkdir(exist_ok=True)

    async def build() -> Spent:
        first()
        sinks = [NatsSink(url)] if url else []
        start, stepping = perf_counter(), 0.0
        async with track_build("TASK-1", root=root, sinks=sinks) as build:
            for _ in range(TURNS):
                async with build.turn() as turn:
                    for name in ("Player Implementation", "Coach Validation"):
                        async with turn.phase(name) as phase:
                            for _ in range(run.pick(1, WORK)):
                                await work(lambda count: phase.update(files_created=count))
                if turn.number == 1:
                    before = perf_counter()
                    midway()
                    stepping = perf_counter() - before
            end = perf_counter()
        spent = Spent(end - start - stepping, perf_counter() - end)
        last()
        return spent

    return build

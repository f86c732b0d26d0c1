"""Two machines that build the same tasks time and again, and publish them to NATS."""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from guardkit import Build, track_build
from guardkit.nats import NatsSink

from ..nats_builds import HOUR, WrongClock, crash, relaying, run_build
from ..nats_server import NatsServer
from ..nats_stream import until, until_whole

TASKS = [f"TASK-{number}" for number in range(3)]
KILLED = "KILLED"  # a task whose builds are killed
HEARTBEAT = 0.2  # seconds
PAUSE = 0.3  # seconds at most between two builds of a task, as not all of them wait for the server
PATIENCE = 240.0  # seconds in which all that is left has to be delivered


class Machine:
    """A root, and a wall clock that is wrong.

    Its builds share a sink, or have a new one each, so that what is left when that closes is
    delivered by the next one.
    """

    def __init__(self, root: Path, url: str, *, shift: float, shares: bool) -> None:
        root.mkdir()
        self.root = root
        self.url = url
        self.clock = WrongClock(shift)
        self._shared = self.new_sink() if shares else None

    @property
    def sink(self) -> NatsSink:
        """The sink of the next build."""
        return self._shared or self.new_sink()

    def new_sink(self) -> NatsSink:
        """Return a sink of its own."""
        return NatsSink(self.url, clock=self.clock)

    def track(self, task_id: str) -> Build:
        """Return a build."""
        return track_build(
            task_id, root=self.root, sinks=[self.sink], heartbeat=HEARTBEAT, clock=self.clock
        )

    async def build_on(self, task_id: str, over: asyncio.Event) -> None:
        """Build a task time and again, at a pace that varies, until it is over."""
        while not over.is_set():
            async with self.track(task_id) as build:
                for _ in range(random.randint(1, 5)):  # noqa: S311
                    async with build.turn() as turn, turn.phase("Player Implementation"):
                        turn.update(files_created=random.randint(0, 99))  # noqa: S311
                        await asyncio.sleep(random.choice([0, 0.001, 0.02, 0.3]))  # noqa: S311
                        turn.decide("feedback")
            await asyncio.sleep(random.uniform(0, PAUSE))  # noqa: S311

    async def crash_on(self, over: asyncio.Event) -> None:
        """Have builds of a task killed with SIGKILL time and again, until it is over."""
        while not over.is_set():
            await asyncio.to_thread(crash, self.root, self.url, task_id=KILLED)
            await asyncio.sleep(random.uniform(0.5, 1.5))  # noqa: S311


def two_machines(folder: Path, url: str) -> list[Machine]:
    """Return two machines, of whose clocks one is ahead, and the other one behind."""
    first = Machine(folder / "first", url, shift=3 * HOUR, shares=True)
    return [first, Machine(folder / "second", url, shift=-2 * HOUR, shares=False)]


@asynccontextmanager
async def relays(machines: list[Machine]) -> AsyncGenerator[None]:
    """Have a relay on each machine, beside the sinks."""
    async with AsyncExitStack() as stack:
        for machine in machines:
            relay = relaying(machine.url, machine.root, clock=machine.clock)
            await stack.enter_async_context(relay)
        yield


@asynccontextmanager
async def building(machines: list[Machine], *, kills: bool) -> AsyncGenerator[None]:
    """Have machines build; in the end, the builds that are at work end as they do.

    kills: whether there are builds that are killed, too.
    """
    over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for machine in machines:
            for task_id in TASKS:
                group.create_task(machine.build_on(task_id, over))
            if kills:
                group.create_task(machine.crash_on(over))
        try:
            yield
        finally:
            over.set()


async def deliver_the_rest(server: NatsServer, machines: list[Machine]) -> None:
    """Have each machine deliver what is left; see that all is there then, once and in order.

    The last to begin is the second machine, whose clock is behind: it is the one that is shown.
    """
    first, second = machines
    await run_build(first.root, first.new_sink(), task_id=KILLED, clock=first.clock)
    async with AsyncExitStack() as stack:
        builds = [second.track(task_id) for task_id in (*TASKS, KILLED)]
        for build in builds:
            await stack.enter_async_context(build)
        await stack.enter_async_context(first.track("LAST"))
        await until_whole(server, first.root, second.root, patience=PATIENCE)

        async def are_shown() -> bool:
            found = await until_whole(server, first.root, second.root)
            return all(
                found.document(each.task_id).run_id == each.snapshot.tracker.run_id
                for each in builds
            )

        await until(are_shown)
    found = await until_whole(server, first.root, second.root)
    for build in builds:
        assert found.snapshot(build.task_id) == build.snapshot
    assert {each.task_id for each in found.events} == {*TASKS, KILLED, "LAST"}
